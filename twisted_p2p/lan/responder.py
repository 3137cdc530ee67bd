"""A node's own records on one link: claimed, announced, told to who asks, and withdrawn.

Multicast DNS as a responder (RFC 6762, sections 6 to 10).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from itertools import islice

from attrs import define, evolve

from twisted_p2p.addresses import HostPort
from twisted_p2p.datagram.machine import TimerTable
from twisted_p2p.lan.chance import Chance
from twisted_p2p.lan.outbox import (
    SHORTEST_DEFENCE_GAP,
    SHORTEST_GAP,
    Outbox,
    RecordSet,
    record_sets,
)
from twisted_p2p.lan.records import Message, Name, Question, Record, RecordType
from twisted_p2p.lan.service_records import NodeRecords, further_records, with_lifetime
from twisted_p2p.lan.wire import encode_data

PORT = 5353
"""The UDP port of multicast DNS."""

PROBES = 3
PROBE_GAP = 0.25
"""Seconds (section 8.1)."""

LOST_PROBE_WAIT = 1.0
"""Seconds that a host waits which loses to another one that probes at the same time (8.2)."""

ANNOUNCEMENTS = 2
ANNOUNCEMENT_GAP = 1.0
"""Seconds (section 8.3)."""

SHARED_DELAYS = (0.02, 0.12)
"""Seconds by which an answer is put off that others may give too."""

TRUNCATED_DELAYS = (0.4, 0.5)
"""Seconds for which more known answers are waited for (section 7.2)."""

LEGACY_LIFETIME = 10
"""Seconds for which answers by unicast DNS hold at most (section 6.7)."""

_MOST_QUESTIONS = 32
"""Questions of a query that are answered at most, and known answers that are kept of it."""

_MOST_HELD = 64
"""Queries, and answers to a single host, that wait at most; more of them are dropped."""


class Outcome(Enum):
    """What has become of the claim to the records."""

    ANNOUNCED = "announced"
    """They are this node's own, and have been announced for the first time."""
    TAKEN = "taken"
    """A name is another host's."""


class _Stage(Enum):
    SILENT = 0
    PROBING = 1
    CLAIMED = 2


class _Timer(Enum):
    PROBE = 0
    ANNOUNCE = 1


@define
class _Query:
    """A query, with what follows it when it was truncated."""

    source: HostPort
    id: int
    questions: tuple[Question, ...]
    known: tuple[Record, ...]
    is_probe: bool
    due: float

    def knows(self, records: RecordSet) -> bool:
        """Whether all of a set is known for long enough (section 7.1)."""
        return all(
            any(each.says_the_same(own) and each.ttl >= own.ttl / 2 for each in self.known)
            for own in records
        )


Outgoing = tuple[Message, HostPort | None]
"""A message, and to whom alone it is sent, or None."""


