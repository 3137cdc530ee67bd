"""Which addresses a peer may have packets sent to: an own table, and what is known of both peers.

A candidate is a request to send packets somewhere, made by somebody else.  So what is not known to
be a peer's address is refused: the table lists what may never be one (Python's `ipaddress` calls
``224.0.0.1`` global), and a public address counts only if a tracker saw the peer at it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from twisted_p2p.addresses import HostPort

IPAddress = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


class AddressScope(Enum):
    """How far an address means one and the same host."""

    PUBLIC = auto()
    PRIVATE = auto()
    LINK_LOCAL = auto()
    LOOPBACK = auto()
    FORBIDDEN = auto()


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ip_network(text) for text in texts)


# IPv4 is public where nothing is said; IPv6 is forbidden where nothing is said.
_TABLE: tuple[tuple[AddressScope, tuple[_Network, ...]], ...] = (
    (AddressScope.LOOPBACK, _networks("127.0.0.0/8", "::1/128")),
    (
        AddressScope.PRIVATE,
        _networks(
            "10.0.0.0/8",
            "100.64.0.0/10",  # behind a carrier's NAT, RFC 6598
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",  # unique local, RFC 4193
        ),
    ),
    (AddressScope.LINK_LOCAL, _networks("169.254.0.0/16")),  # RFC 3927
    (
        AddressScope.FORBIDDEN,
        _networks(
            "0.0.0.0/8",
            "192.0.0.0/24",  # protocol assignments, RFC 6890
            "192.0.2.0/24",  # documentation, RFC 5737
            "192.31.196.0/24",  # AS112, RFC 7535
            "192.52.193.0/24",  # multicast tunnels, RFC 7450
            "192.88.99.0/24",  # 6to4 relays, RFC 7526
            "192.175.48.0/24",  # AS112, RFC 7534
            "198.18.0.0/15",  # benchmarks, RFC 2544
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "2001::/23",  # protocol assignments, RFC 2928
            "2001:db8::/32",  # documentation, RFC 3849
            "2620:4f:8000::/48",  # AS112, RFC 7534
            "3fff::/20",  # documentation, RFC 9637
        ),
    ),
    (AddressScope.PUBLIC, _networks("0.0.0.0/0", "2000::/3")),
)

# The IPv6 networks whose addresses are another spelling of an IPv4 one, to which their packets go,
# and how many bits stand to its right.  Spellings whose way depends on something else as well
# (Teredo, ISATAP, a local NAT64) are forbidden instead.
_SPELLINGS = (
    (IPv6Network("::/96"), 0),  # IPv4-compatible, RFC 4291
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped, RFC 4291
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)
_LOOPBACK = IPv6Address("::1")  # which is no IPv4-compatible address
_ISATAP_MARKS = (0x00005EFE, 0x02005EFE)  # RFC 5214: the upper half of the interface identifier


def canonical_address(host: str) -> IPAddress | None:
    """Return the address that packets to ``host`` go to, IPv4 where that is so.

    None for what is no plain IP address: host names, scoped addresses, octal and short forms.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        return None
    if address != _LOOPBACK:
        for network, shift in _SPELLINGS:
            if address in network:
                return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return address


def address_scope(host: str) -> AddressScope:
    """Return how far an address reaches, after `canonical_address`."""
    return _scope(canonical_address(host))


@lru_cache(maxsize=1_024)
def _scope(address: IPAddress | None) -> AddressScope:
    if address is None or _is_isatap(address):
        return AddressScope.FORBIDDEN
    for scope, networks in _TABLE:
        if any(address in network for network in networks):
            return scope
    return AddressScope.FORBIDDEN


def _is_isatap(address: IPAddress) -> bool:
    return address.version == 6 and int(address) >> 32 & 0xFFFFFFFF in _ISATAP_MARKS


def _site(address: IPAddress) -> int:
    """Return what tells one customer from another: an IPv4 address, the /64 of an IPv6 one."""
    return int(address) if address.version == 4 else int(address) >> 64 << 64


class CandidateFilter:
    """Judges the candidates of one peer."""

    def __init__(
        self,
        *,
        own_observed: Iterable[HostPort],
        peer_observed: Iterable[HostPort],
        trackers: Iterable[HostPort],
        same_lan: bool = False,
    ) -> None:
        """Make a filter.

        ``own_observed`` and ``peer_observed`` are the addresses that trackers saw the two at, and
        ``trackers`` those of the trackers.  ``same_lan`` says that the two are known to share a
        LAN: the one has heard the other there, at the addresses in ``peer_observed``.
        """
        peer_observed = list(peer_observed)
        own, peer = _canonical(own_observed), _canonical(peer_observed)
        own_scopes = {_scope(address) for address in own}
        self._observed = {_site(address) for address in peer}
        self._trackers = {(canonical_address(host), port) for host, port in trackers}
        self._loopback = AddressScope.LOOPBACK in own_scopes & {_scope(a) for a in peer}
        self._same_lan = same_lan
        self._scoped = {address.host for address in peer_observed if "%" in address.host}
        self._private = (
            same_lan
            or self._loopback  # on one host
            or bool(_public_sites(own) & _public_sites(peer))
        )
        self._in_private_network = AddressScope.PRIVATE in own_scopes

    def admits(self, address: HostPort) -> bool:
        """Return whether packets may be sent to this address because the peer says so.

        An address with a scope is one of this host's own words, which no peer can say.
        """
        if "%" in address.host:
            return self._same_lan and address.host in self._scoped
        canonical = canonical_address(address.host)
        if (
            canonical is None
            or not 0 < address.port <= 0xFFFF
            or (canonical, address.port) in self._trackers
        ):
            return False
        is_observed = _site(canonical) in self._observed
        verdicts = {
            AddressScope.PUBLIC: is_observed,
            # A tracker within a private network sees peers there; then that is their public one.
            AddressScope.PRIVATE: self._private or (self._in_private_network and is_observed),
            AddressScope.LINK_LOCAL: self._same_lan and is_observed,
            AddressScope.LOOPBACK: self._loopback,
            AddressScope.FORBIDDEN: False,
        }
        return verdicts[_scope(canonical)]


def _canonical(addresses: Iterable[HostPort]) -> list[IPAddress]:
    return [a for a in (canonical_address(address.host) for address in addresses) if a]


def _public_sites(addresses: Collection[IPAddress]) -> set[int]:
    return {_site(a) for a in addresses if _scope(a) is AddressScope.PUBLIC}
