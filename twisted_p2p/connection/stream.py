"""A stream to a peer as a Twisted transport, with the manners of TCP's.

Two things are better than TCP's.  After ``loseConnection`` a stream is lost with `ConnectionDone`
only when the peer has everything, so a program may end then although no kernel goes on sending
for it.  And a peer that was lost in mid-stream never looks like one that finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    ILoggingContext,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.log import callWithContext
from zope.interface import implementer

from twisted_p2p.addresses import Path, PeerAddress
from twisted_p2p.connection.stream_table import StreamTable
from twisted_p2p.interfaces import IPathObserver

BUFFER_SIZE = 64 * 1024
"""Bytes waiting here, beside those in the QUIC library, above which a producer is paused."""

PULLS_PER_TURN = 16
"""How often a pull producer is asked before others have their turn, were it for single bytes."""


class StreamCarrier(Protocol):
    """The connection, as its streams know it."""

    @property
    def streams(self) -> StreamTable:
        """The commands for streams."""

    def schedule(self, stream: PeerStream) -> None:
        """Call the stream's `PeerStream.flush` soon, and send what comes of it."""

    def stream_lost(self, stream: PeerStream, reason: Failure) -> None:
        """Take it that the stream has told its protocol that it is lost."""


@implementer(ITCPTransport, IConsumer, IPushProducer, ILoggingContext)
class PeerStream:
    """One stream of a connection to a peer.

    A protocol that is no `IHalfCloseableProtocol` loses its connection when the peer ends.
    """

    _log = Logger()

    def __init__(
        self, carrier: StreamCarrier, stream_id: int, host: PeerAddress, peer: PeerAddress
    ) -> None:
        self.stream_id = stream_id
        self.connected = True
        self.disconnected = False
        self.disconnecting = False
        self.is_answered = True
        """Whether it is known that the peer takes the stream, which it does when it opened it."""
        self._carrier = carrier
        self._host = host
        self._peer = peer
        self._protocol: Any = None
        self._incoming: deque[bytes] = deque()
        self._reading = True
        self._end_arrived = False
        self._read_ended = False
        self._outgoing: deque[bytes] = deque()
        self._outgoing_size = 0
        self._offset = 0
        self._half_closing = False
        self._write_ended = False
        self._delivered = False
        self._aborting = False
        self._carrier_lost: Failure | None = None
        self._producer: Any = None
        self._streaming = False
        self._producer_paused = False

    # What applications call.

    def getPeer(self) -> PeerAddress:  # type: ignore[override]
        """Return the peer's verified ID, the service, and the path of the moment."""
        return self._peer

    def getHost(self) -> PeerAddress:  # type: ignore[override]
        """Return this side's peer ID, the service, and the path of the moment."""
        return self._host

    def write(self, data: bytes) -> None:
        """Send data, after what was written before; ignored once writing has ended."""
        if not isinstance(data, bytes):
            raise TypeError("Data must be bytes")
        if not self.connected or self._write_ended or self._aborting or not data:
            return
        self._outgoing.append(data)
        self._outgoing_size += len(data)
        if self._producer is not None and self._streaming and self._outgoing_size > BUFFER_SIZE:
            self._producer_paused = True
            self._producer.pauseProducing()
        self._carrier.schedule(self)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces of data in a row."""
        pieces = list(data)
        if not all(isinstance(piece, bytes) for piece in pieces):
            raise TypeError("Data must be bytes")
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        """Lose the connection once all data are with the peer and no producer is registered.

        Nothing more is received meanwhile.
        """
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._reading = False
            self._incoming.clear()
            self._carrier.schedule(self)

    def loseWriteConnection(self) -> None:
        """End what is sent, once all data are sent; receiving goes on."""
        if self.connected:
            self._half_closing = True
            self._carrier.schedule(self)

    def abortConnection(self) -> None:
        """Lose the connection at once; what has not been sent never is."""
        if self.connected and not self._aborting:
            self._aborting = True
            self._reading = False
            self._drop_outgoing()
            self._carrier.streams.abandon(self.stream_id)
            self._carrier.schedule(self)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pace a producer: a push producer is paused while much waits, a pull producer asked."""
        if self._producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self._producer} was "
                "never unregistered."
            )
        if not self.connected or self._write_ended:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Pace the producer no more; a close that waited for it goes on."""
        self._producer = None
        self._carrier.schedule(self)

    def stopConsuming(self) -> None:
        """Lose the connection for want of a producer that has ended before its time."""
        self.unregisterProducer()
        self.loseConnection()

    def pauseProducing(self) -> None:
        """Receive nothing for now; the peer soon cannot send any more, on this stream alone."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Receive again."""
        if self.connected and not self.disconnecting and not self._aborting:
            self._reading = True
            self._carrier.schedule(self)

    def stopProducing(self) -> None:
        """Lose the connection, as `loseConnection` does."""
        self.loseConnection()

    def getTcpNoDelay(self) -> bool:
        """Return True: data never wait for more data."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing; here for protocols that ask it of every transport."""

    def getTcpKeepAlive(self) -> bool:
        """Return True: the path beneath is always checked."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Do nothing; here for protocols that ask it of every transport."""

    def logPrefix(self) -> str:
        """Return the protocol's own prefix, the service, and the beginning of the peer's ID."""
        protocol = self._protocol
        named = ILoggingContext(protocol, None)
        prefix = type(protocol).__name__ if named is None else named.logPrefix()
        return f"{prefix},{self._peer.service},{self._peer.peer_id[:8]}"

    # What the connection calls.

    def start(self, protocol: Any) -> bool:
        """Join a protocol to this transport, perhaps after another one that let nothing happen.

        Returns whether it stood that.
        """
        self._protocol = protocol
        with self._guard():
            protocol.makeConnection(self)
        if self._write_ended and self.connected:
            self._tell_write_ended()
        return self.connected

    def data_arrived(self, data: bytes) -> None:
        """Take payload from the peer."""
        if not self.disconnecting and not self._aborting:
            self._incoming.append(data)
            self._carrier.schedule(self)

    def end_arrived(self) -> None:
        """Take it that the peer has sent everything."""
        self._end_arrived = True
        self._carrier.schedule(self)

    def delivered(self) -> None:
        """Take it that the peer has everything that was sent, up to the end."""
        self._delivered = True
        self._finish_if_over()

    def accepted(self) -> None:
        """Take it that the peer has accepted the stream."""
        self.is_answered = True
        self._finish_if_over()

    def reset_arrived(self) -> None:
        """Take it that the peer gave up sending."""
        # Once this side is leaving it matters only what becomes of what it sent, and whether the
        # peer took the stream: of that no word will come any more.
        if not self.disconnecting or not self.is_answered:
            self.lose(failure_of(ConnectionLost("The peer gave up the stream.")))

    def stop_arrived(self) -> None:
        """Take it that the peer wants no more data."""
        unsent = bool(self._outgoing) or self._producer is not None
        tell = not self._write_ended and not self.disconnecting
        self._write_ended = self._delivered = True
        self._drop_outgoing()
        if (self.disconnecting or self._read_ended) and unsent:
            self.lose(failure_of(ConnectionLost("The peer took no more data.")))
            return
        if tell:
            self._tell_write_ended()
        self._finish_if_over()

    def path_changed(self, path: Path | None) -> None:
        """Take the path that carries packets from now on."""
        observer = IPathObserver(self._protocol, None)
        if observer is not None:
            with self._guard():
                observer.path_changed(path)

    def carrier_lost(self, reason: Failure) -> None:
        """Take it that there is no connection any more; what had arrived whole is still told."""
        if self._end_arrived and not self._read_ended and not self.disconnecting:
            self._carrier_lost = reason
            self._drop_outgoing()
            self._carrier.schedule(self)
        else:
            self.lose(reason)

    def flush(self) -> None:
        """Tell the protocol what has arrived, and hand on what it has written."""
        if self._aborting:
            self.lose(failure_of(ConnectionAborted()))
        else:
            callWithContext({"system": self.logPrefix()}, self._flush)

    def _flush(self) -> None:
        with self._guard():
            self._read()
            if self.connected:
                self._write()

    def lose(self, reason: Failure) -> None:
        """Tell the protocol, once, that the stream is lost."""
        if not self.connected:
            return
        self.connected, self.disconnected = False, True
        self._incoming.clear()
        self._drop_outgoing()
        if isinstance(reason.value, ConnectionDone):
            self._carrier.streams.stop(self.stream_id)
        else:
            self._carrier.streams.abandon(self.stream_id)
        protocol, self._protocol = self._protocol, None
        try:
            protocol.connectionLost(reason)
        except Exception:
            self._log.failure("{protocol} failed in connectionLost", protocol=protocol)
        self._carrier.stream_lost(self, reason)

    def _read(self) -> None:
        while self._incoming and self._reading and self.connected:
            data = self._incoming.popleft()
            self._protocol.dataReceived(data)
            self._carrier.streams.consume(self.stream_id, len(data))
        if self._end_arrived and self._reading and not self._incoming and not self._read_ended:
            self._end_reading()

    def _end_reading(self) -> None:
        self._read_ended = True
        protocol = IHalfCloseableProtocol(self._protocol, None)
        if protocol is None:
            if self._outgoing:
                self._carrier.streams.reset(self.stream_id)
            else:
                self._carrier.streams.end(self.stream_id)
            self.lose(failure_of(ConnectionDone()))
            return
        protocol.readConnectionLost()
        self._finish_if_over()
        if self._carrier_lost is not None:
            self.lose(self._carrier_lost)

    def _write(self) -> None:
        pulls = 0
        while self._hand_on() and not self._write_ended:
            producer = self._producer
            if producer is None:
                if self.disconnecting or self._half_closing:
                    self._end_writing()
                return
            if self._streaming and not self._producer_paused:
                return
            if pulls == PULLS_PER_TURN:
                self._carrier.schedule(self)
                return
            pulls += 1
            self._producer_paused = False
            producer.resumeProducing()
            if not self._outgoing:
                return
        self._finish_if_over()

    def _hand_on(self) -> bool:
        """Give waiting data to the connection; return whether all were taken."""
        while self._outgoing:
            data = memoryview(self._outgoing[0])[self._offset :]
            taken = self._carrier.streams.send(self.stream_id, data)
            self._outgoing_size -= taken
            if taken < len(data):
                self._offset += taken
                return False
            self._offset = 0
            self._outgoing.popleft()
        return True

    def _end_writing(self) -> None:
        self._write_ended = True
        self._carrier.streams.end(self.stream_id)
        if not self.disconnecting:
            self._tell_write_ended()

    def _tell_write_ended(self) -> None:
        protocol = IHalfCloseableProtocol(self._protocol, None)
        if protocol is not None:
            with self._guard():
                protocol.writeConnectionLost()

    def _finish_if_over(self) -> None:
        is_over = self.disconnecting or self._read_ended
        if self._delivered and self.is_answered and is_over:
            self.lose(failure_of(ConnectionDone()))

    def _drop_outgoing(self) -> None:
        self._outgoing.clear()
        self._outgoing_size = self._offset = 0
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.stopProducing()
            except Exception:
                self._log.failure("{producer} failed in stopProducing", producer=producer)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Lose the stream if the application's code raises, as Twisted's reactors do."""
        try:
            yield
        except Exception as error:
            self._log.failure("{protocol} failed", protocol=self._protocol)
            self.lose(failure_of(error))


def failure_of(error: Exception) -> Failure:
    """Return an error as Twisted hands it to protocols."""
    return Failure(error)
