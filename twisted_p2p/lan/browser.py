"""What one link is asked, and which instances of the service are there.

Multicast DNS as a querier (RFC 6762, sections 5, 7 and 10), for one type of service.  Of what is
said on the link it remembers nothing else.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from itertools import chain, islice

from attrs import frozen

from twisted_p2p.lan.cache import Key, RecordCache
from twisted_p2p.lan.chance import Chance
from twisted_p2p.lan.question_series import QuestionSeries
from twisted_p2p.lan.records import (
    ExistingTypes,
    HostAddress,
    Location,
    Message,
    Name,
    Pointer,
    Question,
    Record,
    RecordType,
    Text,
)
from twisted_p2p.lan.service_records import (
    SERVICE_TYPE,
    Description,
    instance_of,
    is_service_pointer,
    read_text,
)

MOST_INSTANCES = 1_000
"""How many instances are remembered; those that come later are not there."""

_MOST_OF_A_SET = 16
_MOST_QUESTIONS = 50
_QUESTIONS_A_SECOND = 500.0
_BROWSED: Key = (SERVICE_TYPE, RecordType.PTR)
_ADDRESS_TYPES = (RecordType.A, RecordType.AAAA)
_ORDER: dict[int, int] = {RecordType.PTR: 0, RecordType.SRV: 1}


@frozen
class Sighting:
    """An instance of the service, as one link tells of it."""

    instance: str
    description: Description
    port: int
    hosts: tuple[str, ...]
    """The IP addresses that are told, in no order."""


class Browser:
    """A querier on one link.

    It is told what is wanted by commands; `take_touched` then names the instances about which
    `sighting` may return something else than before.
    """

    def __init__(self, chance: Chance, dropped: Counter[str]) -> None:
        """Take where to count, by reason, the records that are not remembered."""
        self._chance = chance
        self._dropped = dropped
        self._cache = RecordCache()
        self._is_browsing = False
        self._sought: set[Name] = set()
        self._own: Name | None = None
        self._instances: dict[Name, str] = {}
        self._unlisted: set[Name] = set()
        """The instances that were looked for by name, and that nothing else has led to."""
        self._locations: dict[Name, set[Name]] = {}
        """The instances that are at a host."""
        self._series: dict[Key, QuestionSeries] = {}
        self._missing: dict[Name, set[Key]] = {}
        """What is asked about an instance, since it is not known."""
        self._to_refresh: dict[Key, None] = {}
        self._silent_until = 0.0
        self._touched: set[Name] = set()
        self._outgoing: deque[Message] = deque()

    # Commands.

    def browse(self, now: float) -> None:
        """Look for all instances."""
        self._is_browsing = True
        self._series.setdefault(_BROWSED, QuestionSeries.beginning(now, self._chance))
        for name in self._instances:
            self._complete(name, now)

    def stop_browsing(self) -> None:
        """Look for no more; what is known holds for as long as it says."""
        self._is_browsing = False
        self._series.pop(_BROWSED, None)
        for name in self._instances.keys() - self._sought:
            self._ask_no_more(name)

    def look_for(self, name: Name, now: float) -> None:
        """Look for one instance by its name, at once."""
        name = name.lower()
        instance = instance_of(name)
        if instance is not None and name not in self._sought:
            self._sought.add(name)
            if name not in self._instances:
                self._instances[name] = instance
                self._unlisted.add(name)
            self._complete(name, now, at_once=True)

    def look_no_more(self, name: Name) -> None:
        """Look for that no more."""
        name = name.lower()
        self._sought.discard(name)
        self._forget_unless_there(name)

    def ignore(self, own: Name | None) -> None:
        """Take an instance for this node's own, which is nothing to be found."""
        self._own = own.lower() if own else None
        if self._own in self._instances:
            self._sought.discard(self._own)
            self._forget(self._own)

    def restart(self, now: float) -> None:
        """Ask again who is there: whoever does not answer is soon forgotten (section 10.4)."""
        if self._is_browsing:
            self._cache.doubt(now)
        for key in self._series:
            self._series[key] = QuestionSeries.beginning(now, self._chance)

    @property
    def instances(self) -> list[Name]:
        """The whole names of instances that are known, or looked for, in lower case."""
        return list(self._instances)

    def take_touched(self) -> set[Name]:
        """Return, once, the names of the instances that have changed."""
        touched, self._touched = self._touched, set()
        return touched

    def sighting(self, name: Name) -> Sighting | None:
        """Return what is known of an instance by its name, or None while that is not all."""
        if name not in self._instances:
            return None
        location, description = self._location(name), self._description(name)
        if location is None or description is None:
            return None
        hosts = self._hosts(location.target.lower())
        if not hosts:
            return None
        return Sighting(self._instances[name], description, location.port, tuple(hosts))

    # What is heard.

    def receive_response(self, message: Message, now: float) -> None:
        """Remember what is of use."""
        jitter = self._chance.between(0.0, 1.0)
        records = sorted(
            (*message.answers, *message.additional), key=lambda each: _ORDER.get(each.key[1], 2)
        )
        taken = [record for record in records if self._take(record, now, jitter)]
        for key in {record.key for record in taken if record.is_unique}:
            self._cache.flush(key, now)
        for name in set(self._affected(taken)) & self._touched & self._instances.keys():
            self._complete(name, now)

    def receive_query(self, message: Message, now: float) -> None:
        """Let another host's question stand for one's own, if it wants to know as much (7.3)."""
        for question in dict.fromkeys(message.questions):
            if question.wants_unicast:
                continue
            series = self._series.get(question.key)
            named = filter(question.is_answered_by, message.answers)
            if series is not None and all(map(self._is_known, named)):
                series.heard(now)
            if not message.is_truncated:
                self._cache.question_heard(question, message.answers, now)

    def _is_known(self, record: Record) -> bool:
        is_own = isinstance(record.data, Pointer) and record.data.target.lower() == self._own
        return is_own or self._cache.has(record)

    # Time.

    def handle_timer(self, now: float) -> None:
        """Forget what has expired, and ask what is due."""
        due = self._cache.handle_timer(now)
        for record in due.expired:
            self._expired(record, now)
        self._to_refresh.update(dict.fromkeys(filter(self._is_of_interest, due.to_refresh)))
        if now >= self._silent_until:
            self._ask_what_is_due(now)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` is wanted, or None."""
        times = [series.due for series in self._series.values()]
        if self._to_refresh:
            times.append(0.0)
        if times:
            times = [max(min(times), self._silent_until)]
        expiry = self._cache.get_timer()
        return min(times if expiry is None else [*times, expiry], default=None)

    def take_messages(self) -> list[Message]:
        """Return, once, the queries to send, of any length."""
        messages = list(self._outgoing)
        self._outgoing.clear()
        return messages

    def _ask_what_is_due(self, now: float) -> None:
        """Ask some questions, and none for a while, the longer the more they were.

        So those that are due soon after go together, and nobody can have the link flooded by
        telling of peers that are not there.
        """
        due = [key for key, series in self._series.items() if series.due <= now]
        due.sort(key=lambda key: self._series[key].due)
        keys = list(islice(dict.fromkeys(chain(due, self._to_refresh)), _MOST_QUESTIONS))
        for key in keys:
            self._to_refresh.pop(key, None)
            if key in self._series:
                self._series[key].asked(now)
        self._silent_until = now + len(keys) / _QUESTIONS_A_SECOND
        if keys:
            self._ask(keys, now)

    def _ask(self, keys: Iterable[Key], now: float) -> None:
        questions = tuple(Question(name, number) for name, number in keys)
        known = [
            answer
            for question in questions
            if question.type == RecordType.PTR
            for answer in self._cache.known_answers(question, now)
        ]
        self._outgoing.append(Message(questions=questions, answers=tuple(known)))

    # What is remembered.

    def _take(self, record: Record, now: float, jitter: float) -> bool:
        if not self._is_wanted(record):
            return False
        if not self._cache.has(record) and record.ttl:
            if self._cache.size(record.key) >= self._limit(record):
                self._dropped["too many records"] += 1
                return False
            self._note(record)
        is_one_of_several = record.is_unique and self._cache.size(record.key) > 1
        # What is heard again changes nothing, but for which of several is heard last.
        if self._cache.take(record, now, jitter) or is_one_of_several:
            self._touched.update(self._affected([record]))
        return True

    def _is_wanted(self, record: Record) -> bool:
        name = record.name.lower()
        match record.data:
            case Pointer(target):
                return is_service_pointer(record) and self._is_wanted_instance(target.lower())
            case Location(_, target):
                return name in self._instances and b"\\" not in target
            case Text():
                return name in self._instances
            case HostAddress() | ExistingTypes():
                return name in self._locations
        return False

    def _is_wanted_instance(self, name: Name) -> bool:
        if name in self._instances:
            return True
        if not self._is_browsing or name == self._own or instance_of(name) is None:
            return False
        if len(self._instances) >= MOST_INSTANCES:
            self._dropped["too many services"] += 1
            return False
        return True

    def _limit(self, record: Record) -> int:
        return MOST_INSTANCES if isinstance(record.data, Pointer) else _MOST_OF_A_SET

    def _note(self, record: Record) -> None:
        """Prepare for what belongs to a record that is new."""
        if isinstance(record.data, Pointer):
            name = record.data.target.lower()
            instance = instance_of(record.data.target)
            assert instance is not None, "or it would not be wanted"
            self._instances.setdefault(name, instance)
            self._unlisted.discard(name)
        elif isinstance(record.data, Location):
            at_host = self._locations.setdefault(record.data.target.lower(), set())
            at_host.add(record.name.lower())

    def _affected(self, records: Iterable[Record]) -> Iterable[Name]:
        """Yield the instances that records belong to."""
        for record in records:
            name = record.name.lower()
            if isinstance(record.data, Pointer):
                yield record.data.target.lower()
            elif isinstance(record.data, HostAddress | ExistingTypes):
                yield from self._locations.get(name, ())
            else:
                yield name

    def _expired(self, record: Record, now: float) -> None:
        names = list(self._affected([record]))
        self._touched.update(names)
        if isinstance(record.data, Pointer):
            self._forget_unless_there(record.data.target.lower())
        elif isinstance(record.data, Location):
            self._leave_host(record.name.lower(), record.data.target.lower())
            self._forget_unless_there(record.name.lower())
        for name in names:
            if name in self._instances:
                self._complete(name, now)

    def _forget_unless_there(self, name: Name) -> None:
        is_listed = self._cache.has(Record(SERVICE_TYPE, Pointer(name), 0))
        is_located = name in self._unlisted and self._cache.size((name, RecordType.SRV))
        if name not in self._sought and not is_listed and not is_located:
            self._forget(name)

    def _forget(self, name: Name) -> None:
        self._ask_no_more(name)
        self._instances.pop(name, None)
        self._unlisted.discard(name)
        for record in self._cache.get((name, RecordType.SRV)):
            assert isinstance(record.data, Location)
            self._leave_host(name, record.data.target.lower())
        for number in (RecordType.SRV, RecordType.TXT):
            self._cache.forget((name, number))
        self._touched.add(name)

    def _leave_host(self, name: Name, host: Name) -> None:
        instances = self._locations.get(host, set())
        instances.discard(name)
        if not instances and self._locations.pop(host, None) is not None:
            for number in (*_ADDRESS_TYPES, RecordType.NSEC):
                self._cache.forget((host, number))

    # What is asked about an instance.

    def _complete(self, name: Name, now: float, *, at_once: bool = False) -> None:
        """Ask for what is not known of an instance, and no more for what is."""
        is_wanted = self._is_browsing or name in self._sought
        missing = self._unknown(name) if is_wanted else set()
        asked = self._missing.get(name, set())
        for key in asked - missing:
            self._series.pop(key, None)
        for key in missing - asked:
            series = QuestionSeries.beginning(now, self._chance, at_once=at_once)
            self._series.setdefault(key, series)
        self._missing[name] = missing
        if not missing:
            del self._missing[name]

    def _ask_no_more(self, name: Name) -> None:
        for key in self._missing.pop(name, ()):
            self._series.pop(key, None)

    def _unknown(self, name: Name) -> set[Key]:
        location = self._location(name)
        unknown = {
            (name, int(number))
            for number in (RecordType.SRV, RecordType.TXT)
            if not self._cache.size((name, number))
        }
        if location is None or self._hosts(location.target.lower()):
            return unknown
        host = location.target.lower()
        denied = self._cache.get((host, RecordType.NSEC))
        has = [record.data.types for record in denied if isinstance(record.data, ExistingTypes)]
        return unknown | {
            (host, int(number))
            for number in _ADDRESS_TYPES
            if all(number in types for types in has)
        }

    def _is_of_interest(self, key: Key) -> bool:
        name, number = key
        if number == RecordType.PTR:
            return self._is_browsing
        if number == RecordType.NSEC:
            return False
        instances = {name} | self._locations.get(name, set())
        return any(
            self._is_browsing or each in self._sought for each in instances & {*self._instances}
        )

    # Records as what they mean.

    def _location(self, name: Name) -> Location | None:
        found = [record.data for record in self._cache.get((name, RecordType.SRV))]
        return found[-1] if found and isinstance(found[-1], Location) else None

    def _description(self, name: Name) -> Description | None:
        found = [record.data for record in self._cache.get((name, RecordType.TXT))]
        return read_text(found[-1]) if found and isinstance(found[-1], Text) else None

    def _hosts(self, host: Name) -> list[str]:
        return [
            record.data.host
            for number in _ADDRESS_TYPES
            for record in self._cache.get((host, number))
            if isinstance(record.data, HostAddress)
        ]
