"""Nodes on one simulated LAN that look for each other."""

from __future__ import annotations

from twisted_p2p.interfaces import IDiscoveredPeer
from twisted_p2p.lan.discovery import LANDiscovery
from twisted_p2p.lan.peer import LANPeer
from twisted_p2p.testing import Link, SimulatedHost, SimulatedInternet

from .dns_host import peer_id


class Neighbour(LANDiscovery):
    """A discovery on a simulated host, started, that keeps what it is told."""

    def __init__(self, host: SimulatedHost, number: int) -> None:
        super().__init__(
            host.reactor,
            interfaces=host.network_interfaces,
            random_bytes=host.random.randbytes,
        )
        self.host = host
        self.peer_id = peer_id(number)
        self.found: list[IDiscoveredPeer] = []
        self.updated: list[IDiscoveredPeer] = []
        self.lost: list[IDiscoveredPeer] = []
        self.peer_found = self.found.append  # type: ignore[method-assign,assignment]
        self.peer_updated = self.updated.append  # type: ignore[method-assign,assignment]
        self.peer_lost = self.lost.append  # type: ignore[method-assign,assignment]
        host.stop_at_end.append(self.stop)
        self.start()

    def show(self, *services: str, port: int = 4711, unlinkable_name: bool = False) -> None:
        """Announce this node."""
        self.announce(self.peer_id, port, services, accepting=True, unlinkable_name=unlinkable_name)

    def knows(self, *others: Neighbour) -> bool:
        """Whether these others, and nobody else, are known here."""
        return {peer.peer_id for peer in self.peers()} == {other.peer_id for other in others}

    def known(self, other: Neighbour) -> LANPeer:
        """Return what is known here of another one."""
        peer = self.find(other.peer_id)
        assert peer is not None, "it is not known"
        return peer


def add_neighbours(
    internet: SimulatedInternet, count: int, *, link: Link | None = None, is_ipv6: bool = False
) -> list[Neighbour]:
    """Return so many neighbours, the first of which has the number 1."""
    lan = internet.add_network("lan", "11.0.1.1")
    neighbours = []
    for number in range(1, count + 1):
        addresses = [f"fe80::{number + 1:x}%eth0"] if is_ipv6 else []
        if not is_ipv6 or number % 2:
            addresses.append(f"192.168.1.{number + 1}")
        host = internet.add_host(f"host-{number}", *addresses, network=lan, link=link)
        neighbours.append(Neighbour(host, number))
    return neighbours
