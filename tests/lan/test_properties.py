"""What holds on any link, whatever it does to packets (promise 14)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer_examples
from tests.lan.dns_host import DNSHost, peer_id
from tests.lan.neighbourhood import Neighbour, add_neighbours
from twisted_p2p.lan.cache import RecordCache
from twisted_p2p.lan.records import HostAddress, Question, Record, RecordType
from twisted_p2p.testing import Link, SimulatedInternet, SimulatedInternetMixin

links = st.builds(
    Link,
    delay=st.sampled_from([0.000_25, 0.005]),
    jitter=st.floats(0.0, 0.05),
    loss=st.floats(0.0, 0.15),
    duplication=st.floats(0.0, 0.5),
    reordering=st.floats(0.0, 0.5),
)


def lossy_link(seed: int, link: Link) -> tuple[SimulatedInternet, list[Neighbour]]:
    internet = SimulatedInternet(seed)
    return internet, add_neighbours(internet, 3, link=link)


def has_found_all(one: Neighbour, neighbours: list[Neighbour]) -> bool:
    """Whether one of some neighbours has found the others at some time."""
    found = {peer.peer_id for peer in one.found}
    return found == {other.peer_id for other in neighbours if other is not one}


class AnyLinkTests(SimulatedInternetMixin, SynchronousTestCase):
    @settings(max_examples=fewer_examples(0.15))
    @given(st.integers(0, 2**32), links)
    def test_all_find_all(self, seed: int, link: Link) -> None:
        internet, neighbours = lossy_link(seed, link)
        for each in neighbours:
            each.browse()
            each.show()
        # A minute is enough but for one in a hundred of the worst links: questions that are lost
        # are asked again later and later.
        for _ in range(30):
            internet.run_for(60.0)
            if all(has_found_all(each, neighbours) for each in neighbours):
                return
        self.fail(internet.story())

    @settings(max_examples=fewer_examples(0.15))
    @given(st.integers(0, 2**32), links, st.floats(0.0, 2.0))
    def test_one_key_on_two_hosts_ends_with_two_names(
        self, seed: int, link: Link, later: float
    ) -> None:
        internet, (one, two, _) = lossy_link(seed, link)
        two.peer_id = one.peer_id
        one.show(port=1)
        internet.run_for(later)
        two.show(port=2)
        # Whoever missed the other's packets hears of it when somebody asks.
        internet.run_for(5.0)
        one.browse()
        two.browse()
        internet.run_for(120.0)
        self.assertNotEqual(one.instance, two.instance, internet.story())


class AnyRecordsTests(SynchronousTestCase):
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["take", "goodbye", "flush", "ask", "doubt", "wait"]),
                st.integers(1, 5),
                st.integers(1, 200),
            ),
            max_size=40,
        )
    )
    def test_the_cache_keeps_nothing_for_longer_than_it_may(
        self, steps: list[tuple[str, int, int]]
    ) -> None:
        cache, now = RecordCache(), 0.0
        heard: dict[HostAddress, float] = {}
        for what, number, seconds in steps:
            data = HostAddress(f"192.168.1.{number}")
            record = Record(b"a.local", data, seconds, is_unique=True)
            if what == "take":
                self.assertEqual(cache.take(record, now, 0.5), data not in heard)
                heard[data] = now + seconds
            elif what == "goodbye":
                cache.take(Record(b"A.local", data, 0), now, 0.5)
                heard = {d: min(t, now + 1.0) if d == data else t for d, t in heard.items()}
            elif what == "flush":
                cache.flush(record.key, now)
            elif what == "ask":
                cache.question_heard(Question(b"a.local", RecordType.A), [record], now)
            elif what == "doubt":
                cache.doubt(now)
                heard = {each: min(end, now + 10.0) for each, end in heard.items()}
            else:
                now = self.wait(cache, now, now + seconds / 10)
            kept = {each.data for each in cache.get(record.key)}
            heard = {each: end for each, end in heard.items() if each in kept}
            self.assertEqual(kept, heard.keys())
            self.assertTrue(all(end > now for end in heard.values()), (heard, now))
        self.wait(cache, now, now + 300.0)
        self.assertEqual(cache.get(record.key) if steps else [], [])
        self.assertIsNone(cache.get_timer())

    def wait(self, cache: RecordCache, now: float, end: float) -> float:
        """Let time pass, and see that the timer goes on."""
        while (timer := cache.get_timer()) is not None and timer <= end:
            self.assertGreaterEqual(timer, now)
            now = timer
            due = cache.handle_timer(now)
            self.assertTrue(due.expired or due.to_refresh)
        return end

    @given(st.lists(st.binary(max_size=200), max_size=20), st.integers(0, 2**32))
    def test_no_bytes_disturb_a_node(self, noise: list[bytes], seed: int) -> None:
        host = DNSHost(seed=seed)
        host.browse()
        host.announce()
        for data in noise:
            host.receive(data)
            host.run(0.1)
        host.run(5.0)
        self.assertEqual(host.machine.instance, peer_id(1))
