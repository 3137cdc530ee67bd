from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.connection.wire import (
    ControlMessage,
    ControlReader,
    Credit,
    Delivered,
    Goodbye,
    Ping,
    Pong,
    Proof,
    Reply,
    decode_opening,
    decode_reply,
    encode_control,
    encode_integer,
    encode_opening,
    encode_reply,
)
from twisted_p2p.errors import MalformedMessage

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80).filter(
    lambda name: len(name.encode()) <= 255
)
numbers = st.integers(0, 2**62 - 1)
messages: st.SearchStrategy[ControlMessage] = st.one_of(
    st.builds(Proof, st.binary(max_size=255)),
    st.builds(Credit, numbers, numbers),
    st.builds(Delivered, numbers),
    st.builds(Goodbye, numbers),
    st.builds(Ping, numbers),
    st.builds(Pong, numbers),
)


class OpeningTests(SynchronousTestCase):
    @given(names, st.binary())
    def test_every_name_comes_back_and_payload_stays_apart(self, name: str, payload: bytes) -> None:
        opening = encode_opening(name)
        self.assertEqual(decode_opening(opening + payload), (name, len(opening)))

    @given(names, st.data())
    def test_a_part_of_an_opening_is_incomplete(self, name: str, data: st.DataObject) -> None:
        opening = encode_opening(name)
        end = data.draw(st.integers(0, len(opening) - 1))
        self.assertIsNone(decode_opening(opening[:end]))

    @given(st.binary(max_size=300))
    def test_any_bytes_are_an_opening_or_malformed(self, data: bytes) -> None:
        try:
            decoded = decode_opening(data)
        except MalformedMessage:
            return
        if decoded is not None:
            self.assertEqual(encode_opening(decoded[0]), data[: decoded[1]])

    def test_a_name_without_bytes_or_with_too_many_is_refused(self) -> None:
        for name in ("", "x" * 256, "ä" * 128):
            with self.assertRaises(ValueError):
                encode_opening(name)

    def test_another_version_and_an_empty_name_are_malformed(self) -> None:
        for data in (b"\x02", b"\x01\x00", b"\x01\x01\xff"):
            with self.assertRaises(MalformedMessage):
                decode_opening(data)

    def test_the_bytes_of_an_opening_are_these(self) -> None:
        self.assertEqual(encode_opening("web"), b"\x01\x03web")


class ReplyTests(SynchronousTestCase):
    @given(st.sampled_from([Reply.UNKNOWN_SERVICE, Reply.REFUSED]), st.text(max_size=300))
    def test_a_refusal_comes_back_with_as_much_of_its_reason_as_fits(
        self, reply: Reply, reason: str
    ) -> None:
        reason = reason.encode(errors="ignore").decode()
        encoded = encode_reply(reply, reason)
        decoded = decode_reply(encoded + b"rest")
        assert decoded is not None
        self.assertEqual((decoded[0], decoded[2]), (reply, len(encoded)))
        self.assertTrue(reason.startswith(decoded[1]))
        self.assertGreaterEqual(len(decoded[1].encode()), min(len(reason.encode()), 252))

    def test_acceptance_is_one_byte(self) -> None:
        self.assertEqual(encode_reply(Reply.ACCEPTED), b"\0")
        self.assertEqual(decode_reply(b"\0payload"), (Reply.ACCEPTED, "", 1))

    def test_a_part_of_a_reply_is_incomplete(self) -> None:
        refusal = encode_reply(Reply.REFUSED, "why")
        for end in range(len(refusal)):
            self.assertIsNone(decode_reply(refusal[:end]))

    @given(st.binary(max_size=300))
    def test_any_bytes_are_a_reply_or_malformed(self, data: bytes) -> None:
        try:
            decoded = decode_reply(data)
        except MalformedMessage:
            return
        if decoded is not None:
            self.assertEqual(encode_reply(*decoded[:2]), data[: decoded[2]])

    def test_an_unknown_reply_is_malformed(self) -> None:
        with self.assertRaises(MalformedMessage):
            decode_reply(b"\x03")


class ControlTests(SynchronousTestCase):
    @given(st.lists(messages, max_size=5), st.data())
    def test_messages_come_back_however_the_stream_is_cut(
        self, sent: list[ControlMessage], data: st.DataObject
    ) -> None:
        stream = b"".join(map(encode_control, sent))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
        reader, received = ControlReader(), []
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            received += reader.messages(stream[start:end])
        self.assertEqual(received, sent)

    @given(st.lists(st.binary(max_size=300)))
    def test_any_bytes_are_messages_or_malformed(self, pieces: list[bytes]) -> None:
        reader = ControlReader()
        try:
            for piece in pieces:
                for message in reader.messages(piece):
                    self.assertIsInstance(message, ControlMessage)
        except MalformedMessage:
            pass

    def test_unknown_messages_and_further_numbers_are_skipped(self) -> None:
        newer = b"\x63\x02??" + b"\x02\x03\x08\x01\x01"
        self.assertEqual(list(ControlReader().messages(newer)), [Delivered(8)])

    def test_a_message_cut_short_is_malformed(self) -> None:
        for body in (b"", b"\x08", b"\x08\x40"):
            with self.assertRaises(MalformedMessage):
                list(ControlReader().messages(bytes((1, len(body))) + body))

    @given(numbers)
    def test_numbers_take_the_sizes_of_rfc_9000(self, number: int) -> None:
        encoded = encode_integer(number)
        self.assertEqual(len(encoded), 1 << (encoded[0] >> 6))
        if len(encoded) > 1:
            self.assertGreaterEqual(number, 1 << (8 * len(encoded) // 2 - 2))

    def test_numbers_are_those_of_the_examples_in_rfc_9000(self) -> None:
        # Appendix A.1.
        for number, encoded in (
            (151_288_809_941_952_652, "c2197c5eff14e88c"),
            (494_878_333, "9d7f3e7d"),
            (15_293, "7bbd"),
            (37, "25"),
        ):
            self.assertEqual(encode_integer(number).hex(), encoded)

    def test_a_number_of_63_bits_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            encode_integer(2**62)
