"""The streams that the peer may still open, by their IDs (RFC 9000, section 2.1)."""

from __future__ import annotations

MOST_EARLY_ENDS = 1_000
"""Streams whose end may be known before anything else of them; only a hostile peer tells of more.

The library lets a peer have a hundred streams unfinished.
"""


class UnopenedStreams:
    """The bidirectional streams that the peer has not opened; it may do so out of order."""

    def __init__(self, *, peer_is_client: bool) -> None:
        # The client's first stream is the control stream.
        self._next = 4 if peer_is_client else 1
        self._skipped: set[int] = set()
        self._sizes: dict[int, int] = {}

    def has(self, stream_id: int) -> bool:
        """Return whether this is an ID of the peer's on which nothing has arrived before."""
        is_unused = stream_id >= self._next or stream_id in self._skipped
        return stream_id % 4 == self._next % 4 and is_unused

    def open(self, stream_id: int) -> int | None:
        """Take one away, and return its size in bytes of payload if `end` told that before.

        The library bounds how far ahead of the others it may be.
        """
        self._skipped.update(range(self._next, stream_id, 4))
        self._skipped.discard(stream_id)
        self._next = max(self._next, stream_id + 4)
        return self._sizes.pop(stream_id, None)

    def end(self, stream_id: int, size: int) -> bool:
        """Keep the size of one that has ended, and return whether there is room for that.

        The end comes on the control stream, and so may overtake all else of a stream.  That of a
        stream which is over is of no interest.
        """
        if self.has(stream_id):
            self._sizes[stream_id] = size
        return len(self._sizes) <= MOST_EARLY_ENDS
