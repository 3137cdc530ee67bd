"""Messages on a stream: cut by their own length, and refused before they are kept."""

from __future__ import annotations

import itertools
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.stun.strategies import MESSAGES
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import PADDING
from twisted_p2p.stun.message import BINDING, MessageClass, StreamFramer, STUNMessage

LIMIT = 1200
HUGE = bytes.fromhex("0001ffff 2112a442")
"""The beginning of a message that claims 64 kB."""


def binding(size: int = 20) -> bytes:
    """Return a message of this size."""
    padding = [(PADDING, bytes(size - 24))] if size > 20 else []
    return STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(12), *padding).encode()


class StreamFramerTests(SynchronousTestCase):
    @given(messages=st.lists(MESSAGES, max_size=4), cuts=st.lists(st.integers(0, 2000), max_size=8))
    def test_messages_come_out_whole_however_the_stream_is_cut(
        self, messages: list[STUNMessage], cuts: list[int]
    ) -> None:
        sent = [message.encode() for message in messages]
        stream = b"".join(sent)
        edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
        framer = StreamFramer(70_000)
        received = [
            message
            for start, end in itertools.pairwise(edges)
            for message in framer.feed(stream[start:end])
        ]
        self.assertEqual(received, sent)

    @given(chunks=st.lists(st.binary(max_size=30), max_size=6))
    def test_any_bytes_give_messages_or_the_one_error(self, chunks: list[bytes]) -> None:
        framer = StreamFramer(LIMIT)
        for chunk in (binding(), *chunks):
            try:
                for message in framer.feed(chunk):
                    self.assertLessEqual(len(message), LIMIT)
            except MalformedMessage:
                return

    def test_message_is_given_with_its_last_byte(self) -> None:
        framer = StreamFramer(LIMIT)
        wire = binding(100)
        for position in range(99):
            self.assertEqual(list(framer.feed(wire[position : position + 1])), [])
        self.assertEqual(list(framer.feed(wire[99:])), [wire])

    def test_longest_message_allowed_passes(self) -> None:
        self.assertEqual(list(StreamFramer(100).feed(binding(100))), [binding(100)])
        with self.assertRaises(MalformedMessage):
            next(StreamFramer(99).feed(binding(100)))

    def test_claim_over_the_limit_is_refused_with_its_fourth_byte(self) -> None:
        framer = StreamFramer(LIMIT)
        self.assertEqual(list(framer.feed(HUGE[:3])), [])
        with self.assertRaises(MalformedMessage) as caught:
            next(framer.feed(HUGE[3:4]))
        self.assertIn("1200 bytes at most", str(caught.exception))

    def test_other_protocols_are_refused_with_their_first_wrong_byte(self) -> None:
        for name, good, wrong in (
            ("HTTP", b"", b"G"),
            ("TLS", b"", b"\x16"),
            ("cookie", binding()[:4], b"\x22"),
            ("cookie's end", binding()[:7], b"\0"),
        ):
            framer = StreamFramer(LIMIT)
            self.assertEqual(list(framer.feed(good)), [], name)
            with self.assertRaises(MalformedMessage, msg=name):
                next(framer.feed(wrong))

    def test_good_messages_before_a_bad_one_are_given(self) -> None:
        messages = StreamFramer(LIMIT).feed(binding() + binding(40) + HUGE)
        self.assertEqual([next(messages), next(messages)], [binding(), binding(40)])
        self.assertRaises(MalformedMessage, next, messages)

    def test_refused_stream_stays_refused(self) -> None:
        framer = StreamFramer(LIMIT)
        self.assertRaises(MalformedMessage, next, framer.feed(HUGE))
        self.assertRaises(MalformedMessage, next, framer.feed(binding()))

    def test_messages_not_taken_at_once_are_kept(self) -> None:
        framer = StreamFramer(LIMIT)
        framer.feed(binding())
        self.assertEqual(list(framer.feed(binding(40))), [binding(), binding(40)])

    def test_ten_thousand_huge_claims_take_little_memory(self) -> None:
        """Promise 12: 20 MB for 10,000 connections, here each at its most before refusal."""
        stalled = binding(LIMIT)[:-1]
        tracemalloc.start()
        try:
            framers = [StreamFramer(LIMIT) for _ in range(10_000)]
            for framer in framers:
                self.assertEqual(list(framer.feed(stalled)), [])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertLess(peak, 20_000_000)
        for framer in framers[:3]:
            self.assertEqual(list(framer.feed(b"\0")), [binding(LIMIT)])
        self.assertRaises(MalformedMessage, next, StreamFramer(LIMIT).feed(HUGE + bytes(10**6)))
