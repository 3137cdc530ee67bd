"""Who is registered, from where and until when: the rules over a store.

The service has checked signatures and addresses before it calls.  ``now`` is seconds of one
monotonic clock; what has expired is gone once `Registry.expire` was called with that time.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from hashlib import blake2b
from heapq import heappop, heappush
from typing import NamedTuple

from attrs import evolve

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.record import PeerRecord
from twisted_p2p.tracker.attributes import (
    MAXIMUM_ADDRESSES,
    NO_CAPACITY,
    STALE_SEQUENCE,
    TOO_MANY,
)
from twisted_p2p.tracker.limits import Refusal, TrackerLimits
from twisted_p2p.tracker.peer_index import (
    EVERYTHING,
    PeerIndex,
    listed_keys,
    network_of,
    open_topics,
)
from twisted_p2p.tracker.quotas import Quotas
from twisted_p2p.tracker.store import IPeerStore, RegisteredPeer, Registration


class _Place(NamedTuple):
    """What one peer registers from at most once."""

    peer_key: bytes
    address: HostPort
    is_stream: bool


class _HeldRecord(NamedTuple):
    """What is remembered of a peer's last record when the peer is gone."""

    sequence: int
    digest: bytes
    expiry: float


class Registry:
    """Registrations by peer and address, each until it expires unless it is refreshed."""

    def __init__(
        self,
        store: IPeerStore,
        limits: TrackerLimits,
        on_presence: Callable[[str, bool], object],
    ) -> None:
        """Begin; ``on_presence`` is told each peer that comes (True) or goes (False)."""
        self._on_presence = on_presence
        self._store = store
        self._limits = limits
        self._count = 0
        self._quotas = Quotas(limits)
        self._departed: OrderedDict[bytes, _HeldRecord] = OrderedDict()
        self._stream_peers: defaultdict[Hashable, set[bytes]] = defaultdict(set)
        # Each registration stands in the heap once, at its expiry or earlier.
        self._heap: list[tuple[float, _Place]] = []
        self._scheduled: dict[_Place, float] = {}

    def __len__(self) -> int:
        """Return the number of registrations; one peer may have several."""
        return self._count

    @property
    def index(self) -> PeerIndex:
        """The peers by what they are listed under; do not change it."""
        index: PeerIndex = self._store.index
        return index

    @property
    def peer_count(self) -> int:
        """The number of peers that are registered."""
        return len(self._store)

    def peer(self, peer_key: bytes) -> RegisteredPeer | None:
        """Return a peer that is registered from somewhere, or None."""
        return self._store.peer(peer_key)

    def find(self, peer_key: bytes, address: HostPort, is_stream: bool) -> Registration | None:
        """Return a peer's registration from an address, or None."""
        peer = self._store.peer(peer_key)
        place = _Place(peer_key, address, is_stream)
        for registration in peer.registrations if peer else ():
            if _place(peer_key, registration) == place:
                return registration
        return None

    def register(
        self, record: PeerRecord, encoded: bytes, path: DatagramPath, is_stream: bool, now: float
    ) -> Registration:
        """Register a peer with a verified record, and return the registration.

        Of more than `MAXIMUM_ADDRESSES` addresses the one refreshed longest ago goes.  Raises
        `Refusal` for a record that is not the peer's newest or has expired, and when the tracker,
        the peer's network or one of its topics has its fill.
        """
        key = record.peer_id.public_key
        digest = blake2b(encoded, digest_size=16).digest()
        record_expiry = self._record_expiry(key, record, digest, now)
        before = self.find(key, path.remote, is_stream)
        known = self._store.peer(key)
        if before is None:
            self._limit_registrations(path.remote.host)
        self._limit_topics(record, known.record if known else None, path.remote.host)
        self._limit_lists(record, known.record if known else None)
        peer = RegisteredPeer(record, digest, record_expiry, known.registrations if known else ())
        expiry = min(now + self._limits.registration_lifetime, record_expiry)
        registration = Registration(path, is_stream, expiry)
        self._put(key, peer, before, registration)
        if known is None:
            self._on_presence(str(record.peer_id), True)
        return registration

    def refresh(
        self, peer_key: bytes, path: DatagramPath, is_stream: bool, now: float
    ) -> Registration | None:
        """Keep a registration for another lifetime and return it; None when there is none."""
        before = self.find(peer_key, path.remote, is_stream)
        peer = self._store.peer(peer_key)
        if before is None or peer is None:
            return None
        expiry = min(now + self._limits.registration_lifetime, peer.record_expiry)
        registration = Registration(path, is_stream, expiry)
        self._put(peer_key, peer, before, registration)
        return registration

    def remove(self, peer_key: bytes, registration: Registration) -> None:
        """End a registration that is there."""
        peer = self._store.peer(peer_key)
        assert peer is not None
        rest = tuple(one for one in peer.registrations if one is not registration)
        self._forget(peer_key, registration)
        if rest:
            self._store.save(peer_key, evolve(peer, registrations=rest))
        else:
            self._store.remove(peer_key)
            self._remember(peer_key, peer)
            self._on_presence(str(peer.record.peer_id), False)

    def stream_lost(self, stream: Hashable) -> None:
        """End the registrations made over a stream, which was their path's local end."""
        for peer_key in self._stream_peers.pop(stream, set()):
            peer = self._store.peer(peer_key)
            for registration in peer.registrations if peer else ():
                if registration.path.local == stream:
                    self.remove(peer_key, registration)

    def next_expiry(self) -> float | None:
        """Return a time before which nothing expires, or None when nothing will."""
        return self._heap[0][0] if self._heap else None

    def expire(self, now: float) -> None:
        """End the registrations whose time is over."""
        while self._heap and self._heap[0][0] <= now:
            scheduled, place = heappop(self._heap)
            if self._scheduled.get(place) != scheduled:
                continue
            del self._scheduled[place]
            registration = self.find(*place)
            if registration is None:
                continue
            if registration.expiry <= now:
                self.remove(place.peer_key, registration)
            else:
                self._schedule(place, registration.expiry)

    def _record_expiry(self, key: bytes, record: PeerRecord, digest: bytes, now: float) -> float:
        """Return when the record's lifetime is over, counted from when it first came here."""
        held = self._held(key)
        if held is None or record.sequence > held.sequence:
            return now + record.lifetime
        if digest != held.digest:
            reason = "a newer record is known"
        elif now >= held.expiry:
            reason = "the record has expired"
        else:
            return held.expiry
        raise Refusal(STALE_SEQUENCE, reason, sequence=held.sequence)

    def _limit_registrations(self, host: str) -> None:
        """Raise `Refusal` when there is no room for another registration from this host."""
        if self._count >= self._limits.registrations:
            raise self._full(NO_CAPACITY, "this tracker is full")
        if not self._quotas.admit(host):
            raise self._full(TOO_MANY, "your network has too many registrations")

    def _limit_topics(self, record: PeerRecord, before: PeerRecord | None, host: str) -> None:
        """Raise `Refusal` when a topic that the peer did not have has its fill."""
        had = open_topics(before) if before else ()
        for topic in set(open_topics(record)) - {EVERYTHING, *had}:
            peers = self.index.of_topic(topic)
            if peers.count_of(network_of(host)) >= self._limits.peers_of_topic_and_network:
                raise self._full(TOO_MANY, "your network has too many peers of a topic")
            if len(peers) >= self._limits.peers_of_topic:
                raise self._full(NO_CAPACITY, "a topic has too many peers")
            if not peers and self.index.topics >= self._limits.topics:
                raise self._full(NO_CAPACITY, "there are too many topics")

    def _limit_lists(self, record: PeerRecord, before: PeerRecord | None) -> None:
        """Raise `Refusal` when a peer lists others, more than it did, and there is no room."""
        more = len(listed_keys(record)) - (len(listed_keys(before)) if before else 0)
        if more > 0 and self.index.listed + more > self._limits.listed_peers:
            raise self._full(NO_CAPACITY, "too many peers are listed by others")

    def _full(self, code: int, reason: str) -> Refusal:
        return Refusal(code, reason, retry_after=self._limits.registration_lifetime)

    def _held(self, key: bytes) -> _HeldRecord | None:
        peer = self._store.peer(key)
        if peer is None:
            return self._departed.get(key)
        return _HeldRecord(peer.record.sequence, peer.record_digest, peer.record_expiry)

    def _remember(self, key: bytes, peer: RegisteredPeer) -> None:
        """Keep what shows a rolled back record, of the last so many peers that left."""
        held = _HeldRecord(peer.record.sequence, peer.record_digest, peer.record_expiry)
        self._departed[key] = held
        if len(self._departed) > self._limits.departed_peers:
            self._departed.popitem(last=False)

    def _put(
        self,
        key: bytes,
        peer: RegisteredPeer,
        before: Registration | None,
        registration: Registration,
    ) -> None:
        """Save a peer with one registration added at the end, or moved there."""
        others = [one for one in peer.registrations if one is not before]
        if before is not None:
            self._leave_stream(key, before)
        else:
            if len(others) == MAXIMUM_ADDRESSES:
                self._forget(key, others.pop(0))
            self._count += 1
            self._quotas.add(registration.path.remote.host)
        if registration.is_stream:
            self._stream_peers[registration.path.local].add(key)
        self._departed.pop(key, None)
        self._store.save(key, evolve(peer, registrations=(*others, registration)))
        self._schedule(_place(key, registration), registration.expiry)

    def _forget(self, key: bytes, registration: Registration) -> None:
        """Count a registration no more."""
        self._leave_stream(key, registration)
        self._count -= 1
        self._quotas.remove(registration.path.remote.host)

    def _leave_stream(self, key: bytes, registration: Registration) -> None:
        peers = self._stream_peers.get(registration.path.local)
        if peers is not None:
            peers.discard(key)
            if not peers:
                del self._stream_peers[registration.path.local]

    def _schedule(self, place: _Place, expiry: float) -> None:
        scheduled = self._scheduled.get(place)
        if scheduled is None or expiry < scheduled:
            self._scheduled[place] = expiry
            heappush(self._heap, (expiry, place))


def _place(peer_key: bytes, registration: Registration) -> _Place:
    return _Place(peer_key, registration.path.remote, registration.is_stream)
