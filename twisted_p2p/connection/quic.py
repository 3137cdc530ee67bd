"""One authenticated QUIC connection to one peer, as a machine.

The initiator is QUIC's client.  Once TLS is done it checks the responder's certificate before
anything else and sends its proof on the control stream, in one flight with the first streams.
The responder answers no stream before that proof verified.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from twisted_p2p.connection.authentication import ALPN, check_proof, make_proof
from twisted_p2p.connection.certificate import Certificate, check_certificate, make_certificate
from twisted_p2p.connection.events import (
    CloseCode,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionForgotten,
    ConnectionIDIssued,
    ConnectionIDRetired,
    PeerAuthenticated,
    PingAnswered,
)
from twisted_p2p.connection.quic_library import (
    DATAGRAM_SIZE,
    LibraryFactory,
    LibrarySettings,
    QH3Connection,
    QUICLibrary,
)
from twisted_p2p.connection.quic_router import initial_destination
from twisted_p2p.connection.stream_table import CONTROL_STREAM, StreamTable
from twisted_p2p.connection.wire import (
    ControlMessage,
    ControlReader,
    Credit,
    Delivered,
    End,
    Goodbye,
    Ping,
    Pong,
    Proof,
    encode_control,
)
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.errors import MalformedMessage, WrongIdentity
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID

HANDSHAKE_TIMEOUT = 20.0
"""Seconds from the beginning until the other side must be authenticated."""

CLOSING_TIMEOUT = 10.0
"""Seconds that the library may take, having ignored a command, to tell that it is closed."""

UNPROVEN_LIMIT = 64 * 1024
"""Bytes that a responder takes between the TLS handshake and the initiator's proof."""

TIMER_GRANULARITY = 0.001
"""Seconds that a timer waits at least after it was last looked at (RFC 9002, section 6.1.2).

The library paces by the microsecond: over a simulated path of 40 ms, waiting sent as much in the
same time, with 14 times less work.
"""

CONTROL_QUEUE = 64 * 1024
"""Bytes of control messages that may wait to be sent; only a hostile peer lets them."""

SEND_AGAIN = 0.005
"""Seconds after which sending is tried again for the first time; every further time twice that."""

MOST_SEND_FAILURES = 10
"""Times in a row that the library may fail to send, once joined, before it is given up."""


class _State(Enum):
    HANDSHAKING = auto()
    PROVING = auto()
    """The responder waits for the initiator's proof."""
    OPEN = auto()
    CLOSED = auto()


