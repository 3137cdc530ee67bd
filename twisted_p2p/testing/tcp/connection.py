"""One end of a TCP connection: segments in, segments out (RFC 9293)."""

from __future__ import annotations

from errno import ECONNREFUSED, ECONNRESET, ETIMEDOUT

from twisted_p2p.testing.tcp.congestion import CongestionControl
from twisted_p2p.testing.tcp.receive_buffer import ReceiveBuffer
from twisted_p2p.testing.tcp.retransmission import RetransmissionTimeout
from twisted_p2p.testing.tcp.segment import SEQUENCE_NUMBERS, TCPFlags, TCPSegment, nearest_offset
from twisted_p2p.testing.tcp.send_queue import SendQueue
from twisted_p2p.testing.tcp.settings import TCPSettings
from twisted_p2p.testing.tcp.state import (
    AFTER_OWN_FIN,
    AFTER_OWN_FIN_ARRIVED,
    AFTER_PEERS_FIN,
    BEFORE_ESTABLISHED,
    RECEIVING,
    TCPState,
)

DEFAULT_SEGMENT_SIZE = 1_460
"""What fits into an Ethernet frame, with 40 bytes of headers."""

_SYN, _ACK, _FIN, _RST = TCPFlags.SYN, TCPFlags.ACK, TCPFlags.FIN, TCPFlags.RST
_LINUX_SETTINGS = TCPSettings()


