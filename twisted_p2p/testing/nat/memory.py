"""What a NAT remembers for a time, and how it forgets without looking at everything."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")

_FEW = 64


class ExpiringSet(dict[KeyT, float]):
    """Keys that are remembered for some seconds after they were last added; and until when.

    Expired ones go when another one is added.
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def add(self, key: KeyT, now: float) -> None:
        """Remember a key from now on; ``now`` is never earlier than the last time."""
        # All are kept for equally long, so the one that was added first expires first.
        while self:
            oldest = next(iter(self))
            if now < self[oldest]:
                break
            del self[oldest]
        self.pop(key, None)
        self[key] = now + self._seconds

    def has(self, key: KeyT, now: float) -> bool:
        """Whether a key was added less than so many seconds ago."""
        return now < self.get(key, now)


class PrunedDict(dict[KeyT, ValueT]):
    """A dictionary whose dead values are dropped when there are many, so that none stays long.

    Whoever adds to it calls `prune` once there are more than `many`; then as many are added as
    are looked at.
    """

    __slots__ = ("many",)

    def __init__(self) -> None:
        super().__init__()
        self.many = _FEW

    def prune(self, is_dead: Callable[[ValueT], bool]) -> list[ValueT]:
        """Drop the dead values and return them."""
        dead = {key: value for key, value in self.items() if is_dead(value)}
        for key in dead:
            del self[key]
        self.many = max(_FEW, 2 * len(self))
        return list(dead.values())
