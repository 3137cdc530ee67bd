"""Bytes that have arrived, put in order."""

from __future__ import annotations

from heapq import heappop, heappush


class ReceiveBuffer:
    """Takes pieces of a stream in any order; offsets count from the beginning of the stream."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.next = 0
        """The offset of the first byte that is missing."""
        self._ready = bytearray()
        self._early: dict[int, bytes] = {}
        self._early_offsets: list[int] = []

    def __len__(self) -> int:
        """Return how many bytes can be read."""
        return len(self._ready)

    @property
    def room(self) -> int:
        """How many bytes after `next` are taken."""
        return max(0, self.capacity - len(self._ready))

    @property
    def has_gap(self) -> bool:
        """Whether something came before what precedes it."""
        return bool(self._early)

    def add(self, offset: int, data: bytes) -> None:
        """Take a piece; what was there already, or is beyond the room, is left out."""
        limit = self.next + self.room
        if offset + len(data) > limit:
            data = data[: max(0, limit - offset)]
        if offset > self.next:
            self._keep(offset, data)
            return
        self._append(offset, data)
        while self._early_offsets and self._early_offsets[0] <= self.next:
            early = heappop(self._early_offsets)
            self._append(early, self._early.pop(early))

    def read(self, size: int) -> bytes:
        """Remove and return up to ``size`` bytes."""
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _append(self, offset: int, data: bytes) -> None:
        fresh = data[self.next - offset :] if offset < self.next else data
        self._ready += fresh
        self.next += len(fresh)

    def _keep(self, offset: int, data: bytes) -> None:
        if offset not in self._early:
            if not data:
                return
            heappush(self._early_offsets, offset)
        if len(data) > len(self._early.get(offset, b"")):
            self._early[offset] = data
