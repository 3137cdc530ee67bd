"""Virtual time goes from one thing to the next."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.testing.schedule import Schedule


class Cancellable:
    cancelled = False


class ScheduleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.schedule = Schedule()
        self.called: list[tuple[float, object]] = []

    def note(self, argument: object) -> None:
        self.called.append((self.schedule.now, argument))

    def test_calls_are_made_in_order_each_at_its_time(self) -> None:
        for time in (3.0, 1.0, 2.0):
            self.schedule.at(time, self.note, "")
        self.schedule.run_to(10.0)
        self.assertEqual(self.called, [(1.0, ""), (2.0, ""), (3.0, "")])
        self.assertEqual(self.schedule.now, 10.0)

    def test_calls_of_one_moment_keep_their_order(self) -> None:
        for number in range(100):
            self.schedule.at(1.0, self.note, number)
        self.schedule.run_to(1.0)
        self.assertEqual([number for _, number in self.called], list(range(100)))

    def test_what_is_later_waits(self) -> None:
        self.schedule.at(2.0, self.note, "")
        self.schedule.run_to(1.9)
        self.assertEqual(self.called, [])
        self.assertFalse(self.schedule.step(1.95))
        self.assertEqual(self.schedule.now, 1.9)

    def test_a_call_made_by_a_call_is_made_in_the_same_run(self) -> None:
        self.schedule.at(1.0, lambda _: self.schedule.at(1.5, self.note, "second"), None)
        self.schedule.run_to(2.0)
        self.assertEqual(self.called, [(1.5, "second")])

    def test_cancelled_calls_do_not_pile_up(self) -> None:
        self.schedule.at(2.0, self.note, "kept")
        for _ in range(10_000):
            call = Cancellable()
            self.schedule.at(1.0, self.note, call)
            call.cancelled = True
            self.schedule.note_cancelled()
        self.assertLess(len(self.schedule._heap), 3_000)
        self.schedule.run_to(3.0)
        self.assertEqual(self.called[-1], (2.0, "kept"))
