"""Tests of the TCP machine, by two of them with a channel between them."""

from __future__ import annotations

from errno import ECONNREFUSED, ECONNRESET, ENETUNREACH, ETIMEDOUT
from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.tcp.channel import BadChannel, Pair
from twisted_p2p.testing.tcp.connection import TCPConnection
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment
from twisted_p2p.testing.tcp.settings import TCPSettings
from twisted_p2p.testing.tcp.state import TCPState

SYN, ACK, FIN, RST = TCPFlags.SYN, TCPFlags.ACK, TCPFlags.FIN, TCPFlags.RST
MANY = 5_000
"""Segments, far more than it takes."""
TO_THE_LAST_ANSWER = 20_000.0
"""Seconds in which every connection has ended, whatever was lost."""


def a_pair(**settings: int) -> Pair:
    """Return a pair that is connected, over a perfect channel of 20 ms."""
    pair = Pair(BadChannel(Random(1)), evolve(TCPSettings(), **settings))
    pair.open()
    pair.run_for(0.1)
    return pair


class Program:
    """Writes all it has to one end, reads all from it, and closes it when both are done."""

    def __init__(self, pair: Pair, index: int, data: bytes) -> None:
        self.pair, self.index, self.left, self.got = pair, index, data, b""
        self.has_closed = False

    def work(self) -> None:
        end = self.pair.ends[self.index]
        if end is None or not end.is_established or self.has_closed:
            return
        self.left = self.left[end.write(self.left) :]
        if not self.left and not end.sending.is_ended:
            end.end_writing()
        self.got += end.read(65_536)
        if end.is_read_ended and not self.left and not len(end.received):
            end.close(self.pair.now)
            self.has_closed = True


def run_to_the_end(pair: Pair, programs: list[Program]) -> None:
    while True:
        for program in programs:
            program.work()
        pair.flush()
        if not pair.step() or pair.now > TO_THE_LAST_ANSWER or len(pair.log) > MANY:
            return


CHANNELS = st.builds(
    BadChannel,
    st.integers(0, 2**32).map(Random),
    delay=st.sampled_from([0.0, 0.001, 0.04, 0.3]),
    loss=st.sampled_from([0.0, 0.02, 0.1, 0.25]),
    duplication=st.sampled_from([0.0, 0.1, 0.5]),
    reordering=st.sampled_from([0.0, 0.1, 0.5]),
)


