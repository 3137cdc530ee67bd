"""What holds the ports of a simulated host."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Generic, TypeVar

HolderT = TypeVar("HolderT", bound=Hashable)


class PortTable(Generic[HolderT]):
    """Who holds each port number, the first comer first; one whom nobody holds costs nothing.

    Hosts choose ephemeral ports at random, so a table that kept the numbers would grow for long.
    """

    def __init__(self) -> None:
        self._holders: dict[int, dict[HolderT, None]] = {}

    def __iter__(self) -> Iterator[HolderT]:
        for holders in self._holders.values():
            yield from holders

    def __getitem__(self, number: int) -> Collection[HolderT]:
        """Return who holds a port number, maybe nobody."""
        return self._holders.get(number, ())

    def __len__(self) -> int:
        """Return how many port numbers are held."""
        return len(self._holders)

    def add(self, number: int, holder: HolderT) -> None:
        """Let a port number be held by one more."""
        self._holders.setdefault(number, {})[holder] = None

    def remove(self, number: int, holder: HolderT) -> None:
        """Let a holder of a port number go."""
        holders = self._holders[number]
        del holders[holder]
        if not holders:
            del self._holders[number]
