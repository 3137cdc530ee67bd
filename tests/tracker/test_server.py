from __future__ import annotations

import json
import socket
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Protocol
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody

from tests.tracker.world import Node, World
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import P2PError, PortInUse
from twisted_p2p.stun.message import StreamFramer
from twisted_p2p.tracker import server
from twisted_p2p.tracker.attributes import LOOK_UP
from twisted_p2p.tracker.datagrams import local_hosts
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.messages import Challenge, CookieRequest, Registered, read_response
from twisted_p2p.tracker.server import StreamListener, TrackerServer, UDPListener
from twisted_p2p.tracker.server_events import ForeignServerAddress
from twisted_p2p.tracker.wire import read_message

reactor: Any = real_reactor


class FixedEndpoint:
    """An endpoint whose listen has this outcome."""

    def __init__(self, outcome: Deferred[Any]) -> None:
        self.outcome = outcome

    def listen(self, factory: object) -> Deferred[Any]:
        return self.outcome


def endpoint(description: str) -> StreamListener:
    return StreamListener(description, serverFromString(reactor, description))


def tracker_server(**options: Any) -> TrackerServer:
    values: dict[str, Any] = {
        "udp": [UDPListener(0, "127.0.0.1")],
        "streams": [endpoint("tcp:0:interface=127.0.0.1")],
        "web": endpoint("tcp:0:interface=127.0.0.1"),
        "store": MemoryPeerStore(),
    }
    return TrackerServer(reactor, **{**values, **options})


def served(tracker: TrackerServer, use: str) -> list[HostPort]:
    """Return the addresses that are served for a use."""
    found = [address.split()[1] for address in tracker.addresses() if address.startswith(use)]
    return [HostPort(*_split(address)) for address in found]


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Asker(DatagramProtocol):
    """Sends one datagram and hands on the first answer and where it came from."""

    noisy = False

    def __init__(self) -> None:
        self.answers: list[Deferred[tuple[bytes, tuple[str, int]]]] = []

    def ask(self, data: bytes, address: HostPort) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.answers.append(answer)
        self.transport.write(data, address)
        return answer.addTimeout(10, reactor)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.answers.pop(0).callback((datagram, addr))


class StreamAsker(Protocol):
    """The same over a stream."""

    def __init__(self) -> None:
        self.framer = StreamFramer(1200)
        self.connected_now: Deferred[StreamAsker] = Deferred()
        self.answers: list[Deferred[bytes]] = []
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.connected_now.callback(self)

    def ask(self, data: bytes) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred()
        self.answers.append(answer)
        transport: Any = self.transport
        transport.write(data)
        return answer.addTimeout(10, reactor)

    def dataReceived(self, data: bytes) -> None:
        for message in self.framer.feed(data):
            self.answers.pop(0).callback(message)

    def connectionLost(self, reason: object = None) -> None:
        self.lost.callback(None)