class QUICConnection:
    """A connection to the one peer that holds an expected key; `streams` has its commands.

    The address that it is given with a datagram means nothing to it, and it sends all to
    `VIRTUAL_PEER`: which path carries it is not its business.
    """

    def __init__(
        self,
        *,
        is_client: bool,
        identity: IdentityKey,
        peer_id: PeerID,
        now: float,
        random_bytes: Callable[[int], bytes],
        library: LibraryFactory = QH3Connection,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        """Datagrams that were of no use, by reason."""
        self.peer_id = peer_id
        self.streams = StreamTable(
            is_client=is_client, emit=self._emit, send_control=self._send_control, fail=self._fail
        )
        self._is_client = is_client
        self._identity = identity
        self._make_library = library
        self._library: QUICLibrary | None = None
        self._certificate: Certificate | None = None
        self._state = _State.HANDSHAKING
        self._deadline: float | None = now + HANDSHAKE_TIMEOUT
        self._now = now
        self._events: deque[ConnectionEvent] = deque()
        self._arrived: list[bytes] = []
        self._outgoing: Datagrams = []
        self._send_failures = 0
        self._send_again: float | None = None
        self._pings = 0
        self._last_flush = now
        self._held: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._unproven = 0
        self._control = ControlReader()
        self._receivers: dict[str, Callable[[Any], None]] = {
            "HandshakeCompleted": self._handshake_completed,
            "StreamDataReceived": self._stream_data_received,
            "StreamReset": self._stream_reset,
            "StopSendingReceived": self._stop_sending_received,
            "ConnectionIdIssued": self._connection_id_issued,
            "ConnectionIdRetired": self._connection_id_retired,
            "ConnectionTerminated": self._connection_terminated,
        }
        if is_client:
            self._begin(LibrarySettings()).connect(now)
        else:
            self._certificate = make_certificate(identity, random_bytes=random_bytes)

    @property
    def is_closed(self) -> bool:
        """Whether it has been closed, by whichever side."""
        return self._state is _State.CLOSED

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        """Take one datagram, to be looked at with all others that arrive before the next call."""
        self._arrived.append(data)
        self._now = now

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        self._absorb()
        if self._deadline is not None and self._deadline <= now:
            self._time_out()
        self._keep_library_time()

    def get_timer(self) -> float | None:
        """Return when `handle_timer` is wanted, or None once all is over."""
        self._absorb()
        timers = [time for time in (self._deadline, self._send_again) if time is not None]
        if self._library is not None and (timer := self._library.get_timer()) is not None:
            timers.append(max(timer, self._last_flush + TIMER_GRANULARITY))
        return min(timers, default=None)

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return the datagrams to send now, all to `VIRTUAL_PEER`."""
        self._now = now
        self._absorb()
        # Without this a busy connection might put off the library's timers for ever.
        self._keep_library_time()
        self._last_flush = now
        datagrams = self._collect()
        if self._state is _State.OPEN:
            self.streams.tell_writable()
            self._watch_closing()
        return datagrams

    def next_event(self) -> ConnectionEvent | None:
        """Return the next thing that happened, or None."""
        self._absorb()
        return self._events.popleft() if self._events else None

    def probe(self) -> None:
        """Send something at once, since the path carries again, or another one does.

        After an outage of minutes QUIC by itself would wait as long again (measured: 293 s after
        300 s) until it tries.
        """
        if self._library is not None and self._state is not _State.CLOSED:
            self._guarded(self._library.send_ping)

    def ping(self) -> int:
        """Ask the peer for an answer at once and return the number that `PingAnswered` will have.

        It is for connections whose peer is authenticated.
        """
        self._pings += 1
        self._send_control(Ping(self._pings))
        return self._pings

    def close(self, code: CloseCode, message: str, now: float) -> None:
        """Close the connection with all its streams; harmless when it is closed."""
        self._now = now
        self._absorb()
        self._fail(code, message)

    def _emit(self, event: ConnectionEvent) -> None:
        self._events.append(event)

    def _begin(self, settings: LibrarySettings) -> QUICLibrary:
        self._library = library = self._make_library(settings)
        self._emit(ConnectionIDIssued(library.connection_id))
        return library

    def _absorb(self) -> None:
        """Look at the datagrams that have arrived, all at once: that is cheaper by far."""
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        if self._library is None:
            arrived = self._answer_initial(arrived)
        if self._library is None:
            return
        if self._state is _State.PROVING:
            self._unproven += sum(map(len, arrived))
            if self._unproven > UNPROVEN_LIMIT:
                self._fail(CloseCode.PROTOCOL_ERROR, "too much was sent before the proof")
        self._guarded(self._library.receive_datagrams, arrived, self._now)
        self._drain(self._library)

    def _answer_initial(self, arrived: list[bytes]) -> list[bytes]:
        """Begin as responder with the initiator's first packet; return it and what follows."""
        for position, data in enumerate(arrived):
            destination = initial_destination(data) if len(data) >= DATAGRAM_SIZE else None
            if self._state is _State.HANDSHAKING and destination is not None:
                self._emit(ConnectionIDIssued(destination))
                self._begin(LibrarySettings(self._certificate, destination))
                return arrived[position:]
            self.dropped["not_initial"] += 1
        return []

    def _drain(self, library: QUICLibrary) -> None:
        while (event := library.next_event()) is not None:
            receive = self._receivers.get(type(event).__name__)
            if receive is not None:
                receive(event)
        if self._state is _State.OPEN:
            self.streams.tell_gathered()

    def _keep_library_time(self) -> None:
        """Let the library do what is due."""
        if self._library is not None:
            timer = self._library.get_timer()
            if timer is not None and timer <= self._now:
                self._guarded(self._library.handle_timer, self._now)
                self._drain(self._library)

    def _collect(self) -> Datagrams:
        datagrams, self._outgoing = self._outgoing, []
        if self._library is not None:
            try:
                datagrams += self._library.datagrams_to_send(self._now)
                self._send_failures, self._send_again = 0, None
            except Exception:
                self._sending_failed()
        return datagrams

    def _watch_closing(self) -> None:
        """See to it that a library that takes no commands any more does say so in the end."""
        if self._deadline is None and self._library is not None and self._library.is_closing:
            self._deadline = self._now + CLOSING_TIMEOUT

    def _sending_failed(self) -> None:
        """Go on as if the datagrams were lost, and try again.

        qh3 as responder fails so when the whole first flight of another library's initiator is
        one datagram, until that one sends again; a handshake has a deadline of its own.
        """
        self.dropped["send_failed"] += 1
        self._send_failures += 1
        if self._send_failures >= MOST_SEND_FAILURES and self._state is _State.OPEN:
            self._fail(CloseCode.INTERNAL_ERROR, "the QUIC library cannot send")
        is_closed = self._state is _State.CLOSED
        self._send_again = None if is_closed else self._now + SEND_AGAIN * 2**self._send_failures

    def _guarded(self, command: Callable[..., object], *arguments: object) -> None:
        """Call the library; whatever a peer makes it raise goes no further.

        During the handshake a forged packet may be the reason, so that is not the end.
        """
        try:
            command(*arguments)
        except Exception:
            self.dropped["library_error"] += 1
            if self._state is not _State.HANDSHAKING:
                self._fail(CloseCode.INTERNAL_ERROR, "the QUIC library failed")

    def _time_out(self) -> None:
        if self._state is _State.OPEN:
            self._fail(CloseCode.INTERNAL_ERROR, "the QUIC library closed without a word")
        else:
            self._fail(CloseCode.TIMED_OUT, "the peer was not authenticated in time")

    def _handshake_completed(self, event: Any) -> None:
        if self._state is not _State.HANDSHAKING:
            return
        if event.alpn_protocol != ALPN:
            self._fail(CloseCode.PROTOCOL_ERROR, "the peer speaks another protocol")
        elif self._is_client:
            self._check_responder()
        else:
            self._state = _State.PROVING

    def _check_responder(self) -> None:
        """Compare whom TLS has led to with whom was asked for, before anything else is said."""
        assert self._library is not None
        certificate = self._library.peer_certificate() or b""
        try:
            check_certificate(certificate, self.peer_id)
        except WrongIdentity:
            self._fail(CloseCode.WRONG_IDENTITY, "the responder holds another key")
            return
        proof = make_proof(self._identity, self.peer_id, certificate)
        self._send_control(Proof(proof))
        self._authenticated(self._library)

    def _check_initiator(self, message: Proof) -> None:
        assert self._library is not None
        assert self._certificate is not None
        responder = self._identity.peer_id
        try:
            check_proof(message.proof, responder, self._certificate.der, self.peer_id)
        except WrongIdentity:
            self._fail(CloseCode.WRONG_IDENTITY, "the initiator did not prove the expected key")
            return
        self._authenticated(self._library)

    def _authenticated(self, library: QUICLibrary) -> None:
        self._state = _State.OPEN
        self._deadline = None
        self.streams.begin(library)
        self._emit(PeerAuthenticated(self.peer_id))
        held, self._held = self._held, []
        for receive, arguments in held:
            receive(*arguments)

    def _stream_data_received(self, event: Any) -> None:
        self.streams.peer_heard()
        if event.stream_id == CONTROL_STREAM:
            self._control_received(event.data, event.end_stream)
        else:
            self._for_streams(
                self.streams.data_received, event.stream_id, event.data, event.end_stream
            )

    def _stream_reset(self, event: Any) -> None:
        self._for_streams(self.streams.reset_received, event.stream_id)

    def _stop_sending_received(self, event: Any) -> None:
        self._for_streams(self.streams.stop_received, event.stream_id)

    def _for_streams(self, receive: Callable[..., None], stream_id: int, *arguments: Any) -> None:
        """Tell the streams of something now, or once the initiator has proven its key."""
        if self._state is _State.PROVING:
            self._held.append((receive, (stream_id, *arguments)))
        elif self._state is _State.OPEN:
            if stream_id == CONTROL_STREAM:
                self._fail(CloseCode.PROTOCOL_ERROR, "the control stream was given up")
            else:
                receive(stream_id, *arguments)

    def _control_received(self, data: bytes, ended: bool) -> None:
        try:
            for message in self._control.messages(data):
                if self._state is _State.CLOSED:
                    return
                self._obey(message)
        except MalformedMessage as error:
            self._fail(CloseCode.PROTOCOL_ERROR, str(error))
        if ended:
            self._fail(CloseCode.PROTOCOL_ERROR, "the control stream was ended")

    def _obey(self, message: ControlMessage) -> None:
        if isinstance(message, Goodbye):
            self._fail(CloseCode.of(message.close_code), "", by_peer=True)
        elif isinstance(message, Proof) and self._state is _State.PROVING:
            self._check_initiator(message)
        elif isinstance(message, Credit) and self._state is _State.OPEN:
            self.streams.credit_received(message)
        elif isinstance(message, Delivered) and self._state is _State.OPEN:
            self.streams.delivery_confirmed(message)
        elif isinstance(message, End) and self._state is _State.OPEN:
            self.streams.end_received(message)
        elif isinstance(message, Ping) and self._state is _State.OPEN:
            self._send_control(Pong(message.number))
        elif isinstance(message, Pong) and self._state is _State.OPEN:
            self._emit(PingAnswered(message.number))
        else:
            self._fail(CloseCode.PROTOCOL_ERROR, "a control message at the wrong time")

    def _send_control(self, message: ControlMessage) -> None:
        """Send a control message; a peer that makes us send them must take them too."""
        if self._library is not None and self._state is not _State.CLOSED:
            self._library.send_stream_data(CONTROL_STREAM, encode_control(message))
            if self._library.send_buffer_size(CONTROL_STREAM) > CONTROL_QUEUE:
                self._fail(CloseCode.PROTOCOL_ERROR, "the peer takes no control messages")

    def _connection_id_issued(self, event: Any) -> None:
        self._emit(ConnectionIDIssued(event.connection_id))

    def _connection_id_retired(self, event: Any) -> None:
        self._emit(ConnectionIDRetired(event.connection_id))

    def _connection_terminated(self, event: Any) -> None:
        if self._state is not _State.CLOSED:
            self.streams.tell_gathered()
            self.streams.close()
            self._state, self._deadline = _State.CLOSED, None
            code = CloseCode.of(event.error_code)
            self._emit(ConnectionClosed(code, event.reason_phrase, by_peer=True))
        self._emit(ConnectionForgotten())

    def _fail(self, code: CloseCode, message: str, by_peer: bool = False) -> None:
        """Close the connection and say so to both users at once."""
        if self._state is _State.CLOSED:
            return
        said_to_peer = self._state is not _State.HANDSHAKING and not by_peer
        self.streams.tell_gathered()
        self.streams.close()
        self._state, self._deadline, self._held = _State.CLOSED, None, []
        self._emit(ConnectionClosed(code, message, by_peer))
        if self._library is None:
            self._emit(ConnectionForgotten())
            return
        if said_to_peer:
            self._library.send_stream_data(CONTROL_STREAM, encode_control(Goodbye(code)))
        # What is queued leaves first, for the library drops it when it closes; and by this call
        # it learns the time, without which it would take a long idle one for over already.
        self._outgoing = self._collect()
        with suppress(Exception):
            self._library.close(code, message)
