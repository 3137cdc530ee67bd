"""The messages, in whatever pieces they come."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.transfer.strategies import messages
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.transfer import wire
from twisted_p2p.transfer.failures import Reason, TransferFailed
from twisted_p2p.transfer.manifest import Entry
from twisted_p2p.transfer.wire import Data, Message, MessageReader


def read(data: bytes, cuts: Iterable[int] = ()) -> list[Message]:
    """Read bytes in pieces, and join the pieces of data."""
    reader, found, start = MessageReader(), [], 0
    for end in [*sorted(cuts), len(data)]:
        found += reader.messages(data[start:end])
        start = max(start, end)
    return found


class MessageTests(SynchronousTestCase):
    @given(sent=st.lists(messages, max_size=5), cuts=st.lists(st.integers(0, 400), max_size=8))
    def test_messages_survive_being_cut(self, sent: list[Message], cuts: list[int]) -> None:
        data = b"".join(message.encode() for message in sent)
        found = read(data, cuts)
        self.assertEqual(content(found), content(sent))
        others = [message for message in sent if not isinstance(message, Data)]
        self.assertEqual([one for one in found if not isinstance(one, Data)], others)

    @given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=3))
    def test_noise_raises_the_declared_errors_alone(self, data: bytes, cuts: list[int]) -> None:
        with contextlib.suppress(MalformedMessage, TransferFailed):
            read(data, cuts)

    @given(message=messages, change=st.tuples(st.integers(0, 99), st.integers(0, 255)))
    def test_a_changed_message_raises_the_declared_errors_alone(
        self, message: Message, change: tuple[int, int]
    ) -> None:
        data = bytearray(message.encode())
        data[change[0] % len(data)] = change[1]
        with contextlib.suppress(MalformedMessage, TransferFailed):
            read(bytes(data))

    def test_the_length_is_judged_before_anything_is_kept(self) -> None:
        for head in (
            wire.Listed.code.to_bytes() + (wire.LONGEST_BODY + 1).to_bytes(3, "big"),
            Data.code.to_bytes() + (wire.LONGEST_DATA + 1).to_bytes(3, "big"),
            Data.code.to_bytes() + bytes(3),
            b"\x0f\0\0\0",
            bytes(4),
        ):
            self.assertRaises(MalformedMessage, list, MessageReader().messages(head))

    def test_data_is_handed_on_as_it_comes(self) -> None:
        reader = MessageReader()
        self.assertEqual(list(reader.messages(Data(b"abc").encode()[:-1])), [Data(b"ab")])
        self.assertEqual(list(reader.messages(b"c")), [Data(b"c")])

    def test_malformed_bodies(self) -> None:
        for kind, body in (
            (wire.Request, b""),
            (wire.Request, bytes(66)),
            (wire.Offer, bytes(12)),
            (wire.Offer, bytes(13) + b"\xff"),
            (wire.Accept, b"x"),
            (wire.Compare, bytes(4)),
            (wire.Compare, bytes(13)),
            (wire.Compare, bytes(4 + 17 * 8)),
            (wire.Compare, bytes(12)),
            (wire.Compare, struct.pack("!IQQ", 0, 2, 1)),
            (wire.Digests, bytes(4)),
            (wire.Digests, bytes(4 + 33)),
            (wire.Start, bytes(11)),
            (wire.Hole, bytes(8)),
            (wire.Hole, (wire.LONGEST_HOLE + 1).to_bytes(8, "big")),
            (wire.FileEnd, bytes(31)),
            (wire.Failed, b""),
            (wire.Failed, b"\0"),
            (wire.Failed, b"\x01\xff"),
        ):
            self.assertRaises(MalformedMessage, kind.decode_body, body)

    def test_no_entry_is_like_that(self) -> None:
        for flags, size, modified in (
            *((4, 0, 0), (1, 1, 0), (3, 0, 0)),
            *((0, 1 << 63, 0), (0, 0, 1 << 63)),
        ):
            body = struct.pack("!BQQ", flags, size, modified) + b"a"
            self.assertRaises(MalformedMessage, wire.Listed.decode_body, body)
        outside = wire.Listed(Entry(("..", "a"))).encode()
        refused = self.assertRaises(TransferFailed, list, MessageReader().messages(outside))
        self.assertIs(refused.reason, Reason.UNSAFE_NAME)

    def test_a_failure_fits_whatever_its_name(self) -> None:
        for name in ("é" * 5000, "a" * 4998 + "é", "\ud800"):
            failed = wire.Failed(Reason.EXISTS, name)
            (found,) = MessageReader().messages(failed.encode())
            assert isinstance(found, wire.Failed)
            self.assertIs(found.reason, Reason.EXISTS)


def content(found: Iterable[Message]) -> bytes:
    return b"".join(message.data for message in found if isinstance(message, Data))
