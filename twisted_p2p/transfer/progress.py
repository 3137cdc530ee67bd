"""How far a transfer has come; counted here, shown elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from .manifest import Entry


@define(eq=False)
class Progress:
    """Counts over the whole life of a transfer, interruptions included."""

    total: int = 0
    """Bytes of all files."""
    done: int = 0
    """Bytes that need not be sent any more."""
    moved: int = 0
    """Bytes that went over, holes included; of these the rate is made."""
    on_file: Callable[[Entry, bytes], object] = lambda entry, digest: None
    """Told of each file that is complete, and its SHA-256; perhaps from another thread."""

    def expect(self, total: int) -> None:
        """Take it that so much is to be done, unless more is known already."""
        self.total = self.total or total

    def begin(self, total: int, done: int) -> None:
        """Take it that a connection begins its part with so much done."""
        self.total, self.done = total, done

    def advance(self, size: int) -> None:
        """Count bytes that went over."""
        self.done += size
        self.moved += size

    def file_done(self, entry: Entry, digest: bytes) -> None:
        """Take it that a file is complete."""
        self.on_file(entry, digest)