class TransferTests(SynchronousTestCase):
    @given(
        CHANNELS,
        st.integers(0, 30_000),
        st.integers(0, 30_000),
        st.sampled_from([500, 3_000, 2**20]),
        st.sampled_from([500, 3_000, 2**20]),
        st.booleans(),
        st.integers(0, 2**32 - 1),
    )
    def test_all_bytes_arrive_in_order_and_both_ends_close(
        self,
        channel: BadChannel,
        to_server: int,
        to_client: int,
        send_buffer: int,
        receive_buffer: int,
        at_once: bool,
        first: int,
    ) -> None:
        settings = TCPSettings(
            send_buffer=send_buffer,
            receive_buffer=receive_buffer,
            connect_retries=15,
            accept_retries=15,
            time_wait=600.0,
        )
        pair = Pair(channel, settings, client_sequence=first)
        there, back = Random(1).randbytes(to_server), Random(2).randbytes(to_client)
        client, server = Program(pair, 0, there), Program(pair, 1, back)
        (pair.open_at_once if at_once else pair.open)()
        run_to_the_end(pair, [client, server])
        self.assertEqual((server.got, client.got), (there, back))
        self.assertEqual(pair.client.state, TCPState.CLOSED)
        self.assertEqual(pair.server.state, TCPState.CLOSED)
        self.assertEqual((pair.client.error, pair.server.error), (None, None))
        self.assertLess(len(pair.log), MANY)

    def test_acknowledgements_are_fewer_than_segments(self) -> None:
        pair = a_pair()
        pair.client.write(bytes(1_460 * 100))
        pair.flush()
        pair.run_for(5)
        counts = [sum(1 for entry in pair.log if entry[1] == end) for end in "CS"]
        self.assertEqual(counts, [102, 51])

    def test_small_segments_wait_for_the_acknowledgement_of_others(self) -> None:
        for no_delay, expected in ((False, [1, 2]), (True, [1, 1, 1])):
            pair = a_pair()
            pair.client.no_delay = no_delay
            begin = len(pair.log)
            for _ in range(3):
                pair.client.write(b"x")
                pair.flush()
            pair.run_for(1)
            lengths = [length for _, end, _, length in pair.log[begin:] if end == "C"]
            self.assertEqual(lengths, expected)

    def test_a_lost_segment_is_repeated_after_three_duplicates(self) -> None:
        pair = a_pair()
        pair.client.write(bytes(1_460 * 5))
        _, *others = pair.client.segments_to_send(pair.now)
        self.assertEqual(len(others), 4)
        for segment, data in others:
            pair.server.receive(segment, data, pair.now)
            pair.flush()
        pair.run_for(0.1)
        self.assertEqual(pair.server.received.next, 1_460 * 5)

    def test_an_end_is_repeated_with_what_precedes_it(self) -> None:
        pair = a_pair()
        pair.client.no_delay = True
        pair.client.write(b"a")
        pair.client.segments_to_send(pair.now)
        for letter in b"bcd":
            pair.client.write(bytes([letter]))
            pair.client.segments_to_send(pair.now)
        pair.client.end_writing()
        pair.client.segments_to_send(pair.now)
        pair.run_for(10)
        self.assertEqual(pair.server.read(10), b"abcd")
        self.assertTrue(pair.server.is_read_ended)

    def test_a_stalled_reader_stops_the_sender(self) -> None:
        pair = a_pair(send_buffer=10_000, receive_buffer=5_000)
        taken = 0
        for _ in range(50):
            taken += pair.client.write(bytes(1_000))
            pair.flush()
            pair.run_for(1)
        self.assertEqual(taken, 15_000)
        self.assertEqual(len(pair.server.received), 5_000)
        before = len(pair.log)
        pair.run_for(3_600)
        self.assertLess(len(pair.log) - before, 100)
        self.assertGreater(len(pair.log) - before, 20)
        self.assertIsNone(pair.client.error)
        while pair.server.read(1_000):
            pair.flush()
            pair.run_for(1)
        self.assertEqual(pair.server.received.next, 15_000)


class OpeningTests(SynchronousTestCase):
    def test_a_peer_that_is_silent_is_given_up_after_127_seconds(self) -> None:
        pair = Pair(BadChannel(Random(1), loss=1.0))
        pair.open()
        pair.run_for(126.9)
        self.assertEqual(pair.client.state, TCPState.SYN_SENT)
        pair.run_for(0.2)
        self.assertEqual(pair.client.error, ETIMEDOUT)
        self.assertEqual([round(time) for time, *_ in pair.log], [0, 1, 3, 7, 15, 31, 63])

    def test_a_soft_error_is_the_reason_of_giving_up(self) -> None:
        pair = a_pair(retries=2)
        pair.client.soft_error = ENETUNREACH
        pair.client.write(b"x")
        pair.channel.loss = 1.0
        pair.flush()
        pair.run_for(10)
        self.assertEqual(pair.client.error, ENETUNREACH)

    def test_an_answer_that_is_never_acknowledged_is_given_up(self) -> None:
        pair = Pair(BadChannel(Random(1)))
        pair.open()
        pair.step()
        pair.channel.loss = 1.0
        pair.client.abort()
        pair._under_way.clear()
        pair.run_for(100)
        self.assertEqual(pair.server.error, ETIMEDOUT)

    def test_a_reset_refuses(self) -> None:
        pair = Pair(BadChannel(Random(1)))
        pair.open()
        pair.client.receive(TCPSegment(RST, 0), b"", 0.0)
        pair.client.receive(TCPSegment(RST | ACK, 0, 7), b"", 0.0)
        self.assertEqual(pair.client.state, TCPState.SYN_SENT)
        pair.client.receive(TCPSegment(RST | ACK, 0, pair.client_sequence + 1), b"", 0.0)
        self.assertEqual(pair.client.error, ECONNREFUSED)

    def test_an_answer_to_another_syn_is_reset(self) -> None:
        pair = Pair(BadChannel(Random(1)))
        pair.open()
        pair.client.receive(TCPSegment(SYN | ACK, 0, 7), b"", 0.0)
        pair.client.receive(TCPSegment(FIN, 0), b"", 0.0)
        self.assertEqual(
            [(segment.flags, segment.sequence) for segment, _ in pair.client.segments_to_send(0)],
            [(RST, 7)],
        )
        self.assertEqual(pair.client.state, TCPState.SYN_SENT)

    def test_the_smaller_segment_size_counts(self) -> None:
        pair = a_pair()
        small = TCPConnection(initial_sequence=1, segment_size=1_000)
        small.accept(TCPSegment(SYN, 0, maximum_segment_size=1_460), 0.0)
        large = TCPConnection(initial_sequence=1)
        large.accept(TCPSegment(SYN, 0, maximum_segment_size=1_000), 0.0)
        self.assertEqual((small.segment_size, large.segment_size), (1_000, 1_000))
        self.assertEqual(pair.client.segment_size, 1_460)