class ServingTests(TestCase):
    def start(self, **options: Any) -> TrackerServer:
        tracker = tracker_server(**options)
        tracker.startService()
        self.addCleanup(tracker.stopService)
        return tracker

    def asker(self, host: str = "127.0.0.1") -> Asker:
        asker = Asker()
        port = reactor.listenUDP(0, asker, interface=host)
        self.addCleanup(port.stopListening)
        return asker

    async def stream_asker(self, address: HostPort) -> StreamAsker:
        asker = StreamAsker()
        factory = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda _: asker  # type: ignore[assignment,method-assign]
        reactor.connectTCP(*address, factory)
        return await asker.connected_now

    async def test_a_node_registers_over_udp(self) -> None:
        tracker = self.start()
        (address,) = served(tracker, "udp")
        asker = self.asker()
        data, _ = await asker.ask(CookieRequest(LOOK_UP).encode(bytes(12)), address)
        challenge = read_response(read_message(data))
        assert isinstance(challenge, Challenge)
        node = Node(World(), 1)
        request = node.registration(
            cookie=challenge.cookie,
            mapped_address=challenge.mapped_address,
            server_address=address,
        )
        data, _ = await asker.ask(request.encode(bytes(12)), address)
        self.assertIsInstance(read_response(read_message(data)), Registered)
        self.assertEqual(tracker.status()["nodes"], 1)

    async def test_a_node_registers_over_a_stream_for_as_long_as_that_lasts(self) -> None:
        tracker = self.start()
        (address,) = served(tracker, "stream")
        asker = await self.stream_asker(address)
        data = await asker.ask(CookieRequest(LOOK_UP).encode(bytes(12)))
        challenge = read_response(read_message(data))
        assert isinstance(challenge, Challenge)
        request = Node(World(), 1).registration(
            cookie=challenge.cookie,
            mapped_address=challenge.mapped_address,
            server_address=address,
        )
        data = await asker.ask(request.encode(bytes(12)))
        self.assertIsInstance(read_response(read_message(data)), Registered)
        self.assertEqual((tracker.status()["nodes"], tracker.status()["streams"]), (1, 1))
        transport: Any = asker.transport
        transport.loseConnection()
        await asker.lost
        while tracker.status()["streams"]:
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn
        self.assertEqual(tracker.status()["nodes"], 0)

    async def test_every_answer_leaves_from_the_address_that_was_asked(self) -> None:
        tracker = self.start(udp=[UDPListener(0, f"127.0.0.{number}") for number in (1, 2, 3)])
        addresses = served(tracker, "udp")
        self.assertEqual(len(addresses), 3)
        asker = self.asker()
        for address in addresses:
            _, source = await asker.ask(CookieRequest(LOOK_UP).encode(bytes(12)), address)
            self.assertEqual(source, address)

    async def test_something_else_than_stun_is_counted_too(self) -> None:
        tracker = self.start()
        (address,) = served(tracker, "udp")
        asker = self.asker()
        for noise in (b"\x40quic?", b"\xff" * 40, b""):
            asker.transport.write(noise, address)
        await asker.ask(CookieRequest(LOOK_UP).encode(bytes(12)), address)
        self.assertEqual(tracker.status()["datagrams_dropped_total"], {"malformed": 3})

    async def test_the_status_page_is_served(self) -> None:
        tracker = self.start()
        (address,) = served(tracker, "web")
        agent = Agent(reactor)
        for path, expected in ((b"healthz", b"ok\n"), (b"status.json", None)):
            url = b"http://%s/%s" % (str(address).encode(), path)
            response = await agent.request(b"GET", url)
            body = await readBody(response)
            self.assertEqual(response.code, 200)
            self.assertIn(expected or b'"nodes": 0', body)
        keys = {
            "nodes",
            "registrations_total",
            "introductions_total",
            "introductions_succeeded_total",
            "datagrams_dropped_total",
            "bytes_in_total",
            "bytes_out_total",
            "uptime_s",
        }
        self.assertLessEqual(keys, set(json.loads(body)))

    def test_a_second_start_changes_nothing(self) -> None:
        tracker = self.start()
        addresses = tracker.addresses()
        tracker.privilegedStartService()
        self.assertEqual(tracker.addresses(), addresses)

    async def test_after_the_stop_every_port_is_free(self) -> None:
        tracker = tracker_server()
        tracker.startService()
        (udp,), (tcp, *_) = served(tracker, "udp"), served(tracker, "stream")
        stream = await self.stream_asker(tcp)
        await tracker.stopService()
        await stream.lost
        again = self.start(
            udp=[UDPListener(udp.port, udp.host)],
            streams=[endpoint(f"tcp:{tcp.port}:interface=127.0.0.1")],
        )
        self.assertEqual(served(again, "udp"), [udp])

    def test_an_answer_to_a_stream_or_socket_that_is_gone_is_dropped(self) -> None:
        tracker = self.start()
        for local in (HostPort("127.0.0.9", 1), None):
            tracker.tracker._send(b"late", DatagramPath(local, HostPort("127.0.0.1", 1)))
        self.assertEqual(tracker.status()["datagrams_unsent_total"], {})


