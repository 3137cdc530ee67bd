"""What a listing tells a program: the peers that are here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from twisted_p2p.errors import InvalidPeerID
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.tracker.listed_peer import ListedPeer
from twisted_p2p.tracker.messages import Listed


@frozen
class PresentPeer:
    """A peer that is here, as a tracker has it; it proves nothing."""

    peer_id: str
    """The text form of its public key."""

    accepting: bool
    """Whether it accepts connections at all."""

    services: tuple[str, ...]
    """The names of services that it offers."""

    has_more_services: bool
    """Whether it offers others too, for which there was no room; a look-up tells them all."""


@frozen
class Listing:
    """Some of the peers that are here."""

    peers: tuple[PresentPeer, ...]
    """In random order, at most a quarter of them of one IPv4 /24 or IPv6 /48, if any other has
    one.
    """

    in_all: int
    """How many there are in all, so whether it may be worth while to ask again."""


def read_listing(listed: Listed) -> Listing:
    """Return what a tracker listed, without keys that are none."""
    return Listing(tuple(_present(listed.peers)), listed.in_all)


def _present(listed: Iterable[ListedPeer]) -> Iterator[PresentPeer]:
    for peer in listed:
        try:
            peer_id = PeerID.from_public_key(peer.peer_key)
        except InvalidPeerID:
            continue
        yield PresentPeer(str(peer_id), peer.accepting, peer.services, peer.has_more_services)
