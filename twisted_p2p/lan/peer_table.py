"""The peers that are there, put together from what each link tells of each instance."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from ipaddress import ip_address

from twisted_p2p.addresses import HostPort
from twisted_p2p.lan.browser import Sighting
from twisted_p2p.lan.events import PeerFound, PeerLost, PeerUpdated
from twisted_p2p.lan.link import Link, LinkID
from twisted_p2p.lan.peer import LANPeer
from twisted_p2p.lan.records import Name

MOST_ADDRESSES = 16
"""How many addresses of a peer are told at most."""

MOST_PLACES = 16
"""How many instances may claim to be one peer, those that have its name apart."""

_Place = tuple[LinkID, Name]
"""A link, and the name of the instance that is seen there."""

_Seen = tuple[Sighting, tuple[HostPort, ...]]


class PeerTable:
    """Peers by their IDs; `next_event` tells what has become of them."""

    def __init__(self) -> None:
        self.peers: dict[str, LANPeer] = {}
        self._peer_ids: dict[_Place, str] = {}
        self._seen: dict[str, dict[_Place, _Seen]] = {}
        self._events: deque[PeerFound | PeerUpdated | PeerLost] = deque()

    def see(self, link: Link, name: Name, sighting: Sighting, peer_id: str) -> None:
        """Take it that an instance is seen on a link, and is a peer's.

        Of its addresses only those on the link count: others may be anybody's.
        """
        place = link.id, name
        addresses = tuple(_addresses(link, sighting))
        if not addresses or self._peer_ids.get(place, peer_id) != peer_id:
            self.lose(*place)
        is_own_name = sighting.instance == peer_id
        seen = self._seen.get(peer_id, {})
        if addresses and (is_own_name or place in seen or len(seen) < MOST_PLACES):
            self._peer_ids[place] = peer_id
            self._seen.setdefault(peer_id, {})[place] = sighting, addresses
            self._look_at(peer_id)

    def lose(self, link_id: LinkID, name: Name) -> None:
        """Take it that an instance is not seen on a link any more, if it was."""
        place = link_id, name
        peer_id = self._peer_ids.pop(place, None)
        if peer_id is not None:
            del self._seen[peer_id][place]
            self._look_at(peer_id)

    def lose_link(self, link_id: LinkID) -> None:
        """Take it that nothing is seen on a link any more."""
        for place in [each for each in self._peer_ids if each[0] == link_id]:
            self.lose(*place)

    def next_event(self) -> PeerFound | PeerUpdated | PeerLost | None:
        """Return the next thing that has become of a peer, or None."""
        return self._events.popleft() if self._events else None

    def _look_at(self, peer_id: str) -> None:
        before = self.peers.get(peer_id)
        if not self._seen[peer_id]:
            del self._seen[peer_id]
            assert before is not None, "it was seen"
            del self.peers[peer_id]
            self._events.append(PeerLost(before))
            return
        now = self.peers[peer_id] = self._described(peer_id)
        if before is None:
            self._events.append(PeerFound(now))
        elif before != now:
            self._events.append(PeerUpdated(now))

    def _described(self, peer_id: str) -> LANPeer:
        """Return all that is known of a peer.

        Several instances may claim to be the same peer.  All their addresses are worth a try; the
        rest is told by the one that has the peer's own name, or else by the first.
        """
        seen = self._seen[peer_id]
        addresses = {address for _, each in seen.values() for address in each}
        first = min(
            (sighting for sighting, _ in seen.values()), key=lambda s: s.instance != peer_id
        )
        return LANPeer(
            peer_id,
            tuple(sorted(addresses, key=_rank)[:MOST_ADDRESSES]),
            first.description.services,
            first.description.accepting,
            first.instance,
            tuple(sorted({link_id.interface for link_id, _ in seen})),
        )


def _addresses(link: Link, sighting: Sighting) -> Iterator[HostPort]:
    for host in sighting.hosts:
        if sighting.port and link.is_on_link(host):
            is_scoped = ":" in host and ip_address(host).is_link_local
            yield HostPort(f"{host}%{link.interface.name}" if is_scoped else host, sighting.port)


def _rank(address: HostPort) -> tuple[bool, bool, HostPort]:
    """Sort IPv4 before IPv6, and link-local addresses of that last."""
    return address.is_ipv6, "%" in address.host, address
