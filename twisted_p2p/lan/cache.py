"""The records that were heard on one link, for as long as they hold (RFC 6762, section 10)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush
from itertools import count

from attrs import define, evolve, frozen

from twisted_p2p.lan.records import Data, Question, Record

LONGEST_LIFETIME = 4_500
"""Seconds for which a record is remembered at most, whatever it says."""

GOODBYE = 1.0
"""Seconds for which a record is kept that is said goodbye to, or replaced (10.1, 10.2)."""

DOUBT = 10.0
"""Seconds in which a doubtful record must be heard again (sections 10.4 and 10.5)."""

REFRESH_JITTER = 0.02
"""The share of a lifetime over which questions for the same record are spread (5.2)."""

_REFRESH_SHARES = (0.8, 0.85, 0.9, 0.95)
_TOLERATED_SILENCES = 2
_TOLERATED_STALE = 64

Key = tuple[bytes, int]
"""What all records of a set have in common; see `Record.key`."""


@define(eq=False)
class _Entry:
    record: Record
    received: float
    expires: float
    refreshes: list[float]
    """When to ask for the record again, the earliest last."""
    silences: int = 0
    """How many questions for it were heard, and no answer."""
    watched: float | None = None
    """The deadline that is kept of it, or None."""

    def end_by(self, time: float) -> None:
        self.expires = min(self.expires, time)
        self.refreshes.clear()


@frozen
class Due:
    """What a moment asks of whoever has a cache."""

    expired: list[Record]
    """The records that were forgotten."""
    to_refresh: list[Key]
    """The sets to be asked for again."""


class RecordCache:
    """Records in sets of the same name and type.

    It keeps what it is given: whoever gives it records decides how many.
    """

    def __init__(self) -> None:
        self._sets: dict[Key, dict[Data, _Entry]] = {}
        self._deadlines: list[tuple[float, int, _Entry]] = []
        self._numbers = count()
        self._size = 0

    def get(self, key: Key) -> list[Record]:
        """Return the records of a set, that last that was heard last."""
        return [entry.record for entry in self._entries(key)]

    def has(self, record: Record) -> bool:
        """Whether a record is remembered, with whatever lifetime."""
        return record.data in self._sets.get(record.key, {})

    def size(self, key: Key) -> int:
        """Return how many records a set has."""
        return len(self._entries(key))

    def forget(self, key: Key) -> None:
        """Forget a set."""
        for entry in self._sets.pop(key, {}).values():
            entry.watched = None
            self._size -= 1

    def take(self, record: Record, now: float, jitter: float) -> bool:
        """Remember a record, anew or again, and return whether that is news.

        ``jitter``, from 0 to 1, tells by how much the questions are put off that refresh it; one
        for all records of a message lets one query ask for all of them.
        """
        if not record.ttl:
            for entry in self._entries(record.key):
                if entry.record.data == record.data:
                    self._end(entry, now + GOODBYE)
            return False
        lifetime = min(record.ttl, LONGEST_LIFETIME)
        refreshes = [
            now + lifetime * (share + REFRESH_JITTER * jitter)
            for share in reversed(_REFRESH_SHARES)
        ]
        heard = _Entry(evolve(record, ttl=lifetime), now, now + lifetime, refreshes)
        entries = self._sets.setdefault(record.key, {})
        before = entries.pop(record.data, None)
        if before is not None:
            before.watched = None
            self._size -= 1
        entries[record.data] = heard
        self._size += 1
        self._watch(heard)
        return before is None

    def flush(self, key: Key, now: float) -> None:
        """Let go of the records of a set that were not heard in the last second (10.2)."""
        for entry in self._entries(key):
            if entry.received < now - GOODBYE:
                self._end(entry, now + GOODBYE)

    def doubt(self, now: float) -> None:
        """Let go of whatever is not heard again soon, for the link may be another one now."""
        for key in self._sets:
            for entry in self._entries(key):
                self._end(entry, now + DOUBT)

    def known_answers(self, question: Question, now: float) -> list[Record]:
        """Return the answers that are good for more than half of their time (7.1)."""
        return [
            evolve(entry.record, ttl=int(entry.expires - now), is_unique=False)
            for entry in self._entries(question.key)
            if entry.expires - now > entry.record.ttl / 2
        ]

    def question_heard(self, question: Question, known: Iterable[Record], now: float) -> None:
        """Take it that another host asks: need not ask again soon (7.3), and expect answers.

        Who is asked for twice and does not answer is soon forgotten (section 10.5), but not if
        the record is shared: then its owner may be who asks.
        """
        entries = self._entries(question.key)
        named = {record.data for record in known if record.key == question.key} if entries else ()
        for entry in entries:
            ahead = REFRESH_JITTER * entry.record.ttl
            while entry.refreshes and entry.refreshes[-1] <= now + ahead:
                entry.refreshes.pop()
            if entry.record.is_unique and entry.record.data not in named:
                entry.silences += 1
            if entry.silences >= _TOLERATED_SILENCES:
                entry.end_by(now + DOUBT)
            self._watch(entry)

    def handle_timer(self, now: float) -> Due:
        """Forget what holds no longer, and tell, once, what is to be asked for again by now."""
        due = Due([], [])
        while (deadline := self.get_timer()) is not None and deadline <= now:
            entry = heappop(self._deadlines)[2]
            if entry.expires <= now:
                due.expired.append(entry.record)
                self._remove(entry)
                continue
            due.to_refresh.append(entry.record.key)
            while entry.refreshes and entry.refreshes[-1] <= now:
                entry.refreshes.pop()
            self._watch(entry)
        return due

    def get_timer(self) -> float | None:
        """Return when something expires or is to be asked for, or None."""
        while self._deadlines:
            deadline, _, entry = self._deadlines[0]
            if entry.watched == deadline:
                return deadline
            heappop(self._deadlines)
        return None

    def _entries(self, key: Key) -> Collection[_Entry]:
        return self._sets.get(key, {}).values()

    def _end(self, entry: _Entry, time: float) -> None:
        entry.end_by(time)
        self._watch(entry)

    def _remove(self, entry: _Entry) -> None:
        entry.watched = None
        self._size -= 1
        entries = self._sets[entry.record.key]
        del entries[entry.record.data]
        if not entries:
            del self._sets[entry.record.key]

    def _watch(self, entry: _Entry) -> None:
        """Have an entry's deadline kept; what it was before is kept no more."""
        deadline = entry.refreshes[-1] if entry.refreshes else entry.expires
        if deadline != entry.watched:
            entry.watched = deadline
            heappush(self._deadlines, (deadline, next(self._numbers), entry))
            if len(self._deadlines) > 2 * self._size + _TOLERATED_STALE:
                self._forget_stale_deadlines()

    def _forget_stale_deadlines(self) -> None:
        """Forget the deadlines of what was heard again, however often somebody says it."""
        self._deadlines = [each for each in self._deadlines if each[2].watched == each[0]]
        heapify(self._deadlines)