class EndingTests(SynchronousTestCase):
    def test_half_of_a_connection_lives_on(self) -> None:
        pair = a_pair()
        pair.client.end_writing()
        pair.flush()
        pair.run_for(1)
        self.assertEqual(pair.client.state, TCPState.FIN_WAIT_2)
        self.assertEqual(pair.server.state, TCPState.CLOSE_WAIT)
        pair.server.write(b"still here")
        pair.flush()
        pair.run_for(1)
        self.assertEqual(pair.client.read(100), b"still here")
        pair.server.end_writing()
        pair.flush()
        pair.run_for(1)
        self.assertEqual(pair.client.state, TCPState.TIME_WAIT)
        self.assertEqual(pair.server.state, TCPState.CLOSED)
        pair.run_for(60)
        self.assertEqual(pair.client.state, TCPState.CLOSED)

    def test_ends_that_cross(self) -> None:
        pair = a_pair()
        pair.client.end_writing()
        pair.server.end_writing()
        pair.flush()
        pair.run_for(0.03)
        self.assertEqual(pair.client.state, TCPState.CLOSING)
        pair.run_for(1)
        self.assertEqual(pair.client.state, TCPState.TIME_WAIT)
        self.assertEqual(pair.server.state, TCPState.TIME_WAIT)

    def test_abort_resets_the_peer(self) -> None:
        pair = a_pair()
        pair.client.abort()
        pair.flush()
        pair.run_for(1)
        self.assertEqual(pair.client.state, TCPState.CLOSED)
        self.assertEqual((pair.server.state, pair.server.error), (TCPState.CLOSED, ECONNRESET))
        pair.server.receive(TCPSegment(ACK, 0), b"", pair.now)
        self.assertEqual(pair.server.segments_to_send(pair.now), [])

    def test_close_with_unread_bytes_resets_the_peer(self) -> None:
        pair = a_pair()
        pair.server.write(b"for nobody")
        pair.flush()
        pair.run_for(1)
        pair.client.close(pair.now)
        pair.flush()
        pair.run_for(1)
        self.assertEqual(pair.server.error, ECONNRESET)

    def test_bytes_for_a_closed_end_reset_the_peer(self) -> None:
        pair = a_pair()
        pair.client.close(pair.now)
        pair.flush()
        pair.run_for(1)
        self.assertEqual(pair.server.state, TCPState.CLOSE_WAIT)
        pair.server.write(b"for nobody")
        pair.flush()
        pair.run_for(1)
        self.assertEqual(pair.server.error, ECONNRESET)

    def test_an_orphan_does_not_wait_for_ever(self) -> None:
        for half_closed_first in (False, True):
            pair = a_pair()
            if half_closed_first:
                pair.client.end_writing()
                pair.flush()
                pair.run_for(1)
            pair.client.close(pair.now)
            pair.flush()
            pair.run_for(1)
            self.assertEqual(pair.client.state, TCPState.FIN_WAIT_2)
            pair.run_for(60)
            self.assertEqual(pair.client.state, TCPState.CLOSED)

    def test_an_attempt_can_be_given_up(self) -> None:
        pair = Pair(BadChannel(Random(1)))
        pair.open()
        pair.client.close(pair.now)
        self.assertEqual(pair.client.state, TCPState.CLOSED)
        self.assertIsNone(pair.client.get_timer())

    def test_a_peer_that_falls_silent_is_given_up_after_a_quarter_of_an_hour(self) -> None:
        pair = a_pair()
        pair.channel.loss = 1.0
        pair.client.write(b"x")
        pair.flush()
        pair.run_for(800)
        self.assertIsNone(pair.client.error)
        pair.run_for(400)
        self.assertEqual(pair.client.error, ETIMEDOUT)


