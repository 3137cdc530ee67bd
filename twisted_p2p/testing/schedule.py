"""Virtual time: what is to happen, in order, and the moment it is now."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

_FEW = 1_000


class Schedule:
    """A heap of calls to come; calls for one moment run in the order in which they were made."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds of virtual time since the beginning."""
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._made = 0
        self._cancelled = 0

    def at(self, time: float, function: Callable[[Any], None], argument: Any) -> None:
        """Have ``function(argument)`` called at a time, which is not before `now`."""
        self._made += 1
        heappush(self._heap, (time, self._made, function, argument))

    def step(self, until: float) -> bool:
        """Go to the next call that is due by ``until`` and make it; False when there is none."""
        if not self._heap or self._heap[0][0] > until:
            return False
        self.now, _, function, argument = heappop(self._heap)
        function(argument)
        return True

    def run_to(self, until: float) -> None:
        """Make every call that is due by ``until``, and let it be ``until``."""
        while self.step(until):
            pass
        self.now = until

    def note_cancelled(self) -> None:
        """Take notice that the argument of some call now says ``cancelled``.

        Such calls are left where they are until they are more than half of all: timers are
        cancelled much more often than they fire.
        """
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled > len(self._heap) // 2:
            # In place, for `step` may be under way.
            self._heap[:] = [
                entry for entry in self._heap if not getattr(entry[3], "cancelled", False)
            ]
            heapify(self._heap)
            self._cancelled = 0


class HostSchedule:
    """The schedule as the system of one host sees it: while the host sleeps, nothing is called."""

    def __init__(self, schedule: Schedule) -> None:
        self.is_asleep = False
        self._schedule = schedule
        self._overdue: list[tuple[Callable[[Any], None], Any]] = []

    @property
    def now(self) -> float:
        """Seconds of virtual time since the beginning."""
        return self._schedule.now

    def at(self, time: float, function: Callable[[Any], None], argument: Any) -> None:
        """Have ``function(argument)`` called at a time, or when the host wakes up after it."""
        self._schedule.at(time, self._call, (function, argument))

    def wake(self) -> None:
        """Have called what was due in the meantime."""
        self.is_asleep = False
        overdue, self._overdue = self._overdue, []
        for call in overdue:
            self._schedule.at(self.now, self._call, call)

    def _call(self, call: tuple[Callable[[Any], None], Any]) -> None:
        if self.is_asleep:
            self._overdue.append(call)
        else:
            function, argument = call
            function(argument)
