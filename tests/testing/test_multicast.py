"""Ports hear the groups that they joined, in their own network."""

from __future__ import annotations

import errno

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, MulticastJoinError
from twisted.internet.interfaces import IListeningPort, IMulticastTransport, IReactorMulticast
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p.testing import FULL_CONE, Link, SimulatedHost, SimulatedInternet
from twisted_p2p.testing.multicast import SimulatedMulticastPort

GROUP, GROUP_IPV6 = "224.0.0.251", "ff02::fb"
PORT = 5_353


class Member(DatagramProtocol):
    """Joins a group and keeps what it hears."""

    noisy = False

    def __init__(
        self, host: SimulatedHost, group: str = GROUP, interface: str = "", *, joins: bool = True
    ) -> None:
        self.host = host
        self.heard: list[tuple[bytes, tuple[str, int]]] = []
        interface = interface or ("::" if ":" in group else "")
        self.port: SimulatedMulticastPort = host.reactor.listenMulticast(
            PORT, self, interface, listenMultiple=True
        )
        if joins:
            joined: list[object] = []
            self.port.joinGroup(group).addBoth(joined.append)
            assert joined == [None], joined

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.heard.append((datagram, addr))

    def words(self) -> list[bytes]:
        return [word for word, _ in self.heard]


class MulticastTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.home = self.internet.add_network("home", "11.0.1.1", FULL_CONE)
        self.one, self.two, self.three = (
            self.internet.add_host(
                name, f"192.168.1.{n}", f"fe80::{n}%eth0", f"2400::{n}", network=self.home
            )
            for n, name in enumerate(["one", "two", "three"], 2)
        )

    def run_and_see(self) -> list[tuple[str, str]]:
        """Let all packets arrive, and return where each ended how."""
        self.internet.run_for(1.0)
        return sorted((entry.place, entry.fate) for entry in self.internet.log)


