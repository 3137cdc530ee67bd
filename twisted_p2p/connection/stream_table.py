"""The streams of one connection: openings and replies, credit, ends, and who has been told.

Pure bookkeeping over a QUIC library's streams.  A stream is forgotten when neither side has
anything more to say on it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from attrs import define, field

from twisted_p2p.connection.events import (
    CloseCode,
    ConnectionEvent,
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
from twisted_p2p.connection.flow_control import (
    INITIAL_WINDOW,
    LONGEST_OPENING,
    UNANSWERED_LIMIT,
    GrowthBudget,
    ReceiveWindow,
    UnansweredBudget,
)
from twisted_p2p.connection.quic_library import QUICLibrary
from twisted_p2p.connection.stream_ids import UnopenedStreams
from twisted_p2p.connection.wire import (
    ControlMessage,
    Credit,
    Delivered,
    End,
    Ping,
    Reply,
    decode_opening,
    decode_reply,
    encode_opening,
    encode_reply,
)
from twisted_p2p.errors import MalformedMessage, PeerRefused, UnknownService

CONTROL_STREAM = 0
"""The initiator's first stream (RFC 9000, section 2.1), which carries control messages."""

SEND_QUEUE = 256 * 1024
"""Bytes of one stream that may wait in the library; enough for it never to run dry in between."""

_ABANDONED = 1
"""The QUIC error code of streams given up; it carries no meaning."""


class _Sending(Enum):
    OPEN = auto()
    ENDED = auto()
    """The end has been sent and the peer has not confirmed it."""
    DONE = auto()


@define(eq=False)
class _Stream:
    stream_id: int
    opened_here: bool
    window: ReceiveWindow
    sending: _Sending = _Sending.OPEN
    receiving: bool = True
    discarding: bool = False
    """Whatever arrives is of no interest, and nothing is told."""
    preface: bytes | None = b""
    """What has arrived of the opening or reply; None once that is complete."""
    sent: int = 0
    send_limit: int = INITIAL_WINDOW
    delivered: bool = False
    size: int | None = None
    """Bytes of payload that the peer sends in all, once it has said so."""
    gathered: list[bytes] = field(factory=list)


