from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.tracker import introductions
from twisted_p2p.tracker.attributes import FORBIDDEN, NO_CAPACITY, TOO_MANY
from twisted_p2p.tracker.introductions import Introductions
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, Refusal
from twisted_p2p.tracker.messages import Answer, Failure, Introduce

SOCKET = HostPort("11.9.9.9", 3478)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


class IntroductionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.number = 0
        self.limits = DEFAULT_LIMITS
        self.introductions = Introductions(bytes(32), self.limits)

    def new_box(self) -> bytes:
        self.number += 1
        return b"box %d" % self.number

    def begin(
        self,
        initiator: int = 1,
        target: int = 2,
        *,
        host: str = "11.1.1.1",
        box: bytes | None = None,
        is_listed: bool = False,
    ) -> None:
        asked = Introduce(key(initiator), b"", key(target), box or self.new_box())
        path = DatagramPath(SOCKET, HostPort(host, 4000))
        self.introductions.begin(asked, path, self.now, is_listed=is_listed)

    def answer(
        self,
        answerer: int = 2,
        initiator: int = 1,
        *,
        box: bytes | None = None,
        accepting: bool = False,
    ) -> DatagramPath:
        asked = Answer(key(answerer), b"", key(initiator), box or self.new_box(), accepting)
        return self.introductions.answer(asked, self.now)

    def failure_of(self, function: Any, *arguments: Any, **options: Any) -> Failure:
        refusal: Any = self.assertRaises(Refusal, function, *arguments, **options)
        failure: Failure = refusal.failure(0xE5)
        return failure

    def test_a_repeat_is_handed_over_again_and_counted_once(self) -> None:
        self.begin(box=b"same")
        self.now += 9.9
        self.begin(box=b"same")
        self.assertEqual(self.introductions.total, 1)

    def test_another_box_or_a_late_repeat_is_another_introduction(self) -> None:
        self.begin(box=b"same")
        self.begin(box=b"other")
        self.begin(box=b"same")
        self.assertEqual(self.introductions.total, 3)
        self.now += 70
        self.begin(box=b"same")
        self.assertEqual(self.introductions.total, 4)

    def test_the_same_box_for_another_peer_is_another_introduction(self) -> None:
        for initiator, target in ((1, 2), (1, 3), (3, 2)):
            self.begin(initiator, target, box=b"same")
        self.assertEqual(self.introductions.total, 3)

    def test_a_repeat_is_handed_over_eight_times(self) -> None:
        for _ in range(8):
            self.begin(box=b"same")
        failure = self.failure_of(self.begin, box=b"same")
        self.assertEqual(failure.error.code, TOO_MANY)

    def test_answers_go_where_the_initiator_asked_from_for_30_seconds(self) -> None:
        self.begin()
        self.now += 29.9
        self.assertEqual(self.answer().remote, HostPort("11.1.1.1", 4000))
        self.now += 0.2
        self.assertEqual(self.failure_of(self.answer).error.code, FORBIDDEN)

    def test_nobody_answers_who_was_not_asked(self) -> None:
        self.begin(1, 2)
        for answerer, initiator in ((1, 2), (3, 1), (2, 3)):
            failure = self.failure_of(self.answer, answerer, initiator)
            self.assertEqual(failure.error.code, FORBIDDEN)

    def test_four_different_answers_each_eight_times(self) -> None:
        self.begin()
        for number in range(4):
            for _ in range(8):
                self.answer(box=b"%d" % number)
        for again in (b"0", b"4"):
            failure = self.failure_of(self.answer, box=again)
            self.assertEqual(failure.error.code, TOO_MANY)

    def test_one_stranger_is_introduced_three_times_a_minute(self) -> None:
        for number in range(3):
            self.begin(host=f"11.1.{number}.1")
            self.now += 1
        failure = self.failure_of(self.begin, host="11.1.9.1")
        self.assertEqual((failure.error.code, failure.retry_after_ms), (TOO_MANY, 57_000))
        self.now += 57
        self.begin(host="11.1.9.1")

    def test_one_network_is_introduced_three_times_a_minute(self) -> None:
        for prefix, inside, outside in (
            ("11.1.1", ".200", "11.1.2.1"),
            ("2a00:1:2", ":ffff::1", "2a00:1:3::1"),
        ):
            for number in range(3):
                separator = ":" if ":" in prefix else "."
                host = f"{prefix}{separator}{number}" + ("::1" if ":" in prefix else "")
                self.begin(10 + number, host=host)
            failure = self.failure_of(self.begin, 20, host=prefix + inside)
            self.assertEqual(failure.error.code, TOO_MANY)
            self.begin(20, host=outside)

    def test_thirty_strangers_are_introduced_a_minute_and_listed_peers_besides(self) -> None:
        for number in range(30):
            self.begin(100 + number, host=f"11.1.{number}.1")
        failure = self.failure_of(self.begin, 200, host="11.1.99.1")
        self.assertEqual((failure.error.code, failure.retry_after_ms), (TOO_MANY, 60_000))
        for _ in range(10):
            self.begin(200, host="11.1.99.1", is_listed=True)
        self.begin(200, 3, host="11.1.99.1")

    def test_who_was_accepted_is_no_stranger_for_ten_minutes(self) -> None:
        self.begin()
        self.answer(accepting=True)
        for _ in range(9):
            self.begin()
        for number in range(30):  # the one that was accepted does not count
            self.begin(100 + number, host=f"11.2.{number}.1")
        self.now += 599
        for _ in range(10):
            self.begin()
        self.now += 60
        for _ in range(3):
            self.begin()
        failure = self.failure_of(self.begin)
        self.assertEqual(failure.error.code, TOO_MANY)

    def test_who_was_accepted_by_one_is_a_stranger_to_others_and_the_other_way_round(self) -> None:
        self.begin()
        self.answer(accepting=True)
        for initiator, target in ((1, 3), (2, 1), (4, 2)):
            for _ in range(3):
                self.begin(initiator, target, host=f"11.{initiator}.1.1")
            failure = self.failure_of(self.begin, initiator, target, host=f"11.{initiator}.1.1")
            self.assertEqual(failure.error.code, TOO_MANY)

    def test_who_was_refused_stays_a_stranger(self) -> None:
        for _ in range(3):
            self.begin()
            self.answer()
        self.assertEqual(self.failure_of(self.begin).error.code, TOO_MANY)

    def test_acquaintances_are_so_many_and_the_oldest_is_forgotten(self) -> None:
        self.patch(introductions, "MOST_ACQUAINTANCES", 2)
        for initiator in (1, 2, 1, 3):
            self.begin(initiator, 9, host=f"11.{initiator}.1.1")
            self.answer(9, initiator, accepting=True)
        for initiator in (1, 3):
            for _ in range(4):
                self.begin(initiator, 9)
        for _ in range(3):
            self.begin(2, 9)
        self.assertEqual(self.failure_of(self.begin, 2, 9).error.code, TOO_MANY)

    def test_any_number_of_a_network_s_peers_is_introduced_that_the_target_accepts(self) -> None:
        for initiator in range(10, 50):
            self.begin(initiator, 9)
            self.answer(9, initiator, accepting=True)
        for initiator in range(60, 63):
            self.begin(initiator, 9)
        self.assertEqual(self.failure_of(self.begin, 70, 9).error.code, TOO_MANY)

    def test_one_peer_asks_for_60_introductions_a_minute(self) -> None:
        for target in range(60):
            self.begin(1, 100 + target, is_listed=True)
        failure = self.failure_of(self.begin, 1, 300, is_listed=True)
        self.assertEqual(failure.error.code, TOO_MANY)
        self.assertGreater(failure.retry_after_ms, 0)
        self.begin(2, 300, is_listed=True)

    def test_one_peer_is_introduced_to_one_other_30_times_a_minute(self) -> None:
        for _ in range(30):
            self.begin(1, 2, is_listed=True)
        failure = self.failure_of(self.begin, 1, 2, is_listed=True)
        self.assertEqual(failure.error.code, TOO_MANY)
        self.begin(1, 3, is_listed=True)

    def test_one_source_asks_for_so_many_introductions_a_minute(self) -> None:
        self.limits = evolve(DEFAULT_LIMITS, introductions_by_source=5)
        self.introductions = Introductions(bytes(32), self.limits)
        for number in range(5):
            self.begin(10 + number, 100 + number)
        failure = self.failure_of(self.begin, 20, 120)
        self.assertEqual(failure.error.code, TOO_MANY)

    def test_a_busy_tracker_says_when_it_will_not_be(self) -> None:
        self.limits = evolve(DEFAULT_LIMITS, introductions=2)
        self.introductions = Introductions(bytes(32), self.limits)
        self.begin(1, 2)
        self.now += 20
        self.begin(1, 3)
        failure = self.failure_of(self.begin, 1, 4)
        self.assertEqual((failure.error.code, failure.retry_after_ms), (NO_CAPACITY, 100_000))
        self.now += 100
        self.begin(1, 4)

    def test_reports_count_what_was_asked_for_once(self) -> None:
        for target in (2, 3, 4):
            self.begin(1, target)
        self.introductions.report(key(1), 2, b"first")
        self.introductions.report(key(1), 2, b"first")
        self.assertEqual(self.introductions.succeeded_total, 2)
        self.introductions.report(key(1), 1000, b"second")
        self.introductions.report(key(9), 1, b"third")
        self.assertEqual(self.introductions.succeeded_total, 3)

    def test_what_is_two_minutes_old_can_no_longer_be_reported(self) -> None:
        self.begin(1, 2)
        self.now += 60
        self.begin(1, 3)
        self.now += 60
        self.introductions.expire(self.now)
        self.introductions.report(key(1), 2, b"first")
        self.assertEqual(self.introductions.succeeded_total, 1)

    def test_nothing_is_left_after_two_minutes(self) -> None:
        for number in range(5):
            self.begin(1 + number, 10, host=f"11.1.{number}.1", is_listed=number <= 1)
            self.begin(1 + number, 10, host=f"11.1.{number}.1", is_listed=True)
            self.now += 1
        self.assertEqual(self.introductions.next_expiry(), 1120)
        self.now += 120
        self.introductions.expire(self.now)
        self.assertIsNone(self.introductions.next_expiry())
        for table in ("_all", "_latest", "_by_strangers", "_initiators"):
            self.assertEqual(len(getattr(self.introductions, table)), 0, table)
