"""A tracker that is reached over TCP: the same machine, framed messages, new connections."""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import define, field
from twisted.internet import reactor as real_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import PeerOffline, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.record import PeerRecord
from twisted_p2p.stun.message import StreamFramer
from twisted_p2p.tracker.attributes import MAXIMUM_SIZE
from twisted_p2p.tracker.client import Trackers
from twisted_p2p.tracker.directory import StreamSocket
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.server import StreamListener, TrackerServer
from twisted_p2p.tracker.service import TrackerService

ALICE = IdentityKey.from_seed(bytes(32))
BOB = IdentityKey.from_seed(bytes(31) + b"b")
TRACKER = HostPort("11.0.0.1", 3478)


def describe(identity: IdentityKey) -> Any:
    """Return what makes this identity's records."""
    return lambda sequence, mapped: PeerRecord(identity.peer_id, sequence, 300).sign(identity)


@define(eq=False)
class Connection:
    """One connection as the tracker's machine sees it, delivered by hand."""

    tracker: TrackerService
    clock: Clock
    protocol: Any
    number: int
    transport: StringTransport = field(factory=StringTransport)
    framer: StreamFramer = field(factory=lambda: StreamFramer(MAXIMUM_SIZE))

    def open(self) -> Any:
        self.transport.peerAddr = IPv4Address("TCP", *TRACKER)
        self.protocol.makeConnection(self.transport)
        return self.protocol

    def exchange(self) -> int:
        """Hand over what was written, and the answers byte by byte; return how many there were."""
        path = DatagramPath(StreamSocket(TRACKER, self.number), HostPort("11.0.0.2", self.number))
        written = self.transport.value()
        self.transport.clear()
        for message in self.framer.feed(written):
            self.tracker.receive_datagram(message, path, self.clock.seconds())
        answers = self.tracker.datagrams_to_send(self.clock.seconds())
        for answer, to in answers:
            assert to == path
            for byte in answer:
                self.protocol.dataReceived(bytes([byte]))
        self.clock.advance(0)
        return len(answers)


class FakeEndpoint:
    """Connects to a tracker machine, or does what a test says."""

    def __init__(self, tracker: TrackerService, clock: Clock) -> None:
        self.tracker = tracker
        self.clock = clock
        self.connections: list[Connection] = []
        self.outcome: Deferred[Any] | None = None

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        if self.outcome is not None:
            return self.outcome
        protocol = factory.buildProtocol(IPv4Address("TCP", *TRACKER))
        connection = Connection(self.tracker, self.clock, protocol, len(self.connections))
        self.connections.append(connection)
        return succeed(connection.open())


class StreamTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.random = Random(3)
        self.service = TrackerService(
            random_bytes=self.random.randbytes, store=MemoryPeerStore(), now=0.0
        )
        self.endpoint = FakeEndpoint(self.service, self.clock)
        self.observed: list[object] = []
        self.trackers = Trackers(
            self.clock,
            ALICE,
            send=self.fail,
            sockets=list,
            describe=describe(ALICE),
            next_sequence=iter(range(1, 1000)).__next__,
            random_bytes=self.random.randbytes,
        )
        self.trackers.observed = lambda *observed: self.observed.append(observed)
        self.trackers.add_stream(TRACKER, self.endpoint)  # type: ignore[arg-type]

    @property
    def latest(self) -> Connection:
        return self.endpoint.connections[-1]

    def register(self) -> None:
        """Start, and run until the node is registered."""
        self.trackers.start()
        ready = self.trackers.when_registered()
        while self.latest.exchange():
            pass
        self.successResultOf(ready)


