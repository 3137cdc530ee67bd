"""Hosts that change networks, and cables that are pulled."""

from __future__ import annotations

import errno

from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.test_multicast import GROUP, PORT, Member
from twisted_p2p.testing import FULL_CONE, Link, SimulatedHost, SimulatedInternet
from twisted_p2p.testing.udp_port import SimulatedUDPPort


class Ears(DatagramProtocol):
    noisy = False

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, tuple[str, int]]] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.heard.append((datagram, addr))


def listen(host: SimulatedHost, port: int = 9, interface: str = "") -> SimulatedUDPPort:
    return host.reactor.listenUDP(port, Ears(), interface)


def heard(port: SimulatedUDPPort) -> list[tuple[bytes, tuple[str, int]]]:
    assert isinstance(port._protocol, Ears)
    return port._protocol.heard


class RoamingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.home = self.internet.add_network("home", "11.0.1.1", FULL_CONE)
        self.cafe = self.internet.add_network("cafe", "11.0.2.1", FULL_CONE)
        self.host = self.internet.add_host("host", "192.168.1.2", "2400::2", network=self.home)
        self.server = listen(self.internet.add_host("server", "11.0.0.1", "2400:1::1"))

    def fates(self) -> list[str]:
        self.internet.run_for(1.0)
        return [entry.fate for entry in self.internet.log]


class MoveTests(RoamingTestCase):
    def test_a_port_of_all_addresses_lives_on_at_the_new_one(self) -> None:
        port = listen(self.host)
        port.write(b"home", ("11.0.0.1", 9))
        self.internet.run_for(1.0)
        self.host.move_to(self.cafe, "10.0.0.7")
        self.assertIs(self.host.network, self.cafe)
        self.assertEqual(self.host.addresses, ("10.0.0.7",))
        port.write(b"cafe", ("11.0.0.1", 9))
        self.internet.run_for(1.0)
        self.assertEqual(
            heard(self.server), [(b"home", ("11.0.1.1", 9)), (b"cafe", ("11.0.2.1", 9))]
        )
        self.server.write(b"to home", ("11.0.1.1", 9))
        self.server.write(b"to cafe", ("11.0.2.1", 9))
        self.assertEqual(self.fates(), ["delivered", "delivered", "unreachable", "delivered"])
        self.assertEqual(heard(port), [(b"to cafe", ("11.0.0.1", 9))])

    def test_a_port_of_an_old_address_hears_nothing_and_cannot_send(self) -> None:
        port = listen(self.host, interface="192.168.1.2")
        connected = listen(self.host, 10, "::")
        connected.connect("2400:1::1", 9)
        self.host.move_to(self.cafe, "10.0.0.7", "2400::7")
        for each, address in [(port, ("11.0.0.1", 9)), (connected, None)]:
            with self.assertRaises(OSError) as caught:
                each.write(b"", address)
            self.assertEqual(caught.exception.errno, errno.EINVAL)
        listen(self.internet.add_host("neighbour", "10.0.0.8", network=self.cafe)).write(
            b"", ("10.0.0.7", 9)
        )
        self.assertEqual(self.fates(), ["refused"])

    def test_with_its_old_address_a_port_lives_again(self) -> None:
        port = listen(self.host, interface="192.168.1.2")
        self.host.move_to(self.cafe, "10.0.0.7")
        self.host.move_to(self.home, "192.168.1.2")
        port.write(b"back", ("11.0.0.1", 9))
        self.assertEqual(self.fates(), ["delivered"])

    def test_old_addresses_are_free_for_others(self) -> None:
        self.host.move_to(self.cafe, "10.0.0.7")
        self.internet.add_host("heir", "192.168.1.2", "2400::2", network=self.home)
        with self.assertRaises(ValueError):
            self.host.move_to(self.home, "192.168.1.2")

    def test_what_was_under_way_does_not_follow(self) -> None:
        """Not even to a host that has the same address in its new network."""
        port = listen(self.host)
        listen(self.internet.add_host("neighbour", "192.168.1.3", network=self.home)).write(
            b"", ("192.168.1.2", 9)
        )
        self.host.move_to(self.cafe, "192.168.1.2")
        self.assertEqual(self.fates(), ["unplugged"])
        self.assertEqual(heard(port), [])

    def test_a_host_may_have_no_address_for_a_while(self) -> None:
        port = listen(self.host)
        self.host.move_to(self.cafe)
        with self.assertRaises(OSError) as caught:
            port.write(b"", ("11.0.0.1", 9))
        self.assertEqual(caught.exception.errno, errno.ENETUNREACH)
        port.write(b"self", ("127.0.0.1", 9))
        self.assertEqual(self.fates(), ["delivered"])

    def test_the_link_is_the_old_one_or_another(self) -> None:
        before = self.host.link
        self.host.move_to(self.cafe, "10.0.0.7")
        self.assertEqual(self.host.link, before)
        self.host.move_to(self.home, "192.168.1.2", link=Link(delay=0.3))
        self.assertEqual(self.host.link, Link(delay=0.3))

    def test_members_of_a_group_are_so_in_the_new_network(self) -> None:
        member = Member(self.host)
        neighbours = [
            Member(self.internet.add_host(name, "192.168.1.9", network=network), joins=False)
            for name, network in [("at home", self.home), ("at the cafe", self.cafe)]
        ]
        self.host.move_to(self.cafe, "192.168.1.2")
        for neighbour in neighbours:
            neighbour.port.write(neighbour.host.name.encode(), (GROUP, PORT))
        self.assertEqual(sorted(self.fates()), ["delivered", "unheard"])
        self.assertEqual(member.words(), [b"at the cafe"])

    def test_a_packet_from_an_old_address_gets_nowhere(self) -> None:
        """As a TCP connection goes on to send, which has a source of its own."""
        old = self.host.source_of(self.server.bound, "11.0.0.1")
        self.host.move_to(self.cafe, "10.0.0.7")
        port = listen(self.host)
        self.patch(self.host, "source_of", lambda bound, destination: old)
        port.write(b"", ("11.0.0.1", 9))
        self.assertEqual(self.fates(), ["stale source"])


class CableTests(RoamingTestCase):
    def test_without_a_cable_nothing_comes_or_goes_and_nobody_is_told(self) -> None:
        port = listen(self.host)
        port.write(b"one", ("11.0.0.1", 9))
        self.internet.run_for(1.0)
        self.host.disconnect()
        port.write(b"two", ("11.0.0.1", 9))
        self.server.write(b"three", ("11.0.1.1", 9))
        self.assertEqual(self.fates(), ["delivered", "unplugged", "unplugged"])
        self.host.reconnect()
        self.server.write(b"four", ("11.0.1.1", 9))
        self.assertEqual(self.fates()[3:], ["delivered"])
        self.assertEqual(heard(port), [(b"four", ("11.0.0.1", 9))])

    def test_what_arrives_when_the_cable_is_out_is_lost(self) -> None:
        listen(self.host)
        self.host.link = Link(delay=0.5, rate=100_000.0)
        listen(self.internet.add_host("neighbour", "192.168.1.3", network=self.home)).write(
            bytes(10_000), ("192.168.1.2", 9)
        )
        self.host.reactor.callLater(0.55, self.host.disconnect)
        self.assertEqual(self.fates(), ["unplugged"])

    def test_moving_plugs_in(self) -> None:
        self.host.disconnect()
        self.host.move_to(self.cafe, "10.0.0.7")
        listen(self.host).write(b"", ("11.0.0.1", 9))
        self.assertEqual(self.fates(), ["delivered"])