class MulticastTests(MulticastTestCase):
    def test_it_provides_what_it_says(self) -> None:
        verifyObject(IReactorMulticast, self.one.reactor)
        verifyObject(IMulticastTransport, Member(self.one).port)
        verifyObject(IListeningPort, Member(self.two).port)

    def test_members_hear_and_others_do_not(self) -> None:
        sender, member = Member(self.one), Member(self.two)
        stranger = Member(self.three, joins=False)
        sender.port.write(b"hello", (GROUP, PORT))
        ends = self.run_and_see()
        self.assertEqual(member.heard, [(b"hello", ("192.168.1.2", PORT))])
        self.assertEqual(sender.heard, [(b"hello", ("192.168.1.2", PORT))])
        self.assertEqual(stranger.heard, [])
        self.assertEqual(ends, [("one", "delivered"), ("two", "delivered")])

    def test_ipv6_goes_from_the_link_local_address(self) -> None:
        sender, member = Member(self.one, GROUP_IPV6), Member(self.two, GROUP_IPV6)
        sender.port.write(b"hello", (f"{GROUP_IPV6}%eth0", PORT))
        sender.port.write(b"again", (GROUP_IPV6, PORT))
        self.internet.run_for(1.0)
        # Twisted leaves the scope out (its ticket 6826), and so must this.
        self.assertEqual(
            member.heard, [(b"hello", ("fe80::2", PORT)), (b"again", ("fe80::2", PORT))]
        )

    def test_no_group_reaches_beyond_its_network(self) -> None:
        outside = Member(self.internet.add_host("outside", "11.0.0.1", "2400:1::1"))
        outside_ipv6 = Member(outside.host, "ff0e::1")
        Member(self.one, joins=False).port.write(b"v4", (GROUP, PORT))
        Member(self.one, "ff0e::1", joins=False).port.write(b"v6", ("ff0e::1", PORT))
        self.assertEqual(self.run_and_see(), [("home", "unheard"), ("home", "unheard")])
        self.assertEqual(outside.heard + outside_ipv6.heard, [])

    def test_without_loopback_the_sender_hears_nothing(self) -> None:
        sender, member = Member(self.one), Member(self.two)
        self.assertTrue(sender.port.getLoopbackMode())
        sender.port.setLoopbackMode(False)
        self.assertFalse(sender.port.getLoopbackMode())
        sender.port.write(b"hello", (GROUP, PORT))
        self.internet.run_for(1.0)
        self.assertEqual((sender.words(), member.words()), ([], [b"hello"]))

    def test_with_no_time_to_live_only_the_sender_hears(self) -> None:
        sender, member = Member(self.one), Member(self.two)
        self.assertEqual(sender.port.getTTL(), 1)
        sender.port.setTTL(0)
        sender.port.write(b"hello", (GROUP, PORT))
        self.internet.run_for(1.0)
        self.assertEqual((sender.words(), member.words()), ([b"hello"], []))
        self.assertRaises(ValueError, sender.port.setTTL, 256)

    def test_who_has_left_hears_no_more(self) -> None:
        sender, member, closed = Member(self.one), Member(self.two), Member(self.three)
        sender.port.write(b"under way", (GROUP, PORT))
        self.assertIsNone(self.successResultOf(member.port.leaveGroup(GROUP)))
        closed.port.stopListening()
        ends = self.run_and_see()
        self.assertEqual(ends, [("one", "delivered"), ("three", "unheard"), ("two", "unheard")])
        sender.port.setLoopbackMode(False)
        sender.port.write(b"later", (GROUP, PORT))
        self.assertIn(("home", "unheard"), self.run_and_see())
        self.assertEqual(member.heard + closed.heard, [])

    def test_every_port_that_shares_hears_a_group_and_the_latest_what_is_for_the_host(self) -> None:
        members = [Member(self.two) for _ in range(3)]
        sender = Member(self.one)
        sender.port.write(b"all", (GROUP, PORT))
        sender.port.write(b"one", ("192.168.1.3", PORT))
        self.internet.run_for(1.0)
        self.assertEqual(
            [member.words() for member in members], [[b"all"], [b"all"], [b"all", b"one"]]
        )

    def test_a_more_precise_port_goes_before_a_later_one(self) -> None:
        precise = Member(self.two, interface="192.168.1.3", joins=False)
        later = Member(self.two)
        Member(self.one).port.write(b"one", ("192.168.1.3", PORT))
        self.internet.run_for(1.0)
        self.assertEqual((precise.words(), later.words()), ([b"one"], []))

    def test_ports_share_only_when_all_want_to(self) -> None:
        listen = self.one.reactor.listenMulticast
        Member(self.one)
        for multiple in (False, True):
            with self.assertRaises(CannotListenError):
                (listen if not multiple else self.one.reactor.listenUDP)(PORT, DatagramProtocol())
        self.assertEqual(len(self.one.open_ports()), 1)

    def test_a_port_bound_to_the_group_hears_nothing_else(self) -> None:
        member = Member(self.two, interface=GROUP)
        sender = Member(self.one)
        sender.port.write(b"all", (GROUP, PORT))
        sender.port.write(b"one", ("192.168.1.3", PORT))
        member.port.write(b"answer", ("192.168.1.2", PORT))
        ends = self.run_and_see()
        self.assertEqual(member.words(), [b"all"])
        self.assertIn(("two", "refused"), ends)
        self.assertEqual(sender.heard[-1], (b"answer", ("192.168.1.3", PORT)))

    def test_a_port_bound_to_an_address_hears_no_group(self) -> None:
        member = Member(self.two, interface="192.168.1.3")
        Member(self.one).port.write(b"all", (GROUP, PORT))
        self.internet.run_for(1.0)
        self.assertEqual(member.heard, [])

    def test_links_do_to_groups_what_they_do(self) -> None:
        self.two.link = Link(loss=1.0)
        self.three.link = evolve(self.three.link, delay=0.5)
        self.one.link = Link(rate=1_000.0)
        lost, late = Member(self.two), Member(self.three)
        sender = Member(self.one, joins=False)
        for _ in range(2):
            sender.port.write(bytes(72), (GROUP, PORT))
        self.internet.run_for(0.599)
        self.assertEqual(late.heard, [])
        self.internet.run_for(0.002)
        self.assertEqual(len(late.heard), 1)
        self.internet.run_for(1.0)
        self.assertEqual((len(late.heard), len(lost.heard)), (2, 0))
        self.assertAlmostEqual(max(entry.time for entry in self.internet.log), 0.7)


