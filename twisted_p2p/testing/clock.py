"""The clocks of a host: wrong, drifting, stepped, or standing still while the host sleeps."""

from __future__ import annotations

from collections.abc import Callable

from twisted_p2p.testing.schedule import Schedule


class HostClock:
    """A wall clock, which may be set, and a monotonic one, which only goes on.

    Both tell seconds and begin at virtual time, which begins at 0.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.changed: Callable[[], object] = lambda: None
        """Called when the wall clock has been set or goes at another rate."""
        self._schedule = schedule
        self._rate = 1.0
        self._is_paused = False
        self._set_at = schedule.now
        """When the next two were true, in virtual time."""
        self._wall = schedule.now
        self._monotonic = schedule.now

    @property
    def rate(self) -> float:
        """The seconds that both clocks count in a second of virtual time."""
        return self._rate

    def wall(self) -> float:
        """Return what the wall clock shows."""
        return self._wall + (self._schedule.now - self._set_at) * self._rate

    def monotonic(self) -> float:
        """Return the seconds that the host has been awake, as ``CLOCK_MONOTONIC`` on Linux."""
        if self._is_paused:
            return self._monotonic
        return self._monotonic + (self._schedule.now - self._set_at) * self._rate

    def skew(self, offset: float = 0.0, rate: float = 1.0) -> None:
        """Set the wall clock to virtual time and so many seconds, and let both go at a rate."""
        assert rate > 0, f"{rate} is not greater than 0"
        self._note_time()
        self._wall = self._schedule.now + offset
        self._rate = rate
        self.changed()

    def step(self, seconds: float) -> None:
        """Set the wall clock so many seconds on, or back."""
        self._note_time()
        self._wall += seconds
        self.changed()

    def pause(self) -> None:
        """Let the monotonic clock stand still."""
        self._note_time()
        self._is_paused = True

    def go_on(self) -> None:
        """Let the monotonic clock go on."""
        self._note_time()
        self._is_paused = False

    def time_of(self, wall: float) -> float:
        """Return the virtual time at which the wall clock will show a time, or now if it has."""
        now = self._schedule.now
        return max(now, now + (wall - self.wall()) / self._rate)

    def _note_time(self) -> None:
        self._wall, self._monotonic = self.wall(), self.monotonic()
        self._set_at = self._schedule.now
