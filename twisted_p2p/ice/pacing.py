"""How often a stranger may be probed: the brake that keeps a punch from becoming a flood.

An address in an offer may be a third party's.  Until it shows the peer's password it gets few
probes, and all such addresses together one per pace (promise: nobody can aim this node at others).
"""

from __future__ import annotations

from collections import Counter

from twisted_p2p.addresses import HostPort
from twisted_p2p.ice.checklist import CandidatePair


class Pacer:
    """Counts and spaces the probes to addresses that never answered."""

    def __init__(self, *, pace: float, limit: int) -> None:
        """Space them by ``pace`` seconds, and allow ``limit`` of them to an address or a pair."""
        self.next_slot = float("-inf")
        """When the next such probe may leave."""
        self._pace = pace
        self._limit = limit
        self._sent: Counter[HostPort] = Counter()

    def is_spent(self, pair: CandidatePair) -> bool:
        """Return whether a pair has had all its probes, or a stranger's address from any socket."""
        if pair.probes >= self._limit:
            return True
        return not pair.is_authenticated and self._sent[pair.path.remote] >= self._limit

    def due_at(self, pair: CandidatePair) -> float | None:
        """Return when the next probe of a pair may leave, or when to give up if it is spent."""
        if pair.next_probe is None or pair.is_authenticated or self.is_spent(pair):
            return pair.next_probe
        return max(pair.next_probe, self.next_slot)

    def probed(self, pair: CandidatePair, now: float) -> None:
        """Count a probe that leaves now; one to where the peer has been heard needs no brake."""
        if not pair.is_authenticated:
            self._sent[pair.path.remote] += 1
            self.next_slot = now + self._pace


class Following:
    """How often to check an address that the peer shows up at although another one works.

    Its NAT may have given it a new one.  But where both NATs map by port, each check comes from a
    new port and so asks for a check of that, on both sides and without an end.
    """

    def __init__(self, *, most: int, interval: float) -> None:
        """Allow ``most`` addresses in a row, and one more every ``interval`` seconds."""
        self._allowance = most * interval
        self._interval = interval
        self._paid_until = float("-inf")

    def admits(self, now: float) -> bool:
        """Return whether to check one more address now, which then counts."""
        paid_until = max(self._paid_until, now) + self._interval
        if paid_until > now + self._allowance:
            return False
        self._paid_until = paid_until
        return True
