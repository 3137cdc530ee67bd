from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.connection.flow_control import (
    INITIAL_WINDOW,
    LARGEST_WINDOW,
    LONGEST_OPENING,
    SHARED_GROWTH,
    GrowthBudget,
    ReceiveWindow,
    UnansweredBudget,
)


def consume_much(window: ReceiveWindow, size: int = 2 * LARGEST_WINDOW) -> None:
    while window.consumed < size:
        window.receive(16_384)
        window.consume(16_384)


class ReceiveWindowTests(SynchronousTestCase):
    def test_the_sender_is_caught_when_it_goes_beyond_its_limit(self) -> None:
        window = ReceiveWindow(GrowthBudget())
        self.assertTrue(window.receive(INITIAL_WINDOW))
        self.assertFalse(window.receive(1))

    def test_credit_waits_until_a_quarter_of_the_window_is_consumed(self) -> None:
        window = ReceiveWindow(GrowthBudget())
        window.receive(INITIAL_WINDOW)
        self.assertIsNone(window.consume(INITIAL_WINDOW // 4 - 1))
        self.assertEqual(window.consume(1), INITIAL_WINDOW // 4 + INITIAL_WINDOW)

    def test_the_window_grows_with_what_is_consumed_up_to_the_largest(self) -> None:
        window = ReceiveWindow(GrowthBudget())
        consume_much(window, 1024 * 1024)
        self.assertGreater(window.limit - window.consumed, 700_000)
        consume_much(window)
        self.assertLessEqual(window.limit - window.consumed, LARGEST_WINDOW)
        self.assertGreater(window.limit - window.consumed, LARGEST_WINDOW * 3 // 4 - 1)

    def test_all_windows_of_a_connection_share_their_growth_and_give_it_back(self) -> None:
        budget = GrowthBudget()
        windows = [ReceiveWindow(budget) for _ in range(20)]
        for window in windows:
            consume_much(window)
        self.assertEqual(budget.left, 0)
        outstanding = sum(window.limit - window.consumed for window in windows)
        self.assertLessEqual(outstanding, SHARED_GROWTH + 20 * INITIAL_WINDOW)
        for window in windows:
            window.close()
        self.assertEqual(budget.left, SHARED_GROWTH)

    @given(st.lists(st.tuples(st.booleans(), st.integers(1, 200_000))))
    def test_a_sender_that_keeps_to_its_limit_is_never_stuck(
        self, steps: list[tuple[bool, int]]
    ) -> None:
        window, limit, sent, consumed = ReceiveWindow(GrowthBudget()), INITIAL_WINDOW, 0, 0
        for sending, size in steps:
            if sending:
                size = min(size, limit - sent)  # noqa: PLW2901
                sent += size
                self.assertTrue(window.receive(size))
            else:
                size = min(size, sent - consumed)  # noqa: PLW2901
                consumed += size
                granted = window.consume(size)
                self.assertGreaterEqual(granted or limit, limit)
                limit = granted or limit
            if consumed == sent:
                self.assertGreater(limit, sent)


class UnansweredBudgetTests(SynchronousTestCase):
    def test_it_asks_once_when_no_stream_can_be_opened_any_more(self) -> None:
        asked: list[int] = []
        budget = UnansweredBudget(1_000, lambda: asked.append(1))
        budget.spend(1_000 - LONGEST_OPENING)
        self.assertEqual((budget.bound(5_000), asked), (LONGEST_OPENING, []))
        budget.spend(1)
        budget.spend(LONGEST_OPENING - 1)
        self.assertEqual((budget.bound(5_000), asked), (0, [1]))
        budget.lift()
        budget.spend(5_000)
        self.assertEqual((budget.bound(5_000), asked), (5_000, [1]))
