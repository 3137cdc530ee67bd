"""What two sides have in common: digests of how a file begins, made a piece at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from hashlib import _Hash

BLOCK = 256 << 10
"""Bytes that are read at once."""

STEP = 32 << 20
"""Bytes that one step of a digest takes at most, so that it can be given up."""

_ALIGNMENT = 64 << 10
_MOST_CHECKPOINTS = 16


def checkpoints(size: int) -> tuple[int, ...]:
    """Return the rising offsets at which two sides compare the first ``size`` bytes of a file.

    The last one is ``size``, so nothing is sent again where all of that is right; where some of
    it is not, as after a power failure, a sixteenth or less is lost beside what is wrong.
    """
    part = -(-size // _MOST_CHECKPOINTS)
    step = -(-part // _ALIGNMENT) * _ALIGNMENT
    return (*tuple(range(step, size, step)), size) if size else ()


@frozen
class Prefix:
    """How a file begins: so many bytes, and a digest that can be carried on."""

    size: int
    state: _Hash

    @property
    def digest(self) -> bytes:
        """The SHA-256."""
        return self.state.digest()


def nothing() -> Prefix:
    """Return the prefix that all files have in common."""
    return Prefix(0, sha256())


def in_common(ours: Sequence[Prefix], theirs: Iterable[bytes]) -> Prefix:
    """Return the longest of our prefixes whose digest the other side has too."""
    common = nothing()
    for prefix, digest in zip(ours, theirs, strict=False):
        if prefix.digest != digest:
            break
        common = prefix
    return common


class PrefixReader:
    """Digests the first bytes of an open file up to each of some rising offsets."""

    def __init__(self, descriptor: int, offsets: Sequence[int]) -> None:
        self.prefixes: list[Prefix] = []
        """So far; fewer than the offsets in the end if the file is shorter."""
        self._descriptor = descriptor
        self._offsets = offsets
        self._position = 0
        self._state = sha256()

    def step(self) -> bool:
        """Read on for at most `STEP` bytes; return whether there is more to do."""
        end_of_step = self._position + STEP
        while len(self.prefixes) < len(self._offsets) and self._position < end_of_step:
            offset = self._offsets[len(self.prefixes)]
            size = min(BLOCK, offset - self._position)
            block = os.pread(self._descriptor, size, self._position)
            if not block:
                return False
            self._state.update(block)
            self._position += len(block)
            if self._position == offset:
                self.prefixes.append(Prefix(offset, self._state.copy()))
        return len(self.prefixes) < len(self._offsets)
