"""The bytes of messages: round trips, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from struct import pack

from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.lan.records import (
    Data,
    ExistingTypes,
    HostAddress,
    Location,
    Message,
    OtherData,
    Pointer,
    Question,
    Record,
    RecordType,
    Text,
)
from twisted_p2p.lan.wire import (
    LARGEST,
    _ExistingTypesPayload,
    decode_message,
    encode_data,
    encode_message,
)

labels = st.binary(min_size=1, max_size=63).filter(lambda label: not set(label) & set(b".\\"))
names = st.lists(labels, max_size=5).map(b".".join).filter(lambda name: len(name) <= 253)
ports = st.integers(0, 65_535)
hosts = st.ip_addresses().map(str)
known_types = {int(each) for each in RecordType}

data: st.SearchStrategy[Data] = st.one_of(
    st.builds(HostAddress, hosts),
    st.builds(Pointer, names),
    st.builds(Location, ports, names, ports, ports),
    st.builds(Text, st.lists(st.binary(max_size=255), min_size=1, max_size=4).map(tuple)),
    st.builds(
        ExistingTypes,
        names,
        st.sets(st.integers(1, 255), min_size=1, max_size=8).map(lambda each: tuple(sorted(each))),
    ),
    st.builds(OtherData, ports.filter(lambda n: n not in known_types), st.binary(max_size=40)),
)
records = st.builds(Record, names, data, st.integers(0, 2**32 - 1), st.booleans())
questions = st.builds(Question, names, ports, st.booleans())
sections = st.lists(records, max_size=4).map(tuple)
messages = st.builds(
    Message,
    st.booleans(),
    ports,
    st.booleans(),
    st.lists(questions, max_size=4).map(tuple),
    sections,
    sections,
    sections,
)


def header(*counts: int, flags: int = 0) -> bytes:
    return pack("!6H", 0, flags, *counts, *[0] * (4 - len(counts)))


def record(name: bytes, kind: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return name + pack("!HHIH", kind, 1, 120, size) + payload


class RoundTripTests(SynchronousTestCase):
    @given(messages)
    def test_what_is_written_is_read(self, message: Message) -> None:
        self.assertEqual(decode_message(encode_message(message)), message)

    def test_an_empty_text_has_an_empty_string(self) -> None:
        self.assertEqual(encode_data(Text(())), b"\0")
        self.assertEqual(encode_data(Text((b"",))), b"\0")

    def test_data_is_compared_without_compression(self) -> None:
        self.assertEqual(encode_data(Location(1, b"a.b", 2, 3)), b"\0\2\0\3\0\1\1a\1b\0")
        self.assertEqual(encode_data(HostAddress("fe80::1"))[:2], b"\xfe\x80")
        self.assertEqual(encode_data(ExistingTypes(b"a", (1, 28))), b"\1a\0\0\4\x40\0\0\x08")

    def test_names_are_compressed(self) -> None:
        name = b"instance._p2p._udp.local"
        plain = sum(len(name) + 2 for _ in range(2)) + 12 + 2 * 10 + 8
        message = Message(True, answers=(Record(name, HostAddress("1.2.3.4"), 1),) * 2)
        self.assertLess(len(encode_message(message)), plain)

    def test_records_of_other_classes_are_left_out(self) -> None:
        chaos = b"\0" + pack("!HHIH", 1, 3, 0, 4) + bytes(4)
        self.assertEqual(decode_message(header(0, 1) + chaos), Message())
        self.assertEqual(decode_message(header(1) + b"\0" + pack("!HH", 1, 3)), Message())

    def test_a_question_may_be_for_any_class(self) -> None:
        message = decode_message(header(1) + b"\1a\0" + pack("!HH", 12, 0x80FF))
        self.assertEqual(message.questions, (Question(b"a", 12, wants_unicast=True),))

    def test_dots_in_labels_are_kept_apart(self) -> None:
        message = decode_message(header(1) + b"\3a.b\2\\c\0" + pack("!HH", 12, 1))
        self.assertEqual(message.questions[0].name, b"a\\.b.\\\\c")

    def test_types_above_255_are_left_out_of_what_exists(self) -> None:
        bitmaps = b"\0\1\x40" + b"\1\2\xff\xff"
        message = decode_message(header(0, 1) + record(b"\1a\0", 47, b"\1a\0" + bitmaps))
        self.assertEqual(message.answers[0].data, ExistingTypes(b"a", (1,)))

    def test_the_record_of_our_own_is_one_of_twisted_names(self) -> None:
        verifyClass(dns.IEncodable, _ExistingTypesPayload)
        written = BytesIO()
        dns.RRHeader(b"a", 47, payload=_ExistingTypesPayload(b"a", (16,))).encode(written)
        self.assertEqual(written.getvalue()[-8:], b"\1a\0\0\3\0\0\x80")


class RefusalTests(SynchronousTestCase):
    def refused(self, data: bytes) -> None:
        self.assertRaises(MalformedMessage, decode_message, data)

    def test_what_is_cut_off(self) -> None:
        whole = encode_message(
            Message(
                True,
                answers=(
                    Record(b"a.b", Location(1, b"b.b"), 1),
                    Record(b"a.b", Text((b"one", b"two")), 1),
                    Record(b"a.b", ExistingTypes(b"a.b", (1,)), 1),
                    Record(b"a.b", HostAddress("::1"), 1),
                ),
            )
        )
        for length in range(len(whole)):
            self.refused(whole[:length])

    def test_what_is_too_long(self) -> None:
        self.refused(header() + bytes(LARGEST))

    def test_other_operations_and_failures(self) -> None:
        """RFC 6762, sections 18.3 and 18.11."""
        for flags in (0x0800, 0x0003):
            self.refused(header(flags=flags))

    def test_pointers_that_do_not_lead_back(self) -> None:
        for pointer in (b"\xc0\x0c", b"\xc0\xff", b"\xff\xff", b"\1a\xc0\x0e"):
            self.refused(header(1) + pointer + pack("!HH", 1, 1))

    def test_long_chains_of_pointers(self) -> None:
        start = 12 + 11 + 1
        links = b"\0" + b"".join(
            pack("!H", 0xC000 + start - 1 + (0 if n == 0 else 2 * n - 1)) for n in range(30)
        )
        payload = record(b"\0", 99, links)
        for depth, is_fine in ((10, True), (29, False)):
            name = pack("!H", 0xC000 + start + 2 * (depth - 1))
            data = header(0, 2) + payload + record(name, 1, bytes(4))
            if is_fine:
                self.assertEqual(decode_message(data).answers[1].name, b"")
            else:
                self.refused(data)

    def test_long_names_and_labels(self) -> None:
        self.refused(header(1) + b"\x40" + b"a" * 64 + b"\0" + pack("!HH", 1, 1))
        self.refused(header(1) + (b"\x3f" + b"a" * 63) * 4 + b"\0" + pack("!HH", 1, 1))

    def test_data_of_another_length_than_it_says(self) -> None:
        for kind, payload, length in (
            (1, bytes(5), 5),
            (12, b"\1a\0\0", 4),
            (16, b"\5abc", 4),
            (33, bytes(8), 8),
            (47, b"\1a\0\0\x21" + bytes(33), 38),
            (47, b"\1a\0\0\0", 5),
            (47, b"\1a\0\0\4\0", 6),
        ):
            self.refused(header(0, 1) + record(b"\1a\0", kind, payload, length))

    @given(st.binary(max_size=300))
    def test_anything_else(self, noise: bytes) -> None:
        for data in (noise, header(1, 2, 1, 1) + noise):
            try:
                decode_message(data)
            except MalformedMessage:
                continue


class CostTests(SynchronousTestCase):
    """Promise 11: a datagram costs in proportion to its bytes, not to what they refer to."""

    def steps(self, data: bytes) -> int:
        """Return how many bytes of names are looked at."""
        from twisted_p2p.lan import wire  # noqa: PLC0415

        count = 0
        look: Callable[..., int] = wire._Reader._byte

        def counted(reader: object, place: int) -> int:
            nonlocal count
            count += 1
            return look(reader, place)

        self.patch(wire._Reader, "_byte", counted)
        decode_message.__wrapped__(data)
        return count

    def test_many_records_that_point_into_one_chain_of_labels(self) -> None:
        labels = b"\1a" * 120 + b"\0"
        first = record(b"\0", 99, labels)
        start = 12 + 11
        rest = b"".join(
            record(pack("!H", 0xC000 + start + 2 * (n % 120)), 99, b"") for n in range(90)
        )
        data = header(0, 91) + first + rest
        self.assertEqual(len(decode_message(data).answers), 91)
        self.assertLess(self.steps(data), len(data))
