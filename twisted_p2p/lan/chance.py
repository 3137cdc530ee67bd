"""The random delays that keep many hosts on one link from speaking at once."""

from __future__ import annotations

from collections.abc import Callable


class Chance:
    """Draws numbers from a source of random bytes."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self.random_bytes = random_bytes
        """Returns so many random bytes."""

    def between(self, low: float, high: float) -> float:
        """Return a number from ``low`` to ``high``, all of them as likely."""
        return low + (high - low) * int.from_bytes(self.random_bytes(4), "big") / 2**32
