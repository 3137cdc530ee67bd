from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.tracker.attributes import LOOK_UP
from twisted_p2p.tracker.directory import StreamSocket
from twisted_p2p.tracker.messages import CookieRequest, LookUp
from twisted_p2p.tracker.streams import TrackerServerFactory, TrackerServerProtocol

HOST = IPv4Address("TCP", "11.9.9.9", 3478)
REQUEST = CookieRequest(LOOK_UP).encode(bytes(12))


class AbortableTransport(StringTransport):
    """A transport that can be aborted, as a reactor's can."""

    protocol: TrackerServerProtocol

    def abortConnection(self) -> None:
        self.aborted = True
        self.protocol.connectionLost(Failure(ConnectionAborted()))


class StreamTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.received: list[tuple[bytes, DatagramPath]] = []
        self.lost: list[StreamSocket] = []
        self.ways: dict[Any, Any] = {}
        tracker: Any = self
        self.server = TrackerServerFactory(self.clock, tracker)

    # The tracker that the factory serves.

    def attach(self, local: StreamSocket, send: Any) -> None:
        self.ways[local] = send

    def detach(self, local: StreamSocket) -> None:
        del self.ways[local]
        self.lost.append(local)

    def datagram_received(self, data: bytes, path: DatagramPath) -> None:
        self.received.append((data, path))

    def connect(self, address: Any = None, host: Any = HOST) -> TrackerServerProtocol:
        peer = address or IPv4Address("TCP", "11.1.1.1", 4000)
        stream = self.server.buildProtocol(peer)
        assert stream is not None
        transport = AbortableTransport(host, peer)
        transport.protocol = stream
        transport.aborted = False
        stream.makeConnection(transport)
        return stream

    def is_aborted(self, stream: Any) -> bool:
        return bool(stream.transport.aborted)


class MessageTests(StreamTestCase):
    def test_messages_are_cut_out_of_the_stream_and_come_with_its_path(self) -> None:
        stream = self.connect()
        whole = REQUEST + LookUp(bytes(16), bytes(32)).encode(bytes(12))
        for byte in whole:
            stream.dataReceived(bytes((byte,)))
        path = DatagramPath(StreamSocket(HostPort("11.9.9.9", 3478), 0), HostPort("11.1.1.1", 4000))
        self.assertEqual(self.received, [(REQUEST, path), (whole[len(REQUEST) :], path)])

    def test_a_message_is_sent_along_its_path_alone(self) -> None:
        one, two = self.connect(), self.connect()
        self.ways[two.path.local](b"to two", two.path)
        transports: list[Any] = [one.transport, two.transport]
        self.assertEqual([transport.value() for transport in transports], [b"", b"to two"])

    def test_a_message_to_a_lost_connection_is_dropped(self) -> None:
        stream = self.connect()
        stream.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.ways, {})
        transport: Any = stream.transport
        self.assertEqual(transport.value(), b"")
        self.assertEqual(self.lost, [stream.path.local])
        self.assertEqual((len(self.server), self.clock.getDelayedCalls()), (0, []))

    def test_addresses_are_spelled_as_in_messages(self) -> None:
        for text, spelled in (
            ("::ffff:11.1.1.1", "11.1.1.1"),
            ("fe80::1%eth0", "fe80::1"),
            ("2a00:0::1", "2a00::1"),
        ):
            host = IPv6Address("TCP", text, 3478)
            stream = self.connect(IPv6Address("TCP", text, 4000), host)
            local: Any = stream.path.local
            self.assertEqual(stream.path.remote, HostPort(spelled, 4000))
            self.assertEqual(local.address, HostPort(spelled, 3478))

    def test_who_has_no_address_is_refused(self) -> None:
        self.assertIsNone(self.server.buildProtocol(UNIXAddress("/nowhere")))
        self.assertEqual(self.server.aborted, {"not_ip": 1})

    def test_something_else_than_stun_ends_the_connection(self) -> None:
        stream = self.connect()
        stream.dataReceived(REQUEST + b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(len(self.received), 1)
        self.assertTrue(self.is_aborted(stream))
        self.assertEqual(self.server.aborted, {"malformed": 1})


class PatienceTests(StreamTestCase):
    def test_a_silent_client_is_gone_after_10_seconds(self) -> None:
        stream = self.connect()
        self.clock.advance(9.9)
        self.assertFalse(self.is_aborted(stream))
        self.clock.advance(0.2)
        self.assertTrue(self.is_aborted(stream))
        self.assertEqual((self.server.aborted, len(self.server)), ({"too_slow": 1}, 0))

    def test_one_byte_a_second_does_not_prolong_the_wait_for_the_first_message(self) -> None:
        stream = self.connect()
        for byte in REQUEST[:10]:
            self.assertFalse(self.is_aborted(stream))
            stream.dataReceived(bytes((byte,)))
            self.clock.advance(1)
        self.assertTrue(self.is_aborted(stream))

    def test_a_later_message_may_take_15_seconds(self) -> None:
        for first in (REQUEST, REQUEST + REQUEST[:1]):
            stream = self.connect()
            stream.dataReceived(first)
            if first == REQUEST:
                self.clock.advance(50)
                stream.dataReceived(REQUEST[:1])
            for byte in REQUEST[1:15]:
                self.clock.advance(1)
                stream.dataReceived(bytes((byte,)))
            self.assertFalse(self.is_aborted(stream))
            self.clock.advance(1)
            self.assertTrue(self.is_aborted(stream))

    def test_an_idle_client_is_gone_after_60_seconds(self) -> None:
        stream = self.connect()
        for _ in range(3):
            stream.dataReceived(REQUEST)
            self.clock.advance(59)
        self.assertFalse(self.is_aborted(stream))
        self.clock.advance(1)
        self.assertTrue(self.is_aborted(stream))

    def test_a_client_that_does_not_read_is_disconnected(self) -> None:
        stream: Any = self.connect()
        stream.transport.producer.pauseProducing()
        self.assertTrue(self.is_aborted(stream))
        self.assertEqual(self.server.aborted, {"does_not_read": 1})

    def test_a_client_that_reads_is_left_alone(self) -> None:
        stream: Any = self.connect()
        stream.transport.producer.resumeProducing()
        stream.transport.producer.stopProducing()
        self.assertFalse(self.is_aborted(stream))

    def test_a_shutdown_ends_all_connections(self) -> None:
        streams = [self.connect() for _ in range(3)]
        self.server.abort_all()
        self.assertTrue(all(map(self.is_aborted, streams)))
        self.assertEqual(len(self.server), 0)


class CapTests(StreamTestCase):
    def test_one_address_has_32_connections(self) -> None:
        for address, same, other in (
            ("11.1.1.1", "11.1.1.1", "11.1.1.2"),
            ("2a00:1:2:3::1", "2a00:1:2:3:ffff::1", "2a00:1:2:4::1"),
        ):
            kind = IPv6Address if ":" in address else IPv4Address
            streams = [self.connect(kind("TCP", address, port)) for port in range(32)]
            self.assertIsNone(self.server.buildProtocol(kind("TCP", same, 99)))
            self.connect(kind("TCP", other, 99))
            streams[0].connectionLost(Failure(ConnectionDone()))
            self.connect(kind("TCP", same, 99))
        self.assertEqual(self.server.aborted, {"too_many": 2})
