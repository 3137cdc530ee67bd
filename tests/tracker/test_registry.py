from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests import fewer_examples
from tests.tracker.world import identity
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.tracker.attributes import NO_CAPACITY, STALE_SEQUENCE
from twisted_p2p.tracker.crowd import Crowd
from twisted_p2p.tracker.limits import Refusal, TrackerLimits
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.registry import Registry
from twisted_p2p.tracker.store import IPeerStore, Registration

LIMITS = TrackerLimits(registrations=6, departed_peers=2)
SOCKET = HostPort("11.9.9.9", 3478)


def record_of(number: int, sequence: int = 1, lifetime: int = 3600) -> PeerRecord:
    return PeerRecord(identity(number).peer_id, sequence=sequence, lifetime=lifetime)


def path_from(port: int, local: object = SOCKET) -> DatagramPath:
    return DatagramPath(local, HostPort("11.1.1.1", port))  # type: ignore[arg-type]


class RegistryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = Registry(MemoryPeerStore(), LIMITS, lambda *_: None)
        self.key = identity(1).peer_id.public_key

    def register(
        self, number: int = 1, port: int = 4000, now: float = 0.0, **record: int
    ) -> Registration:
        content = record_of(number, **record)
        return self.registry.register(content, repr(content).encode(), path_from(port), False, now)

    def refusal_of(self, *arguments: Any, **options: Any) -> Any:
        refusal = self.assertRaises(Refusal, self.register, *arguments, **options)
        return refusal.failure(0xE1)

    def test_the_store_is_what_the_interface_says(self) -> None:
        self.assertTrue(verifyObject(IPeerStore, MemoryPeerStore()))

    def test_a_registration_lasts_for_its_lifetime(self) -> None:
        self.assertEqual(self.register().expiry, 45)
        self.assertEqual(self.registry.next_expiry(), 45)
        self.registry.expire(44.9)
        self.assertIsNotNone(self.registry.peer(self.key))
        self.registry.expire(45)
        self.assertIsNone(self.registry.peer(self.key))
        self.assertEqual((len(self.registry), self.registry.peer_count), (0, 0))
        self.assertIsNone(self.registry.next_expiry())

    def test_a_refresh_prolongs_it(self) -> None:
        self.register()
        refreshed = self.registry.refresh(self.key, path_from(4000), False, 30)
        assert refreshed is not None
        self.assertEqual(refreshed.expiry, 75)
        self.registry.expire(74)
        self.assertEqual(len(self.registry), 1)
        self.registry.expire(75)
        self.assertEqual(len(self.registry), 0)

    def test_a_refresh_from_elsewhere_finds_nothing(self) -> None:
        self.register()
        for path, is_stream in ((path_from(4001), False), (path_from(4000), True)):
            self.assertIsNone(self.registry.refresh(self.key, path, is_stream, 1))
        self.assertIsNone(self.registry.refresh(bytes(32), path_from(4000), False, 1))

    def test_a_registration_never_outlives_its_record(self) -> None:
        self.register(lifetime=60)
        refreshed = self.registry.refresh(self.key, path_from(4000), False, 30)
        assert refreshed is not None
        self.assertEqual(refreshed.expiry, 60)

    def test_the_same_record_again_keeps_its_first_time(self) -> None:
        self.register(lifetime=60)
        self.assertEqual(self.register(now=30, lifetime=60).expiry, 60)

    def test_a_shorter_record_brings_the_expiry_forward(self) -> None:
        self.register()
        self.register(sequence=2, lifetime=10)
        self.registry.expire(10)
        self.assertEqual(len(self.registry), 0)
        self.register(now=10, sequence=3)
        self.registry.expire(45)
        self.assertEqual(len(self.registry), 1)

    def test_a_record_that_has_expired_is_refused(self) -> None:
        self.register(lifetime=60)
        self.registry.expire(60)
        failure = self.refusal_of(now=60, lifetime=60)
        self.assertEqual((failure.error.code, failure.sequence), (STALE_SEQUENCE, 1))
        self.register(now=60, sequence=2)

    def test_an_older_record_and_another_of_the_same_sequence_are_refused(self) -> None:
        self.register(sequence=5)
        for record in ({"sequence": 4}, {"sequence": 5, "lifetime": 3601}):
            failure = self.refusal_of(**record)
            self.assertEqual((failure.error.code, failure.sequence), (STALE_SEQUENCE, 5))
        self.register(sequence=5)
        self.register(sequence=6)

    def test_a_departed_peer_cannot_roll_back_while_it_is_remembered(self) -> None:
        for number in (1, 2, 3):
            registration = self.register(number, sequence=5)
            self.registry.remove(identity(number).peer_id.public_key, registration)
        self.register(1, sequence=4)  # forgotten, as two more have left since
        for number in (2, 3):
            self.assertEqual(self.refusal_of(number, sequence=4).error.code, STALE_SEQUENCE)

    def test_a_newer_record_counts_for_all_addresses(self) -> None:
        self.register(port=4000)
        self.register(port=4001, sequence=2)
        peer = self.registry.peer(self.key)
        assert peer is not None
        self.assertEqual(peer.record.sequence, 2)
        self.assertEqual([one.path.remote.port for one in peer.registrations], [4000, 4001])

    def test_a_fifth_address_takes_the_place_of_the_one_refreshed_longest_ago(self) -> None:
        for port in (1, 2, 3, 4):
            self.register(port=port)
        self.registry.refresh(self.key, path_from(1), False, 1)
        self.register(port=5)
        peer = self.registry.peer(self.key)
        assert peer is not None
        self.assertEqual([one.path.remote.port for one in peer.registrations], [3, 4, 1, 5])
        self.assertEqual(len(self.registry), 4)

    def test_a_full_registry_takes_nobody_new_but_keeps_its_own(self) -> None:
        for number in range(1, 7):
            self.register(number)
        failure = self.refusal_of(7)
        self.assertEqual((failure.error.code, failure.retry_after_ms), (NO_CAPACITY, 45_000))
        self.register(1, sequence=2)

    def test_removing_one_address_leaves_the_others(self) -> None:
        first = self.register(port=4000)
        self.register(port=4001)
        self.registry.remove(self.key, first)
        self.assertIsNone(self.registry.find(self.key, HostPort("11.1.1.1", 4000), False))
        self.assertIsNotNone(self.registry.find(self.key, HostPort("11.1.1.1", 4001), False))

    def test_leaving_and_coming_back_does_not_bring_the_old_expiry_back(self) -> None:
        self.registry.remove(self.key, self.register())
        self.register(now=40)
        self.registry.expire(45)
        self.assertEqual(len(self.registry), 1)
        self.registry.expire(85)
        self.assertEqual(len(self.registry), 0)


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = Registry(MemoryPeerStore(), LIMITS, lambda *_: None)

    def register(self, number: int, stream: str, port: int = 4000) -> Registration:
        content = record_of(number)
        path = path_from(port, stream)
        return self.registry.register(content, repr(content).encode(), path, True, 0.0)

    def test_a_lost_stream_takes_its_registrations_along_and_no_others(self) -> None:
        self.register(1, "one")
        self.register(2, "one")
        self.register(2, "two", 4002)
        self.registry.stream_lost("one")
        self.assertIsNone(self.registry.peer(identity(1).peer_id.public_key))
        self.assertEqual(len(self.registry), 1)
        self.registry.stream_lost("one")
        self.registry.stream_lost("two")
        self.assertEqual(len(self.registry), 0)

    def test_of_two_peers_behind_one_stream_one_leaves(self) -> None:
        leaving = self.register(1, "one")
        self.register(2, "one")
        self.registry.remove(identity(1).peer_id.public_key, leaving)
        self.assertEqual(len(self.registry), 1)
        self.registry.stream_lost("one")
        self.assertEqual(len(self.registry), 0)

    def test_a_stream_that_took_over_an_address_keeps_it(self) -> None:
        self.register(1, "one")
        self.register(1, "two")
        self.registry.stream_lost("one")
        self.assertEqual(len(self.registry), 1)

    def test_a_stream_tells_its_host_and_no_port(self) -> None:
        self.assertEqual(self.register(1, "one").told_address, HostPort("11.1.1.1", 0))
        registration = Registration(path_from(4000), False, 1.0)
        self.assertEqual(registration.told_address, HostPort("11.1.1.1", 4000))


