"""Promises 18 and 21: a flood hides no honest peer, and no network takes all the room."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.world import SERVER
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.tracker.attributes import NO_CAPACITY, TOO_MANY
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, Refusal, TrackerLimits
from twisted_p2p.tracker.listings import Listings
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.messages import ListPeers
from twisted_p2p.tracker.registry import Registry


class NumberedPeerID(str):
    """A peer ID whose key is no point of the curve: thousands of true ones take seconds."""

    @property
    def public_key(self) -> bytes:
        return self.encode().rjust(32)


class Crowded:
    """A registry that peers come to by the thousand; their signatures count as checked."""

    def __init__(self, limits: TrackerLimits = DEFAULT_LIMITS) -> None:
        self.registry = Registry(MemoryPeerStore(), limits, lambda *_: None)
        self.listings = Listings(self.registry.index, limits, Random(18).randbytes)
        self.refused: Counter[int] = Counter()

    def register(self, name: str, host: str, port: int = 4000, **record: Any) -> None:
        """Try to register, at second 0."""
        peer_id: Any = NumberedPeerID(name)
        options = {"address_policy": AddressPolicy.ANYONE, "accepting": True, **record}
        content = PeerRecord(peer_id, 1, 300, **options)
        path = DatagramPath(SERVER, HostPort(host, port))
        try:
            self.registry.register(content, name.encode(), path, False, 0.0)
        except Refusal as refusal:
            failure = refusal.failure(0xE1)
            self.refused[failure.error.code] += 1
            assert failure.retry_after_ms == 45_000

    def draw(self, topic: str) -> list[str]:
        """Return the names that one answer tells."""
        answer = self.listings.answer(ListPeers(bytes(32), bytes(16), topic))
        return [peer.peer_key.decode().strip() for peer in answer.peers]


class Promise18AFloodHidesNobody(SynchronousTestCase):
    def flooded(self, honest_hosts: list[str]) -> Crowded:
        """Return a registry with 10,000 false peers of one /24, whatever it lets in by default."""
        crowded = Crowded(evolve(DEFAULT_LIMITS, peers_of_topic_and_network=10_000))
        for number in range(10_000):
            host, port = f"11.66.6.{number % 256}", 1024 + number
            crowded.register(f"false {number}", host, port, topics=("chat",))
        for number, host in enumerate(honest_hosts):
            crowded.register(f"honest {number}", host, topics=("chat",))
        self.assertEqual((len(crowded.registry), crowded.refused), (10_020, Counter()))
        return crowded

    def test_promise_18_each_honest_peer_is_seen_in_95_of_100_listings(self) -> None:
        crowded = self.flooded([f"11.1.{number}.1" for number in range(20)])
        seen: Counter[str] = Counter()
        for _ in range(100):
            drawn = crowded.draw("chat")
            false = sum(name.startswith("false") for name in drawn)
            self.assertLessEqual(false, 24 // 4)
            seen.update(drawn)
        for number in range(20):
            self.assertGreaterEqual(seen[f"honest {number}"], 95)

    def test_promise_18_honest_peers_of_one_network_are_found_by_asking_again(self) -> None:
        crowded = self.flooded([f"11.1.1.{number}" for number in range(20)])
        found_all = 0
        for _ in range(20):
            names = {name for _ in range(16) for name in crowded.draw("chat")}
            found_all += sum(name.startswith("honest") for name in names) == 20
        self.assertGreaterEqual(found_all, 17)

    def test_promise_18_by_default_one_network_has_a_thousand_peers_of_a_topic(self) -> None:
        crowded = Crowded()
        for number in range(1_500):
            crowded.register(f"false {number}", f"11.66.6.{number % 256}", topics=("chat",))
        crowded.register("honest", "11.1.1.1", topics=("chat",))
        self.assertEqual(crowded.refused, Counter({TOO_MANY: 500}))
        self.assertIn("honest", crowded.draw("chat"))


class Promise21Caps(SynchronousTestCase):
    LIMITS = evolve(
        DEFAULT_LIMITS,
        registrations=100,
        registrations_of_ipv4_address=10,
        registrations_of_ipv6_64=10,
        registrations_of_ipv6_56=15,
        registrations_of_ipv6_48=18,
        topics=4,
        listed_peers=8,
        peers_of_topic=12,
        peers_of_topic_and_network=5,
    )

    def setUp(self) -> None:
        self.crowded = Crowded(self.LIMITS)

    def assert_admitted(self, admitted: int, **refused: int) -> None:
        codes = {"too_many": TOO_MANY, "no_capacity": NO_CAPACITY}
        self.assertEqual(len(self.crowded.registry), admitted)
        expected = Counter({codes[name]: count for name, count in refused.items()})
        self.assertEqual(self.crowded.refused, expected)

    def test_promise_21_an_ipv4_address_has_so_many_registrations(self) -> None:
        for number in range(14):
            self.crowded.register(str(number), "11.1.1.1", 4000 + number)
        self.crowded.register("neighbour", "11.1.1.2")
        self.assert_admitted(11, too_many=4)

    def test_promise_21_so_has_each_ipv6_network(self) -> None:
        for number, host in enumerate(
            [
                *["2a00:1:2:3::1"] * 12,  # 10 of the /64
                *["2a00:1:2:4::1"] * 8,  # 5 more of the /56
                *["2a00:1:2:ff00::1"] * 5,  # 3 more of the /48
                "2a00:1:3::1",
            ]
        ):
            self.crowded.register(str(number), host, 4000 + number)
        self.assert_admitted(19, too_many=7)

    def test_promise_21_room_comes_back(self) -> None:
        for _ in range(3):
            for number in range(10):
                self.crowded.register(str(number), "11.1.1.1", 4000 + number)
            self.crowded.register("2", "11.1.1.1", 4002)  # is there already
            self.assert_admitted(10)
            self.crowded.registry.expire(45.0)

    def test_promise_21_a_peer_that_moves_takes_the_room_of_its_last_addresses_alone(self) -> None:
        for number in range(30):
            self.crowded.register("mover", f"11.1.{number % 3}.1", 4000 + number)
        self.assert_admitted(4)

    def test_promise_21_a_network_and_all_have_so_many_peers_of_a_topic(self) -> None:
        for number in range(7):
            self.crowded.register(f"a{number}", f"11.1.1.{number}", topics=("chat",))
        self.assert_admitted(5, too_many=2)
        for number in range(10):
            self.crowded.register(f"b{number}", f"11.2.{number}.1", topics=("chat",))
        self.assert_admitted(12, too_many=2, no_capacity=3)
        self.crowded.register("c", "11.1.1.9", topics=("other",))
        self.crowded.register("a1", "11.1.1.1", topics=("chat",))  # has it already
        self.assert_admitted(13, too_many=2, no_capacity=3)

    def test_promise_21_there_are_so_many_topics(self) -> None:
        for number in range(6):
            self.crowded.register(str(number), f"11.1.{number}.1", topics=(f"topic {number}",))
        self.assert_admitted(4, no_capacity=2)
        self.crowded.register("6", "11.1.6.1", topics=("topic 3",))
        self.assert_admitted(5, no_capacity=2)

    def test_promise_21_who_is_listed_to_some_takes_no_room_of_a_topic(self) -> None:
        keys = (bytes(32),)
        for number in range(8):
            self.crowded.register(
                str(number),
                f"11.1.1.{number}",
                topics=("chat",),
                address_policy=AddressPolicy.LISTED,
                listed_keys=keys,
            )
        self.assert_admitted(8)
        for number in range(8):
            self.crowded.register(str(number), f"11.1.1.{number}", topics=("chat",))
        self.assertEqual(self.crowded.refused[TOO_MANY], 3)

    def test_promise_21_peers_are_listed_by_others_so_often(self) -> None:
        def register(name: str, listed: int) -> None:
            keys = tuple(bytes((number,)) * 32 for number in range(listed))
            options = {"address_policy": AddressPolicy.LISTED, "listed_keys": keys}
            self.crowded.register(name, f"11.1.1.{name}", **options)

        register("1", 5)
        register("2", 5)
        self.assert_admitted(1, no_capacity=1)
        register("2", 3)
        register("1", 5)  # lists no more than before
        self.assert_admitted(2, no_capacity=1)
        self.crowded.registry.expire(45.0)
        register("3", 8)
        self.assert_admitted(1, no_capacity=1)

    def test_promise_21_many_attempts_take_no_memory_beyond_the_caps(self) -> None:
        """100,000 attempts of ten networks, by default limits; nothing stays of the refused."""
        crowded = Crowded()
        for number in range(100_000):
            crowded.register(f"{number}", f"11.1.1.{number % 10}", topics=(f"topic {number}",))
        self.assertEqual(len(crowded.registry), 20_000)
        self.assertEqual(crowded.registry.index.topics, 20_000)
        self.assertEqual(crowded.refused, Counter({TOO_MANY: 80_000}))
        crowded.registry.expire(45.0)
        self.assertEqual((crowded.registry.index.topics, len(crowded.registry)), (0, 0))
        self.assertEqual(_parts(crowded.registry), Counter({"departed": 20_000}))


def _parts(registry: Registry) -> Counter[str]:
    """Return how many entries are left in what a registry keeps."""
    index = registry.index
    kept: dict[str, Any] = {
        "departed": registry._departed,
        "streams": registry._stream_peers,
        "heap": registry._heap,
        "quotas": registry._quotas._counts,
        "entries": index._entries,
        "topics": index._by_topic,
        "listed": index._by_listed,
    }
    return +Counter({name: len(part) for name, part in kept.items()})
