"""Ten thousand nodes come back to a tracker without a stampede (promise 26)."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.registration_world import World
from twisted_p2p.tracker.enrolment import State
from twisted_p2p.tracker.pacing import Pacing

LIFETIME = 45
NODES = 10_000


class StampedeTests(SynchronousTestCase):
    """Goes by the waits alone, as ten thousand machines take a minute."""

    def setUp(self) -> None:
        self.random = Random(26)
        self.pacing = Pacing(self.random.randbytes)

    def returns(self, outage: float) -> list[float]:
        """Return when each node registers, in seconds since the tracker is back."""
        return [self.one_return(outage) for _ in range(NODES)]

    def one_return(self, outage: float) -> float:
        # All registered in the same minute; the tracker goes away two minutes later.
        refresh = self.random.uniform(-180, -120)
        refresh += self.pacing.until_refresh(LIFETIME, is_first=True)
        while refresh < -outage:
            refresh += self.pacing.until_refresh(LIFETIME, is_first=False)
        if refresh > 0:
            return refresh + self.pacing.turn(0)
        asked, failures = refresh, 0
        while True:
            for repeat in (0, 1, 3):
                if asked + repeat > 0:
                    return asked + repeat + self.pacing.turn(asked + repeat - refresh)
            asked += 5 + self.pacing.back_off(failures)
            failures += 1

    def test_nobody_registers_in_a_stampede_and_all_are_back_in_time(self) -> None:
        for outage in (0, 1, 3, 10, 20, 30, 120, 1200):
            returns = self.returns(outage)
            rates = Counter(int(time) for time in returns)
            self.assertTrue(max(rates.values()) <= 500, (outage, max(rates.values())))
            self.assertTrue(max(returns) <= 90, (outage, max(returns)))

    def test_after_a_quick_restart_all_are_back_within_one_refresh(self) -> None:
        self.assertTrue(max(self.returns(0)) <= 25)


class WaitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pacing = Pacing(Random(1).randbytes)

    def test_a_refresh_is_due_between_45_and_55_percent_of_the_lifetime(self) -> None:
        for lifetime in (20, 45):
            waits = [self.pacing.until_refresh(lifetime, is_first=False) for _ in range(500)]
            self.assertTrue(0.45 * lifetime <= min(waits) <= max(waits) <= 0.55 * lifetime)
            self.assertTrue(max(waits) - min(waits) > 0.04 * lifetime)

    def test_a_refresh_keeps_a_mapping_of_30_seconds_whatever_the_lifetime(self) -> None:
        waits = [self.pacing.until_refresh(86_400, is_first=False) for _ in range(500)]
        self.assertTrue(22.5 <= min(waits) <= max(waits) <= 25)

    def test_the_first_refresh_is_due_at_any_time_up_to_that(self) -> None:
        waits = [self.pacing.until_refresh(45, is_first=True) for _ in range(500)]
        self.assertTrue(1 <= min(waits) < 2)
        self.assertTrue(22 < max(waits) <= 25)

    def test_the_back_off_doubles_up_to_half_a_minute(self) -> None:
        for failures, middle in ((0, 2), (1, 4), (2, 8), (3, 16), (4, 30), (5, 30), (5000, 30)):
            waits = [self.pacing.back_off(failures) for _ in range(100)]
            self.assertTrue(middle / 2 <= min(waits) <= max(waits) <= middle * 1.5)

    def test_a_prompt_answer_is_no_silence(self) -> None:
        self.assertEqual(self.pacing.turn(0.9), 0)
        self.assertTrue(self.pacing.turn(1.1) > 20)

    def test_a_long_silence_leaves_one_window_to_wait_in(self) -> None:
        waits = [self.pacing.turn(1000) for _ in range(500)]
        self.assertTrue(0 <= min(waits) < 1)
        self.assertTrue(24 < max(waits) <= 25)


class ManyNodesTests(SynchronousTestCase):
    """The same by the machines themselves, of fewer nodes: a fiftieth, and so of the rate."""

    def test_machines_come_back_as_the_waits_say(self) -> None:
        for outage in (0, 40):
            world = World()
            nodes = [world.add(f"11.0.{number}.1") for number in range(200)]
            for node in nodes:
                world.at(
                    world.now + world.random.random() * 10, lambda n=node: n.do(n.machine.start)
                )
            world.run(60)
            world.is_tracker_up = outage == 0
            world.run(outage)
            world.is_tracker_up = True
            world.restart_tracker()
            world.registrations.clear()
            back = int(world.now)
            world.run(90)
            self.assertEqual({node.state for node in nodes}, {State.REGISTERED})
            self.assertEqual(sum(world.registrations.values()), len(nodes))
            for start in range(back, back + 90):
                busy = sum(world.registrations[second] for second in range(start, start + 10))
                self.assertTrue(busy <= 100, (outage, start - back, busy))
