"""Numbers that rise, also from one run of a program to the next."""

from __future__ import annotations

from collections.abc import Callable


class RisingSequence:
    """The source of the sequences of one identity's records and offers.

    It starts from a wall clock, so that a program which keeps nothing on disk goes on above where
    it was.  Nobody reads a sequence as a time; should the clock have gone back, whoever refuses a
    sequence says which one to exceed.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        """Prepare a source; ``wall_clock`` returns seconds."""
        self._wall_clock = wall_clock
        self._last = 0

    def next(self) -> int:
        """Return a number above all those returned before."""
        self._last = max(self._last + 1, int(self._wall_clock() * 1000))
        return self._last
