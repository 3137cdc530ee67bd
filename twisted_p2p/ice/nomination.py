"""Which pair both sides use: the controlling side nominates, the controlled one accepts."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from twisted_p2p.ice.checklist import CandidatePair

_MARGIN = 0.005  # seconds; a difference of round-trip times below this is noise

# For how many seconds an answer proves that a pair works in this direction: enough for the first
# round of checks.  Later a NAT may have forgotten its mapping.
_FRESH = 1.0

# The seconds that the nominated pair has at least to answer a challenge: time for four probes.
_LEAST_RESPITE = 0.3


@define
class _Challenge:
    challenger: CandidatePair
    began_at: float
    decide_at: float


class Nomination:
    """The pair nominated last, and the number of that nomination.

    The methods of either role tell by their result whether a pair has become the selected one.
    """

    def __init__(self) -> None:
        self.pair: CandidatePair | None = None
        self.number = 0
        self._challenge: _Challenge | None = None

    # The controlling role.

    def number_for(self, pair: CandidatePair) -> int | None:
        """Return the number that a check of this pair is to carry, if the pair is nominated."""
        return self.number if pair is self.pair else None

    def nominate(self, pair: CandidatePair, now: float) -> None:
        """Choose a pair; its checks carry the nomination until one of them is answered."""
        self.pair = pair
        self.number += 1
        self._challenge = None
        pair.start(now)

    def answered(self, pair: CandidatePair, number: int | None, now: float) -> bool:
        """Take an answer to a check that carried this number."""
        incumbent = self.pair
        if pair is incumbent:
            return number == self.number
        if incumbent is None or not incumbent.is_valid or _is_clearly_better(pair, incumbent):
            self.nominate(pair, now)
        elif self._challenge is None:
            self._begin_challenge(pair, incumbent, now)
        return False

    def is_worth_checking(self, pair: CandidatePair, now: float) -> bool:
        """Return whether a valid pair on which the peer is heard again should prove itself.

        Its NAT may have returned to an old mapping.
        """
        return pair is not self.pair and not _is_fresh(pair, now)

    def nominate_best(self, valid: Iterable[CandidatePair], now: float) -> None:
        """Nominate the best of the valid pairs, or none."""
        self.pair = max(valid, key=lambda pair: pair.priority(True), default=None)
        if self.pair is not None:
            self.nominate(self.pair, now)

    def get_timer(self) -> float | None:
        """Return when a challenge is to be decided, or None."""
        return self._challenge.decide_at if self._challenge else None

    def handle_timer(self, now: float) -> None:
        """Nominate the challenger if the nominated pair has not answered in time."""
        challenge, incumbent = self._challenge, self.pair
        if challenge is None or now < challenge.decide_at:
            return
        self._challenge = None
        last_answer = incumbent.answered_at if incumbent else None
        if last_answer is None or last_answer < challenge.began_at:
            self.nominate(challenge.challenger, now)

    def _begin_challenge(
        self, challenger: CandidatePair, incumbent: CandidatePair, now: float
    ) -> None:
        # The peer is heard from another address, which answers as well.  Either it has two, or
        # its NAT gave it a new one and the nominated pair is dead: an answer tells which.
        respite = max(_LEAST_RESPITE, 3 * incumbent.round_trip_time)
        self._challenge = _Challenge(challenger, now, now + respite)
        incumbent.start(now)

    # The controlled role.

    def accept(self, pair: CandidatePair, number: int | None, now: float) -> bool:
        """Take a nomination that came along this pair, with its number if it has one.

        One that repeats the last number along another path follows a NAT that has given the peer
        a new address, or is a copy that was long under way: the pair must answer first.
        """
        if number is None:  # a peer that knows the bare RFC; what it says last holds
            number = self.number
        is_first = self.pair is None
        if number < self.number or (pair is self.pair and number == self.number):
            return False
        is_newer = is_first or number > self.number
        self.pair, self.number = pair, number
        if is_newer and _is_fresh(pair, now):
            return True
        if pair.is_valid:
            pair.start(now)
        return False

    # Both roles.

    @property
    def pairs(self) -> tuple[CandidatePair, ...]:
        """The pairs that must not be forgotten."""
        challenger = self._challenge.challenger if self._challenge else None
        return tuple(pair for pair in (self.pair, challenger) if pair)


def _is_fresh(pair: CandidatePair, now: float) -> bool:
    return pair.answered_at is not None and now - pair.answered_at <= _FRESH


def _is_clearly_better(pair: CandidatePair, other: CandidatePair) -> bool:
    """Return whether one valid pair is so much better that the path should move to it.

    That is faster beyond noise, or preferred by priority (a LAN address over a punched one, IPv6
    over IPv4) and not slower beyond it.
    """
    if pair.priority(True) > other.priority(True):
        return pair.round_trip_time < other.round_trip_time + _MARGIN
    return pair.round_trip_time < other.round_trip_time - _MARGIN
