"""Messages: written and read back, and no bytes but good ones become messages."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.stun.strategies import MESSAGES
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    FINGERPRINT,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    PADDING,
    PRIORITY,
    SOFTWARE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    ErrorCode,
    bytes_attribute,
    encode_attribute,
)
from twisted_p2p.stun.message import (
    BINDING,
    Integrity,
    MessageClass,
    STUNMessage,
    check_fingerprint,
    check_integrity,
    decode_message,
    is_stun,
)

TRANSACTION_ID = b"transaction!"
KEY = b"key"
UNKNOWN_REQUIRED = bytes_attribute(0x7FFE, "UNKNOWN-REQUIRED")
UNKNOWN_OPTIONAL = bytes_attribute(0xFFFE, "UNKNOWN-OPTIONAL")

INTEGRITIES = st.sampled_from([Integrity.SHA1, Integrity.SHA256, Integrity.BOTH])


def request(*attributes: tuple[object, object]) -> STUNMessage:
    return STUNMessage.build(BINDING, MessageClass.REQUEST, TRANSACTION_ID, *attributes)  # type: ignore[arg-type]


def with_attributes(wire: bytes, *attributes: tuple[int, bytes]) -> bytes:
    """Return a message with raw attributes appended and its length made right."""
    longer = wire + b"".join(encode_attribute(*attribute) for attribute in attributes)
    return longer[:2] + (len(longer) - 20).to_bytes(2, "big") + longer[4:]


class BuildTests(SynchronousTestCase):
    def test_header_is_that_of_the_rfc(self) -> None:
        self.assertEqual(request().encode(), bytes.fromhex("00010000 2112a442") + TRANSACTION_ID)

    def test_type_mixes_method_and_class_bits(self) -> None:
        for method, message_class, wire in (
            (0x001, MessageClass.INDICATION, "0011"),
            (0x001, MessageClass.SUCCESS, "0101"),
            (0x001, MessageClass.ERROR, "0111"),
            (0x0FF, MessageClass.REQUEST, "02ef"),
            (0x0FF, MessageClass.ERROR, "03ff"),
        ):
            message = STUNMessage.build(method, message_class, TRANSACTION_ID)
            self.assertEqual(message.encode()[:2].hex(), wire)

    def test_method_outside_the_demultiplexed_range_is_refused(self) -> None:
        for method in (-1, 0x100):
            with self.assertRaises(ValueError):
                STUNMessage.build(method, MessageClass.REQUEST, TRANSACTION_ID)

    def test_transaction_id_has_twelve_bytes(self) -> None:
        for size in (0, 11, 13):
            with self.assertRaises(ValueError):
                STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(size))

    def test_message_longer_than_its_length_field_is_refused(self) -> None:
        self.assertEqual(len(request((PADDING, bytes(65528))).encode()), 20 + 65532)
        with self.assertRaises(ValueError):
            request((PADDING, bytes(65532))).encode()
        with self.assertRaises(ValueError):
            request((PADDING, bytes(65528))).encode(fingerprint=True)
        with self.assertRaises(ValueError):
            request((PADDING, bytes(65528))).encode(integrity_key=KEY)

    def test_success_response_answers_its_request(self) -> None:
        address = HostPort("192.0.2.1", 4)
        response = request((USERNAME, "a")).success_response((XOR_MAPPED_ADDRESS, address))
        self.assertEqual(
            (response.method, response.message_class, response.transaction_id),
            (BINDING, MessageClass.SUCCESS, TRANSACTION_ID),
        )
        self.assertEqual(response.get(XOR_MAPPED_ADDRESS), address)
        self.assertIsNone(response.get(USERNAME))

    def test_error_response_says_why_first(self) -> None:
        response = request().error_response(400, "Bad", (SOFTWARE, "us"))
        self.assertIs(response.message_class, MessageClass.ERROR)
        self.assertEqual(response.attributes[0][0], ERROR_CODE.code)
        self.assertEqual(response.get(ERROR_CODE), ErrorCode(400, "Bad"))
        self.assertEqual(response.get(SOFTWARE), "us")
        self.assertEqual(request().error_response(500).get(ERROR_CODE), ErrorCode(500, ""))


class ReadTests(SynchronousTestCase):
    @given(
        message=MESSAGES,
        key=st.none() | st.binary(max_size=40),
        integrity=INTEGRITIES,
        fingerprint=st.booleans(),
    )
    def test_messages_round_trip(
        self, message: STUNMessage, key: bytes | None, integrity: Integrity, fingerprint: bool
    ) -> None:
        wire = message.encode(integrity_key=key, integrity=integrity, fingerprint=fingerprint)
        decoded = decode_message(wire)
        count = len(message.attributes)
        self.assertEqual(
            (decoded.method, decoded.message_class, decoded.transaction_id),
            (message.method, message.message_class, message.transaction_id),
        )
        self.assertEqual(decoded.attributes[:count], message.attributes)
        self.assertEqual(check_integrity(decoded, key or b""), key is not None)
        self.assertEqual(check_fingerprint(decoded), fingerprint)
        self.assertEqual(decoded.encode(), wire)
        self.assertTrue(is_stun(wire))

    @given(message=MESSAGES, key=st.binary(min_size=1, max_size=8), other=st.binary(max_size=8))
    def test_another_key_never_fits(self, message: STUNMessage, key: bytes, other: bytes) -> None:
        # HMAC pads keys with zeros, so that these would be one and the same.
        if key.rstrip(b"\0") != other.rstrip(b"\0"):
            wire = message.encode(integrity_key=key)
            self.assertFalse(check_integrity(decode_message(wire), other))

    @given(data=st.binary(max_size=200))
    def test_any_bytes_give_a_message_or_the_one_error(self, data: bytes) -> None:
        self.read_whatever(data)

    @given(
        first=st.integers(0, 0x03FF),
        attributes=st.lists(
            st.tuples(
                st.sampled_from([0x0006, 0x0008, 0x001C, 0x0020, 0x8028, 0x7FFF]),
                st.sampled_from([0, 3, 4, 8, 20, 32]).flatmap(
                    lambda size: st.binary(min_size=size, max_size=size)
                ),
            ),
            max_size=6,
        ),
    )
    def test_any_attributes_give_a_message_or_the_one_error(
        self, first: int, attributes: list[tuple[int, bytes]]
    ) -> None:
        header = first.to_bytes(2, "big") + request().encode()[2:]
        self.read_whatever(with_attributes(header, *attributes))

    def read_whatever(self, data: bytes) -> None:
        try:
            message = decode_message(data)
        except MalformedMessage:
            return
        self.assertFalse(check_integrity(message, KEY))
        self.assertIn(check_fingerprint(message), (True, False))
        self.assertLessEqual(len(message.encode()), len(data))
        for kind in (USERNAME, XOR_MAPPED_ADDRESS, MESSAGE_INTEGRITY, FINGERPRINT):
            try:
                message.get(kind)
            except MalformedMessage as error:
                self.assertIn(kind.name, str(error))

    def test_header_that_is_not_stun_is_refused(self) -> None:
        wire = request((PRIORITY, 1)).encode()
        for name, bad in {
            "empty": b"",
            "short": wire[:19],
            "first byte 4": b"\4" + wire[1:],
            "first byte 64": b"\x40" + wire[1:],
            "cookie": wire[:4] + b"\0" + wire[5:],
            "length too small": wire[:3] + b"\0" + wire[4:],
            "length too large": wire[:3] + b"\x0c" + wire[4:],
            "cut": wire[:-1],
            "longer": wire + b"\0",
            "length no multiple of four": wire[:3] + b"\x06" + wire[4:-2],
        }.items():
            with self.assertRaises(MalformedMessage, msg=name):
                decode_message(bad)

    def test_attribute_over_the_end_is_refused(self) -> None:
        wire = request((PRIORITY, 1)).encode()
        with self.assertRaises(MalformedMessage):
            decode_message(wire[:23] + b"\5" + wire[24:])

    def test_worst_datagram_takes_little_memory(self) -> None:
        """Promise 11: 64 kB for 1,500 bytes, here of nothing but distinct empty attributes."""
        empty = [(code, b"") for code in range(0x1000, 0x1000 + 370)]
        wire = with_attributes(request().encode(), *empty)
        self.assertEqual(len(wire), 1500)
        tracemalloc.start()
        try:
            message = decode_message(wire)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertEqual(len(message.attributes), 370)
        self.assertLess(peak, 65536)


class ValueTests(SynchronousTestCase):
    def test_first_of_several_counts(self) -> None:
        message = request((PRIORITY, 1), (PRIORITY, 2))
        self.assertEqual(message.get(PRIORITY), 1)
        self.assertEqual(message.get_all(PRIORITY), (1, 2))
        self.assertEqual(message.get_all(USERNAME), ())

    def test_absent_value_is_none_unless_required(self) -> None:
        self.assertIsNone(request().get(PRIORITY))
        with self.assertRaises(MalformedMessage) as caught:
            request().require(PRIORITY)
        self.assertEqual(str(caught.exception), "PRIORITY is missing")
        self.assertEqual(request((PRIORITY, 0)).require(PRIORITY), 0)

    def test_bad_value_is_malformed_when_asked_for(self) -> None:
        message = decode_message(with_attributes(request().encode(), (PRIORITY.code, b"1")))
        for asking in (message.get, message.get_all, message.require):
            self.assertRaises(MalformedMessage, asking, PRIORITY)

    def test_unknown_attributes_are_told_once_and_only_where_required(self) -> None:
        content = request(
            (UNKNOWN_REQUIRED, b""), (PRIORITY, 1), (UNKNOWN_OPTIONAL, b""), (UNKNOWN_REQUIRED, b"")
        )
        wire = content.encode(integrity_key=KEY, integrity=Integrity.BOTH, fingerprint=True)
        message = decode_message(wire)
        self.assertEqual(message.unknown_required({PRIORITY.code}), (0x7FFE,))
        self.assertEqual(message.unknown_required([]), (0x7FFE, PRIORITY.code))
        self.assertEqual(message.unknown_required({PRIORITY.code, 0x7FFE}), ())

    def test_equality_is_of_what_is_said(self) -> None:
        message = request((PRIORITY, 1))
        self.assertEqual(decode_message(message.encode()), message)
        self.assertEqual(hash(decode_message(message.encode())), hash(message))
        self.assertNotEqual(message, request((PRIORITY, 2)))


class IntegrityTests(SynchronousTestCase):
    def test_message_without_integrity_has_none(self) -> None:
        self.assertFalse(check_integrity(decode_message(request().encode()), KEY))

    def test_sha256_counts_where_both_are_there(self) -> None:
        content = request((USERNAME, "a"))
        wire = content.encode(integrity_key=KEY, integrity=Integrity.BOTH)
        self.assertTrue(check_integrity(decode_message(wire), KEY))
        last = bytes((wire[-1] ^ 1,))
        self.assertFalse(check_integrity(decode_message(wire[:-1] + last), KEY))

    def test_truncated_sha256_is_refused(self) -> None:
        """It would fit byte for byte: RFC 8489, section 14.6, leaves truncation to the usage."""
        whole = request().encode(integrity_key=KEY, integrity=Integrity.SHA256)
        for size in (0, 16, 28):
            cut = with_attributes(
                whole[:20], (MESSAGE_INTEGRITY_SHA256.code, whole[24 : 24 + size])
            )
            self.assertFalse(check_integrity(decode_message(cut), KEY))

    def test_integrity_that_claims_to_be_shorter_is_refused(self) -> None:
        """With this key the rest of the HMAC reads as one more attribute, which is ignored."""
        whole = request().encode(integrity_key=b"9938", integrity=Integrity.SHA256)
        self.assertTrue(check_integrity(decode_message(whole), b"9938"))
        message = decode_message(whole[:23] + b"\x10" + whole[24:])
        self.assertEqual(message.attributes, ((MESSAGE_INTEGRITY_SHA256.code, whole[24:40]),))
        self.assertFalse(check_integrity(message, b"9938"))

    def test_integrity_of_another_length_is_refused(self) -> None:
        for size in (0, 16, 32):
            wire = with_attributes(request().encode(), (MESSAGE_INTEGRITY.code, bytes(size)))
            self.assertFalse(check_integrity(decode_message(wire), KEY))

    def test_what_follows_integrity_is_ignored(self) -> None:
        signed = request((USERNAME, "a")).encode(integrity_key=KEY)
        wire = with_attributes(signed, (PRIORITY.code, bytes(4)), (UNKNOWN_REQUIRED.code, b""))
        message = decode_message(wire)
        self.assertTrue(check_integrity(message, KEY))
        self.assertIsNone(message.get(PRIORITY))
        self.assertEqual(message.unknown_required([USERNAME.code]), ())
        self.assertEqual(message, decode_message(signed))

    def test_second_integrity_of_a_kind_is_ignored(self) -> None:
        signed = request((USERNAME, "a")).encode(integrity_key=KEY)
        message = decode_message(with_attributes(signed, (MESSAGE_INTEGRITY.code, bytes(20))))
        self.assertTrue(check_integrity(message, KEY))

    def test_sha1_after_sha256_is_ignored(self) -> None:
        signed = request().encode(integrity_key=KEY, integrity=Integrity.SHA256)
        wire = with_attributes(signed, (MESSAGE_INTEGRITY.code, bytes(20)), (PRIORITY.code, b""))
        message = decode_message(wire)
        self.assertTrue(check_integrity(message, KEY))
        self.assertEqual(len(message.attributes), 1)

    def test_sha256_covers_what_is_ignored_before_it(self) -> None:
        between = with_attributes(request().encode(integrity_key=KEY), (PRIORITY.code, bytes(4)))
        decoded = decode_message(between)
        resigned = STUNMessage(
            BINDING,
            MessageClass.REQUEST,
            TRANSACTION_ID,
            (*decoded.attributes, (PRIORITY.code, bytes(4))),
        ).encode(integrity_key=KEY, integrity=Integrity.SHA256)
        message = decode_message(resigned)
        self.assertTrue(check_integrity(message, KEY))
        self.assertIsNone(message.get(PRIORITY))
        altered = bytearray(resigned)
        altered[20 + 24 + 7] ^= 1
        self.assertFalse(check_integrity(decode_message(bytes(altered)), KEY))

    def test_fingerprint_may_come_after_integrity(self) -> None:
        for integrity in Integrity.SHA1, Integrity.SHA256, Integrity.BOTH:
            wire = request().encode(integrity_key=KEY, integrity=integrity, fingerprint=True)
            message = decode_message(wire)
            self.assertTrue(check_integrity(message, KEY))
            self.assertTrue(check_fingerprint(message))


class FingerprintTests(SynchronousTestCase):
    def test_message_without_fingerprint_has_none(self) -> None:
        self.assertFalse(check_fingerprint(decode_message(request().encode())))
        self.assertFalse(check_fingerprint(decode_message(request((PRIORITY, 1)).encode())))

    def test_changed_message_does_not_fit_its_fingerprint(self) -> None:
        wire = bytearray(request((PRIORITY, 1)).encode(fingerprint=True))
        self.assertTrue(check_fingerprint(decode_message(bytes(wire))))
        wire[27] ^= 1
        self.assertFalse(check_fingerprint(decode_message(bytes(wire))))

    def test_fingerprint_of_another_length_does_not_fit(self) -> None:
        for size in (0, 3, 8):
            wire = with_attributes(request().encode(), (FINGERPRINT.code, bytes(size)))
            self.assertFalse(check_fingerprint(decode_message(wire)))

    def test_nothing_follows_the_fingerprint(self) -> None:
        wire = request().encode(fingerprint=True)
        for code in (PRIORITY.code, UNKNOWN_OPTIONAL.code, FINGERPRINT.code):
            with self.assertRaises(MalformedMessage):
                decode_message(with_attributes(wire, (code, bytes(4))))