class SegmentTests(SynchronousTestCase):
    """What a peer may send that its own machine would not."""

    def setUp(self) -> None:
        self.machine = TCPConnection(initial_sequence=0)
        self.machine.accept(TCPSegment(SYN, 100, window=9_000), 0.0)
        self.receive(ACK, 101, 1)
        self.answers()

    def receive(
        self, flags: TCPFlags, sequence: int, acknowledgement: int, data: bytes = b""
    ) -> None:
        self.machine.receive(TCPSegment(flags, sequence, acknowledgement, 9_000), data, 1.0)

    def answers(self) -> list[tuple[TCPFlags, int]]:
        sent = self.machine.segments_to_send(1.0)
        return [(segment.flags, segment.acknowledgement) for segment, _ in sent]

    def test_segments_beside_the_window_are_answered_and_dropped(self) -> None:
        self.receive(ACK, 101 + 2**21, 1, b"x")
        self.assertEqual(self.answers(), [(ACK, 101)])
        self.receive(ACK, 90, 1, b"x")
        self.assertEqual(self.answers(), [(ACK, 101)])
        self.receive(RST, 90, 1)
        self.assertEqual(self.answers(), [])
        self.assertEqual(len(self.machine.received), 0)

    def test_another_syn_is_answered_and_dropped(self) -> None:
        self.receive(SYN, 105, 1)
        self.assertEqual(self.answers(), [(ACK, 101)])

    def test_segments_without_acknowledgement_are_dropped(self) -> None:
        self.receive(TCPFlags(0), 101, 1, b"x")
        self.assertEqual(self.answers(), [])
        self.assertEqual(len(self.machine.received), 0)

    def test_acknowledgements_of_what_was_not_sent_are_answered(self) -> None:
        self.receive(ACK, 101, 500, b"x")
        self.assertEqual(self.answers(), [(ACK, 101)])
        self.assertEqual(len(self.machine.received), 0)

    def test_old_acknowledgements_may_bring_bytes(self) -> None:
        self.receive(ACK, 101, 2**32 - 5, b"x")
        self.assertEqual(self.machine.read(5), b"x")

    def test_bytes_after_the_end_are_dropped(self) -> None:
        self.receive(ACK | FIN, 101, 1)
        self.receive(ACK, 102, 1, b"x")
        self.assertEqual(len(self.machine.received), 0)
        self.assertEqual(self.machine.state, TCPState.CLOSE_WAIT)

    def test_an_end_may_come_before_what_precedes_it(self) -> None:
        self.receive(ACK | FIN, 104, 1, b"def")
        self.assertFalse(self.machine.is_read_ended)
        self.receive(ACK, 101, 1, b"abc")
        self.assertTrue(self.machine.is_read_ended)
        self.assertEqual(self.machine.read(10), b"abcdef")

    def test_a_wrong_acknowledgement_of_the_handshake_is_reset(self) -> None:
        machine = TCPConnection(initial_sequence=0)
        machine.accept(TCPSegment(SYN, 100), 0.0)
        machine.receive(TCPSegment(ACK, 101, 77), b"", 0.0)
        sent = [(segment.flags, segment.sequence) for segment, _ in machine.segments_to_send(0.0)]
        self.assertEqual(sent, [(SYN | ACK, 0), (RST | ACK, 77)])
        self.assertEqual(machine.state, TCPState.SYN_RECEIVED)

    def test_a_repeated_syn_is_answered_again(self) -> None:
        machine = TCPConnection(initial_sequence=0)
        machine.accept(TCPSegment(SYN, 100), 0.0)
        machine.receive(TCPSegment(SYN, 100), b"", 0.5)
        machine.receive(TCPSegment(SYN | ACK, 100, 55), b"", 0.5)
        sent = [segment.flags for segment, _ in machine.segments_to_send(0.5)]
        self.assertEqual(sent, [SYN | ACK, SYN | ACK])

    def test_smaller_segments_are_sent_when_told(self) -> None:
        self.machine.no_delay = True
        self.machine.write(bytes(2_000))
        self.assertEqual(len(self.answers()), 2)
        self.machine.reduce_segment_size(1_000)
        self.machine.reduce_segment_size(5_000)
        sent = self.machine.segments_to_send(1.0)
        self.assertEqual([len(data) for _, data in sent], [1_000, 1_000])
