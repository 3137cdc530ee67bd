"""Nobody can aim a node at an address that is not its peer's, however it is spelled."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.ice.filter import (
    AddressScope,
    CandidateFilter,
    address_scope,
    canonical_address,
)

FORBIDDEN_IPV4 = (
    "0.0.0.0/8",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
)
PRIVATE_IPV4 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
LOOPBACK_IPV4 = ("127.0.0.0/8",)
FORBIDDEN_IPV6 = (
    "::/128",
    "100::/64",
    "2001:2::/48",
    "2001:10::/28",
    "2001:db8::/32",
    "3fff::/20",
    "4000::/3",
    "5f00::/16",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
PRIVATE_IPV6 = ("fc00::/7",)


def addresses_in(*networks: str) -> st.SearchStrategy[str]:
    return st.sampled_from(networks).flatmap(lambda n: st.ip_addresses(network=n)).map(str)


def spelling(prefix: str, shift: int = 0) -> Callable[[str], str]:
    base = int(IPv6Address(prefix))
    return lambda host: str(IPv6Address(base | int(IPv4Address(host)) << shift))


def teredo(host: str) -> str:
    hidden = int(IPv4Address(host)) ^ 0xFFFFFFFF
    return str(IPv6Address(int(IPv6Address("2001:0:b00:1:8000:63bf::")) | hidden))


# Those that lead to the IPv4 address and nowhere else.
PLAIN_SPELLINGS = (
    spelling("::ffff:0:0"),
    spelling("::ffff:0:0:0"),
    spelling("64:ff9b::"),
    spelling("2002::", 80),
    spelling("2002::1:2:3", 80),
)
# Those that lead to it by some other host's leave.
ROUNDABOUT_SPELLINGS = (
    teredo,
    spelling("64:ff9b:1::"),
    spelling("2a00:1:2:3:0:5efe::"),
    spelling("2a00:1:2:3:200:5efe::"),
)
ports = st.integers(1, 65535)
public_ipv4 = st.ip_addresses(network="11.0.0.0/8").map(str)
public_ipv6 = st.ip_addresses(network="2a00::/16").map(str)
PEER = HostPort("11.0.2.1", 4000)
OWN = HostPort("11.0.1.1", 4000)
TRACKER = HostPort("11.0.0.1", 3478)


def make_filter(*peer: HostPort, own: HostPort = OWN, same_lan: bool = False) -> CandidateFilter:
    return CandidateFilter(
        own_observed=[own],
        peer_observed=peer,
        trackers=[TRACKER],
        same_lan=same_lan,
    )


def most_lenient(host: str, port: int) -> CandidateFilter:
    """Everything speaks for this address: both seen there, and private addresses welcome."""
    everywhere = [HostPort(host, port), HostPort("127.0.0.1", port)]
    return CandidateFilter(
        own_observed=everywhere, peer_observed=everywhere, trackers=[], same_lan=True
    )


class NeverTests(SynchronousTestCase):
    @given(addresses_in(*FORBIDDEN_IPV4), ports)
    def test_no_forbidden_ipv4_address_in_any_spelling(self, host: str, port: int) -> None:
        spellings = (str, *PLAIN_SPELLINGS, *ROUNDABOUT_SPELLINGS, spelling("::"))
        for spell in spellings:
            spelled = spell(host)
            if spelled == "::1":  # not 0.0.0.1 in IPv6, but loopback
                continue
            self.assertFalse(most_lenient(spelled, port).admits(HostPort(spelled, port)), spelled)

    @given(addresses_in(*FORBIDDEN_IPV6), ports)
    def test_no_forbidden_ipv6_address(self, host: str, port: int) -> None:
        self.assertFalse(most_lenient(host, port).admits(HostPort(host, port)))

    @given(public_ipv4, ports)
    def test_no_address_that_another_host_would_forward(self, host: str, port: int) -> None:
        for spell in ROUNDABOUT_SPELLINGS:
            spelled = spell(host)
            self.assertFalse(most_lenient(spelled, port).admits(HostPort(spelled, port)), spelled)

    @given(st.text(max_size=40), ports)
    def test_no_host_name(self, host: str, port: int) -> None:
        if canonical_address(host) is None:
            self.assertFalse(most_lenient("11.0.2.1", port).admits(HostPort(host, port)))

    def test_no_loose_spelling_of_an_address(self) -> None:
        lenient = most_lenient("127.0.0.1", 4000)
        self.assertTrue(lenient.admits(HostPort("127.0.0.1", 4000)))
        for host in (
            "localhost",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.1 ",
            "",
            "2a00::1%eth0",
            "fe80::1%eth0",
        ):
            self.assertFalse(lenient.admits(HostPort(host, 4000)), host)

    def test_no_port_that_is_none(self) -> None:
        judge = make_filter(PEER)
        self.assertTrue(judge.admits(HostPort("11.0.2.1", 1)))
        self.assertTrue(judge.admits(HostPort("11.0.2.1", 65535)))
        for port in (0, -1, 65536):
            self.assertFalse(judge.admits(HostPort("11.0.2.1", port)), str(port))


class PublicAddressTests(SynchronousTestCase):
    @given(public_ipv4, public_ipv4, ports)
    def test_counts_only_where_a_tracker_saw_the_peer(
        self, seen: str, claimed: str, port: int
    ) -> None:
        judge = make_filter(HostPort(seen, 1))
        for spell in (str, *PLAIN_SPELLINGS):
            address = HostPort(spell(claimed), port)
            self.assertEqual(judge.admits(address), seen == claimed, address)
            self.assertTrue(judge.admits(HostPort(spell(seen), port)))

    @given(public_ipv6, public_ipv6, ports)
    def test_of_ipv6_counts_within_the_64_of_where_it_was_seen(
        self, seen: str, claimed: str, port: int
    ) -> None:
        judge = make_filter(HostPort(seen, 1))
        is_near = int(IPv6Address(seen)) >> 64 == int(IPv6Address(claimed)) >> 64
        self.assertEqual(judge.admits(HostPort(claimed, port)), is_near)
        neighbour = str(IPv6Address(int(IPv6Address(seen)) ^ 1))
        self.assertTrue(judge.admits(HostPort(neighbour, port)))

    def test_the_tracker_is_no_peer_even_where_the_peer_was_seen(self) -> None:
        judge = make_filter(HostPort(TRACKER.host, 4000))
        self.assertFalse(judge.admits(TRACKER))
        self.assertFalse(judge.admits(HostPort("::ffff:11.0.0.1", TRACKER.port)))
        self.assertTrue(judge.admits(HostPort(TRACKER.host, 4000)))

    def test_none_counts_when_no_tracker_saw_the_peer(self) -> None:
        judge = make_filter(same_lan=True)
        self.assertFalse(judge.admits(PEER))


class PrivateAddressTests(SynchronousTestCase):
    private = st.one_of(addresses_in(*PRIVATE_IPV4), addresses_in(*PRIVATE_IPV6))

    @given(private, ports)
    def test_is_refused_between_different_networks(self, host: str, port: int) -> None:
        self.assertFalse(make_filter(PEER).admits(HostPort(host, port)))
        # A tracker that claims to have seen the peer there does not change it.
        self.assertFalse(make_filter(PEER, HostPort(host, port)).admits(HostPort(host, port)))

    @given(addresses_in(*PRIVATE_IPV4), ports)
    def test_is_refused_in_every_spelling(self, host: str, port: int) -> None:
        for spell in (*PLAIN_SPELLINGS, *ROUNDABOUT_SPELLINGS, spelling("::")):
            address = HostPort(spell(host), port)
            self.assertFalse(make_filter(PEER, address).admits(address), address)

    @given(private, ports)
    def test_is_taken_from_a_peer_at_the_same_public_address(self, host: str, port: int) -> None:
        judge = make_filter(HostPort(OWN.host, 7))
        self.assertTrue(judge.admits(HostPort(host, port)))

    @given(private, ports)
    def test_is_taken_from_a_peer_in_the_same_64(self, host: str, port: int) -> None:
        judge = make_filter(HostPort("2a00::1", 7), own=HostPort("2a00::2", 7))
        self.assertTrue(judge.admits(HostPort(host, port)))

    @given(private, ports)
    def test_is_taken_on_the_same_lan(self, host: str, port: int) -> None:
        self.assertTrue(make_filter(PEER, same_lan=True).admits(HostPort(host, port)))

    def test_counts_as_public_to_a_tracker_within_the_private_network(self) -> None:
        judge = make_filter(HostPort("10.2.0.1", 4000), own=HostPort("10.1.0.1", 4000))
        self.assertTrue(judge.admits(HostPort("10.2.0.1", 4001)))
        self.assertFalse(judge.admits(HostPort("192.168.1.1", 4000)))
        self.assertFalse(judge.admits(HostPort("10.2.0.2", 4000)))


class LinkLocalTests(SynchronousTestCase):
    link_local = addresses_in("169.254.0.0/16")

    @given(link_local, ports)
    def test_is_taken_from_a_peer_that_was_heard_there_on_the_same_lan(
        self, host: str, port: int
    ) -> None:
        address = HostPort(host, port)
        self.assertTrue(make_filter(address, same_lan=True).admits(address))
        self.assertFalse(make_filter(address).admits(address))
        self.assertFalse(make_filter(PEER, same_lan=True).admits(address))

    def test_with_a_scope_it_is_only_where_the_peer_was_heard(self) -> None:
        heard = HostPort("fe80::1%eth0", 4000)
        self.assertTrue(make_filter(heard, same_lan=True).admits(heard))
        self.assertFalse(make_filter(heard).admits(heard))
        for other in ("fe80::2%eth0", "fe80::1%eth1", "fe80::1"):
            self.assertFalse(make_filter(heard, same_lan=True).admits(HostPort(other, 4000)))


class LoopbackTests(SynchronousTestCase):
    loopback = st.one_of(addresses_in(*LOOPBACK_IPV4), st.just("::1"))

    @given(loopback, ports)
    def test_is_refused_unless_both_are_seen_there(self, host: str, port: int) -> None:
        address = HostPort(host, port)
        self.assertFalse(make_filter(PEER, address, same_lan=True).admits(address))
        self.assertFalse(make_filter(PEER, own=address, same_lan=True).admits(address))

    @given(addresses_in(*LOOPBACK_IPV4), ports)
    def test_is_refused_in_every_spelling(self, host: str, port: int) -> None:
        for spell in (*PLAIN_SPELLINGS, *ROUNDABOUT_SPELLINGS, spelling("::")):
            address = HostPort(spell(host), port)
            judge = make_filter(PEER, address, same_lan=True)
            self.assertFalse(judge.admits(address), address)

    @given(loopback, ports)
    def test_is_taken_when_the_tracker_sees_both_there(self, host: str, port: int) -> None:
        judge = make_filter(HostPort("127.0.0.1", 4001), own=HostPort("127.0.0.1", 4000))
        self.assertTrue(judge.admits(HostPort(host, port)))
        # They share a host, and with it every network that it is in.
        self.assertTrue(judge.admits(HostPort("192.168.1.1", port)))


class ScopeTests(SynchronousTestCase):
    def test_of_an_address_in_each_range(self) -> None:
        for host, scope in {
            "11.0.0.1": AddressScope.PUBLIC,
            "2a00::1": AddressScope.PUBLIC,
            "64:ff9b::b00:1": AddressScope.PUBLIC,
            "192.168.1.1": AddressScope.PRIVATE,
            "::ffff:192.168.1.1": AddressScope.PRIVATE,
            "fd00::1": AddressScope.PRIVATE,
            "127.0.0.1": AddressScope.LOOPBACK,
            "64:ff9b::7f00:1": AddressScope.LOOPBACK,
            "::1": AddressScope.LOOPBACK,
            "::": AddressScope.FORBIDDEN,
            "224.0.0.1": AddressScope.FORBIDDEN,
            "fe80::1": AddressScope.FORBIDDEN,
            "example.org": AddressScope.FORBIDDEN,
        }.items():
            self.assertEqual(address_scope(host), scope, host)
