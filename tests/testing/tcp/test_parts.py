"""Tests of the parts of the TCP machine: what is sent, received, waited for and under way."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer_examples
from twisted_p2p.testing.tcp.congestion import CongestionControl
from twisted_p2p.testing.tcp.receive_buffer import ReceiveBuffer
from twisted_p2p.testing.tcp.retransmission import RetransmissionTimeout
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment, refusal
from twisted_p2p.testing.tcp.send_queue import SendQueue
from twisted_p2p.testing.tcp.settings import TCPSettings


class ReceiveBufferTests(SynchronousTestCase):
    @settings(max_examples=fewer_examples(0.5))
    @given(st.binary(max_size=60), st.integers(1, 60), st.integers(0, 2**32))
    def test_pieces_in_any_order_make_the_stream(
        self, stream: bytes, capacity: int, seed: int
    ) -> None:
        random = Random(seed)
        buffer, got = ReceiveBuffer(capacity), b""
        for _ in range(2_000):
            offset = random.randint(0, len(stream))
            buffer.add(offset, stream[offset : offset + random.randint(0, 20)])
            self.assertLessEqual(len(buffer), capacity)
            got += buffer.read(random.randint(0, 20))
        for offset in range(len(stream)):
            buffer.add(offset, stream[offset : offset + 1])
            got += buffer.read(100)
        self.assertEqual(got, stream)
        self.assertFalse(buffer.has_gap)

    def test_what_is_beyond_the_room_is_left_out(self) -> None:
        buffer = ReceiveBuffer(4)
        buffer.add(5, b"far")
        buffer.add(2, b"cdef")
        buffer.add(2, b"c")
        self.assertTrue(buffer.has_gap)
        buffer.add(0, b"ab")
        self.assertEqual((buffer.read(9), buffer.room), (b"abcd", 4))


class RefusalTests(SynchronousTestCase):
    def test_a_reset_has_the_number_that_is_expected(self) -> None:
        ack = TCPSegment(TCPFlags.ACK, 5, 77)
        self.assertEqual(refusal(ack, 3), TCPSegment(TCPFlags.RST, 77))
        syn = TCPSegment(TCPFlags.SYN, 2**32 - 1)
        self.assertEqual(refusal(syn, 0), TCPSegment(TCPFlags.RST | TCPFlags.ACK, 0, 0))
        self.assertIsNone(refusal(TCPSegment(TCPFlags.RST, 5), 0))


class RetransmissionTimeoutTests(SynchronousTestCase):
    def test_it_follows_the_round_trips(self) -> None:
        timeout = RetransmissionTimeout(TCPSettings())
        self.assertEqual(timeout.seconds, 1.0)
        timeout.add_round_trip(0.1)
        self.assertAlmostEqual(timeout.seconds, 0.3)
        timeout.add_round_trip(0.9)
        self.assertAlmostEqual(timeout.seconds, 0.2 + 4 * 0.2375)

    def test_it_doubles_up_to_two_minutes(self) -> None:
        timeout = RetransmissionTimeout(TCPSettings())
        timeout.repeats = 3
        self.assertEqual(timeout.seconds, 8.0)
        timeout.repeats = 30
        self.assertEqual(timeout.seconds, 120.0)


class CongestionControlTests(SynchronousTestCase):
    def test_it_doubles_each_round_trip_until_a_loss(self) -> None:
        control = CongestionControl(1_000, 10)
        for up_to in range(2_000, 11_000, 1_000):
            self.assertFalse(control.acknowledged(1_000, up_to))
        self.assertEqual(control.window, 19_000)
        control.timed_out(19_000, 40_000)
        self.assertEqual(control.window, 1_000)

    def test_after_a_loss_it_grows_by_a_segment_each_round_trip(self) -> None:
        control = CongestionControl(1_000, 10)
        for expected in (False, False, True, False):
            self.assertEqual(control.duplicated(1, 10_000, 10_001), expected)
        self.assertEqual(control.window, 9_000)
        self.assertTrue(control.acknowledged(3_000, 3_001))
        self.assertEqual(control.window, 7_000)
        self.assertFalse(control.acknowledged(7_000, 10_001))
        self.assertEqual(control.window, 5_000)
        for _ in range(5):
            control.acknowledged(1_000, 20_000)
        self.assertEqual(control.window // 100, 59)

    def test_duplicates_of_what_was_sent_before_a_timeout_tell_nothing(self) -> None:
        control = CongestionControl(1_000, 10)
        control.timed_out(10_000, 10_001)
        repeats = [control.duplicated(5_000, 5_000, 10_001) for _ in range(5)]
        self.assertNotIn(True, repeats)


class SendQueueTests(SynchronousTestCase):
    def test_it_takes_what_there_is_room_for(self) -> None:
        queue = SendQueue(5)
        self.assertEqual((queue.write(b"abc"), queue.write(b"def"), queue.room), (3, 2, 0))
        queue.advance(1)
        self.assertEqual(queue.send(2), b"ab")
        self.assertEqual((queue.in_flight, queue.unsent), (3, 3))
        self.assertEqual((queue.acknowledge(2), queue.room), (2, 1))
        queue.rewind()
        self.assertEqual(queue.send(9), b"bcde")

    def test_nothing_is_taken_after_the_end(self) -> None:
        queue = SendQueue(5)
        queue.advance(1)
        queue.is_ended = True
        self.assertEqual(queue.write(b"x"), 0)
        self.assertTrue(queue.has_unsent_end)
        self.assertTrue(queue.ends_at(1))
        queue.advance(1)
        queue.acknowledge(2)
        self.assertTrue(queue.is_finished)
