"""Introductions of the last two minutes: who asked for whom, and how often that is allowed.

Every limit of promise 5 on the tracker's side is here.  ``now`` is seconds of one monotonic clock.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from hashlib import blake2b

from attrs import define, field

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.tracker.attributes import FORBIDDEN, NO_CAPACITY, TOO_MANY
from twisted_p2p.tracker.limits import Rates, Refusal, TrackerLimits, prefix
from twisted_p2p.tracker.messages import Answer, Introduce

REPEAT_TIME = 10
"""Seconds for which a request with the same box is the same introduction."""

ANSWER_TIME = 30
"""Seconds for which the target may answer."""

REPORT_TIME = 120
"""Seconds for which the initiator may report that it led to a connection."""

ACQUAINTANCE_TIME = 600
"""Seconds for which a peer is no stranger to one that has accepted it."""

MOST_ACQUAINTANCES = 50_000
"""Pairs of peers that are remembered, in some 10 MB; of more, the oldest are strangers again."""

_MINUTE = 60


@define(eq=False)
class _Introduction:
    initiator_key: bytes
    target_key: bytes
    path: DatagramPath
    """Where the initiator asked from, and where answers go."""
    begun_at: float
    network: bytes
    fingerprint: bytes
    hand_overs: int = 1
    answers: dict[bytes, int] = field(factory=dict)
    """How often each was handed over, by fingerprint."""


@define
class _Initiator:
    introductions: int = 0
    reportable: int = 0
    last_report: bytes = b""


class Introductions:
    """Counts and limits introductions, and leads answers back."""

    def __init__(self, key: bytes, limits: TrackerLimits) -> None:
        """Take a secret key of 16 to 64 random bytes."""
        self.total = 0
        self.succeeded_total = 0
        self._limits = limits
        self._rates = Rates(key, _MINUTE)
        self._all: deque[_Introduction] = deque()
        self._latest: dict[tuple[bytes, bytes], _Introduction] = {}
        self._by_strangers: defaultdict[bytes, deque[_Introduction]] = defaultdict(deque)
        self._initiators: defaultdict[bytes, _Initiator] = defaultdict(_Initiator)
        self._accepted_at: OrderedDict[bytes, float] = OrderedDict()

    def begin(self, asked: Introduce, path: DatagramPath, now: float, *, is_listed: bool) -> None:
        """Allow an offer to be handed over, and count it unless it is a repeat.

        ``is_listed`` says that the initiator is on the target's list.  Otherwise it is a
        stranger, unless the target has accepted it lately.  Raises `Refusal` when there are too
        many.
        """
        self.expire(now)
        pair = (asked.peer_key, asked.target_key)
        fingerprint = _fingerprint(asked.box)
        latest = self._latest.get(pair)
        if latest and latest.fingerprint == fingerprint and now < latest.begun_at + REPEAT_TIME:
            latest.hand_overs += 1
            self._limit_hand_overs(latest.hand_overs)
            return
        introduction = _Introduction(
            *pair, path, now, prefix(path.remote.host, 24, 48), fingerprint
        )
        is_stranger = not is_listed and not self._has_accepted(*pair, now)
        if is_stranger:
            self._limit_strangers(introduction)
        self._limit_initiator(introduction)
        if is_stranger:
            self._by_strangers[asked.target_key].append(introduction)
        self._all.append(introduction)
        self._latest[pair] = introduction
        initiator = self._initiators[asked.peer_key]
        initiator.introductions += 1
        initiator.reportable += 1
        self.total += 1

    def answer(self, asked: Answer, now: float) -> DatagramPath:
        """Return the path along which an answer goes to the initiator.

        Raises `Refusal` when there was no such introduction lately, and for too many answers.
        """
        introduction = self._latest.get((asked.target_key, asked.peer_key))
        if introduction is None or now >= introduction.begun_at + ANSWER_TIME:
            raise Refusal(FORBIDDEN, "that peer did not ask for you")
        fingerprint = _fingerprint(asked.box)
        answers = introduction.answers
        if fingerprint not in answers and len(answers) == self._limits.answers:
            raise Refusal(TOO_MANY, "this introduction has had its answers")
        answers[fingerprint] = answers.get(fingerprint, 0) + 1
        self._limit_hand_overs(answers[fingerprint])
        if asked.accepting:
            self._accepted(introduction, now)
        return introduction.path

    def report(self, peer_key: bytes, succeeded: int, transaction_id: bytes) -> None:
        """Count the introductions that led to a connection, as their initiator says.

        No more count than it asked for lately, each once, and a repeated request not again.
        """
        initiator = self._initiators.get(peer_key)
        if initiator is None or initiator.last_report == transaction_id:
            return
        initiator.last_report = transaction_id
        counted = min(succeeded, initiator.reportable)
        initiator.reportable -= counted
        self.succeeded_total += counted

    def next_expiry(self) -> float | None:
        """Return the time at which `expire` has something to do, or None."""
        return self._all[0].begun_at + REPORT_TIME if self._all else None

    def expire(self, now: float) -> None:
        """Forget the introductions of which nothing more can come."""
        while self._all and self._all[0].begun_at + REPORT_TIME <= now:
            self._forget(self._all.popleft())

    def _accepted(self, introduction: _Introduction, now: float) -> None:
        """Remember an acquaintance; what its target wanted is nothing to protect it from."""
        self._forget_stranger(introduction)
        pair = _fingerprint(introduction.initiator_key + introduction.target_key)
        self._accepted_at[pair] = now
        self._accepted_at.move_to_end(pair)
        if len(self._accepted_at) > MOST_ACQUAINTANCES:
            self._accepted_at.popitem(last=False)

    def _has_accepted(self, initiator_key: bytes, target_key: bytes, now: float) -> bool:
        accepted_at = self._accepted_at.get(_fingerprint(initiator_key + target_key))
        return accepted_at is not None and now < accepted_at + ACQUAINTANCE_TIME

    def _forget(self, introduction: _Introduction) -> None:
        pair = (introduction.initiator_key, introduction.target_key)
        if self._latest[pair] is introduction:
            del self._latest[pair]
        self._forget_stranger(introduction)
        initiator = self._initiators[introduction.initiator_key]
        initiator.introductions -= 1
        initiator.reportable = min(initiator.reportable, initiator.introductions)
        if not initiator.introductions:
            del self._initiators[introduction.initiator_key]

    def _forget_stranger(self, introduction: _Introduction) -> None:
        by_strangers = self._by_strangers.get(introduction.target_key, deque())
        if introduction in by_strangers:
            by_strangers.remove(introduction)
            if not by_strangers:
                del self._by_strangers[introduction.target_key]

    def _limit_hand_overs(self, count: int) -> None:
        if count > self._limits.hand_overs:
            raise Refusal(TOO_MANY, "this was handed over often enough")

    def _limit_initiator(self, new: _Introduction) -> None:
        now = new.begun_at
        if len(self._all) >= self._limits.introductions:
            wait = self._all[0].begun_at + REPORT_TIME - now
            raise Refusal(NO_CAPACITY, "this tracker is busy", retry_after=wait)
        source = prefix(new.path.remote.host, 32, 64)
        pair = new.initiator_key + new.target_key
        limits = self._limits
        if not (
            self._rates.admits(source, limits.introductions_by_source, now)
            and self._rates.admits(new.initiator_key, limits.introductions_by_peer, now)
            and self._rates.admits(pair, limits.introductions_of_pair, now)
        ):
            wait = self._rates.retry_after(now)
            raise Refusal(TOO_MANY, "you ask for too many introductions", retry_after=wait)

    def _limit_strangers(self, new: _Introduction) -> None:
        """Raise `Refusal` when a target has been asked for too often by those it does not list."""
        now = new.begun_at
        recent = [
            one
            for one in self._by_strangers.get(new.target_key, ())
            if now < one.begun_at + _MINUTE
        ]
        same_key = [one for one in recent if one.initiator_key == new.initiator_key]
        same_network = [one for one in recent if one.network == new.network]
        each, together = (
            self._limits.introductions_by_stranger,
            self._limits.introductions_by_strangers,
        )
        for those, limit in ((same_key, each), (same_network, each), (recent, together)):
            if len(those) >= limit:
                wait = those[-limit].begun_at + _MINUTE - now
                raise Refusal(TOO_MANY, "that peer was asked for too often", retry_after=wait)


def _fingerprint(box: bytes) -> bytes:
    """Return what tells a repeat: a box is sealed but once, whatever request carries it."""
    return blake2b(box, digest_size=16).digest()