class TCPConnection:
    """A machine: it is given segments and the time, and has segments and one deadline.

    Offsets count what is sent from the SYN, which has offset 0; bytes begin at 1.  They become
    the numbers of segments, modulo 2**32, only at the edge.
    """

    def __init__(
        self,
        *,
        initial_sequence: int,
        segment_size: int = DEFAULT_SEGMENT_SIZE,
        settings: TCPSettings = _LINUX_SETTINGS,
    ) -> None:
        """``segment_size`` is what the way takes: it is offered, and never exceeded."""
        self.state = TCPState.CLOSED
        self.error: int | None = None
        """The number of the error that ended the connection."""
        self.soft_error: int | None = None
        """What is to be the error when nothing else than silence follows."""
        self.no_delay = False
        """Whether small segments are sent while others are under way (against RFC 896)."""
        self.is_read_ended = False
        """Whether all bytes of the peer have arrived."""
        self.settings = settings
        self.sending = SendQueue(settings.send_buffer)
        self.received = ReceiveBuffer(settings.receive_buffer)
        self._initial_sequence = initial_sequence
        self._peer_initial_sequence: int | None = None
        self._congestion = CongestionControl(segment_size, settings.initial_window)
        self._timeout = RetransmissionTimeout(settings)
        self._unanswered = 0
        self._peer_window = 0
        self._window_offset = 0
        """The offset of the segment that told the peer's window."""
        self._own_edge = 0
        """Up to which offset the peer was allowed to send."""
        self._acknowledged = 0
        """Up to which offset the peer's bytes were acknowledged."""
        self._peers_end: int | None = None
        self._owes_acknowledgement = False
        self._is_orphan = False
        self._timed: tuple[int, float] | None = None
        """An offset, and when it was sent: to measure a round trip."""
        self._retransmit_at: float | None = None
        self._acknowledge_at: float | None = None
        self._forget_at: float | None = None
        self._outgoing: list[tuple[TCPSegment, bytes]] = []

    @property
    def segment_size(self) -> int:
        """The most bytes in one segment."""
        return self._congestion.segment_size

    @property
    def is_established(self) -> bool:
        """Whether the handshake is over, and the connection not."""
        return self.state not in BEFORE_ESTABLISHED

    # What a program does

    def connect(self, now: float) -> None:
        """Ask the peer for a connection."""
        self.state = TCPState.SYN_SENT
        self._send_syn(now)

    def accept(self, segment: TCPSegment, now: float) -> None:
        """Answer a peer's SYN."""
        self.state = TCPState.SYN_RECEIVED
        self._take_syn(segment)
        self._send_syn(now)

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes that have arrived, and make room for others."""
        data = self.received.read(size)
        edge = self._edge_to_announce()
        # As Linux: what less than doubles the window can wait for the next segment.
        if edge != self._own_edge and edge + self._expected >= 2 * self._own_edge:
            self._owes_acknowledgement = not self.is_read_ended
        return data

    def write(self, data: bytes | memoryview) -> int:
        """Take bytes to send, as many as there is room for; return how many."""
        return self.sending.write(data)

    def end_writing(self) -> None:
        """Send a FIN after all bytes."""
        self.sending.is_ended = True

    def close(self, now: float) -> None:
        """Let the connection end by itself; like Linux, reset a peer whose bytes nobody reads."""
        self._is_orphan = True
        if len(self.received):
            self.abort()
        elif self.state is TCPState.SYN_SENT:
            self._become_closed()
        else:
            self.end_writing()
            if self.state is TCPState.FIN_WAIT_2:
                self._forget_at = now + self.settings.time_wait

    def abort(self) -> None:
        """End the connection now, and reset the peer."""
        if self.state not in (TCPState.CLOSED, TCPState.SYN_SENT, TCPState.TIME_WAIT):
            self._emit(_RST, self.sending.highest)
        self._become_closed()

    def reduce_segment_size(self, size: int) -> None:
        """Send again in segments of at most ``size`` bytes: longer ones do not get through."""
        if size < self._congestion.segment_size:
            self._congestion.segment_size = size
            if self.is_established:
                self.sending.rewind()
                self._timed = None

    def fail(self, error: int) -> None:
        """End the connection with an error."""
        self.error = error
        self._become_closed()

    # The wire and the time

    def receive(self, segment: TCPSegment, data: bytes, now: float) -> None:
        """Take a segment of the peer."""
        if self.state is TCPState.CLOSED:
            return
        if self.state is TCPState.SYN_SENT:
            self._receive_first(segment, now)
            return
        offset = self._peers_offset(segment.sequence)
        if not self._is_acceptable(segment, offset, len(data)):
            self._receive_unacceptable(segment, now)
        elif _RST in segment.flags:
            self.fail(ECONNRESET)
        elif _SYN in segment.flags:
            self._owes_acknowledgement = True
        elif _ACK in segment.flags and self._take_acknowledgement(segment, offset, data, now):
            if data:
                self._take_data(offset, data, now)
            if _FIN in segment.flags:
                self._peers_end = offset + len(data)
            self._check_peers_end(now)

    def get_timer(self) -> float | None:
        """Return when `handle_timer` wants to be called."""
        deadlines = (self._retransmit_at, self._acknowledge_at, self._forget_at)
        return min((each for each in deadlines if each is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._acknowledge_at is not None and self._acknowledge_at <= now:
            self._owes_acknowledgement = True
        if self._retransmit_at is not None and self._retransmit_at <= now:
            self._retransmit_at = None
            self._time_out(now)
        if self._forget_at is not None and self._forget_at <= now:
            self._become_closed()

    def segments_to_send(self, now: float) -> list[tuple[TCPSegment, bytes]]:
        """Return what is to go out now."""
        if self.is_established:
            self._send_data(now)
            if self._owes_acknowledgement:
                self._emit(_ACK, self.sending.highest)
            self._await_acknowledgement(now)
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # Sending

    def _emit(self, flags: TCPFlags, offset: int, data: bytes = b"") -> None:
        acknowledgement = 0
        if self._peer_initial_sequence is not None:
            flags |= _ACK
            expected = self._expected
            acknowledgement = (self._peer_initial_sequence + expected) % SEQUENCE_NUMBERS
            self._acknowledged = expected
            self._owes_acknowledgement = False
            self._acknowledge_at = None
        self._own_edge = self._edge_to_announce()
        window = max(0, self._own_edge - self._expected)
        size = self.segment_size if _SYN in flags else 0
        sequence = (self._initial_sequence + offset) % SEQUENCE_NUMBERS
        self._outgoing.append((TCPSegment(flags, sequence, acknowledgement, window, size), data))

    def _send_syn(self, now: float) -> None:
        if self.sending.next == 0:
            self.sending.advance(1)
            self._timed = (1, now)
        self._retransmit_at = now + self._timeout.seconds
        self._emit(_SYN, 0)

    def _send_data(self, now: float) -> None:
        sending = self.sending
        while sending.unsent:
            window = min(self._congestion.window, self._peer_window) - sending.in_flight
            size = min(self._congestion.segment_size, sending.unsent, window)
            if size <= 0 or self._is_held_back(size):
                return
            self._send_segment(size, now)
        if sending.has_unsent_end:
            self._send_segment(0, now)

    def _is_held_back(self, size: int) -> bool:
        """Whether a segment is too short to be sent while others are under way."""
        if size == self._congestion.segment_size or not self.sending.in_flight:
            return False
        is_last = size == self.sending.unsent
        return not (is_last and (self.no_delay or self.sending.is_ended))

    def _send_segment(self, size: int, now: float) -> None:
        sending = self.sending
        offset = sending.next
        data = sending.send(size)
        flags = _ACK
        if sending.has_unsent_end:
            flags |= _FIN
            sending.advance(1)
            self.state = AFTER_OWN_FIN.get(self.state, self.state)
        if self._timed is None and sending.next == sending.highest:
            self._timed = (sending.next, now)
        self._emit(flags, offset, data)

    def _send_first_again(self) -> None:
        """Repeat the first segment that is under way."""
        offset = self.sending.unacknowledged
        sent = self.sending.highest - offset
        data = self.sending.peek(offset, min(self.segment_size, sent))
        has_end = sent > len(data) and self.sending.ends_at(offset + len(data))
        flags = _ACK | _FIN if has_end else _ACK
        self._timed = None
        self._emit(flags, offset, data)

    def _await_acknowledgement(self, now: float) -> None:
        if not (self.sending.in_flight or self.sending.unsent):
            self._retransmit_at = None
        elif self._retransmit_at is None:
            self._retransmit_at = now + self._timeout.seconds

    def _time_out(self, now: float) -> None:
        if self._unanswered >= self._retries:
            self.fail(self.soft_error or ETIMEDOUT)
            return
        self._unanswered += 1
        self._timeout.repeats += 1
        self._timed = None
        sending = self.sending
        if sending.unacknowledged == 0:
            self._send_syn(now)
        elif sending.in_flight:
            self._congestion.timed_out(sending.in_flight, sending.highest)
            sending.rewind()
        else:
            # The window is zero: an old number is a question for the present one.
            self._emit(_ACK, sending.unacknowledged - 1)

    @property
    def _retries(self) -> int:
        if self.state is TCPState.SYN_SENT:
            return self.settings.connect_retries
        if self.state is TCPState.SYN_RECEIVED:
            return self.settings.accept_retries
        return self.settings.retries

    # Receiving

    @property
    def _expected(self) -> int:
        """The offset that is to come next from the peer."""
        return 1 + self.received.next + self.is_read_ended

    def _edge_to_announce(self) -> int:
        """Return how far the peer may send; further than before only when it is worth it."""
        edge = self._expected + self.received.room
        worth = min(2 * self.segment_size, self.received.capacity // 2)
        return edge if edge - self._own_edge >= worth else self._own_edge

    def _peers_offset(self, number: int) -> int:
        assert self._peer_initial_sequence is not None
        return nearest_offset(number - self._peer_initial_sequence, self._expected)

    def _take_syn(self, segment: TCPSegment) -> None:
        self._peer_initial_sequence = segment.sequence
        self._peer_window = segment.window
        if segment.maximum_segment_size:
            self.reduce_segment_size(segment.maximum_segment_size)

    def _receive_first(self, segment: TCPSegment, now: float) -> None:
        """Take a segment in SYN_SENT (3.10.7.3)."""
        offset = nearest_offset(segment.acknowledgement - self._initial_sequence, 1)
        if _ACK in segment.flags and offset != 1:
            if _RST not in segment.flags:
                self._emit(_RST, offset)
        elif _RST in segment.flags:
            if _ACK in segment.flags:
                self.fail(ECONNREFUSED)
        elif _SYN in segment.flags:
            self._take_syn(segment)
            if _ACK in segment.flags:
                self._become_established(now)
                self._owes_acknowledgement = True
            else:
                self.state = TCPState.SYN_RECEIVED
                self._send_syn(now)

    def _become_established(self, now: float) -> None:
        self.state = TCPState.ESTABLISHED
        self._note_arrival(1, now)

    def _is_acceptable(self, segment: TCPSegment, offset: int, length: int) -> bool:
        """Whether a segment has something to do with the window (3.4)."""
        occupied = length + (_SYN in segment.flags) + (_FIN in segment.flags)
        expected = self._expected
        if offset > expected + self.received.room:
            return False
        return offset >= expected or offset + occupied > expected

    def _receive_unacceptable(self, segment: TCPSegment, now: float) -> None:
        if _RST in segment.flags:
            return
        self._owes_acknowledgement = True
        if self.state is TCPState.TIME_WAIT:
            self._forget_at = now + self.settings.time_wait
        elif self.state is TCPState.SYN_RECEIVED and _SYN in segment.flags:
            if _ACK not in segment.flags:
                self._send_syn(now)
            elif self._own_offset(segment) == 1:
                # Both have opened at once (3.5, figure 8).
                self._peer_window = segment.window
                self._become_established(now)

    def _own_offset(self, segment: TCPSegment) -> int:
        return nearest_offset(
            segment.acknowledgement - self._initial_sequence, self.sending.unacknowledged
        )

    def _take_acknowledgement(
        self, segment: TCPSegment, offset: int, data: bytes, now: float
    ) -> bool:
        """Take what a segment acknowledges; False when the rest of it is of no use."""
        up_to = self._own_offset(segment)
        sending = self.sending
        if self.state is TCPState.SYN_RECEIVED:
            if up_to != 1:
                self._emit(_RST, up_to)
                return False
            self._become_established(now)
        if up_to > sending.highest:
            self._owes_acknowledgement = True
            return False
        if up_to < sending.unacknowledged:
            return True
        is_same_window = self._take_window(segment, offset)
        if up_to > sending.unacknowledged:
            self._note_arrival(up_to, now)
        elif (
            sending.in_flight
            and is_same_window
            and not (data or _FIN in segment.flags)
            and self._congestion.duplicated(up_to, sending.in_flight, sending.highest)
        ):
            self._send_first_again()
        return self.state is not TCPState.CLOSED

    def _take_window(self, segment: TCPSegment, offset: int) -> bool:
        """Take the peer's window; whether it is the same as before."""
        if not self.sending.in_flight:
            self._unanswered = 0
        if offset < self._window_offset or segment.window == self._peer_window:
            return True
        if self._peer_window == 0:
            self._timeout.repeats = 0
            self._retransmit_at = None
        self._window_offset, self._peer_window = offset, segment.window
        return False

    def _note_arrival(self, up_to: int, now: float) -> None:
        """Take in that the peer has all before an offset."""
        if self._timed is not None and up_to >= self._timed[0]:
            self._timeout.add_round_trip(now - self._timed[1])
            self._timed = None
        count = self.sending.acknowledge(up_to)
        self._timeout.repeats = self._unanswered = 0
        self._retransmit_at = None
        if up_to > 1 and self._congestion.acknowledged(count, up_to):
            self._send_first_again()
        if self.sending.is_finished:
            self._enter(AFTER_OWN_FIN_ARRIVED.get(self.state, self.state), now)

    def _take_data(self, offset: int, data: bytes, now: float) -> None:
        if self.state not in RECEIVING:
            return
        if self._is_orphan and offset + len(data) > self._expected:
            self.abort()
            return
        before = self.received.next
        had_gap = self.received.has_gap
        self.received.add(offset - 1, data)
        pending = self._expected - self._acknowledged
        if had_gap or self.received.next == before or pending >= 2 * self.segment_size:
            self._owes_acknowledgement = True
        elif self._acknowledge_at is None:
            self._acknowledge_at = now + self.settings.delayed_acknowledgement

    def _check_peers_end(self, now: float) -> None:
        if self._peers_end == self._expected and self.state in AFTER_PEERS_FIN:
            self.is_read_ended = self._owes_acknowledgement = True
            self._enter(AFTER_PEERS_FIN[self.state], now)

    # Ends

    def _enter(self, state: TCPState, now: float) -> None:
        self.state = state
        if state is TCPState.CLOSED:
            self._become_closed()
        elif state is TCPState.TIME_WAIT or (state is TCPState.FIN_WAIT_2 and self._is_orphan):
            self._forget_at = now + self.settings.time_wait

    def _become_closed(self) -> None:
        self.state = TCPState.CLOSED
        self._retransmit_at = self._acknowledge_at = self._forget_at = None
