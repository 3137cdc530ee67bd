"""Bytes that are to be sent, until they are acknowledged."""

from __future__ import annotations


class SendQueue:
    """What one end sends: a SYN at offset 0, the bytes from offset 1, perhaps a FIN."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.unacknowledged = 0
        """The first offset that is not acknowledged."""
        self.next = 0
        """The offset to send next; goes back when all is sent again."""
        self.highest = 0
        """The offset after the last that was ever sent."""
        self.is_ended = False
        """Whether a FIN follows the bytes."""
        self._data = bytearray()
        self._data_offset = 1

    @property
    def room(self) -> int:
        """How many bytes can be written."""
        return 0 if self.is_ended else max(0, self.capacity - len(self._data))

    @property
    def in_flight(self) -> int:
        """How much is sent and not acknowledged."""
        return self.next - self.unacknowledged

    @property
    def unsent(self) -> int:
        """How many bytes are to be sent, without the FIN."""
        return max(0, self._end - self.next)

    @property
    def has_unsent_end(self) -> bool:
        """Whether nothing but the FIN is to be sent."""
        return self.is_ended and self.next == self._end

    @property
    def is_finished(self) -> bool:
        """Whether the FIN is acknowledged."""
        return self.is_ended and self.unacknowledged > self._end

    @property
    def _end(self) -> int:
        return self._data_offset + len(self._data)

    def write(self, data: bytes | memoryview) -> int:
        """Take as much as there is room for, and return how much that was."""
        taken = min(self.room, len(data))
        self._data += data[:taken]
        return taken

    def send(self, size: int) -> bytes:
        """Return the next ``size`` bytes, and go on behind them."""
        data = self.peek(self.next, size)
        self.advance(len(data))
        return data

    def advance(self, count: int) -> None:
        """Go on behind a SYN, bytes or a FIN."""
        self.next += count
        self.highest = max(self.highest, self.next)

    def peek(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from an offset on."""
        start = offset - self._data_offset
        return bytes(self._data[start : start + size])

    def ends_at(self, offset: int) -> bool:
        """Whether the FIN has this offset."""
        return self.is_ended and offset == self._end

    def acknowledge(self, up_to: int) -> int:
        """Forget what has arrived; return how much that is."""
        count = up_to - self.unacknowledged
        self.unacknowledged = up_to
        self.next = max(self.next, up_to)
        gone = min(up_to, self._end) - self._data_offset
        if gone > 0:
            del self._data[:gone]
            self._data_offset += gone
        return count

    def rewind(self) -> None:
        """Send again all that is not acknowledged."""
        self.next = self.unacknowledged
