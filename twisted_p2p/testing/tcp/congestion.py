"""How much may be under way at once (RFC 5681, with the fast recovery of RFC 6582)."""

from __future__ import annotations

_UNLIMITED = 2**40
_DUPLICATES_FOR_LOSS = 3


class CongestionControl:
    """The congestion window of one connection, in bytes."""

    def __init__(self, segment_size: int, initial_segments: int) -> None:
        self.segment_size = segment_size
        self.window = initial_segments * segment_size
        self._threshold = _UNLIMITED
        self._duplicates = 0
        self._recover: int | None = None
        """What was the highest sequence sent when a loss was found."""
        self._is_recovering = False

    def acknowledged(self, count: int, up_to: int) -> bool:
        """Take in that ``count`` more bytes have arrived; True to repeat what follows them."""
        self._duplicates = 0
        if self._is_recovering:
            return self._acknowledged_in_recovery(count, up_to)
        if self.window < self._threshold:
            self.window += min(count, 2 * self.segment_size)
        else:
            self.window += max(1, self.segment_size * min(count, self.window) // self.window)
        return False

    def duplicated(self, up_to: int, in_flight: int, highest: int) -> bool:
        """Take in a duplicate acknowledgement; True to repeat the first segment in flight."""
        self._duplicates += 1
        if self._is_recovering:
            self.window += self.segment_size
            return False
        if self._duplicates != _DUPLICATES_FOR_LOSS or up_to <= (self._recover or 0):
            return False
        self._reduce(in_flight)
        self.window = self._threshold + _DUPLICATES_FOR_LOSS * self.segment_size
        self._recover, self._is_recovering = highest, True
        return True

    def timed_out(self, in_flight: int, highest: int) -> None:
        """Begin anew with one segment."""
        self._reduce(in_flight)
        self.window = self.segment_size
        self._recover, self._is_recovering, self._duplicates = highest, False, 0

    def _acknowledged_in_recovery(self, count: int, up_to: int) -> bool:
        assert self._recover is not None
        if up_to >= self._recover:
            self._is_recovering = False
            self.window = self._threshold
            return False
        self.window = max(self.window - count + self.segment_size, self.segment_size)
        return True

    def _reduce(self, in_flight: int) -> None:
        self._threshold = max(in_flight // 2, 2 * self.segment_size)