class LogTests(TestCase):
    def setUp(self) -> None:
        self.lines: list[Any] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: Any) -> None:
        if str(event.get("log_namespace", "")).endswith(("TrackerServer", "Tracker")):
            self.lines.append(event)

    async def test_one_line_names_every_address(self) -> None:
        tracker = tracker_server()
        tracker.startService()
        addresses = tracker.addresses()
        await tracker.stopService()
        self.assertEqual(len(addresses), 3)
        self.assertEqual([line["addresses"] for line in self.lines], [", ".join(addresses)])

    def test_a_foreign_server_address_is_told_to_the_operator(self) -> None:
        tracker = tracker_server()
        tracker.tracker._happened(ForeignServerAddress(HostPort("11.9.9.8", 3478)))
        self.assertEqual(self.lines[0]["log_level"], LogLevel.warn)
        self.assertEqual(self.lines[0]["host"], "11.9.9.8")


class FailureTests(TestCase):
    def start_failing(self, error: type[P2PError] = P2PError, **options: Any) -> str:
        tracker = tracker_server(**options)
        raised = self.assertRaises(error, tracker.startService)
        self.assertEqual(tracker.addresses(), [])
        self.assertEqual(reactor.getReaders(), self.readers)
        return str(raised)

    def setUp(self) -> None:
        self.readers = reactor.getReaders()
        self.taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.taken.close)
        self.taken.bind(("127.0.0.1", 0))
        self.port = self.taken.getsockname()[1]

    def test_a_udp_port_in_use_is_one_sentence(self) -> None:
        sentence = self.start_failing(
            PortInUse, udp=[UDPListener(0, "127.0.0.1"), UDPListener(self.port, "127.0.0.1")]
        )
        self.assertEqual(sentence, f"UDP 127.0.0.1:{self.port} is in use by another program.")

    def test_an_address_of_another_host_is_one_sentence(self) -> None:
        sentence = self.start_failing(udp=[UDPListener(0, "11.9.9.9")])
        self.assertEqual(
            sentence, "Cannot listen on UDP 11.9.9.9:0: Cannot assign requested address."
        )

    def test_a_stream_port_in_use_is_one_sentence(self) -> None:
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        listener = endpoint(f"tcp:{port}:interface=127.0.0.1")
        for use in ({"streams": [listener]}, {"web": listener}):
            sentence = self.start_failing(PortInUse, **use)
            self.assertEqual(
                sentence, f"tcp:{port}:interface=127.0.0.1 is in use by another program."
            )

    def test_an_endpoint_that_fails_otherwise_is_one_sentence(self) -> None:
        denied = CannotListenError("", 80, OSError(13, "Permission denied"))
        for error, reason in ((denied, "Permission denied"), (ValueError("no key"), "no key")):
            listener: Any = StreamListener("tcp:80", FixedEndpoint(fail(error)))
            sentence = self.start_failing(streams=[listener])
            self.assertEqual(sentence, f"Cannot listen on tcp:80: {reason}.")


class ListenerTests(TestCase):
    def setUp(self) -> None:
        self.patch(server, "local_hosts", lambda: ["127.0.0.1", "192.168.1.2", "::1"])

    def test_a_wildcard_is_each_address_of_its_family(self) -> None:
        for interface, hosts in (
            ("", ["127.0.0.1", "192.168.1.2", "::1"]),
            ("0.0.0.0", ["127.0.0.1", "192.168.1.2"]),
            ("::", ["::1"]),
            ("10.0.0.1", ["10.0.0.1"]),
        ):
            self.assertEqual(UDPListener(3478, interface).addresses(), hosts)

    def test_this_host_has_a_loopback_address_and_none_that_needs_a_scope(self) -> None:
        hosts = local_hosts()
        self.assertIn("127.0.0.1", hosts)
        self.assertFalse([host for host in hosts if host.startswith("fe80")])

    async def test_an_address_that_is_not_usable_yet_is_passed_over(self) -> None:
        self.patch(server, "local_hosts", lambda: ["11.9.9.9", "127.0.0.1"])
        web: Any = StreamListener("none", FixedEndpoint(Deferred()))
        tracker = tracker_server(udp=[UDPListener(0)], streams=[], web=web)
        tracker.startService()
        (address,) = served(tracker, "udp")
        self.assertEqual(address.host, "127.0.0.1")
        await tracker.stopService()