class StreamTable:
    """The streams of one connection, beside its control stream.

    Stream IDs of streams that ended meanwhile are accepted everywhere, and nothing happens.
    """

    def __init__(
        self,
        *,
        is_client: bool,
        emit: Callable[[ConnectionEvent], object],
        send_control: Callable[[ControlMessage], object],
        fail: Callable[[CloseCode, str], object],
    ) -> None:
        self._emit = emit
        self._send_control = send_control
        self._fail = fail
        self._library: QUICLibrary | None = None
        self._streams: dict[int, _Stream] = {}
        self._blocked: dict[int, _Stream] = {}
        self._gathering: list[_Stream] = []
        self._budget = GrowthBudget()
        self._unopened = UnopenedStreams(peer_is_client=not is_client)
        self._unanswered = UnansweredBudget(
            UNANSWERED_LIMIT if is_client else None, lambda: send_control(Ping(0))
        )
        self._open_wanted = False

    def __len__(self) -> int:
        """Return the number of streams on which something is still to be said by either side."""
        return len(self._streams)

    def begin(self, library: QUICLibrary) -> None:
        """Use this library from now on: the other side is authenticated."""
        self._library = library

    def close(self) -> None:
        """Forget all streams, since the connection is closed; commands do nothing any more."""
        self._library = None
        self._streams.clear()
        self._blocked.clear()
        self._gathering.clear()

    @property
    def unconfirmed(self) -> bool:
        """Whether the peer has yet to confirm that it has all of some stream that was ended."""
        return any(stream.sending is _Sending.ENDED for stream in self._streams.values())

    def open(self, service: str) -> int | None:
        """Open a stream to a service and return its ID; it can be sent on at once.

        None means that the peer allows no more streams for now; `StreamAvailable` tells when it
        does again.

        :raises ValueError: unless the name has 1 to 255 bytes.
        """
        opening = encode_opening(service)
        stream_id = self._next_stream_id()
        if stream_id is None:
            self._open_wanted = True
            return None
        self._streams[stream_id] = _Stream(stream_id, True, ReceiveWindow(self._budget))
        self._native.send_stream_data(stream_id, opening)
        self._unanswered.spend(len(opening))
        return stream_id

    def accept(self, stream_id: int) -> None:
        """Accept a stream that the peer opened; its payload follows as events."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.sending is _Sending.OPEN:
            self._native.send_stream_data(stream_id, encode_reply(Reply.ACCEPTED))

    def refuse(self, stream_id: int, error: UnknownService | PeerRefused) -> None:
        """Refuse a stream that the peer opened, instead of accepting it."""
        if (stream := self._streams.get(stream_id)) is not None:
            reply = Reply.UNKNOWN_SERVICE if isinstance(error, UnknownService) else Reply.REFUSED
            if stream.sending is _Sending.OPEN:
                reason = error.args[0] if error.args else ""
                self._native.send_stream_data(stream_id, encode_reply(reply, reason))
                self._end(stream)
            self._stop_receiving(stream)

    def send(self, stream_id: int, data: bytes | memoryview) -> int:
        """Send as much payload as is possible now and return how many bytes that was.

        When not all was taken, `StreamWritable` tells when more will be.
        """
        stream = self._streams.get(stream_id)
        if stream is None or stream.sending is not _Sending.OPEN:
            return len(data)
        size = min(len(data), self._room(stream))
        if size > 0:
            self._native.send_stream_data(stream_id, memoryview(data)[:size])
            stream.sent += size
            self._unanswered.spend(size)
        if size < len(data):
            self._blocked[stream_id] = stream
        return max(size, 0)

    def end(self, stream_id: int) -> None:
        """End what is sent on a stream; `StreamDelivered` tells when the peer has all of it."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.sending is _Sending.OPEN:
            self._end(stream)

    def abandon(self, stream_id: int) -> None:
        """Stop at once what is still under way on a stream, in both directions."""
        if (stream := self._streams.get(stream_id)) is not None:
            self._reset(stream)
            self._stop_receiving(stream)
            self._forget_if_finished(stream)

    def reset(self, stream_id: int) -> None:
        """Give up sending on a stream: the peer learns that it did not get everything."""
        if (stream := self._streams.get(stream_id)) is not None:
            self._reset(stream)
            self._forget_if_finished(stream)

    def stop(self, stream_id: int) -> None:
        """Tell the peer that nothing more is wanted of it on this stream."""
        if (stream := self._streams.get(stream_id)) is not None:
            self._stop_receiving(stream)

    def consume(self, stream_id: int, size: int) -> None:
        """Say that the application took so many bytes of payload, which lets the peer send more."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.receiving:
            limit = stream.window.consume(size)
            if limit is not None:
                self._send_control(Credit(stream_id, limit))

    def credit_received(self, message: Credit) -> None:
        """Take the peer's word for how much it lets us send."""
        if (stream := self._streams.get(message.stream_id)) is not None:
            stream.send_limit = max(stream.send_limit, message.limit)

    def delivery_confirmed(self, message: Delivered) -> None:
        """Take the peer's word that it has all of a stream."""
        if (stream := self._streams.get(message.stream_id)) is not None:
            stream.delivered = True
            self._confirm(stream)

    def end_received(self, message: End) -> None:
        """Take the peer's word for how much payload it sends on a stream, all of it sent now."""
        stream = self._streams.get(message.stream_id)
        if stream is not None and stream.receiving:
            stream.size = message.size
            self._end_if_all_arrived(stream)
        elif stream is None and not self._unopened.end(message.stream_id, message.size):
            self._fail(CloseCode.PROTOCOL_ERROR, "too many streams ended before they began")

    def peer_heard(self) -> None:
        """Lift the limit on what is sent before the responder said anything."""
        self._unanswered.lift()

    def data_received(self, stream_id: int, data: bytes, ended: bool) -> None:
        """Take what the library received on a stream."""
        stream = self._known(stream_id)
        if stream is None or not stream.receiving:
            return
        if stream.preface is not None:
            data = self._preface_received(stream, stream.preface + data)
        if data and not stream.discarding:
            self._gather(stream, data)
        if ended:
            self._receiving_ended(stream)
        else:
            self._end_if_all_arrived(stream)

    def reset_received(self, stream_id: int) -> None:
        """Take it that the peer gave up sending on a stream."""
        stream = self._known(stream_id)
        # The library tells a reset that follows the end, too, when all has arrived already.
        if stream is not None and stream.receiving:
            self.tell_gathered()
            self._receiving_stopped(stream)

    def stop_received(self, stream_id: int) -> None:
        """Take it that the peer wants no more of a stream; the library has reset it by now."""
        stream = self._known(stream_id)
        if stream is not None and stream.sending is not _Sending.DONE:
            stream.sending = _Sending.DONE
            self._blocked.pop(stream_id, None)
            self._emit(StreamStopped(stream_id))
            self._forget_if_finished(stream)

    def tell_writable(self) -> None:
        """Tell which streams take more and whether one can be opened, after datagrams left."""
        if self._open_wanted and self._next_stream_id() is not None:
            self._open_wanted = False
            self._emit(StreamAvailable())
        for stream in list(self._blocked.values()):
            if self._room(stream) > 0 and self._queued(stream) <= SEND_QUEUE // 2:
                del self._blocked[stream.stream_id]
                self._emit(StreamWritable(stream.stream_id))

    @property
    def _native(self) -> QUICLibrary:
        assert self._library is not None, "no streams before authentication"
        return self._library

    def _next_stream_id(self) -> int | None:
        """Return the ID that a stream gets if it is opened now, or None."""
        if self._library is None:
            return None
        if self._unanswered.bound(LONGEST_OPENING) < LONGEST_OPENING:
            return None
        return self._library.next_stream_id()

    def _queued(self, stream: _Stream) -> int:
        return self._native.send_buffer_size(stream.stream_id)

    def _room(self, stream: _Stream) -> int:
        """Return how many bytes a stream takes now; it may be negative."""
        room = min(stream.send_limit - stream.sent, SEND_QUEUE - self._queued(stream))
        return self._unanswered.bound(room)

    def _known(self, stream_id: int) -> _Stream | None:
        """Return a stream's state, made for a stream that the peer opens by this."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            return stream
        if stream_id & 2:
            self._fail(CloseCode.PROTOCOL_ERROR, "a unidirectional stream")
        if not self._unopened.has(stream_id):
            return None
        size = self._unopened.open(stream_id)
        stream = _Stream(stream_id, False, ReceiveWindow(self._budget), size=size)
        self._streams[stream_id] = stream
        return stream

    def _preface_received(self, stream: _Stream, data: bytes) -> bytes:
        """Take the beginning of what the peer sends on a stream; return what follows it."""
        read = self._reply_received if stream.opened_here else self._opening_received
        try:
            size = read(stream, data)
        except MalformedMessage as error:
            stream.preface = None
            if stream.opened_here:
                self._fail(CloseCode.PROTOCOL_ERROR, str(error))
            else:
                self.refuse(stream.stream_id, _refusal(PeerRefused, str(error)))
            return b""
        if size is None:
            stream.preface = data
            return b""
        return data[size:]

    def _opening_received(self, stream: _Stream, data: bytes) -> int | None:
        decoded = decode_opening(data)
        if decoded is None:
            return None
        service, size = decoded
        stream.preface = None
        if not stream.discarding:
            self._emit(StreamOpened(stream.stream_id, service))
            if stream.sending is _Sending.DONE:
                # It was stopped by a packet that overtook its beginning.
                self._emit(StreamStopped(stream.stream_id))
        return size

    def _reply_received(self, stream: _Stream, data: bytes) -> int | None:
        decoded = decode_reply(data)
        if decoded is None:
            return None
        reply, reason, size = decoded
        stream.preface = None
        if reply is not Reply.ACCEPTED:
            error = UnknownService if reply is Reply.UNKNOWN_SERVICE else PeerRefused
            if not stream.discarding:
                self._emit(StreamRefused(stream.stream_id, _refusal(error, reason)))
            stream.discarding = True
            self._reset(stream)
        elif not stream.discarding:
            self._emit(StreamAccepted(stream.stream_id))
        self._confirm(stream)
        return size

    def _gather(self, stream: _Stream, data: bytes) -> None:
        """Keep payload until all that arrived at once can be told as one piece."""
        if not stream.window.receive(len(data)):
            self._fail(CloseCode.PROTOCOL_ERROR, "more was sent on a stream than was allowed")
            return
        if not stream.gathered:
            self._gathering.append(stream)
        stream.gathered.append(data)

    def tell_gathered(self) -> None:
        """Tell the payload that has arrived, as one piece a stream, when there is no more."""
        gathering, self._gathering = self._gathering, []
        for stream in gathering:
            gathered, stream.gathered = stream.gathered, []
            data = gathered[0] if len(gathered) == 1 else b"".join(gathered)
            self._emit(StreamDataReceived(stream.stream_id, data))

    def _end_if_all_arrived(self, stream: _Stream) -> None:
        if stream.preface is None and stream.window.received == stream.size:
            self._receiving_ended(stream)

    def _receiving_ended(self, stream: _Stream) -> None:
        """All that the peer sends on a stream has arrived."""
        if stream.preface is not None:
            self._receiving_stopped(stream)
            return
        self.tell_gathered()
        stream.receiving = False
        stream.window.close()
        self._send_control(Delivered(stream.stream_id))
        if not stream.discarding:
            self._emit(StreamEnded(stream.stream_id))
        self._forget_if_finished(stream)

    def _receiving_stopped(self, stream: _Stream) -> None:
        """The peer will send no more on a stream, and not all has arrived."""
        stream.receiving = False
        stream.window.close()
        if not stream.opened_here and stream.preface is not None:
            self._reset(stream)
        elif not stream.discarding:
            self._emit(StreamReset(stream.stream_id))
        self._confirm(stream)
        self._forget_if_finished(stream)

    def _end(self, stream: _Stream) -> None:
        stream.sending = _Sending.ENDED
        self._send_control(End(stream.stream_id, stream.sent))
        self._confirm(stream)

    def _confirm(self, stream: _Stream) -> None:
        """Tell of a delivery, but not before a reply that may still come: ends may overtake it."""
        awaits_reply = stream.opened_here and stream.preface is not None and stream.receiving
        if stream.delivered and not awaits_reply and stream.sending is _Sending.ENDED:
            stream.sending = _Sending.DONE
            self._native.send_stream_data(stream.stream_id, b"", True)
            self._emit(StreamDelivered(stream.stream_id))
            self._forget_if_finished(stream)

    def _reset(self, stream: _Stream) -> None:
        if stream.sending is not _Sending.DONE:
            stream.sending = _Sending.DONE
            self._blocked.pop(stream.stream_id, None)
            self._native.reset_stream(stream.stream_id, _ABANDONED)

    def _stop_receiving(self, stream: _Stream) -> None:
        if stream.receiving and not stream.discarding:
            self._native.stop_stream(stream.stream_id, _ABANDONED)
        stream.discarding = True

    def _forget_if_finished(self, stream: _Stream) -> None:
        if stream.sending is _Sending.DONE and not stream.receiving:
            self._streams.pop(stream.stream_id, None)


def _refusal(
    error: type[UnknownService] | type[PeerRefused], reason: str
) -> UnknownService | PeerRefused:
    """Return the error with a reason if there is one, and else with its own sentence."""
    return error(*[reason] if reason else ())
