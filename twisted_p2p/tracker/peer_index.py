"""Which peers a tracker lists to whom, kept so that no listing looks through all of them.

A peer that lets everybody know its address is listed to everybody, under each of its topics; one
that lists peers, to these alone; and one that decides by its answers, to nobody.
"""

from __future__ import annotations

from typing import TypeVar

from attrs import frozen

from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.tracker.crowd import Crowd
from twisted_p2p.tracker.limits import prefix
from twisted_p2p.tracker.store import RegisteredPeer

NameT = TypeVar("NameT", str, bytes)

EVERYTHING = ""
"""The topic that every peer has."""

_NOBODY = Crowd()


@frozen
class _Entry:
    """How a peer is indexed."""

    record: PeerRecord
    host: str
    """One of its addresses, which it counts for as long as it keeps that."""
    network: bytes


class PeerIndex:
    """Registered peers by topic, and by whom they list.  A store tells it every change."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._by_topic: dict[str, Crowd] = {}
        self._by_listed: dict[bytes, Crowd] = {}
        self.listed = 0
        """How many peers are listed by others, each counted as often as it is."""

    @property
    def topics(self) -> int:
        """The number of topics that somebody has."""
        return len(self._by_topic) - (EVERYTHING in self._by_topic)

    def of_topic(self, topic: str) -> Crowd:
        """Return the peers with a topic that everybody may see; do not change it."""
        return self._by_topic.get(topic, _NOBODY)

    def listing(self, peer_key: bytes) -> Crowd:
        """Return the peers of any topic that list this peer; do not change it."""
        return self._by_listed.get(peer_key, _NOBODY)

    def network_of(self, peer_key: bytes) -> bytes:
        """Return the network, IPv4 /24 or IPv6 /48, that a peer that is here counts for."""
        return self._entries[peer_key].network

    def record_of(self, peer_key: bytes) -> PeerRecord:
        """Return the record of a peer that is here."""
        return self._entries[peer_key].record

    def put(self, peer_key: bytes, peer: RegisteredPeer) -> None:
        """Take a peer for what it is now; one that was refreshed alone costs next to nothing."""
        entry = self._entries.get(peer_key)
        if entry is not None:
            if entry.record is peer.record and _is_at(peer, entry.host):
                return
            self.remove(peer_key)
        host = peer.registrations[-1].path.remote.host
        entry = _Entry(peer.record, host, network_of(host))
        self._entries[peer_key] = entry
        for topic in open_topics(entry.record):
            _add(self._by_topic, topic, peer_key, entry.network)
        for listed in listed_keys(entry.record):
            _add(self._by_listed, listed, peer_key, entry.network)
            self.listed += 1

    def remove(self, peer_key: bytes) -> None:
        """Forget a peer that is there."""
        entry = self._entries.pop(peer_key)
        for topic in open_topics(entry.record):
            _remove(self._by_topic, topic, peer_key, entry.network)
        for listed in listed_keys(entry.record):
            _remove(self._by_listed, listed, peer_key, entry.network)
            self.listed -= 1


def network_of(host: str) -> bytes:
    """Return the network, IPv4 /24 or IPv6 /48, that an address counts for."""
    return prefix(host, 24, 48)


def open_topics(record: PeerRecord) -> tuple[str, ...]:
    """Return the topics under which a peer is listed to everybody."""
    if record.address_policy is not AddressPolicy.ANYONE:
        return ()
    return (EVERYTHING, *record.topics)


def listed_keys(record: PeerRecord) -> frozenset[bytes]:
    """Return the keys of the peers to which alone a peer is listed."""
    if record.address_policy is not AddressPolicy.LISTED:
        return frozenset()
    return frozenset(record.listed_keys)


def _is_at(peer: RegisteredPeer, host: str) -> bool:
    return any(registration.path.remote.host == host for registration in peer.registrations)


def _add(crowds: dict[NameT, Crowd], name: NameT, peer_key: bytes, network: bytes) -> None:
    crowd = crowds.get(name)
    if crowd is None:
        crowd = crowds[name] = Crowd()
    crowd.add(peer_key, network)


def _remove(crowds: dict[NameT, Crowd], name: NameT, peer_key: bytes, network: bytes) -> None:
    crowd = crowds[name]
    crowd.remove(peer_key, network)
    if not crowd:
        del crowds[name]
