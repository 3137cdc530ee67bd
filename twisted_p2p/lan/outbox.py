"""The answers that wait to be multicast on one link (RFC 6762, section 6)."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from twisted_p2p.lan.cache import Key
from twisted_p2p.lan.records import Data, Record

RecordSet = tuple[Record, ...]
"""Records that are only sent together: a shared one alone, or all unique ones of a name and type,
since the cache-flush bit says that there are no others (section 10.2)."""

SHORTEST_GAP = 1.0
"""Seconds between two times that the same records are multicast."""

SHORTEST_DEFENCE_GAP = 0.25
"""The same when a name is defended against who probes for it."""

_SetKey = tuple[Key, Data | None]


def record_sets(records: Iterable[Record]) -> list[RecordSet]:
    """Return records in sets."""
    sets: dict[_SetKey, list[Record]] = {}
    for record in records:
        sets.setdefault(_key(record), []).append(record)
    return [tuple(each) for each in sets.values()]


@define
class _Waiting:
    records: RecordSet
    due: float


class Outbox:
    """Collects sets of records, and lets each go when it is due and was not sent just before."""

    def __init__(self) -> None:
        self._waiting: dict[_SetKey, _Waiting] = {}
        self._sent: dict[_SetKey, float] = {}

    def add(self, records: RecordSet, due: float, gap: float = SHORTEST_GAP) -> None:
        """Have a set sent at a time, or ``gap`` seconds after it was sent last if that is later."""
        key = _key(records[0])
        due = max(due, self._sent.get(key, due - gap) + gap)
        waiting = self._waiting.get(key)
        self._waiting[key] = _Waiting(records, min(due, waiting.due) if waiting else due)

    def heard(self, record: Record) -> None:
        """Take it that another host has sent a record, which then need not be sent again (7.4)."""
        waiting = self._waiting.get(_key(record))
        if waiting and not record.is_unique and record.ttl >= waiting.records[0].ttl:
            del self._waiting[_key(record)]

    def take(self, now: float) -> list[RecordSet]:
        """Return, once, the sets to send now, if any is due: with it all that may be sent (6.4)."""
        due = self.get_timer()
        if due is None or due > now:
            return []
        sets = [
            self._waiting.pop(key).records
            for key, waiting in list(self._waiting.items())
            if waiting.due <= now or self._sent.get(key, now - SHORTEST_GAP) <= now - SHORTEST_GAP
        ]
        for records in sets:
            self.note_sent(records, now)
        return sets

    def note_sent(self, records: RecordSet, now: float) -> None:
        """Take it that a set is multicast."""
        self._sent[_key(records[0])] = now

    def was_sent(self, records: RecordSet, since: float) -> bool:
        """Whether a set was multicast after a time."""
        return self._sent.get(_key(records[0]), since) > since

    def clear(self) -> None:
        """Send nothing of what waits."""
        self._waiting.clear()

    def get_timer(self) -> float | None:
        """Return when `take` will return something, or None."""
        return min((waiting.due for waiting in self._waiting.values()), default=None)


def _key(record: Record) -> _SetKey:
    return record.key, None if record.is_unique else record.data
