"""Promises 12 and 17 on the tracker's side: lengths come before buffers, records only rise."""

from __future__ import annotations

import tracemalloc
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.world import Node, World, error_of, registered_node
from twisted_p2p.stun.attributes import encode_attributes
from twisted_p2p.tracker.attributes import (
    BAD_REQUEST,
    FORBIDDEN,
    REGISTER,
    SIGNED_RECORD,
    STALE_SEQUENCE,
)
from twisted_p2p.tracker.messages import CookieRequest, Registered
from twisted_p2p.tracker.messages import Failure as Refused
from twisted_p2p.tracker.streams import TrackerServerFactory
from twisted_p2p.tracker.tracker import Tracker

HOST = IPv4Address("TCP", "11.9.9.9", 3478)


class PatientClock:
    """Keeps what is to be called in one time; `task.Clock` would sort all of it at each call."""

    def __init__(self) -> None:
        self.calls: dict[int, Any] = {}

    def seconds(self) -> float:
        return 0.0

    def callLater(self, seconds: float, function: Any) -> Any:
        call = _Call(self.calls, function)
        self.calls[id(call)] = call
        return call

    def advance(self) -> None:
        for call in list(self.calls.values()):
            call.cancel()
            call.function()


class _Call:
    def __init__(self, calls: dict[int, Any], function: Any) -> None:
        self.calls = calls
        self.function = function

    def cancel(self) -> None:
        del self.calls[id(self)]


class CountingTransport:
    """A connection that a client has opened and goes on writing to."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.is_open = True

    def getHost(self) -> IPv4Address:
        return HOST

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.is_open = False
        self.stream.connectionLost(Failure(ConnectionAborted()))


class Promise12LengthBeforeBuffer(SynchronousTestCase):
    """A length is judged when it is read, not when its bytes have come."""

    def test_promise_12_ten_thousand_claims_of_huge_lengths_fit_in_20_mb(self) -> None:
        clock: Any = PatientClock()
        received: list[bytes] = []
        tracker = Tracker(clock)
        tracker.datagram_received = lambda data, path: received.append(data)
        server = TrackerServerFactory(clock, tracker)
        claim = b"\x02\xc1\xff\xfc" + CookieRequest(REGISTER).encode(bytes(12))[4:20]
        modest = CookieRequest(REGISTER).encode(bytes(12))[:-1]
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        transports = []
        for number in range(10_000):
            peer = IPv4Address("TCP", f"11.2.{number // 250}.{number % 250}", 4000)
            stream = server.buildProtocol(peer)
            assert stream is not None
            transport: Any = CountingTransport(stream)
            transports.append(transport)
            stream.makeConnection(transport)
            stream.dataReceived(modest if number % 2 else claim + bytes(60_000))
        _, peak = tracemalloc.get_traced_memory()
        self.assertLess(peak - before, 20_000_000)
        self.assertEqual(received, [])
        # Huge claims are gone at once; modest ones when the time for a first message is over.
        self.assertEqual(sum(transport.is_open for transport in transports), 5000)
        self.assertEqual(server.aborted["malformed"], 5000)
        clock.advance()
        self.assertFalse([transport for transport in transports if transport.is_open])
        self.assertEqual(len(server), 0)


class Promise17SignedRecordsRisingSequence(SynchronousTestCase):
    """A tracker takes a peer's newest record, from the peer alone, while it is good."""

    def setUp(self) -> None:
        self.world = World()
        self.node = registered_node(self.world, 1, sequence=7, lifetime=100)
        self.node.fetch_cookie()

    def assert_refused(self, record: bytes, code: int) -> None:
        before = self.world.status()["registrations_total"]
        response = self.node.ask(self.node.registration(record=record))
        self.assertEqual(error_of(response), code, response)
        self.assertEqual(self.world.status()["registrations_total"], before)

    def test_promise_17_rollback_is_refused_also_after_the_peer_has_left(self) -> None:
        older = Node(self.world, 1, sequence=6).record.sign(self.node.identity)
        same = Node(self.world, 1, sequence=7, accepting=False).record.sign(self.node.identity)
        for record in (older, same):
            self.assert_refused(record, STALE_SEQUENCE)
        self.node.unregister()
        for record in (older, same):
            self.assert_refused(record, STALE_SEQUENCE)

    def test_promise_17_a_replayed_registration_registers_nobody(self) -> None:
        replayed = self.node.registration()
        self.node.unregister()
        for host in ("11.66.6.6", self.node.address.host):
            thief = Node(self.world, 1, host, port=666)
            self.assertEqual(error_of(thief.ask(replayed)), 401)
        self.world.pass_time(62)
        self.assertEqual(error_of(self.node.ask(replayed)), 401)
        self.assertEqual(self.world.status()["nodes"], 0)

    def test_promise_17_another_keys_record_is_refused(self) -> None:
        other = Node(self.world, 2)
        self.assert_refused(other.record.sign(other.identity), FORBIDDEN)

    def test_promise_17_an_oversize_record_is_refused(self) -> None:
        record = self.node.record.sign(self.node.identity)
        oversize = encode_attributes([(SIGNED_RECORD, bytes(900))]) + record
        self.assertGreater(len(oversize), 1000)
        with self.assertRaises(ValueError):
            self.node.registration(record=oversize).encode(bytes(12))
        self.assert_refused(bytes(1000), BAD_REQUEST)

    def test_promise_17_an_expired_record_is_refused_and_registers_nobody_longer(self) -> None:
        for _ in range(3):
            self.world.pass_time(30)
            self.node.refresh()
        self.assertEqual(self.world.status()["nodes"], 1)
        self.world.pass_time(10.5)
        self.assertEqual(self.world.status()["nodes"], 0)
        self.node.fetch_cookie()
        self.assert_refused(self.node.record.sign(self.node.identity), STALE_SEQUENCE)

    def test_promise_17_the_sequence_is_never_read_as_a_time(self) -> None:
        for sequence in (8, 2**32, 2**64 - 1):
            self.assertIsInstance(self.node.register(sequence=sequence), Registered)
        refused = self.node.register(sequence=1_800_000_000)
        assert isinstance(refused, Refused)
        self.assertEqual(refused.sequence, 2**64 - 1)