class MembershipTests(MulticastTestCase):
    def assert_fails(self, result: Deferred[None], number: int | None = None) -> None:
        error = self.failureResultOf(result, MulticastJoinError).value
        if number is not None:
            self.assertEqual(error.args[2], number)

    def test_what_is_no_group_cannot_be_joined(self) -> None:
        port = Member(self.one).port
        for group in ("192.168.1.3", GROUP_IPV6):
            self.assert_fails(port.joinGroup(group), errno.EINVAL)
        self.assert_fails(port.joinGroup("nonsense"))

    def test_a_group_is_joined_once_and_left_once(self) -> None:
        port = Member(self.one).port
        self.assert_fails(port.joinGroup(GROUP), errno.EADDRINUSE)
        self.successResultOf(port.leaveGroup(GROUP))
        self.assert_fails(port.leaveGroup(GROUP), errno.EADDRNOTAVAIL)

    def test_an_interface_is_an_own_address(self) -> None:
        port = Member(self.one, joins=False).port
        self.assert_fails(port.joinGroup(GROUP, "192.168.1.9"), errno.ENODEV)
        self.successResultOf(port.joinGroup(GROUP, "192.168.1.2"))

    def test_the_outgoing_interface_is_where_packets_come_from(self) -> None:
        self.one.move_to(self.home, "192.168.1.2", "192.168.1.77")
        sender, member = Member(self.one), Member(self.two)
        self.assertEqual(sender.port.getOutgoingInterface(), "0.0.0.0")
        self.assertEqual(self.successResultOf(sender.port.setOutgoingInterface("192.168.1.77")), 1)
        self.assertEqual(sender.port.getOutgoingInterface(), "192.168.1.77")
        sender.port.write(b"", (GROUP, PORT))
        sender.port.write(b"", ("192.168.1.3", PORT))
        self.internet.run_for(1.0)
        self.assertEqual(
            [addr for _, addr in member.heard], [("192.168.1.77", PORT), ("192.168.1.2", PORT)]
        )
        self.failureResultOf(sender.port.setOutgoingInterface("192.168.1.3"), OSError)

    def test_an_outgoing_interface_of_ipv6_is_a_number(self) -> None:
        port = Member(self.one, GROUP_IPV6).port
        self.assertEqual(port.getOutgoingInterface(), 0)
        self.successResultOf(port.setOutgoingInterface(2))
        self.assertEqual(port.getOutgoingInterface(), 2)
        self.failureResultOf(port.setOutgoingInterface(7), OSError)


class LinkLocalTests(MulticastTestCase):
    def send(self, host: str, interface: str = "::") -> None:
        port = self.one.reactor.listenUDP(0, DatagramProtocol(), interface)
        port.write(b"hello", (host, PORT))
        self.internet.run_for(1.0)

    def assert_cannot_send(self, number: int, host: str) -> None:
        with self.assertRaises(OSError) as caught:
            self.send(host)
        self.assertEqual(caught.exception.errno, number)

    def test_they_reach_their_network(self) -> None:
        member = Member(self.two, GROUP_IPV6)
        for scope in ("eth0", "2"):
            self.send(f"fe80::3%{scope}")
        self.send("fe80::3", interface="fe80::2%eth0")
        self.assertEqual([addr[0] for _, addr in member.heard], ["fe80::2"] * 3)

    def test_they_want_the_scope_of_an_interface_here(self) -> None:
        self.assert_cannot_send(errno.EINVAL, "fe80::3")
        self.assert_cannot_send(errno.ENODEV, "fe80::3%wlan0")
        with self.assertRaises(CannotListenError):
            self.one.reactor.listenUDP(0, DatagramProtocol(), "fe80::2")

    def test_a_host_has_the_interface_that_its_addresses_name(self) -> None:
        self.one.move_to(self.home, "fe80::9%wlan0")
        self.assertEqual((self.one.interface, self.one.addresses), ("wlan0", ("fe80::9%wlan0",)))
        self.send("fe80::3%wlan0")
        self.assertEqual(self.run_and_see(), [("two", "refused")])

    def test_they_do_not_reach_beyond(self) -> None:
        self.internet.add_host("outside", "2400:1::1", "fe80::7%eth0")
        self.send("fe80::7%eth0")
        self.send("2400:1::1", interface="fe80::2%eth0")
        self.assertEqual(self.run_and_see(), [("home", "unreachable")] * 2)
        # And the same one can be in every network.
        self.internet.add_host("inside", "fe80::7%eth0", network=self.home)

    def test_other_addresses_are_not_reached_from_them(self) -> None:
        self.one.move_to(self.home, "fe80::9%eth0")
        self.assert_cannot_send(errno.ENETUNREACH, "2400::3")
