"""A link: a network interface of this host, in one address family."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import NamedTuple

from attrs import define, field

from twisted_p2p.addresses import HostPort, NetworkInterface

GROUP_IPV4 = HostPort("224.0.0.251", 5353)
GROUP_IPV6 = HostPort("ff02::fb", 5353)


class LinkID(NamedTuple):
    """Which link a datagram came by or leaves by: the ``local`` of its path."""

    interface: str
    is_ipv6: bool


@define(frozen=True, slots=False)
class Link:
    """An interface in one address family; each has its own socket, and shares nothing."""

    interface: NetworkInterface
    is_ipv6: bool
    _networks: tuple[IPv4Interface | IPv6Interface, ...] = field(init=False, eq=False, repr=False)

    @_networks.default
    def _parsed(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        return tuple(ip_interface(address) for address in self.interface.addresses)

    @property
    def id(self) -> LinkID:
        """What names this link, whatever its addresses."""
        return LinkID(self.interface.name, self.is_ipv6)

    @property
    def group(self) -> HostPort:
        """Where multicast DNS is spoken here (RFC 6762, section 3)."""
        return GROUP_IPV6 if self.is_ipv6 else GROUP_IPV4

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """The addresses of this host on the interface, of both families."""
        return tuple(str(each.ip) for each in self._networks)

    @property
    def own_addresses(self) -> tuple[str, ...]:
        """The addresses of this host in the family of the link."""
        return tuple(host for host in self.hosts if (":" in host) == self.is_ipv6)

    def is_on_link(self, host: str) -> bool:
        """Whether an IP address of either family is one of a host on this link (section 11)."""
        address = ip_address(host)
        if address.version == 6 and address.is_link_local:
            return any(each.version == 6 for each in self._networks)
        return any(_is_host_of(address, each) for each in self._networks)


def links_of(interfaces: Iterable[NetworkInterface]) -> list[Link]:
    """Return the links that interfaces are, without loopback."""
    links = [Link(each, is_ipv6) for each in interfaces for is_ipv6 in (False, True)]
    return [link for link in links if _is_usable(link)]


def _is_usable(link: Link) -> bool:
    own = link.own_addresses
    # IPv6 is spoken from the link-local address, without which there is no such link.
    wanted = [host for host in own if not link.is_ipv6 or ip_address(host).is_link_local]
    return bool(wanted) and not any(ip_address(host).is_loopback for host in own)


def _is_host_of(address: object, own: IPv4Interface | IPv6Interface) -> bool:
    network = own.network
    if address not in network:
        return False
    is_small = network.prefixlen >= network.max_prefixlen - 1
    return is_small or address not in (network.network_address, network.broadcast_address)
