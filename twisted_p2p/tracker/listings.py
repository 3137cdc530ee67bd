"""Who is here, for those who ask: drawn at random, fairly by network, and within the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted_p2p.tracker.attributes import MAXIMUM_LISTED, MAXIMUM_SIZE, TOO_MANY
from twisted_p2p.tracker.limits import Rates, Refusal, TrackerLimits, prefix
from twisted_p2p.tracker.listed_peer import ListedPeer
from twisted_p2p.tracker.messages import Listed, ListPeers
from twisted_p2p.tracker.peer_index import PeerIndex

_SHARE = MAXIMUM_LISTED // 4
"""Peers of one network, an IPv4 /24 or an IPv6 /48, in one answer."""

_LOOKED_THROUGH = 4 * MAXIMUM_LISTED
"""Peers that list the asking one and are looked through for those of a topic."""

_ROOM = MAXIMUM_SIZE - 44
"""Bytes for peers in an answer: all but its header, version, number and fingerprint."""

_MINUTE = 60


class Listings:
    """Draws peers from an index."""

    def __init__(
        self, index: PeerIndex, limits: TrackerLimits, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.total = 0
        self._index = index
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
        """Return peers of a topic that let everybody know, or list the asking one.

        The latter have half of the room at most, so that nobody fills it by listing a peer that
        never asked to be listed.
        """
        self.total += 1
        own, topic = asked.peer_key, asked.topic
        everybody, listing = self._index.of_topic(topic), self._index.listing(own)
        looked_at = listing.draw(_LOOKED_THROUGH, _LOOKED_THROUGH, self._random_bytes)
        friends = [key for key in looked_at if key != own and self._has_topic(key, topic)]
        others = everybody.draw(MAXIMUM_LISTED + 1, _SHARE, self._random_bytes)
        drawn = [*friends[: MAXIMUM_LISTED // 2], *(key for key in others if key != own)]
        in_all = len(everybody) - (own in everybody) + len(friends) + len(listing) - len(looked_at)
        return Listed(in_all, self._described(self._spread(drawn)[:MAXIMUM_LISTED]))

    def _has_topic(self, peer_key: bytes, topic: str) -> bool:
        return not topic or topic in self._index.record_of(peer_key).topics

    def _spread(self, drawn: list[bytes]) -> list[bytes]:
        """Return the first so many peers of each network, or all when there is but one."""
        counts: Counter[bytes] = Counter()
        spread = []
        for peer_key in drawn:
            network = self._index.network_of(peer_key)
            counts[network] += 1
            if counts[network] <= _SHARE:
                spread.append(peer_key)
        return spread if len(counts) > 1 else drawn

    def _described(self, drawn: list[bytes]) -> tuple[ListedPeer, ...]:
        room = _ROOM // max(1, len(drawn))
        records = map(self._index.record_of, drawn)
        return tuple(
            ListedPeer.within(room, peer_key, record.accepting, record.services)
            for peer_key, record in zip(drawn, records, strict=True)
        )
