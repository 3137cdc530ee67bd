"""Who is here, for those who ask: drawn at random, fairly by network, and within the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted_p2p.tracker.attributes import MAXIMUM_LISTED, MAXIMUM_SIZE, TOO_MANY
from twisted_p2p.tracker.limits import Rates, Refusal, TrackerLimits, prefix
from twisted_p2p.tracker.listed_peer import ListedPeer
from twisted_p2p.tracker.messages import Listed, ListPeers
from twisted_p2p.tracker.registry import Registry

_SHARE = MAXIMUM_LISTED // 4
"""Peers of one network, an IPv4 /24 or an IPv6 /48, in one answer."""

_LOOKED_THROUGH = 4 * MAXIMUM_LISTED
"""Peers that list the asking one and are looked through for those of a topic."""

_ROOM = MAXIMUM_SIZE - 44
"""Bytes for peers in an answer: all but its header, version, number and fingerprint."""

_MINUTE = 60


class Listings:
    """Draws peers from a registry."""

    def __init__(
        self, registry: Registry, limits: TrackerLimits, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.total = 0
        self._registry = registry
        self._limits = limits
        self._random_bytes = random_bytes
        self._rates = Rates(random_bytes(32), _MINUTE)

    def limit(self, asked: ListPeers, host: str, now: float) -> None:
        """Raise `Refusal` when this peer or its network, that of ``host``, asks too often."""
        if not (
            self._rates.admits(asked.peer_key, self._limits.listings_by_peer, now)
            and self._rates.admits(prefix(host, 32, 64), self._limits.listings_by_source, now)
        ):
            wait = self._rates.retry_after(now)
            raise Refusal(TOO_MANY, "you ask for too many listings", retry_after=wait)

    def answer(self, asked: ListPeers) -> Listed:
        """Return peers that let everybody know, or this one, and have its topic.

        The latter have half of the room at most, since whoever lists a peer so chooses to be
        seen by it.
        """
        self.total += 1
        index, own = self._registry.index, asked.peer_key
        everybody, listing = index.of_topic(asked.topic), index.listing(own)
        looked_at = listing.draw(_LOOKED_THROUGH, _LOOKED_THROUGH, self._random_bytes)
        friends = [key for key in looked_at if key != own and self._has_topic(key, asked.topic)]
        others = everybody.draw(MAXIMUM_LISTED + 1, _SHARE, self._random_bytes)
        drawn = [*friends[: MAXIMUM_LISTED // 2], *(key for key in others if key != own)]
        in_all = len(everybody) - (own in everybody) + len(friends) + len(listing) - len(looked_at)
        return Listed(in_all, self._described(self._spread(drawn)[:MAXIMUM_LISTED]))

    def _has_topic(self, peer_key: bytes, topic: str) -> bool:
        peer = self._registry.peer(peer_key)
        return peer is not None and (not topic or topic in peer.record.topics)

    def _spread(self, drawn: list[bytes]) -> list[bytes]:
        """Return the first so many peers of each network, or all when there is but one."""
        counts: Counter[bytes] = Counter()
        spread = []
        for peer_key in drawn:
            network = self._registry.index.network_of(peer_key)
            counts[network] += 1
            if counts[network] <= _SHARE:
                spread.append(peer_key)
        return spread if len(counts) > 1 else drawn

    def _described(self, drawn: list[bytes]) -> tuple[ListedPeer, ...]:
        room = _ROOM // max(1, len(drawn))
        records = [peer.record for peer in map(self._registry.peer, drawn) if peer is not None]
        return tuple(
            ListedPeer.within(room, record.peer_id.public_key, record.accepting, record.services)
            for record in records
        )
