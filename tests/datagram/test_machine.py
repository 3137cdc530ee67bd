"""The deadlines of a machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.datagram.machine import TimerTable


class TimerTableTests(SynchronousTestCase):
    def test_an_empty_table_has_no_deadline(self) -> None:
        self.assertIsNone(TimerTable[str]().earliest())

    def test_the_earliest_deadline_is_the_tables(self) -> None:
        timers = TimerTable[str]()
        timers.set("late", 5.0)
        timers.set("soon", 3.0)
        self.assertEqual(timers.earliest(), 3.0)

    def test_setting_a_timer_again_moves_it(self) -> None:
        timers = TimerTable[str]()
        timers.set("one", 3.0)
        timers.set("one", 9.0)
        self.assertEqual(timers.earliest(), 9.0)
        self.assertEqual(timers.pop_due(8.9), [])

    def test_a_cleared_timer_is_never_due(self) -> None:
        timers = TimerTable[str]()
        timers.set("one", 3.0)
        timers.clear("one")
        timers.clear("never set")
        self.assertEqual(timers.pop_due(10.0), [])

    def test_due_timers_are_told_once_and_in_order(self) -> None:
        timers = TimerTable[str]()
        for name, deadline in [("c", 3.0), ("a", 1.0), ("d", 4.0), ("b", 2.0)]:
            timers.set(name, deadline)
        self.assertEqual(timers.pop_due(3.0), ["a", "b", "c"])
        self.assertEqual(timers.pop_due(3.0), [])
        self.assertEqual(timers.earliest(), 4.0)

    @given(st.dictionaries(st.integers(0, 9), st.floats(0, 100)), st.floats(0, 100))
    def test_what_is_not_due_stays(self, deadlines: dict[int, float], now: float) -> None:
        timers = TimerTable[int]()
        for name, deadline in deadlines.items():
            timers.set(name, deadline)
        due = timers.pop_due(now)
        later = {name: deadline for name, deadline in deadlines.items() if deadline > now}
        self.assertEqual(set(due), deadlines.keys() - later.keys())
        self.assertEqual(timers.earliest(), min(later.values(), default=None))