def key_of(number: int) -> bytes:
    return identity(number).peer_id.public_key


def changing_record(number: int, sequence: int) -> PeerRecord:
    """Return a record whose policy and topics go round as its sequence rises."""
    return evolve(
        record_of(number, sequence, lifetime=100),
        address_policy=AddressPolicy(sequence % 3),
        listed_keys=(identity(number % 4 + 1).peer_id.public_key,),
        topics=("a", "b")[: sequence // 3 % 3],
    )


class RegistryMachine(RuleBasedStateMachine):
    """The registry against a model that knows registrations by peer, port and kind alone."""

    numbers = st.integers(1, 4)
    ports = st.integers(1, 3)
    streams = st.booleans()

    def __init__(self) -> None:
        super().__init__()
        self.limits = evolve(LIMITS, registrations=10, departed_peers=10)
        self.registry = Registry(MemoryPeerStore(), self.limits, lambda *_: None)
        self.now = 0.0
        self.expiries: dict[tuple[int, int, bool], float] = {}
        self.records: dict[int, tuple[int, float]] = {}

    @rule(number=numbers, port=ports, is_stream=streams, step=st.integers(-1, 2))
    def register(self, number: int, port: int, is_stream: bool, step: int) -> None:
        sequence, received = self.records.get(number, (0, self.now))
        asked = max(0, sequence + step)
        content = changing_record(number, asked)
        place = (number, port, is_stream)
        is_known = number in self.records
        received = self.now if not is_known or asked > sequence else received
        is_stale = is_known and (asked < sequence or self.now >= received + 100)
        is_full = place not in self.expiries and len(self.expiries) >= self.limits.registrations
        path = path_from(port, f"stream {number} {port}" if is_stream else SOCKET)
        try:
            self.registry.register(content, repr(content).encode(), path, is_stream, self.now)
        except Refusal:
            assert is_stale or is_full
            return
        assert not is_stale
        assert not is_full
        self.records[number] = (asked, received)
        self.touch(place, min(self.now + 45, received + 100))

    def touch(self, place: tuple[int, int, bool], expiry: float) -> None:
        self.expiries.pop(place, None)
        own = [other for other in self.expiries if other[0] == place[0]]
        if len(own) == 4:
            del self.expiries[own[0]]
        self.expiries[place] = expiry

    @rule(number=numbers, port=ports, is_stream=streams)
    def refresh(self, number: int, port: int, is_stream: bool) -> None:
        place = (number, port, is_stream)
        path = path_from(port, f"stream {number} {port}" if is_stream else SOCKET)
        key = identity(number).peer_id.public_key
        refreshed = self.registry.refresh(key, path, is_stream, self.now)
        assert (refreshed is not None) == (place in self.expiries)
        if refreshed is not None:
            self.touch(place, min(self.now + 45, self.records[number][1] + 100))

    @precondition(lambda self: self.expiries)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(sorted(self.expiries)))
        number, port, is_stream = place
        key = identity(number).peer_id.public_key
        found = self.registry.find(key, HostPort("11.1.1.1", port), is_stream)
        assert found is not None
        self.registry.remove(key, found)
        del self.expiries[place]

    @rule(number=numbers, port=ports)
    def lose_stream(self, number: int, port: int) -> None:
        self.registry.stream_lost(f"stream {number} {port}")
        self.expiries.pop((number, port, True), None)

    @rule(seconds=st.sampled_from([0.5, 10.0, 44.0, 45.0, 101.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.registry.expire(self.now)
        self.expiries = {place: end for place, end in self.expiries.items() if end > self.now}

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert len(self.registry) == len(self.expiries)
        assert self.registry.peer_count == len({place[0] for place in self.expiries})
        for number in range(1, 5):
            peer = self.registry.peer(identity(number).peer_id.public_key)
            held = [
                (number, one.path.remote.port, one.is_stream)
                for one in (peer.registrations if peer else ())
            ]
            assert held == [place for place in self.expiries if place[0] == number]
        expected = Counter({bytes((11, 1, 1, 1)): len(self.expiries)})
        assert self.registry._quotas._counts == +expected
        timer = self.registry.next_expiry()
        assert timer is not None or not self.expiries
        assert timer is None or timer <= min(self.expiries.values(), default=timer)

    @invariant()
    def lists_whom_the_records_say(self) -> None:
        expected: defaultdict[str | bytes, set[bytes]] = defaultdict(set)
        for number in {place[0] for place in self.expiries}:
            record = changing_record(number, self.records[number][0])
            if record.address_policy is AddressPolicy.ANYONE:
                for topic in ("", *record.topics):
                    expected[topic].add(record.peer_id.public_key)
            elif record.address_policy is AddressPolicy.LISTED:
                expected[record.listed_keys[0]].add(record.peer_id.public_key)
        index = self.registry.index
        assert index.listed == sum(len(index.listing(key)) for key in map(key_of, range(1, 5)))
        assert index.topics == len({"a", "b"} & set(expected))
        crowds: dict[str | bytes, Crowd] = {
            topic: index.of_topic(topic) for topic in ("", "a", "b")
        }
        crowds.update((key, index.listing(key)) for key in map(key_of, range(1, 5)))
        for name, crowd in crowds.items():
            assert len(crowd) == len(expected[name])
            assert all(peer_key in crowd for peer_key in expected[name])


class RegistryStateTests(SynchronousTestCase):
    def test_registrations_are_those_of_the_model_after_any_history(self) -> None:
        run_state_machine_as_test(
            RegistryMachine,
            settings=settings(max_examples=fewer_examples(0.5), stateful_step_count=30),
        )
