"""The candidates of a node: the addresses of its interfaces, and where the trackers see it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from twisted_p2p.addresses import HostPort, NetworkInterface
from twisted_p2p.ice.candidate import Candidate
from twisted_p2p.ice.filter import canonical_address
from twisted_p2p.rendezvous.no_path import Side


class LocalCandidates:
    """The candidates of one node, gathered before anybody waits for them.

    `refresh` reads the interfaces; what a tracker observes is told by `observed`.
    """

    def __init__(self, interfaces: Callable[[], Iterable[NetworkInterface]]) -> None:
        self._interfaces = interfaces
        self._links: list[IPv4Interface | IPv6Interface] = []
        self._hosts: list[str] = []
        self._scoped_hosts: list[str] = []
        self._sockets: Sequence[HostPort] = ()
        self._mapped: dict[tuple[str, Hashable], HostPort] = {}

    def refresh(self, sockets: Sequence[HostPort]) -> None:
        """Read the addresses of the interfaces anew, for these bound sockets.

        Where trackers saw this node from other addresses is forgotten.
        """
        before = self._links
        self._sockets = sockets
        interfaces = list(self._interfaces())
        self._links = [
            ip_interface(address) for interface in interfaces for address in interface.addresses
        ]
        self._scoped_hosts = [
            f"{own.ip}%{interface.name}"
            for interface in interfaces
            for own in map(ip_interface, interface.addresses)
            if _needs_scope(own)
        ]
        self._hosts = [str(link.ip) for link in self._links if _is_reachable(link)]
        if self._links != before:
            self._mapped.clear()

    def observed(self, tracker: str, socket: Hashable, mapped_address: HostPort) -> bool:
        """Remember where a tracker sees a socket; return whether it saw it elsewhere before."""
        before = self._mapped.get((tracker, socket), mapped_address)
        self._mapped[tracker, socket] = mapped_address
        return before != mapped_address

    @property
    def mapped_addresses(self) -> frozenset[HostPort]:
        """Where the trackers see this node."""
        return frozenset(self._mapped.values())

    def is_host_address(self, address: HostPort) -> bool:
        """Return whether this is an address of an interface, with the port of a socket here."""
        return address.host in self._hosts and any(
            address.port == socket.port for socket in self._sockets
        )

    def is_on_link(self, host: str) -> bool:
        """Return whether an address is of a network that this host is in: no router is between."""
        _, has_scope, scope = host.partition("%")
        if has_scope:
            return any(own.endswith(f"%{scope}") for own in self._scoped_hosts)
        address = canonical_address(host)
        return address is not None and any(address in link.network for link in self._links)

    def current(self) -> list[Candidate]:
        """Return all candidates, those of one type in the order of preference."""
        candidates = [
            Candidate.host(HostPort(host, socket.port), base=socket, local_preference=65535 - rank)
            for socket in self._sockets
            for rank, host in enumerate(self._hosts)
            if (":" in host) == socket.is_ipv6
        ]
        known = {candidate.address for candidate in candidates}
        for (tracker, socket), address in self._mapped.items():
            if address in known:
                continue
            known.add(address)
            candidates.append(
                Candidate.server_reflexive(
                    address, base=socket, related_address=address, server_host=tracker
                )
            )
        return candidates

    def for_checks(self) -> list[Candidate]:
        """Return all candidates, those too that mean something on one link and are told nobody."""
        return [
            *self.current(),
            *(
                Candidate.host(HostPort(host, socket.port), base=socket, local_preference=0)
                for socket in self._sockets
                for host in self._scoped_hosts
                if socket.is_ipv6
            ),
        ]

    def side(self) -> Side:
        """Return what is known of where this node is."""
        told = frozenset(candidate.address for candidate in self.current())
        return Side(self.mapped_addresses, told, self._maps_independently())

    def _maps_independently(self) -> bool | None:
        """Return whether all trackers see a socket at one address; one tracker tells nothing.

        Two sockets of one tracker do not count: a NAT may go by the IP address alone.
        """
        seen: dict[Hashable, dict[str, HostPort]] = {}
        for (tracker, socket), address in self._mapped.items():
            seen.setdefault(socket, {})[tracker] = address
        if any(len(set(by_tracker.values())) > 1 for by_tracker in seen.values()):
            return False
        if self._mapped and all(map(self.is_host_address, self._mapped.values())):
            return True
        return True if any(len(by_tracker) > 1 for by_tracker in seen.values()) else None


def _is_reachable(link: IPv4Interface | IPv6Interface) -> bool:
    """Return whether another host may send to this address without a scope."""
    address = link.ip
    return not (address.is_loopback or address.is_unspecified or _needs_scope(link))


def _needs_scope(link: IPv4Interface | IPv6Interface) -> bool:
    return link.version == 6 and link.ip.is_link_local
