"""How much a stream's receiver lets the sender send; what bounds the memory of a stalled reader.

QUIC has windows of its own, but the library opens them again as soon as data arrive, whether or
not anybody reads (measured: 50 MB into a reader that never read).  So the receiver of a stream
also grants credit by our own control messages, as the application consumes.  A stream that stalls
holds back nobody else, since the library's windows never close.

The window of a stream begins small and grows by what was consumed, doubling with every round trip
as the sender's congestion window does, so it does not slow a transfer down; growth of all streams
of a connection together is bounded, as a peer might open many and our application read none.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from twisted_p2p.connection.wire import LONGEST_TEXT

INITIAL_WINDOW = 128 * 1024
"""Bytes that a sender may send on a new stream before the receiver said anything."""

LARGEST_WINDOW = 4 * 1024 * 1024
"""Bytes under way or unread on one stream at most: 40 MB/s at a round trip of 100 ms."""

SHARED_GROWTH = 16 * 1024 * 1024
"""Bytes by which all windows of a connection together may outgrow the initial ones."""

UNANSWERED_LIMIT = 32 * 1024
"""Bytes that the initiator sends on all streams before it has heard the responder.

The responder holds no more than twice that before the proof verified, and the proof may be lost
once.  Congestion control allows 12,000 in the first round trip anyway.
"""

LONGEST_OPENING = LONGEST_TEXT + 2
"""Bytes by which a stream is opened, at most."""


@define
class GrowthBudget:
    """What the windows of one connection may still grow by, in bytes."""

    left: int = SHARED_GROWTH


@define
class ReceiveWindow:
    """The receiver's account of one stream, in bytes of payload since its beginning."""

    _budget: GrowthBudget
    received: int = field(default=0, init=False)
    consumed: int = field(default=0, init=False)
    limit: int = field(default=INITIAL_WINDOW, init=False)
    """What the sender may have sent in all."""
    _window: int = field(default=INITIAL_WINDOW, init=False)

    def receive(self, size: int) -> bool:
        """Count arrived bytes; False when the sender went beyond its limit."""
        self.received += size
        return self.received <= self.limit

    def consume(self, size: int) -> int | None:
        """Count bytes that the application took; return a new limit if the sender wants one."""
        self.consumed += size
        # A quarter at a time: seldom enough to cost nothing, often enough never to run dry.
        if self.limit - self.consumed > self._window - self._window // 4:
            return None
        growth = min(self.consumed, LARGEST_WINDOW) - self._window
        growth = max(0, min(growth, self._budget.left))
        self._budget.left -= growth
        self._window += growth
        self.limit = self.consumed + self._window
        return self.limit

    def close(self) -> None:
        """Give back what the window had grown by; nothing more arrives."""
        self._budget.left += self._window - INITIAL_WINDOW
        self._window = INITIAL_WINDOW


@define
class UnansweredBudget:
    """What may be sent on all streams of a connection until the peer has been heard, in bytes.

    ``ask`` is called when too little is left to open a stream: the peer must say something then,
    and may have no other reason to, since every stream may have been given up meanwhile.
    """

    _left: int | None
    _ask: Callable[[], object]

    def bound(self, size: int) -> int:
        """Return how many of so many bytes may be sent now."""
        return size if self._left is None else min(size, self._left)

    def spend(self, size: int) -> None:
        """Take it that so many bytes are sent."""
        if self._left is not None:
            before, self._left = self._left, self._left - size
            if self._left < LONGEST_OPENING <= before:
                self._ask()

    def lift(self) -> None:
        """Let any number of bytes be sent from now on: the peer has been heard."""
        self._left = None
