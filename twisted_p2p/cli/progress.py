"""How far a transfer has come: a bar at a terminal, a few events a second under ``--json``."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from ..transfer.progress import Progress
from .reporting import Reporter

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_INTERVAL = 0.5
"""Seconds between two events, and between two looks of the bar."""

_OBSERVED = 10
"""Intervals of which the rate is made."""


class Rate:
    """Bytes a second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=_OBSERVED + 1)

    def observe(self, now: float, moved: int) -> float:
        """Take it that so many bytes have been moved by now; return the rate."""
        self._seen.append((now, moved))
        first, before = self._seen[0]
        return (moved - before) / (now - first) if now > first else 0.0


class Display:
    """Shows a transfer's progress on stderr, where there is someone to see it."""

    def __init__(self, reporter: Reporter, progress: Progress, clock: IReactorTime) -> None:
        """Prepare; what is said meanwhile is to be said by `reporter`."""
        self.reporter = reporter
        self._progress = progress
        self._clock = clock
        self._rate = Rate()
        self._shown = -1
        self._bar: Bar | None = None
        self._loop = LoopingCall(self._show)
        self._loop.clock = clock
        if not reporter.as_json and reporter.stderr.isatty():
            from .progress_bar import above, progress_bar  # noqa: PLC0415 (a tenth of a second)

            self._bar = progress_bar(reporter.stderr)
            self.reporter = evolve(reporter, stderr=above(self._bar, reporter.stderr))

    def start(self) -> None:
        """Begin to show it; harmless when that has begun."""
        if self._loop.running or not (self._bar or self.reporter.as_json):
            return
        if self._bar is not None:
            self._bar.start()
        self._loop.start(_INTERVAL)

    def stop(self) -> None:
        """Show how far it came, and end."""
        if self._loop.running:
            self._loop.stop()
            self._show()
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        progress = self._progress
        rate = self._rate.observe(self._clock.seconds(), progress.moved)
        left = (progress.total - progress.done) / rate if rate else None
        if self._bar is not None:
            (task,) = self._bar.task_ids
            words = f"{rate / 1e6:.1f} MB/s, {duration(left)} left"
            self._bar.update(task, completed=progress.done, total=progress.total, words=words)
            self._bar.refresh()
        elif progress.done != self._shown:
            self._shown = progress.done
            self.reporter.event(
                "",
                "progress",
                bytes=progress.done,
                total_bytes=progress.total,
                bytes_per_s=round(rate),
                seconds_left=None if left is None else round(left, 1),
            )


def duration(seconds: float | None) -> str:
    """Return a time as people say it."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
