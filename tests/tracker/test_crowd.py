from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.tracker.crowd import Crowd

KEYS = st.integers(0, 30).map(lambda number: number.to_bytes(1, "big"))
NETWORKS = st.sampled_from([b"a", b"b", b"c", b"d"])


def crowd_of(sizes: dict[bytes, int]) -> Crowd:
    """Return a crowd of so many peers of each network, whose keys begin with its name."""
    crowd = Crowd()
    for network, size in sizes.items():
        for number in range(size):
            crowd.add(network + b"%d" % number, network)
    return crowd


class CrowdTests(SynchronousTestCase):
    @given(st.lists(st.tuples(KEYS, NETWORKS)), st.randoms())
    def test_it_is_a_set_of_peers_by_network(
        self, steps: list[tuple[bytes, bytes]], random: Random
    ) -> None:
        """A peer that is named again goes."""
        crowd = Crowd()
        there: dict[bytes, bytes] = {}
        for key, network in steps:
            if key in there:
                crowd.remove(key, there.pop(key))
            else:
                crowd.add(key, network)
                there[key] = network
            self.assertEqual(len(crowd), len(there))
            self.assertEqual(key in crowd, key in there)
        sizes = Counter(there.values())
        for network in (b"a", b"b", b"c", b"d"):
            self.assertEqual(crowd.count_of(network), sizes[network])
        drawn = crowd.draw(100, 100, random.randbytes)
        self.assertEqual(sorted(drawn), sorted(there))

    @given(
        st.dictionaries(NETWORKS, st.integers(1, 40)),
        st.integers(0, 30),
        st.integers(1, 8),
        st.randoms(),
    )
    def test_a_draw_takes_from_each_network_in_turn_up_to_its_share(
        self, sizes: dict[bytes, int], most: int, share: int, random: Random
    ) -> None:
        drawn = crowd_of(sizes).draw(most, share, random.randbytes)
        self.assertEqual(len(set(drawn)), len(drawn))
        taken = Counter(key[:1] for key in drawn)
        if len(sizes) < 2:
            self.assertEqual(len(drawn), min(most, sum(sizes.values())))
            return
        room = {network: min(size, share) for network, size in sizes.items()}
        self.assertEqual(len(drawn), min(most, sum(room.values())))
        fewest = min(
            (taken[network] for network in sizes if taken[network] < room[network]), default=most
        )
        for network in sizes:
            self.assertLessEqual(taken[network], min(room[network], fewest + 1))

    def test_everybody_comes_as_often_as_the_others_of_its_network(self) -> None:
        crowd = crowd_of({b"a": 10, b"b": 3, b"c": 1})
        random = Random(4)
        counts: Counter[bytes] = Counter()
        for _ in range(3000):
            counts.update(crowd.draw(3, 1, random.randbytes))
        self.assertEqual(counts[b"c0"], 3000)
        for number in range(3):
            self.assertTrue(900 < counts[b"b%d" % number] < 1100, counts)
        for number in range(10):
            self.assertTrue(240 < counts[b"a%d" % number] < 360, counts)

    def test_nothing_is_drawn_of_nobody(self) -> None:
        self.assertEqual(Crowd().draw(24, 6, Random(1).randbytes), [])
        self.assertEqual(Crowd().count_of(b"a"), 0)
