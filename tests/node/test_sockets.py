from __future__ import annotations

from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram import local_addresses
from twisted_p2p.datagram.shared_socket import SharedSocket
from twisted_p2p.errors import PortInUse
from twisted_p2p.node.sockets import NodeSockets
from twisted_p2p.testing import SimulatedInternet

CHECK = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)
PACKET = b"\x40" + bytes(20)


class NodeSocketsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = SimulatedInternet()
        self.host = self.net.add_host("node", "11.1.0.2", "2a00::2")
        self.received: list[tuple[str, bytes, DatagramPath]] = []

    def start(self, port: int = 0) -> NodeSockets:
        node_sockets = NodeSockets(self.host.reactor, port)
        node_sockets.start(
            stun=lambda data, path: self.received.append(("stun", data, path)),
            quic=lambda batch, path: self.received.extend(("quic", data, path) for data in batch),
        )
        return node_sockets

    def take(self, interface: str, port: int) -> None:
        SharedSocket(self.host.reactor, interface, port).start()

    def test_both_families_have_one_port(self) -> None:
        for port in (0, 4000):
            node_sockets = self.start(port)
            ipv4, ipv6 = node_sockets.addresses
            self.assertEqual((ipv4.host, ipv6.host), ("0.0.0.0", "::"))
            self.assertEqual(ipv4.port, ipv6.port)
            self.assertTrue(port in (0, ipv4.port))
            self.net.run_until(node_sockets.stop())
            self.assertEqual(node_sockets.addresses, [])

    def test_a_port_that_is_taken_is_an_error(self) -> None:
        self.take("", 4000)
        self.assertRaises(PortInUse, self.start, 4000)

    def test_a_port_taken_in_ipv6_alone_leaves_ipv4(self) -> None:
        self.take("::", 4000)
        self.assertEqual(self.start(4000).addresses, [HostPort("0.0.0.0", 4000)])

    def test_a_free_port_taken_in_ipv6_is_another_one_there(self) -> None:
        first = self.start()
        port = first.addresses[0].port
        self.net.run_until(first.stop())
        self.take("::", port)
        self.patch(self.host.random, "randrange", lambda count: port - 32_768)
        ipv4, ipv6 = self.start().addresses
        self.assertEqual(ipv4.port, port)
        self.assertNotEqual(ipv6.port, port)

    def test_without_ipv6_there_is_ipv4_alone(self) -> None:
        start = SharedSocket.start

        def start_ipv4(socket: SharedSocket) -> None:
            if socket._interface == "::":
                raise CannotListenError("::", 0, OSError("no IPv6 here"))
            start(socket)

        self.patch(SharedSocket, "start", start_ipv4)
        for port in (0, 4000):
            [address] = self.start(port).addresses
            self.assertEqual(address.host, "0.0.0.0")

    def test_datagrams_come_and_go_by_the_socket_of_a_path(self) -> None:
        node_sockets = self.start(4000)
        other = self.net.add_host("other", "11.2.0.2", "2a00:1::2")
        for interface, here in (("", "11.1.0.2"), ("::", "2a00::2")):
            peer = SharedSocket(other.reactor, interface, 5000)
            heard: list[tuple[bytes, DatagramPath]] = []
            peer.other_received = lambda data, path, heard=heard: heard.append((data, path))  # type: ignore[misc]
            peer.start()
            for data in (CHECK, PACKET):
                peer.send(data, DatagramPath(peer.address, HostPort(here, 4000)))
            self.net.run_for(1.0)
            (kind, data, path), (second_kind, *_) = self.received
            self.assertEqual((kind, data, second_kind), ("stun", CHECK, "quic"))
            self.assertIn(path.local, node_sockets.addresses)
            node_sockets.send(b"\x80back", path)
            self.net.run_for(1.0)
            [(answer, way)] = heard
            self.assertEqual((answer, way.remote), (b"\x80back", HostPort(here, 4000)))
            node_sockets.send_all([b"\x80and", b"\x80again"], path)
            self.net.run_for(1.0)
            self.assertEqual([data for data, _ in heard[1:]], [b"\x80and", b"\x80again"])
            self.received.clear()

    def test_after_the_end_datagrams_are_lost(self) -> None:
        node_sockets = self.start(4000)
        path = DatagramPath(node_sockets.addresses[0], HostPort("11.1.0.2", 9))
        self.net.run_until(node_sockets.stop())
        node_sockets.send(b"late", path)
        node_sockets.send_all([b"later", b"still"], path)
        self.net.run_for(1.0)
        self.assertEqual(len(self.net.log), 0)

    def test_the_local_address_is_the_one_that_packets_leave_from(self) -> None:
        node_sockets = self.start(4000)
        ipv4, ipv6 = node_sockets.addresses
        for local, remote, expected in (
            (ipv4, "11.2.0.2", "11.1.0.2"),
            (ipv4, "127.0.0.1", "127.0.0.1"),
            (ipv6, "2a00:1::2", "2a00::2"),
        ):
            path = DatagramPath(local, HostPort(remote, 5000))
            self.assertEqual(node_sockets.local_address(path), HostPort(expected, 4000))

    def test_local_addresses_are_asked_for_once_and_not_kept_for_ever(self) -> None:
        asked: list[HostPort] = []

        def towards(reactor: object, remote: HostPort) -> HostPort:
            asked.append(remote)
            if remote.host == "11.9.9.9":
                raise OSError("there is no way")
            return HostPort("11.1.0.2", 1)

        self.patch(local_addresses, "local_address_towards", towards)
        self.patch(local_addresses, "_REMEMBERED_HOSTS", 2)
        node_sockets = self.start(4000)
        local = node_sockets.addresses[0]
        for number in (1, 1, 2, 2, 3, 1):
            path = DatagramPath(local, HostPort(f"11.2.0.{number}", 5000))
            self.assertEqual(node_sockets.local_address(path).host, "11.1.0.2")
        self.assertEqual([remote.host[-1] for remote in asked], ["1", "2", "3", "1"])
        unreachable = DatagramPath(local, HostPort("11.9.9.9", 5000))
        self.assertEqual(node_sockets.local_address(unreachable), local)
