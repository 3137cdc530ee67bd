from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.tracker.limits import Rates, Refusal, prefix

KEY = bytes(range(32))


class RatesTests(SynchronousTestCase):
    def test_a_source_has_its_limit_in_each_window(self) -> None:
        rates = Rates(KEY, 10)
        for start in (20.0, 30.0):
            admitted = [rates.admits(b"one", 3, start + number) for number in range(5)]
            self.assertEqual(admitted, [True, True, True, False, False])

    def test_sources_do_not_share_a_limit(self) -> None:
        rates = Rates(KEY, 10)
        for number in range(2000):
            self.assertTrue(rates.admits(b"%d" % number, 1, 0.0), number)

    def test_a_busy_source_rarely_speaks_for_another(self) -> None:
        rates = Rates(KEY, 10)
        for number in range(5000):
            rates.admits(b"busy %d" % number, 1, 0.0)
        refused = sum(not rates.admits(b"other %d" % number, 1, 0.0) for number in range(5000))
        self.assertLess(refused, 100)

    def test_the_next_window_tells_when_to_come_back(self) -> None:
        rates = Rates(KEY, 10)
        rates.admits(b"one", 0, 23.0)
        self.assertEqual(rates.retry_after(23.0), 7.0)

    def test_memory_is_the_same_for_any_number_of_sources(self) -> None:
        rates = Rates(KEY, 10)
        rates.admits(b"first", 1, 0.0)
        sizes = [len(row) for row in rates._rows]
        for number in range(10_000):
            rates.admits(b"%d" % number, 5, 0.0)
        self.assertEqual([len(row) for row in rates._rows], sizes)


class PrefixTests(SynchronousTestCase):
    def test_ipv4_and_ipv6_networks_are_cut_to_their_length(self) -> None:
        self.assertEqual(prefix("11.2.3.4", 24, 48), bytes((11, 2, 3)))
        self.assertEqual(prefix("11.2.3.4", 32, 64), bytes((11, 2, 3, 4)))
        self.assertEqual(prefix("2001:db8:1:2::9", 24, 48).hex(), "20010db80001")

    @given(st.ip_addresses(v=4), st.ip_addresses(v=6))
    def test_no_ipv4_network_is_an_ipv6_network(self, four: object, six: object) -> None:
        self.assertNotEqual(prefix(str(four), 32, 64), prefix(str(six), 32, 64))


class RefusalTests(SynchronousTestCase):
    def test_a_refusal_becomes_the_reply_that_it_says(self) -> None:
        failure = Refusal(429, "too many", retry_after=1.0001, sequence=7, unknown=(1, 2)).failure(
            0xE1
        )
        self.assertEqual(
            (failure.method, failure.error, failure.retry_after_ms, failure.sequence),
            (0xE1, (429, "too many"), 1001, 7),
        )
        self.assertEqual(failure.unknown, (1, 2))