class Responder:
    """A responder on one link, for the records of one node."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._records: NodeRecords | None = None
        self._names: frozenset[Name] = frozenset()
        self._stage = _Stage.SILENT
        self._probes = 0
        self._announcements = 0
        self._timers: TimerTable[_Timer] = TimerTable()
        self._outbox = Outbox()
        self._held: dict[HostPort, _Query] = {}
        self._replies: list[tuple[float, Message, HostPort]] = []
        self._outgoing: deque[Outgoing] = deque()
        self._outcomes: deque[Outcome] = deque()

    # Commands.

    def claim(self, records: NodeRecords, now: float, wait: float = 0.0) -> None:
        """Make records this node's own, after ``wait`` seconds; an `Outcome` follows."""
        if records != self._records:
            self._outbox = Outbox()
        self._set_records(records)
        self._stage = _Stage.PROBING
        self._forget_pending()
        self._probe_from(now + wait + self._chance.between(0.0, PROBE_GAP))

    def update(self, records: NodeRecords, now: float) -> None:
        """Announce other records of the same names (section 8.4)."""
        self._set_records(records)
        if self._stage is _Stage.CLAIMED:
            self._outbox.clear()
            self._begin_to_announce(now)

    def withdraw(self) -> None:
        """Say goodbye to what was announced (section 10.1), and be silent."""
        if self._records is not None and self._stage is _Stage.CLAIMED:
            goodbye = tuple(with_lifetime(record, 0) for record in self._records.announced)
            self._outgoing.append((Message(is_response=True, answers=goodbye), None))
        self._records = None
        self._stage = _Stage.SILENT
        self._forget_pending()

    # What is heard.

    def receive_query(self, message: Message, source: HostPort, now: float) -> None:
        """Answer a query, soon or later, as far as it asks for what is this node's own."""
        if self._stage is _Stage.PROBING and self._loses_to(message):
            self._probe_from(now + LOST_PROBE_WAIT)
        if self._stage is not _Stage.CLAIMED:
            return
        known = tuple(each for each in message.answers if self._is_own(each))
        wanted = filter(self._answers_to, dict.fromkeys(message.questions))
        questions = tuple(islice(wanted, _MOST_QUESTIONS))
        held = self._held.get(source)
        if held is not None:
            asked = dict.fromkeys(held.questions + questions)
            held.questions = tuple(asked)[:_MOST_QUESTIONS]
            held.known = (*held.known, *known)[:_MOST_QUESTIONS]
            if message.is_truncated:
                held.due = now + self._chance.between(*TRUNCATED_DELAYS)
            return
        query = _Query(source, message.id, questions, known, bool(message.authority), now)
        if message.is_truncated and len(self._held) < _MOST_HELD:
            query.due += self._chance.between(*TRUNCATED_DELAYS)
            self._held[source] = query
        elif questions:
            self._respond(query, now, delays=SHARED_DELAYS)

    def receive_response(self, message: Message, now: float) -> None:
        """Look for records in a response that contradict this node's own, or spare it theirs."""
        if self._records is None:
            return
        for record in (*message.answers, *message.additional):
            own = [each for each in self._records.all if each.key == record.key]
            same = [each for each in own if each.says_the_same(record)]
            if same:
                self._heard_own(same[0], record, now)
            elif record.ttl and self._contradicts(record, own):
                self._conflict(now)
                return

    # Time.

    def handle_timer(self, now: float) -> None:
        """Probe, announce and answer what is due."""
        for timer in self._timers.pop_due(now):
            if timer is _Timer.PROBE:
                self._probe(now)
            else:
                self._announce(now)
        for query in [each for each in self._held.values() if each.due <= now]:
            del self._held[query.source]
            self._respond(query, now, delays=(0.0, 0.0))
        for reply in [each for each in self._replies if each[0] <= now]:
            self._replies.remove(reply)
            self._outgoing.append(reply[1:])
        self._multicast(self._outbox.take(now), now)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` is wanted, or None."""
        times = [query.due for query in self._held.values()]
        times += [due for due, *_ in self._replies]
        times += filter(None, (self._timers.earliest(), self._outbox.get_timer()))
        return min(times, default=None)

    def take_messages(self) -> list[Outgoing]:
        """Return, once, what to send, of any length."""
        messages = list(self._outgoing)
        self._outgoing.clear()
        return messages

    def next_outcome(self) -> Outcome | None:
        """Return the next thing that has become of the claim, or None."""
        return self._outcomes.popleft() if self._outcomes else None

    def _set_records(self, records: NodeRecords) -> None:
        self._records = records
        self._names = frozenset(record.name.lower() for record in records.all)

    # Claiming (section 8).

    def _probe_from(self, time: float) -> None:
        self._probes = 0
        self._timers.set(_Timer.PROBE, time)

    def _probe(self, now: float) -> None:
        assert self._records is not None
        if self._probes == PROBES:
            self._stage = _Stage.CLAIMED
            self._outcomes.append(Outcome.ANNOUNCED)
            self._begin_to_announce(now)
            return
        self._probes += 1
        self._timers.set(_Timer.PROBE, now + PROBE_GAP)
        names = dict.fromkeys(record.name for record in self._records.unique)
        # Not for answers by unicast: they may end at another program that shares the port (15.1).
        questions = tuple(Question(name, RecordType.ANY) for name in names)
        proposed = tuple(evolve(record, is_unique=False) for record in self._records.unique)
        self._outgoing.append((Message(questions=questions, authority=proposed), None))

    def _loses_to(self, message: Message) -> bool:
        """Whether another host that probes for one of the names has the better records (8.2)."""
        assert self._records is not None
        return any(
            _in_order(message.authority, name) > _in_order(self._records.unique, name)
            for name in {record.name.lower() for record in self._records.unique}
        )

    def _begin_to_announce(self, now: float) -> None:
        self._announcements = ANNOUNCEMENTS
        self._announce(now)

    def _announce(self, now: float) -> None:
        assert self._records is not None
        self._announcements -= 1
        if self._announcements:
            self._timers.set(_Timer.ANNOUNCE, now + ANNOUNCEMENT_GAP)
        for records in record_sets(self._records.announced):
            self._outbox.add(records, now)

    def _contradicts(self, record: Record, own: list[Record]) -> bool:
        """Whether somebody else's record cannot be true beside this node's own (section 9)."""
        assert self._records is not None
        if self._stage is _Stage.CLAIMED:
            return any(each.is_unique for each in own)
        return self._records.existing_types(record.name) is not None

    def _conflict(self, now: float) -> None:
        """Probe for one's own names again, or give them up when that is what was done."""
        assert self._records is not None
        if self._stage is _Stage.PROBING:
            self._outcomes.append(Outcome.TAKEN)
            self._stage = _Stage.SILENT
            self._records = None
            self._forget_pending()
        else:
            self.claim(self._records, now)

    def _heard_own(self, own: Record, heard: Record, now: float) -> None:
        """Set right who would soon forget (section 6.6), and do not repeat the others (7.4)."""
        if self._stage is not _Stage.CLAIMED:
            return
        if heard.ttl < own.ttl / 2:
            assert self._records is not None
            (records,) = (each for each in record_sets(self._records.all) if own in each)
            self._outbox.add(records, now)
        else:
            self._outbox.heard(heard)

    def _forget_pending(self) -> None:
        self._timers = TimerTable()
        self._outbox.clear()
        self._held.clear()
        self._replies.clear()

    # Answering (section 6).

    def _respond(self, query: _Query, now: float, delays: tuple[float, float]) -> None:
        by_unicast: list[RecordSet] = []
        by_multicast: list[RecordSet] = []
        for question in query.questions:
            for records in self._answers_to(question):
                if query.knows(records):
                    continue
                was_told = self._outbox.was_sent(records, now - records[0].ttl / 4)
                if query.source.port != PORT or (question.wants_unicast and was_told):
                    by_unicast.append(records)
                else:
                    by_multicast.append(records)
        is_shared = any(not records[0].is_unique for records in (*by_unicast, *by_multicast))
        due = now + (self._chance.between(*delays) if is_shared else 0.0)
        gap = SHORTEST_DEFENCE_GAP if query.is_probe else SHORTEST_GAP
        for records in by_multicast:
            self._outbox.add(records, due, gap)
        if by_unicast and len(self._replies) < _MOST_HELD:
            self._reply(query, by_unicast, due)

    def _answers_to(self, question: Question) -> list[RecordSet]:
        """Return what answers a question; of a name of one's own at least what there is."""
        assert self._records is not None
        if question.name.lower() not in self._names:
            return []
        found = record_sets(each for each in self._records.all if question.is_answered_by(each))
        denial = None if found else self._records.existing_types(question.name)
        return [(denial,)] if denial is not None else found

    def _is_own(self, record: Record) -> bool:
        assert self._records is not None
        return any(each.says_the_same(record) for each in self._records.all)

    def _reply(self, query: _Query, sets: list[RecordSet], due: float) -> None:
        """Answer whoever asks alone, as unicast DNS does if that is what it speaks (6.7)."""
        answers = _flat(sets)
        message = Message(
            is_response=True, answers=answers, additional=self._additional(answers, since=due)
        )
        if query.source.port != PORT:
            message = Message(
                is_response=True,
                id=query.id,
                questions=tuple(evolve(each, wants_unicast=False) for each in query.questions),
                answers=_for_legacy(message.answers),
                additional=_for_legacy(message.additional),
            )
        self._replies.append((due, message, query.source))

    def _multicast(self, sets: list[RecordSet], now: float) -> None:
        if not sets:
            return
        answers = _flat(sets)
        additional = self._additional(answers, since=now - SHORTEST_GAP)
        for records in record_sets(additional):
            self._outbox.note_sent(records, now)
        message = Message(is_response=True, answers=answers, additional=additional)
        self._outgoing.append((message, None))

    def _additional(self, answers: tuple[Record, ...], since: float) -> tuple[Record, ...]:
        """Return what goes with answers, but for what was multicast since a time."""
        assert self._records is not None
        wanted = dict.fromkeys(further_records(self._records, answers))
        sets = record_sets(record for record in wanted if record not in answers)
        return _flat(records for records in sets if not self._outbox.was_sent(records, since))


def _in_order(records: Iterable[Record], name: Name) -> list[tuple[int, bytes]]:
    """Return the records of a name as they are compared; the greater ones win (section 8.2.1)."""
    return sorted(
        (int(record.data.type), encode_data(record.data))
        for record in records
        if record.name.lower() == name
    )


def _for_legacy(records: tuple[Record, ...]) -> tuple[Record, ...]:
    return tuple(
        evolve(record, ttl=min(record.ttl, LEGACY_LIFETIME), is_unique=False) for record in records
    )


def _flat(sets: Iterable[RecordSet]) -> tuple[Record, ...]:
    return tuple(dict.fromkeys(record for records in sets for record in records))