class StreamTests(StreamTestCase):
    def test_a_node_is_registered_and_served_over_a_stream(self) -> None:
        self.register()
        self.assertEqual(self.service.status(0)["nodes"], 1)
        asked = self.trackers.look_up(BOB.peer_id)
        self.latest.exchange()
        self.failureResultOf(asked, PeerOffline)

    def test_where_a_stream_comes_from_is_no_candidate(self) -> None:
        self.register()
        self.assertEqual(self.observed, [])

    def test_a_stream_that_ends_is_opened_again(self) -> None:
        self.register()
        self.latest.protocol.connectionLost()
        self.assertEqual(self.trackers.addresses, frozenset())
        self.clock.advance(3)
        self.assertEqual(len(self.endpoint.connections), 2)
        ready = self.trackers.when_registered()
        while self.latest.exchange():
            pass
        self.successResultOf(ready)
        self.assertEqual(self.service.status(0)["registrations"], 2)

    def test_a_request_goes_on_over_the_next_stream(self) -> None:
        self.register()
        asked = self.trackers.look_up(BOB.peer_id)
        self.latest.protocol.connectionLost()
        self.assertEqual(len(self.endpoint.connections), 2)
        while self.latest.exchange():
            pass
        self.failureResultOf(asked, PeerOffline)

    def test_a_silent_stream_is_cut_off_and_replaced(self) -> None:
        self.register()
        first = self.latest
        for _ in range(400):
            self.clock.advance(0.1)
        self.assertTrue(first.transport.disconnected or first.transport.disconnecting)
        self.assertTrue(len(self.endpoint.connections) > 1)
        first.protocol.connectionLost()

    def test_what_is_no_message_ends_the_connection(self) -> None:
        self.register()
        self.latest.protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertTrue(self.latest.transport.disconnected or self.latest.transport.disconnecting)

    def test_a_refused_connection_is_told_at_once(self) -> None:
        self.endpoint.outcome = fail(Refused())
        self.trackers.start()
        self.endpoint.outcome = fail(Refused())
        error = self.failureResultOf(self.trackers.when_registered(), TrackerUnreachable).value
        self.assertEqual(
            str(error),
            "No connection to the tracker can be opened; check its address, and the network.",
        )

    def test_a_connection_that_takes_too_long_is_given_up(self) -> None:
        self.endpoint.outcome = Deferred()
        self.trackers.start()
        ready = self.trackers.when_registered()
        self.clock.advance(4.9)
        self.assertNoResult(ready)
        self.clock.advance(0.2)
        self.failureResultOf(ready, TrackerUnreachable)

    def test_stopping_unregisters_and_closes_the_connection(self) -> None:
        self.register()
        left = self.trackers.stop()
        self.latest.exchange()
        self.successResultOf(left)
        self.assertEqual(self.service.status(0)["nodes"], 0)
        self.assertTrue(self.latest.transport.disconnecting)
        self.latest.protocol.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_while_connecting_gives_that_up(self) -> None:
        self.endpoint.outcome = Deferred()
        self.trackers.start()
        self.successResultOf(self.trackers.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_arrives_after_the_end_is_nobodys(self) -> None:
        self.register()
        self.trackers.record_changed()
        left = self.trackers.stop()
        self.clock.advance(2)
        self.successResultOf(left)
        self.latest.exchange()

    def test_a_message_along_a_stream_that_was_replaced_is_not_sent(self) -> None:
        self.register()
        (client,) = self.trackers._clients()
        first = client.path
        self.trackers.network_changed()
        self.latest.transport.clear()
        assert first is not None
        client._carrier.send(b"message", first)
        self.assertEqual(self.latest.transport.value(), b"")


class RealStreamTests(TestCase):
    """Over the kernel's TCP, against the tracker's own service."""

    async def test_two_nodes_are_introduced(self) -> None:
        reactor: Any = real_reactor
        description = "tcp:0:interface=127.0.0.1"
        server = TrackerServer(
            reactor,
            udp=[],
            streams=[StreamListener(description, serverFromString(reactor, description))],
            web=StreamListener(description, serverFromString(reactor, description)),
            store=MemoryPeerStore(),
        )
        server.startService()
        self.addCleanup(server.stopService)
        (line,) = [line for line in server.addresses() if line.startswith("stream")]
        port = int(line.split()[1].rpartition(":")[2])
        handed_over: Deferred[Any] = Deferred()
        trackers = []
        for identity in (ALICE, BOB):
            one = Trackers(
                reactor,
                identity,
                send=self.fail,
                sockets=list,
                describe=describe(identity),
                next_sequence=iter(range(1, 1000)).__next__,
                random_bytes=Random(identity.peer_id).randbytes,
            )
            endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{port}")
            one.add_stream(HostPort("127.0.0.1", port), endpoint)
            one.start()
            await one.when_registered()
            trackers.append(one)
        trackers[1].handed_over = handed_over.callback
        await trackers[0].introduce(BOB.peer_id, b"offer")
        offer = await handed_over
        self.assertEqual(offer.box, b"offer")
        self.assertEqual(offer.peer_key, ALICE.peer_id.public_key)
        for one in trackers:
            await one.stop()
