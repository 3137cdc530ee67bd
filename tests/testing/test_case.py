"""The trial mixin: inner test cases are run, and what reporters print of them is read."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.result import TestResult

from twisted.internet.defer import Deferred
from twisted.trial.reporter import TreeReporter
from twisted.trial.unittest import SynchronousTestCase, TestCase

from twisted_p2p.testing import (
    RANDOM_SYMMETRIC,
    SEED_VARIABLE,
    SimulatedInternet,
    SimulatedInternetMixin,
    for_seeds,
)

A_PACKET = r"\n +0\.\d{6}  \+0\.\d{6}  (a|b|tracker) -> (tracker|a|b)  udp  .* bytes  delivered "


class InnerMixin(SimulatedInternetMixin):
    """Tests that fail in many ways, and some that do not."""

    def passes(self) -> None:
        pair = self.connected_pair()
        assert pair.internet.seed == self.seed

    def fails(self) -> None:
        self.assertEqual(self.connected_pair().a.peer_id, "")

    def errs(self) -> None:
        pair = self.connected_pair_on_lan()
        raise KeyError(pair.internet.seed)

    def waits_in_vain(self) -> None:
        pair = self.connected_pair()
        pair.until(Deferred())

    def leaves_a_call(self) -> None:
        self.connected_pair().host_a.reactor.callLater(5.0, self.passes)

    def leaves_a_call_and_fails(self) -> None:
        self.leaves_a_call()
        self.fail("for another reason")

    def fails_twice(self) -> None:
        self.addCleanup(self.fail, "and again")
        self.fails()

    def fails_in_a_world_of_its_own(self) -> None:
        self.connected_pair(nat_b=RANDOM_SYMMETRIC, seed=77)
        self.fail("at once")

    def fails_without_a_world(self) -> None:
        self.fail("at once")

    def fails_after_many_packets(self) -> None:
        pair = self.connected_pair()
        pair.run_for(600.0)
        self.fail("late")

    def logs_an_error(self) -> None:
        self.connected_pair().host_a.reactor.callLater(0.0, {}.__getitem__, "nothing")

    @for_seeds(range(3))
    def runs_for_three_seeds(self) -> None:
        pair = self.connected_pair()
        assert len(self._internets) == 1
        SEEDS.append(pair.internet.seed)

    @for_seeds(range(3))
    def fails_for_the_second_seed(self) -> None:
        assert self.connected_pair().internet.seed != 1


SEEDS: list[int] = []


class Inner(InnerMixin, SynchronousTestCase):
    """By trial."""


class InnerAsynchronous(InnerMixin, TestCase):
    """By trial, with Deferreds."""


class InnerOfTheLibrary(InnerMixin, unittest.TestCase):
    """By the standard library alone."""


def report(name: str, kind: Any = Inner) -> str:
    """Return what trial prints of one inner test."""
    stream = StringIO()
    reporter = TreeReporter(stream)
    kind(name).run(reporter)
    reporter.done()
    return stream.getvalue()


class StoryTests(SynchronousTestCase):
    def check_story(self, told: str, seed: int, message: str) -> None:
        self.assertIn(message, told)
        self.assertRegex(told, rf", seed {seed}; the latest packets:{A_PACKET}")
        self.assertIn(f"\nto repeat it: P2P_SEED={seed}\n", told)

    def test_a_failed_assertion_is_told_with_seed_and_packets(self) -> None:
        self.check_story(report("fails"), Inner("fails").seed, " != ''\n")

    def test_so_is_any_exception(self) -> None:
        seed = Inner("errs").seed
        self.check_story(report("errs"), seed, f"builtins.KeyError: {seed}\n")

    def test_asynchronous_test_cases_tell_it_too(self) -> None:
        told = report("fails", InnerAsynchronous)
        self.check_story(told, InnerAsynchronous("fails").seed, " != ''\n")

    def test_the_standard_library_tells_it_too(self) -> None:
        for name in ("fails", "errs"):
            inner = InnerOfTheLibrary(name)
            stream = StringIO()
            unittest.TextTestRunner(stream).run(inner)
            self.check_story(stream.getvalue(), inner.seed, "FAILED")

    def test_a_result_of_its_own_will_do(self) -> None:
        result: TestResult = InnerOfTheLibrary("fails").run()
        self.check_story(result.failures[0][1], InnerOfTheLibrary("fails").seed, " != ''")

    def test_workers_of_trial_tell_it_too(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.joinpath("test_inner.py").write_text(
            "from tests.testing.test_case import Inner\n"
            "class InnerTests(Inner):\n"
            "    test_failing = Inner.fails\n"
        )
        told = subprocess.run(
            [sys.executable, "-m", "twisted.trial", "-j1", "test_inner"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        self.assertRegex(told, rf", seed \d+; the latest packets:{A_PACKET}")
        self.assertRegex(told, r"\nto repeat it: P2P_SEED=\d+\n")

    def test_packets_are_not_told_twice(self) -> None:
        told = report("waits_in_vain")
        self.check_story(told, Inner("waits_in_vain").seed, "builtins.TimeoutError: no result")
        self.assertEqual(told.count("the latest packets"), 1)

    def test_nor_with_a_second_failure(self) -> None:
        told = report("fails_twice")
        self.assertIn("FailTest: and again\n", told)
        self.assertEqual(told.count("the latest packets"), 1)

    def test_the_variable_is_not_told_where_it_would_not_help(self) -> None:
        told = report("fails_in_a_world_of_its_own")
        self.assertRegex(told, rf", seed 77; the latest packets:{A_PACKET}")
        self.assertNotIn(SEED_VARIABLE, told)

    def test_nothing_is_told_where_there_was_no_world(self) -> None:
        self.assertNotIn("seed", report("fails_without_a_world"))

    def test_a_long_log_is_written_to_a_file(self) -> None:
        told = report("fails_after_many_packets")
        self.assertRegex(told, r"\n\.\.\. \d\d+ earlier packets\n")
        path = told.partition("the whole packet log: ")[2].splitlines()[0]
        lines = Path(path).read_text().splitlines()
        self.assertIn(lines[-1], told)
        self.assertNotIn(lines[0], told)
        self.assertNotIn("the whole packet log", report("fails"))

    def test_an_error_that_was_logged_is_told_too(self) -> None:
        told = report("logs_an_error")
        self.assertIn("builtins.KeyError: 'nothing'\n", told)
        self.flushLoggedErrors(KeyError)


class EndTests(SynchronousTestCase):
    def test_a_test_that_passes_is_told_as_ever(self) -> None:
        self.assertRegex(report("passes"), r"passes \.\.\. +\[OK\]")

    def test_what_is_left_over_fails_the_test(self) -> None:
        told = report("leaves_a_call")
        self.assertIn("LeftOver: left over on simulated hosts:\na: <DelayedCall ", told)
        self.assertIn(".passes()", told)
        self.assertIn("seed", told)

    def test_what_a_failed_test_leaves_is_no_news(self) -> None:
        told = report("leaves_a_call_and_fails")
        self.assertIn("for another reason", told)
        self.assertNotIn("LeftOver", told)


class SeedTests(SynchronousTestCase):
    def set_seed(self, told: str | None) -> None:
        before = os.environ.pop(SEED_VARIABLE, None)
        if told is not None:
            os.environ[SEED_VARIABLE] = told

        def restore() -> None:
            os.environ.pop(SEED_VARIABLE, None)
            if before is not None:
                os.environ[SEED_VARIABLE] = before

        self.addCleanup(restore)

    def test_each_test_has_a_seed_of_its_own_that_stays(self) -> None:
        self.set_seed(None)
        self.assertEqual(Inner("passes").seed, Inner("passes").seed)
        self.assertNotEqual(Inner("passes").seed, Inner("fails").seed)

    def test_the_environment_may_tell_it(self) -> None:
        self.set_seed("5")
        inner = Inner("passes")
        self.assertEqual((inner.seed, inner.simulate().seed), (5, 5))

    def test_a_seed_that_is_given_comes_first(self) -> None:
        self.set_seed("5")
        inner = Inner("passes")
        self.assertEqual(inner.simulate(seed=6).seed, 6)
        self.assertEqual(inner.connected_pair(seed=7).internet.seed, 7)

    def test_an_internet_made_elsewhere_can_belong_to_a_test(self) -> None:
        internet = SimulatedInternet(8)
        self.assertIs(Inner("passes").watch(internet), internet)

    def seeds_run(self) -> list[int]:
        SEEDS.clear()
        self.assertIn("[OK]", report("runs_for_three_seeds"))
        return list(SEEDS)

    def test_one_test_can_run_for_many_seeds(self) -> None:
        self.set_seed(None)
        self.assertEqual(self.seeds_run(), [0, 1, 2])

    def test_or_for_the_one_that_the_environment_tells(self) -> None:
        self.set_seed("41")
        self.assertEqual(self.seeds_run(), [41])

    def test_the_seed_that_fails_is_told(self) -> None:
        self.set_seed(None)
        told = report("fails_for_the_second_seed")
        self.assertRegex(told, rf", seed 1; the latest packets:{A_PACKET}")
        self.assertIn("\nto repeat it: P2P_SEED=1\n", told)
