"""Links that come and go, several of them, and peers that are seen on more than one."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.lan.dns_host import (
    ANNOUNCEMENT,
    BROWSE,
    ME,
    OTHER,
    OTHER_NAMES,
    OTHER_RECORDS,
    DNSHost,
    address,
    goodbye,
    own_record,
    pointer,
    queries,
    responses,
    text,
)
from twisted_p2p.addresses import DatagramPath, HostPort, NetworkInterface
from twisted_p2p.lan.events import NodeAnnounced, PeerFound, PeerLost, PeerUpdated
from twisted_p2p.lan.link import Link, LinkID, links_of
from twisted_p2p.lan.records import HostAddress, Location, Message, Record, RecordType
from twisted_p2p.lan.service_records import Announcement, instance_name, node_records
from twisted_p2p.lan.wire import decode_message, encode_message

ETH0 = NetworkInterface("eth0", 2, ("192.168.1.2/24", "fe80::2/64", "2001:db8::2/64"))
ETH1 = NetworkInterface("eth1", 3, ("10.0.0.2/8",))


class LinkTests(SynchronousTestCase):
    def test_each_family_of_an_interface_is_a_link(self) -> None:
        loopback = NetworkInterface("lo", 1, ("127.0.0.1/8", "::1/128"))
        no_link_local = NetworkInterface("tun0", 4, ("2001:db8::3/64",))
        links = links_of([loopback, ETH0, ETH1, no_link_local])
        self.assertEqual(
            [link.id for link in links],
            [LinkID("eth0", False), LinkID("eth0", True), LinkID("eth1", False)],
        )
        self.assertEqual(
            [str(link.group) for link in links[:2]], ["224.0.0.251:5353", "[ff02::fb]:5353"]
        )
        self.assertEqual(links[1].own_addresses, ("fe80::2", "2001:db8::2"))

    def test_what_is_on_the_link(self) -> None:
        link = Link(ETH0, is_ipv6=False)
        for host in ("192.168.1.77", "fe80::77", "2001:db8::77"):
            self.assertTrue(link.is_on_link(host), host)
        for host in ("192.168.2.1", "192.168.1.0", "192.168.1.255", "2001:db8:1::1", "8.8.8.8"):
            self.assertFalse(link.is_on_link(host), host)
        self.assertFalse(Link(ETH1, is_ipv6=False).is_on_link("fe80::77"))

    def test_networks_of_two_have_no_other_addresses_than_hosts(self) -> None:
        link = Link(NetworkInterface("ppp0", 5, ("10.9.8.6/31",)), is_ipv6=False)
        self.assertTrue(link.is_on_link("10.9.8.7"))


class SeveralLinksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = DNSHost(*ETH0.addresses)
        self.eth1 = Link(ETH1, is_ipv6=False)
        self.links_are(self.host.link, self.eth1)

    def links_are(self, *links: Link) -> None:
        self.host.machine.links_changed(links, self.host.now)

    def tell(self, link: Link, records: Iterable[Record], source: str) -> None:
        data = encode_message(Message(is_response=True, answers=tuple(records)))
        path = DatagramPath(link.id, HostPort(source, 5353))
        self.host.machine.receive_datagram(data, path, self.host.now)
        self.host.run(0.0)

    def test_a_link_is_told_its_own_addresses_alone(self) -> None:
        self.host.announce()
        told: dict[str, set[str]] = {"eth0": set(), "eth1": set()}
        machine = self.host.machine
        for _ in range(20):
            self.host.now = machine.get_timer() or 0.0
            machine.handle_timer(self.host.now)
            for data, path in machine.datagrams_to_send(self.host.now):
                assert isinstance(path, DatagramPath)
                assert isinstance(path.local, LinkID)
                told[path.local.interface] |= {
                    record.data.host
                    for record in decode_message(data).answers
                    if isinstance(record.data, HostAddress)
                }
            if machine.get_timer() is None:
                break
        self.assertEqual(told["eth0"], {"192.168.1.2", "fe80::2", "2001:db8::2"})
        self.assertEqual(told["eth1"], {"10.0.0.2"})

    def test_each_link_tells_when_it_is_announced(self) -> None:
        self.host.be_announced()
        self.assertEqual(
            sorted(
                event.interface for event in self.host.events if isinstance(event, NodeAnnounced)
            ),
            ["eth0", "eth1"],
        )

    def test_a_conflict_on_one_renames_on_all(self) -> None:
        self.host.announce()
        self.host.run(0.4)
        self.tell(self.eth1, [Record(instance_name(ME), Location(1, b"x.local"), 120)], "10.0.0.9")
        self.host.run(5.0)
        names = {
            r.name for m in responses(self.host.sent) for r in m.answers if r.is_unique and r.ttl
        }
        self.assertEqual({name for name in names if b"_p2p" in name}, {instance_name(f"{ME}-2")})

    def test_ones_own_packets_by_another_interface_are_no_conflict(self) -> None:
        """Section 14: both may be on the same link."""
        self.links_are(self.host.link, Link(evolve(ETH1, addresses=("192.168.1.3/24",)), False))
        self.host.be_announced()
        self.tell(
            self.host.link,
            [evolve(own_record(self.host, RecordType.A), data=HostAddress("192.168.1.3"))],
            "192.168.1.3",
        )
        self.assertEqual(queries(self.host.run(2.0)), [])
        dropped = self.host.machine.dropped
        self.assertEqual(dropped["from another interface of this host"], 1)

    def test_what_comes_from_no_link_is_dropped(self) -> None:
        path = DatagramPath(LinkID("eth7", False), HostPort("192.168.1.9", 5353))
        self.host.machine.receive_datagram(b"", path, 0.0)
        self.assertEqual(self.host.machine.dropped["no such link"], 1)

    def test_a_peer_on_two_links_is_one(self) -> None:
        self.host.browse()
        there = node_records(Announcement(OTHER, 4712, ("file",), True), OTHER_NAMES, ["10.0.0.9"])
        self.tell(self.host.link, OTHER_RECORDS.announced, "192.168.1.9")
        self.tell(self.eth1, there.announced, "10.0.0.9")
        peer = self.host.machine.find(OTHER)
        assert peer is not None
        self.assertEqual(peer.interfaces, ("eth0", "eth1"))
        self.assertEqual([each.host for each in peer.addresses], ["10.0.0.9", "192.168.1.9"])
        self.links_are(self.eth1)
        self.links_are()
        self.host.run(0.0)
        kinds = [type(event) for event in self.host.events]
        self.assertEqual(kinds, [PeerFound, PeerUpdated, PeerUpdated, PeerLost])
        self.assertEqual(self.host.machine.peers, [])

    def test_a_link_that_comes_is_probed_announced_and_asked(self) -> None:
        self.links_are(self.host.link)
        self.host.be_announced()
        self.host.browse()
        self.host.machine.look_for(OTHER, self.host.now)
        self.host.run(0.5)
        before = len(self.host.sent)
        self.links_are(self.host.link, self.eth1)
        self.host.run(0.9)
        asked = queries(self.host.sent[before:])
        self.assertEqual(sum(bool(query.authority) for query in asked), 3)
        self.assertIn(BROWSE, [each for query in asked for each in query.questions])

    def test_a_link_that_goes_disturbs_no_other(self) -> None:
        self.host.be_announced()
        self.links_are(self.host.link)
        self.assertEqual(self.host.run(5.0), [])

    def test_other_addresses_of_a_link_are_announced(self) -> None:
        self.host.be_announced()
        changed = evolve(ETH0, addresses=("192.168.1.77/24",))
        self.links_are(Link(changed, is_ipv6=False), self.eth1)
        self.assertEqual(len(queries(self.host.run(3.0))), 3)
        self.assertEqual(own_record(self.host, RecordType.A).data, HostAddress("192.168.1.77"))


class UnlinkableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = DNSHost()
        self.host.be_announced(evolve(ANNOUNCEMENT, unlinkable_name=True))
        self.name = self.host.machine.instance

    def move(self, *addresses: str) -> None:
        links = links_of([NetworkInterface("eth0", 2, addresses)])
        self.host.machine.links_changed(links, self.host.now)
        self.host.run(3.0)

    def test_in_another_network_it_is_another(self) -> None:
        self.move()
        self.move("10.0.0.2/8")
        self.assertNotEqual(self.host.machine.instance, self.name)

    def test_in_the_same_it_is_the_same(self) -> None:
        self.move()
        self.move("192.168.1.2/24")
        self.move("192.168.1.2/24", "10.0.0.2/8")
        self.assertEqual(self.host.machine.instance, self.name)

    def test_only_who_looks_for_it_finds_it(self) -> None:
        seeker = DNSHost("192.168.1.3/24", seed=1)
        seeker.browse()
        for each in self.host.sent:
            seeker.receive(each.message, self.host.source)
        seeker.run(0.0)
        self.assertEqual(seeker.machine.peers, [])
        seeker.machine.look_for(OTHER, 0.0)
        self.assertEqual(seeker.machine.peers, [])
        seeker.machine.look_for(ME, 0.0)
        (peer,) = seeker.machine.peers
        self.assertEqual((peer.peer_id, peer.services, peer.accepting), (ME, (), True))
        self.assertEqual(peer.instance, self.name)
        seeker.machine.look_no_more(ME, 0.0)
        another = evolve(own_record(self.host, RecordType.A), data=HostAddress("192.168.1.7"))
        seeker.tell(another)
        (peer,) = seeker.machine.peers
        self.assertEqual([each.host for each in peer.addresses], ["192.168.1.2", "192.168.1.7"])


class PeerTests(SynchronousTestCase):
    """What is made of what is told about peers."""

    def setUp(self) -> None:
        self.host = DNSHost(*ETH0.addresses)
        self.host.browse()
        self.host.tell(*OTHER_RECORDS.announced)

    def peer_addresses(self) -> list[str]:
        peer = self.host.machine.find(OTHER)
        return [str(each) for each in peer.addresses] if peer else []

    def test_addresses_have_an_order_and_a_scope(self) -> None:
        for host in ("fe80::9", "2001:db8::9", "192.168.1.8"):
            self.host.tell(address(host))
        self.assertEqual(
            self.peer_addresses(),
            ["192.168.1.8:4712", "192.168.1.9:4712", "[2001:db8::9]:4712", "[fe80::9%eth0]:4712"],
        )

    def test_addresses_that_are_not_on_the_link_are_none(self) -> None:
        """Nobody here can have packets sent elsewhere (promise 7)."""
        for host in ("8.8.8.8", "10.0.0.2", "127.0.0.1", "224.0.0.251", "2001:db8:1::9", "ff02::1"):
            self.host.tell(address(host))
        self.assertEqual(self.peer_addresses(), ["192.168.1.9:4712"])

    def test_who_has_no_address_on_the_link_is_not_there(self) -> None:
        self.host.run(2.0)
        self.host.tell(address("8.8.8.8"))
        self.host.run(2.0)
        self.assertEqual(self.peer_addresses(), [])

    def test_port_0_is_nowhere(self) -> None:
        self.host.tell(Record(instance_name(OTHER), Location(0, b"other.local"), 120, True))
        self.assertEqual(self.peer_addresses(), [])

    def test_who_tells_of_another_key_is_another_peer(self) -> None:
        self.host.run(2.0)
        self.host.tell(text(b"id=" + ME.encode()))
        self.host.run(2.0)
        kinds = [type(event) for event in self.host.events]
        self.assertEqual(kinds, [PeerFound, PeerLost, PeerFound])
        self.assertEqual([peer.peer_id for peer in self.host.machine.peers], [ME])

    def test_an_instance_of_another_name_adds_addresses_and_tells_nothing_else(self) -> None:
        impostor = node_records(
            Announcement(OTHER, 6_666, ("evil",), accepting=False),
            evolve(OTHER_NAMES, instance="aaa", host="evil"),
            ["192.168.1.66"],
        )
        self.host.tell(*impostor.announced)
        peer = self.host.machine.find(OTHER)
        assert peer is not None
        self.assertEqual((peer.services, peer.accepting, peer.instance), (("file",), True, OTHER))
        self.assertEqual(self.peer_addresses(), ["192.168.1.66:6666", "192.168.1.9:4712"])

    def test_many_who_claim_to_be_a_peer_do_not_hide_it(self) -> None:
        self.host.tell(goodbye(pointer(OTHER)))
        self.host.run(1.5)
        for number in range(100):
            impostor = node_records(
                Announcement(OTHER, 6_666, ("evil",), accepting=False),
                evolve(OTHER_NAMES, instance=f"{number}", host=f"evil-{number}"),
                [f"192.168.1.{100 + number}"],
            )
            self.host.tell(*impostor.announced)
        self.host.tell(*OTHER_RECORDS.announced)
        peer = self.host.machine.find(OTHER)
        assert peer is not None
        self.assertEqual((peer.services, peer.instance), (("file",), OTHER))
        self.assertEqual(len(self.host.machine._table._seen[OTHER]), 17)

    def test_a_text_that_is_not_understood_is_nobodys(self) -> None:
        self.host.run(2.0)
        self.host.tell(text(b"txtvers=9"))
        self.assertEqual(self.peer_addresses(), [])

    def test_who_goes_is_lost_with_what_was_known_last(self) -> None:
        self.host.tell(goodbye(pointer(OTHER)))
        self.host.run(1.5)
        event = self.host.events[-1]
        assert isinstance(event, PeerLost)
        self.assertEqual(event.peer.addresses, (HostPort("192.168.1.9", 4_712),))
