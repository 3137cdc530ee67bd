"""What is shown of a transfer's progress."""

from __future__ import annotations

import io
import json

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.cli.progress import Display, Rate, duration
from twisted_p2p.cli.reporting import Reporter
from twisted_p2p.transfer.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class RateTests(SynchronousTestCase):
    def test_is_of_the_last_five_seconds(self) -> None:
        rate = Rate()
        self.assertEqual(rate.observe(0.0, 0), 0.0)
        self.assertEqual(rate.observe(0.5, 500), 1000.0)
        for step in range(2, 30):
            latest = rate.observe(step / 2, 500 + 50 * (step - 1))
        self.assertEqual(latest, 100.0)

    def test_durations_are_said_as_people_do(self) -> None:
        told = [duration(seconds) for seconds in (None, 0.4, 61, 3599.6, 7384)]
        self.assertEqual(told, ["unknown", "0:00", "1:01", "1:00:00", "2:03:04"])


class DisplayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.progress = Progress()

    def display(self, stderr: io.StringIO, *, as_json: bool = False) -> Display:
        return Display(Reporter(io.StringIO(), stderr, as_json), self.progress, self.clock)

    def go_on(self, display: Display) -> None:
        """Show ten seconds in which half of a megabyte goes over."""
        self.progress.begin(1_000_000, 0)
        display.start()
        display.start()
        for _ in range(100):
            self.progress.advance(5_000)
            self.clock.advance(0.1)
        display.stop()
        display.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_programs_get_two_events_a_second_at_most(self) -> None:
        stderr = io.StringIO()
        self.go_on(self.display(stderr, as_json=True))
        events = [json.loads(line) for line in stderr.getvalue().splitlines()]
        self.assertLess(len(events), 23)
        self.assertGreater(len(events), 17)
        middle = events[10]
        self.assertEqual(
            {key: middle[key] for key in ("event", "total_bytes", "bytes_per_s")},
            {"event": "progress", "total_bytes": 1_000_000, "bytes_per_s": 50_000},
        )
        self.assertEqual(middle["seconds_left"], (1_000_000 - middle["bytes"]) / 50_000)
        self.assertEqual(events[0]["seconds_left"], None)
        self.assertEqual(events[-1]["bytes"], 500_000)

    def test_nothing_is_said_while_nothing_moves(self) -> None:
        stderr = io.StringIO()
        display = self.display(stderr, as_json=True)
        display.start()
        self.clock.pump([0.5] * 20)
        display.stop()
        self.assertEqual(len(stderr.getvalue().splitlines()), 1)

    def test_a_terminal_shows_share_rate_and_time_left(self) -> None:
        stderr = Terminal()
        display = self.display(stderr)
        self.go_on(display)
        shown = stderr.getvalue()
        for text in ("50%", "0.5/1.0 MB", "0.1 MB/s", "0:10 left"):
            self.assertIn(text, shown)

    def test_what_is_said_meanwhile_stands_above_the_bar(self) -> None:
        stderr = Terminal()
        display = self.display(stderr)
        display.start()
        display.reporter.event("said meanwhile", "something")
        display.stop()
        self.assertIn("said meanwhile\n", stderr.getvalue())

    def test_where_nobody_looks_nothing_is_shown(self) -> None:
        stderr = io.StringIO()
        self.go_on(self.display(stderr))
        self.assertEqual(stderr.getvalue(), "")
