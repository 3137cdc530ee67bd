"""Joining a stream to something local: each end's bytes, pauses and ends pass to the other."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IHalfCloseableProtocol, IPushProducer)
class JoinedEnd(Protocol):
    """One of two ends; what it receives, the other one sends.

    Until it is joined it receives nothing, so nothing is held in memory.
    """

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0
        self.other: JoinedEnd | None = None
        self.lost: Failure | None = None
        self.closed: Deferred[None] = Deferred()
        """Fires when this end is closed in both directions; fails unless it was closed cleanly."""

    def connectionMade(self) -> None:
        """Wait for the other end."""
        self._transport.pauseProducing()

    def join(self, other: JoinedEnd) -> None:
        """Join two connected ends; one that was lost meanwhile takes the other one with it."""
        self.other, other.other = other, self
        for here, there in ((self, other), (other, self)):
            if here.lost is not None:
                there.end_as(here.lost)
            elif there.lost is None:
                here._transport.registerProducer(there, True)
                there.resumeProducing()

    def close(self) -> None:
        """Close this end in both directions, once what was written is sent."""
        self._transport.loseConnection()

    def abort(self) -> None:
        """Close this end at once, so that it does not look as if everything had come."""
        self._transport.abortConnection()

    def pauseProducing(self) -> None:
        """Receive nothing while the other end cannot send it."""
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Receive again."""
        self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """Receive no more, since the other end can send nothing; it will say why, or end."""
        self._transport.pauseProducing()

    def end_as(self, reason: Failure) -> None:
        """Do as the other end did: close, or abort if it was not closed cleanly."""
        if reason.check(ConnectionDone):
            self.close()
        else:
            self.abort()

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes to the other end."""
        self.bytes_received += len(data)
        if self.other is not None:
            self.other.write(data)

    def write(self, data: bytes) -> None:
        """Send bytes that the other end received."""
        self.bytes_sent += len(data)
        self._transport.write(data)

    def readConnectionLost(self) -> None:
        """Pass the end of the input to the other end."""
        if self.other is not None:
            self.other.end_output()

    def end_output(self) -> None:
        """Send no more, since the other end receives no more."""
        self._transport.unregisterProducer()
        self._transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        """Nothing can be sent any more; what arrives is still wanted."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let the other end do the same."""
        self.lost = reason
        if self.other is not None and self.other.lost is None:
            self.other._transport.unregisterProducer()
            self.other.end_as(reason)
        if reason.check(ConnectionDone):
            self.closed.callback(None)
        else:
            self.closed.errback(reason)

    @property
    def _transport(self) -> Any:
        # Typed as Any because no one interface of Twisted has all that both kinds of ends have.
        return self.transport
