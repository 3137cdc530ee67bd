"""A simulated UDP port behaves as Twisted's does."""

from __future__ import annotations

import errno

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p.testing import SimulatedInternet


class Recorder(DatagramProtocol):
    """Keeps what it gets, and whether it was started, refused and stopped."""

    noisy = False

    def __init__(self) -> None:
        self.received: list[tuple[bytes, tuple[str, int]]] = []
        self.happened: list[str] = []

    def startProtocol(self) -> None:
        self.happened.append("started")

    def stopProtocol(self) -> None:
        self.happened.append("stopped")

    def connectionRefused(self) -> None:
        self.happened.append("refused")

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.received.append((datagram, addr))


class SimulatedUDPPortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.near = self.internet.add_host("near", "11.0.0.1", "2400::1")
        self.far = self.internet.add_host("far", "11.0.0.2", "2400::2")
        self.protocol = Recorder()
        self.peer = Recorder()

    def test_it_provides_what_it_says(self) -> None:
        port = self.near.reactor.listenUDP(0, self.protocol)
        verifyObject(IListeningPort, port)
        verifyObject(IUDPTransport, port)

    def test_datagrams_arrive_after_the_delay_of_both_links(self) -> None:
        self.far.reactor.listenUDP(9, self.peer)
        port = self.near.reactor.listenUDP(7, self.protocol)
        port.write(b"hello", ("11.0.0.2", 9))
        self.internet.run_for(0.0399)
        self.assertEqual(self.peer.received, [])
        self.internet.run_for(0.0002)
        self.assertEqual(self.peer.received, [(b"hello", ("11.0.0.1", 7))])
        # Code that takes the address for more than a tuple would fail on a real socket.
        self.assertIs(type(self.peer.received[0][1]), tuple)

    def test_ipv6_datagrams_arrive(self) -> None:
        self.far.reactor.listenUDP(9, self.peer, "::")
        port = self.near.reactor.listenUDP(7, self.protocol, "::")
        port.write(b"hello", ("2400:0::0002", 9))
        self.internet.run_for(1.0)
        self.assertEqual(self.peer.received, [(b"hello", ("2400::1", 7))])

    def test_a_bound_port_says_where(self) -> None:
        listen = self.near.reactor.listenUDP
        self.assertEqual(listen(9, Recorder()).getHost(), IPv4Address("UDP", "0.0.0.0", 9))
        self.assertEqual(listen(9, Recorder(), "::").getHost(), IPv6Address("UDP", "::", 9))
        self.assertEqual(
            listen(10, Recorder(), "11.0.0.1").getHost(), IPv4Address("UDP", "11.0.0.1", 10)
        )

    def test_ports_are_picked_from_the_ephemeral_ones(self) -> None:
        ports = {self.near.reactor.listenUDP(0, Recorder()).getHost().port for _ in range(200)}
        self.assertEqual(len(ports), 200)
        self.assertTrue(all(32_768 <= port < 61_000 for port in ports))

    def assert_cannot_listen(self, number: int, port: int, interface: str = "") -> None:
        with self.assertRaises(CannotListenError) as caught:
            self.near.reactor.listenUDP(port, Recorder(), interface)
        self.assertEqual(caught.exception.socketError.errno, number)
        self.assertEqual(caught.exception.port, port)

    def test_a_port_in_use_cannot_be_bound(self) -> None:
        self.near.reactor.listenUDP(9, self.protocol)
        self.assert_cannot_listen(errno.EADDRINUSE, 9)
        self.assert_cannot_listen(errno.EADDRINUSE, 9, "11.0.0.1")

    def test_an_unspecified_address_cannot_be_bound_beside_a_specified_one(self) -> None:
        self.near.reactor.listenUDP(9, self.protocol, "11.0.0.1")
        self.assert_cannot_listen(errno.EADDRINUSE, 9)
        self.near.reactor.listenUDP(9, Recorder(), "127.0.0.1")

    def test_another_hosts_address_cannot_be_bound(self) -> None:
        self.assert_cannot_listen(errno.EADDRNOTAVAIL, 9, "11.0.0.2")

    def test_a_host_runs_out_of_ports(self) -> None:
        for port in range(32_768, 61_000):
            self.near.reactor.listenUDP(port, Recorder())
        self.assert_cannot_listen(errno.EADDRINUSE, 0)

    def test_a_name_is_no_interface(self) -> None:
        with self.assertRaises(InvalidAddressError):
            self.near.reactor.listenUDP(9, self.protocol, "localhost")

    def test_the_port_is_free_once_stop_listening_has_fired(self) -> None:
        port = self.near.reactor.listenUDP(9, self.protocol)
        stopped = port.stopListening()
        assert stopped is not None
        self.assertIs(port.stopListening(), stopped)
        self.assertNoResult(stopped)
        self.internet.run_for(0.0)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.protocol.happened, ["started", "stopped"])
        self.assertIsNone(self.protocol.transport)
        self.assertIsNone(port.stopListening())
        self.near.reactor.listenUDP(9, Recorder())

    def test_nothing_is_received_after_stop_listening(self) -> None:
        port = self.far.reactor.listenUDP(9, self.peer)
        # Both fall on one moment: the packet comes when the port stopped and is not yet closed.
        self.far.reactor.callLater(0.04, port.stopListening)
        self.near.reactor.listenUDP(7, self.protocol).write(b"late", ("11.0.0.2", 9))
        self.internet.run_for(1.0)
        self.assertEqual([entry.fate for entry in self.internet.log], ["delivered"])
        self.assertEqual(self.peer.received, [])

    def test_a_closed_port_cannot_write(self) -> None:
        port = self.near.reactor.listenUDP(9, self.protocol)
        port.stopListening()
        self.internet.run_for(0.0)
        self.assertRaises(OSError, port.write, b"", ("11.0.0.2", 9))

    def test_addresses_are_checked_as_twisted_checks_them(self) -> None:
        ipv4 = self.near.reactor.listenUDP(9, self.protocol)
        ipv6 = self.near.reactor.listenUDP(9, Recorder(), "::")
        for port, host in [(ipv4, "example.org"), (ipv4, "2400::2"), (ipv6, "11.0.0.2")]:
            self.assertRaises(InvalidAddressError, port.write, b"", (host, 9))
        self.assertRaises(AssertionError, ipv4.write, b"")

    def test_a_datagram_has_at_most_65507_bytes(self) -> None:
        port = self.near.reactor.listenUDP(9, self.protocol)
        port.write(bytes(65_507), ("11.0.0.2", 9))
        self.assertRaises(MessageLengthError, port.write, bytes(65_508), ("11.0.0.2", 9))

    def test_a_long_datagram_is_cut_to_what_the_receiver_takes(self) -> None:
        self.far.reactor.listenUDP(9, self.peer, maxPacketSize=4)
        self.near.reactor.listenUDP(7, self.protocol).write(b"12345678", ("11.0.0.2", 9))
        self.internet.run_for(1.0)
        self.assertEqual(self.peer.received[0][0], b"1234")

    def test_a_mutable_buffer_is_sent_as_it_was(self) -> None:
        self.far.reactor.listenUDP(9, self.peer)
        data = bytearray(b"before")
        self.near.reactor.listenUDP(7, self.protocol).write(data, ("11.0.0.2", 9))
        data[:] = b"after!"
        self.internet.run_for(1.0)
        self.assertEqual(self.peer.received[0][0], b"before")

    def test_without_an_address_of_the_family_there_is_no_route(self) -> None:
        ipv4_only = self.internet.add_host("ipv4 only", "11.0.0.3")
        port = ipv4_only.reactor.listenUDP(9, self.protocol, "::")
        with self.assertRaises(OSError) as caught:
            port.write(b"", ("2400::2", 9))
        self.assertEqual(caught.exception.errno, errno.ENETUNREACH)

    def test_loopback_leads_back_to_the_host(self) -> None:
        self.near.reactor.listenUDP(9, self.peer)
        port = self.near.reactor.listenUDP(7, self.protocol)
        for host in ("127.0.0.1", "11.0.0.1"):
            port.write(b"", (host, 9))
        self.internet.run_for(1.0)
        self.assertEqual(
            [addr for _, addr in self.peer.received], [("127.0.0.1", 7), ("11.0.0.1", 7)]
        )

    def test_loopback_leads_nowhere_else(self) -> None:
        port = self.near.reactor.listenUDP(7, self.protocol, "127.0.0.1")
        with self.assertRaises(OSError) as caught:
            port.write(b"", ("11.0.0.2", 9))
        self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_a_connected_port_knows_its_address_and_needs_none(self) -> None:
        self.far.reactor.listenUDP(9, self.peer)
        port = self.near.reactor.listenUDP(7, self.protocol)
        port.connect("11.0.0.2", 9)
        self.assertEqual(port.getHost(), IPv4Address("UDP", "11.0.0.1", 7))
        port.write(b"one")
        port.write(b"two", ("11.0.0.2", 9))
        self.assertRaises(AssertionError, port.write, b"three", ("11.0.0.2", 10))
        self.assertRaises(RuntimeError, port.connect, "11.0.0.2", 9)
        self.internet.run_for(1.0)
        self.assertEqual([data for data, _ in self.peer.received], [b"one", b"two"])

    def test_a_connected_port_hears_nobody_else(self) -> None:
        port = self.near.reactor.listenUDP(7, self.protocol)
        port.connect("11.0.0.2", 9)
        for number in (9, 10):
            self.far.reactor.listenUDP(number, Recorder()).write(b"", ("11.0.0.1", 7))
        self.internet.run_for(1.0)
        self.assertEqual(self.protocol.received, [(b"", ("11.0.0.2", 9))])

    def test_a_connected_port_hears_that_nobody_listens(self) -> None:
        port = self.near.reactor.listenUDP(7, self.protocol)
        port.connect("11.0.0.2", 9)
        port.write(b"anyone?")
        self.internet.run_for(0.0799)
        self.assertEqual(self.protocol.happened, ["started"])
        self.internet.run_for(0.0002)
        self.assertEqual(self.protocol.happened, ["started", "refused"])

    def test_a_port_that_is_not_connected_does_not_hear_that(self) -> None:
        self.near.reactor.listenUDP(7, self.protocol).write(b"anyone?", ("11.0.0.2", 9))
        self.internet.run_for(1.0)
        self.assertEqual(self.protocol.happened, ["started"])
        self.assertEqual([entry.fate for entry in self.internet.log], ["refused"])

    def test_a_failing_protocol_is_logged_and_others_go_on(self) -> None:
        class Failing(DatagramProtocol):
            noisy = False

            def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
                raise LookupError(datagram)

        self.far.reactor.listenUDP(9, Failing())
        self.far.reactor.listenUDP(10, self.peer)
        port = self.near.reactor.listenUDP(7, self.protocol)
        for number in (9, 10):
            port.write(b"", ("11.0.0.2", number))
        self.internet.run_for(1.0)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        self.assertEqual(len(self.peer.received), 1)

    def test_there_is_no_broadcast(self) -> None:
        port = self.near.reactor.listenUDP(9, self.protocol)
        self.assertFalse(port.getBroadcastAllowed())
        self.assertRaises(NotImplementedError, port.setBroadcastAllowed, True)

    def test_a_port_that_writes_to_very_many_forgets_some(self) -> None:
        port = self.near.reactor.listenUDP(9, self.protocol)
        self.far.reactor.listenUDP(9, self.peer)
        for number in range(10_001):
            port.write(b"", (f"11.1.{number // 200}.{number % 200}", 9))
        self.assertLess(len(port._routes), 10_000)
        port.write(b"", ("11.0.0.2", 9))
        self.internet.run_for(1.0)
        self.assertEqual(len(self.peer.received), 1)
