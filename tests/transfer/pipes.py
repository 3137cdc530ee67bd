"""Two protocols joined by a pipe that delivers when told, holds little, and may be cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from twisted_p2p.addresses import PeerAddress

_HIGH = 4096
"""Bytes that wait in an end before its producer is paused."""


class End:
    """A stream transport."""

    def __init__(self, protocol: Any, peer: PeerAddress) -> None:
        self.protocol = protocol
        self.peer = peer
        self.other: End
        self.outgoing = bytearray()
        self.reading = True
        self.closing = False
        self.aborted = False
        self.lost = False
        self.most_waiting = 0
        self._producer: Any = None
        self._paused = False

    def getPeer(self) -> PeerAddress:
        return self.peer

    def write(self, data: bytes) -> None:
        if self.lost or self.closing:
            return
        self.outgoing += data
        self.most_waiting = max(self.most_waiting, len(self.outgoing))
        if self._producer is not None and len(self.outgoing) > _HIGH and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        assert self._producer is None
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def loseConnection(self) -> None:
        self.closing = True

    loseWriteConnection = loseConnection

    def abortConnection(self) -> None:
        self.aborted = True

    def step(self, size: int) -> bool:
        """Deliver a piece of what waits; return whether anything happened."""
        if self.lost:
            return False
        if self.aborted:
            lose_both(self, ConnectionLost("aborted"))
            return True
        if self.outgoing and self.other.reading:
            piece = bytes(self.outgoing[:size])
            del self.outgoing[:size]
            self.other.protocol.dataReceived(piece)
            if self._paused and not self.outgoing and self._producer is not None:
                self._paused = False
                self._producer.resumeProducing()
            return True
        if self.closing and not self.outgoing and self.other.reading:
            lose_both(self, ConnectionDone())
            return True
        return False

    def lose(self, error: Exception) -> None:
        if not self.lost:
            self.lost = True
            if self._producer is not None:
                self._producer.stopProducing()
            self.protocol.connectionLost(Failure(error))


def lose_both(end: End, error: Exception) -> None:
    end.lose(error)
    end.other.lose(error)


class Pipe:
    """A connection between two protocols, both of which begin at once."""

    def __init__(
        self, one: Protocol, other: Protocol, *, names: tuple[str, str] = ("one", "other")
    ) -> None:
        self.ends = [
            End(protocol, PeerAddress(name, "files", lambda: None))
            for protocol, name in zip((one, other), reversed(names), strict=True)
        ]
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]
        self.carried = 0
        for end in self.ends:
            end.protocol.makeConnection(end)

    def run(self, *, size: int = 1000, until: int | None = None) -> None:
        """Deliver, piece by piece, until nothing happens; or so many pieces."""
        done = 0
        while until is None or done < until:
            happened = [end.step(size) for end in self.ends]
            if not any(happened):
                return
            done += 1

    def cut(self) -> None:
        """Break the connection, with all that is under way."""
        for end in self.ends:
            end.lose(ConnectionLost("cut"))


class LazyThreads:
    """Runs what is to be run in threads when told."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        self.waiting.append((deferred, function, arguments))
        return deferred

    def names(self) -> list[str]:
        """Return the names of the functions that wait."""
        return [function.__name__ for _, function, _ in self.waiting]

    def run(self, name: str | None = None) -> None:
        """Run what waits, all of it or the functions of this name."""
        waiting, self.waiting = self.waiting, []
        for item in waiting:
            deferred, function, arguments = item
            if name not in (None, function.__name__):
                self.waiting.append(item)
                continue
            try:
                result = function(*arguments)
            except Exception:
                result = Failure()
            deferred.callback(result)
