"""A connection to a peer on a reactor: the machine, its driver, and streams as transports."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionLost, NoProtocol
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_p2p.addresses import Path, PeerAddress
from twisted_p2p.connection.admission import Undecided, ask_permission
from twisted_p2p.connection.events import (
    CloseCode,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionForgotten,
    ConnectionIDIssued,
    ConnectionIDRetired,
    PeerAuthenticated,
    PingAnswered,
    StreamAccepted,
    StreamAvailable,
    StreamDataReceived,
    StreamDelivered,
    StreamEnded,
    StreamOpened,
    StreamRefused,
    StreamReset,
    StreamStopped,
    StreamWritable,
)
from twisted_p2p.connection.owner import ConnectionOwner
from twisted_p2p.connection.quic import QUICConnection
from twisted_p2p.connection.quic_library import VIRTUAL_PEER, LibraryFactory, QH3Connection
from twisted_p2p.connection.stream import PeerStream, failure_of
from twisted_p2p.connection.stream_table import StreamTable
from twisted_p2p.connection.wire import encode_opening
from twisted_p2p.datagram.driver import MachineDriver, monotonic_clock
from twisted_p2p.errors import DialTimedOut, PeerRefused, UnknownService, WrongIdentity
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.interfaces import IEarlyFactory

LINGER = 1.0
"""Seconds that a connection being closed waits for the ends of streams to be confirmed."""


@define(eq=False)
class _Opening:
    """A stream that an application asked for and that the peer has not answered yet."""

    service: str
    factory: IProtocolFactory
    result: Deferred[IProtocol]
    stream: PeerStream | None = None
    protocol: Any = None


class PeerConnection:
    """A QUIC connection to the holder of one key, over a path that its owner knows."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        is_client: bool,
        identity: IdentityKey,
        peer_id: PeerID,
        owner: ConnectionOwner,
        library: LibraryFactory = QH3Connection,
    ) -> None:
        """Begin at once as client, or with the peer's first datagram as server.

        `ConnectionOwner.connection_id_issued` and `ConnectionOwner.send_datagrams` are called
        before long, but not from within this call.
        """
        self.peer_id = peer_id
        self.path: Path | None = None
        self.is_open = True
        """Whether it was neither lost nor closed."""
        self.is_authenticated = False
        """Whether the peer has shown that it holds the expected key."""
        self._reactor = reactor
        self._identity = identity
        self._owner = owner
        self._machine = QUICConnection(
            is_client=is_client,
            identity=identity,
            peer_id=peer_id,
            now=monotonic_clock(reactor)(),
            random_bytes=secrets.token_bytes,
            library=library,
        )
        self._driver: MachineDriver[ConnectionEvent] = MachineDriver(
            reactor,
            self._machine,
            lambda datagrams: owner.send_datagrams(self, [data for data, _ in datagrams]),
            self._event_happened,
        )
        self._streams: dict[int, PeerStream] = {}
        self._waiting: deque[_Opening] = deque()
        self._openings: dict[int, _Opening] = {}
        self._factories: dict[PeerStream, IProtocolFactory] = {}
        self._pings: dict[int, tuple[Deferred[float], float]] = {}
        self._ready: dict[PeerStream, None] = {}
        self._flush: IDelayedCall | None = None
        self._linger: IDelayedCall | None = None
        self._is_lost = self._is_forgotten = False
        self._telling = False
        self._receivers = self._receivers_by_event()
        self._driver.pump_soon()

    @property
    def streams(self) -> StreamTable:
        """The machine's commands for streams; not for applications."""
        return self._machine.streams

    def open_stream(self, service: str, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a stream to a service of the peer; fires as `IPeerConnection.open_stream` says.

        The Deferred can be cancelled.

        :raises ValueError: unless the service has a name of 1 to 255 bytes.
        """
        if not self.is_open:
            return fail(ConnectionLost("The connection to the peer is closed."))
        encode_opening(service)
        opening = _Opening(service, factory, Deferred(lambda _: self._cancel(opening)))
        factory.doStart()
        self._waiting.append(opening)
        self._open_waiting()
        return opening.result

    def ping(self) -> Deferred[float]:
        """Return a Deferred of the seconds that the peer's answer takes, asked for now."""
        if not (self.is_open and self.is_authenticated):
            return fail(ConnectionLost("There is no connection to the peer."))
        result: Deferred[float] = Deferred()
        self._pings[self._machine.ping()] = (result, self._driver.now())
        self._schedule_flush()
        return result

    def close(self) -> None:
        """End the connection and every stream on it; harmless when it has ended.

        Streams that are only waiting for their last data to arrive get a second for it.
        """
        if not self.is_open:
            return
        self.is_open = False
        for stream in list(self._streams.values()):
            if not stream.disconnecting:
                stream.abortConnection()
        self._linger = self._reactor.callLater(LINGER, self._close_now)
        self._close_if_over()

    def abandon(self, error: Exception) -> None:
        """Lose the connection for want of a path: nothing more is sent on it."""
        self._driver.stop()
        self._lose(failure_of(error))
        self._forget()

    def datagrams_received(self, datagrams: Iterable[bytes]) -> None:
        """Take QUIC datagrams that arrived for this connection along an authenticated path."""
        self._driver.datagrams_received(datagrams, VIRTUAL_PEER)

    def path_changed(self, path: Path | None) -> None:
        """Take the path that carries packets from now on, or None while there is none."""
        self.path = path
        if path is not None:
            self.probe()
        for stream in list(self._streams.values()):
            stream.path_changed(path)

    def probe(self) -> None:
        """Send something at once, since the path carries again after it did not."""
        self._machine.probe()
        self._schedule_flush()

    # What the streams call.

    def schedule(self, stream: PeerStream) -> None:
        """Flush a stream before the reactor waits again."""
        self._ready[stream] = None
        self._schedule_flush()

    def stream_lost(self, stream: PeerStream, reason: Failure) -> None:
        """Forget a stream that has told its protocol."""
        self._streams.pop(stream.stream_id, None)
        self._ready.pop(stream, None)
        opening = self._openings.pop(stream.stream_id, None)
        if opening is not None:
            opening.result.errback(reason)
        factory = self._factories.pop(stream, None)
        if factory is not None:
            factory.doStop()

    # Flushing streams.

    def _schedule_flush(self) -> None:
        if self._flush is None and not self._telling:
            self._flush = self._reactor.callLater(0, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        self._run_ready()
        self._driver.pump()

    def _run_ready(self) -> None:
        """Flush the streams that asked for it; those that ask again wait for the next turn."""
        ready, self._ready = self._ready, {}
        self._telling = True
        for stream in ready:
            stream.flush()
        self._telling = False
        if self._ready:
            self._schedule_flush()
        self._close_if_over()

    # Opening and accepting streams.

    def _open_waiting(self) -> None:
        """Open as many of the waiting streams as the peer lets us now."""
        while self._waiting and self.is_open:
            stream_id = self.streams.open(self._waiting[0].service)
            if stream_id is None:
                return
            self._open(stream_id, self._waiting.popleft())

    def _open(self, stream_id: int, opening: _Opening) -> None:
        stream = opening.stream = self._stream(stream_id, opening.service)
        self._factories[stream] = opening.factory
        self._openings[stream_id] = opening
        stream.is_answered = False
        stream.start(Undecided())
        if IEarlyFactory.providedBy(opening.factory):
            self._begin(opening, stream)
        self._schedule_flush()

    def _begin(self, opening: _Opening, stream: PeerStream) -> None:
        """Join a protocol to a stream that was opened here, or lose it for want of one."""
        try:
            opening.protocol = opening.factory.buildProtocol(stream.getPeer())
            if opening.protocol is None:
                raise NoProtocol
        except Exception as error:
            stream.lose(failure_of(error))
        else:
            stream.resumeProducing()
            stream.start(opening.protocol)

    def _cancel(self, opening: _Opening) -> None:
        if opening.stream is None:
            self._waiting.remove(opening)
            opening.factory.doStop()
        else:
            del self._openings[opening.stream.stream_id]
            opening.stream.abortConnection()

    def _stream_opened(self, event: StreamOpened) -> None:
        deciding = Deferred.fromCoroutine(self._protocol_for(event.service))
        waiting = None
        if not deciding.called:
            waiting = self._stream(event.stream_id, event.service)
            waiting.start(Undecided(deciding.cancel))
        deciding.addCallback(self._admit, event, waiting)
        deciding.addErrback(self._refuse, event)

    def _admit(self, protocol: IProtocol, event: StreamOpened, waiting: PeerStream | None) -> None:
        if waiting is not None and not waiting.connected:
            return
        self.streams.accept(event.stream_id)
        stream = waiting or self._stream(event.stream_id, event.service)
        stream.resumeProducing()
        stream.start(protocol)

    def _refuse(self, failure: Failure, event: StreamOpened) -> None:
        error = failure.value
        self._streams.pop(event.stream_id, None)
        if isinstance(error, UnknownService | PeerRefused):
            self.streams.refuse(event.stream_id, error)
            self._schedule_flush()
        else:
            failure.trap(CancelledError)  # since the stream is lost

    async def _protocol_for(self, service: str) -> IProtocol:
        """Return the protocol for a stream of the peer, or raise why there is none."""
        try:
            factory = self._owner.stream_requested(self, service)
            await ask_permission(factory, self.peer_id, service)
            if not self.is_open:
                raise PeerRefused("The connection is being closed.")
            protocol = factory.buildProtocol(self._address(self.peer_id, service))
        except (UnknownService, PeerRefused, CancelledError):
            raise
        except Exception:
            self._log.failure("No protocol for a stream to {service!r}", service=service)
            raise PeerRefused("The service failed.") from None
        if protocol is None:
            raise PeerRefused
        return protocol

    def _stream(self, stream_id: int, service: str) -> PeerStream:
        host = self._address(self._identity.peer_id, service)
        peer = self._address(self.peer_id, service)
        stream = self._streams[stream_id] = PeerStream(self, stream_id, host, peer)
        return stream

    def _address(self, peer_id: PeerID, service: str) -> Any:
        return PeerAddress(peer_id, service, lambda: self.path)

    # What the machine tells.

    def _receivers_by_event(self) -> dict[type, Callable[[Any], object]]:
        return {
            PeerAuthenticated: self._peer_authenticated,
            StreamOpened: self._stream_opened,
            StreamAccepted: self._stream_accepted,
            StreamRefused: lambda event: self._to_stream(
                event, lambda stream: stream.lose(failure_of(event.error))
            ),
            StreamDataReceived: self._stream_data_received,
            StreamEnded: lambda event: self._to_stream(event, PeerStream.end_arrived),
            StreamDelivered: lambda event: self._to_stream(event, PeerStream.delivered),
            StreamReset: lambda event: self._to_stream(event, PeerStream.reset_arrived),
            StreamStopped: lambda event: self._to_stream(event, PeerStream.stop_arrived),
            StreamWritable: lambda event: self._to_stream(event, self.schedule),
            StreamAvailable: lambda event: self._open_waiting(),
            PingAnswered: self._ping_answered,
            ConnectionIDIssued: lambda event: self._owner.connection_id_issued(
                self, event.connection_id
            ),
            ConnectionIDRetired: lambda event: self._owner.connection_id_retired(
                self, event.connection_id
            ),
            ConnectionClosed: self._connection_closed,
            ConnectionForgotten: self._connection_forgotten,
        }

    def _event_happened(self, event: ConnectionEvent) -> None:
        self._telling = True
        try:
            self._receivers[type(event)](event)
        finally:
            self._run_ready()

    def _to_stream(self, event: Any, tell: Callable[[PeerStream], object]) -> None:
        """Tell a stream of something, unless it was lost here in the meantime."""
        if (stream := self._streams.get(event.stream_id)) is not None:
            tell(stream)

    def _stream_accepted(self, event: StreamAccepted) -> None:
        opening, stream = self._openings.get(event.stream_id), self._streams.get(event.stream_id)
        if opening is None or stream is None:
            return
        if opening.protocol is None:
            self._begin(opening, stream)
        if self._openings.pop(event.stream_id, None) is not None:
            opening.result.callback(opening.protocol)
            stream.accepted()

    def _stream_data_received(self, event: StreamDataReceived) -> None:
        if (stream := self._streams.get(event.stream_id)) is not None:
            stream.data_arrived(event.data)

    def _peer_authenticated(self, event: PeerAuthenticated) -> None:
        self.is_authenticated = True
        self._owner.connection_authenticated(self)
        self._open_waiting()

    def _ping_answered(self, event: PingAnswered) -> None:
        if (asked := self._pings.pop(event.number, None)) is not None:
            result, asked_at = asked
            result.callback(self._driver.now() - asked_at)

    def _connection_closed(self, event: ConnectionClosed) -> None:
        self._lose(failure_of(_reason(event)))

    def _connection_forgotten(self, event: ConnectionForgotten) -> None:
        self._forget()

    # Ending.

    def _close_if_over(self) -> None:
        if self._linger is not None and not self._streams and not self.streams.unconfirmed:
            self._close_now()

    def _close_now(self) -> None:
        self._stop_lingering()
        self._machine.close(CloseCode.CLOSED, "", self._driver.now())
        self._schedule_flush()

    def _stop_lingering(self) -> None:
        linger, self._linger = self._linger, None
        if linger is not None and linger.active():
            linger.cancel()

    def _lose(self, reason: Failure) -> None:
        """Tell everybody, once, that the connection is of no more use."""
        if self._is_lost:
            return
        self._is_lost, self.is_open = True, False
        self._stop_lingering()
        waiting, self._waiting = self._waiting, deque()
        for opening in waiting:
            opening.factory.doStop()
            opening.result.errback(reason)
        for stream in list(self._streams.values()):
            stream.carrier_lost(reason)
        pings, self._pings = self._pings, {}
        for result, _ in pings.values():
            result.errback(reason)
        self._owner.connection_lost(self, reason)

    def _forget(self) -> None:
        if not self._is_forgotten:
            self._is_forgotten = True
            self._driver.stop()
            self._owner.connection_forgotten(self)


def _reason(event: ConnectionClosed) -> Exception:
    """Return why a connection was closed, as its protocols and waiting Deferreds are told."""
    if event.code is CloseCode.WRONG_IDENTITY:
        return (
            WrongIdentity("The peer expects another identity.")
            if event.by_peer
            else WrongIdentity()
        )
    if event.code is CloseCode.TIMED_OUT:
        return DialTimedOut()
    if event.code is CloseCode.CLOSED and not event.by_peer:
        return ConnectionAborted()
    if event.code is CloseCode.CLOSED:
        return ConnectionLost("The peer closed the connection.")
    return ConnectionLost(f"The connection failed: {event.message or event.code.name}.")
