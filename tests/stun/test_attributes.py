"""Attributes: values survive the wire, and no bytes but good ones become values."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.stun.strategies import TRANSACTION_IDS, VALUES, pairs
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun import attributes
from twisted_p2p.stun.attributes import (
    CHANGE_REQUEST,
    ERROR_CODE,
    MAPPED_ADDRESS,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    PRIORITY,
    RESPONSE_PORT,
    SOFTWARE,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    AttributeType,
    ChangeRequest,
    ErrorCode,
    PasswordAlgorithm,
    bytes_attribute,
    decode_attributes,
    encode_attribute,
    encode_attributes,
    is_comprehension_required,
    text_attribute,
    uint16_attribute,
)

TRANSACTION_ID = bytes(range(12))

# RFC 8489 section 18.3, RFC 8445 section 20.1, RFC 8656 section 18, RFC 5780 section 9.1.
CODES = {
    "MAPPED-ADDRESS": 0x0001,
    "CHANGE-REQUEST": 0x0003,
    "USERNAME": 0x0006,
    "MESSAGE-INTEGRITY": 0x0008,
    "ERROR-CODE": 0x0009,
    "UNKNOWN-ATTRIBUTES": 0x000A,
    "LIFETIME": 0x000D,
    "XOR-PEER-ADDRESS": 0x0012,
    "REALM": 0x0014,
    "NONCE": 0x0015,
    "MESSAGE-INTEGRITY-SHA256": 0x001C,
    "PASSWORD-ALGORITHM": 0x001D,
    "USERHASH": 0x001E,
    "XOR-MAPPED-ADDRESS": 0x0020,
    "PRIORITY": 0x0024,
    "USE-CANDIDATE": 0x0025,
    "PADDING": 0x0026,
    "RESPONSE-PORT": 0x0027,
    "PASSWORD-ALGORITHMS": 0x8002,
    "ALTERNATE-DOMAIN": 0x8003,
    "SOFTWARE": 0x8022,
    "ALTERNATE-SERVER": 0x8023,
    "FINGERPRINT": 0x8028,
    "ICE-CONTROLLED": 0x8029,
    "ICE-CONTROLLING": 0x802A,
    "RESPONSE-ORIGIN": 0x802B,
    "OTHER-ADDRESS": 0x802C,
}


class AttributeTypeTests(SynchronousTestCase):
    def refuses(self, kind: AttributeType[Any], *bad: bytes) -> None:
        for data in bad:
            with self.assertRaises(MalformedMessage, msg=f"{kind} took {data!r}"):
                kind.decode(data, TRANSACTION_ID)

    def cannot_write(self, kind: AttributeType[Any], *bad: object) -> None:
        for value in bad:
            with self.assertRaises(ValueError, msg=f"{kind} took {value!r}"):
                kind.encode(value, TRANSACTION_ID)

    def test_codes_are_those_of_the_registry(self) -> None:
        types = [kind for kind in vars(attributes).values() if isinstance(kind, AttributeType)]
        self.assertEqual({kind.name: kind.code for kind in types}, CODES)
        self.assertEqual(set(types), set(VALUES))

    @given(pair=pairs(*VALUES), transaction_id=TRANSACTION_IDS)
    def test_values_round_trip(
        self, pair: tuple[AttributeType[Any], Any], transaction_id: bytes
    ) -> None:
        kind, value = pair
        decoded = kind.decode(kind.encode(value, transaction_id), transaction_id)
        self.assertEqual(decoded, value)
        self.assertIs(type(decoded), type(value))

    @given(kind=st.sampled_from(list(VALUES)), data=st.binary(max_size=64))
    def test_any_bytes_give_a_value_or_the_one_error(
        self, kind: AttributeType[Any], data: bytes
    ) -> None:
        try:
            value = kind.decode(data, TRANSACTION_ID)
        except MalformedMessage:
            return
        self.assertEqual(kind.decode(kind.encode(value, TRANSACTION_ID), TRANSACTION_ID), value)

    def test_comprehension_is_required_below_0x8000(self) -> None:
        self.assertTrue(is_comprehension_required(0x7FFF))
        self.assertFalse(is_comprehension_required(0x8000))

    def test_repr_names_the_attribute(self) -> None:
        self.assertEqual(repr(PRIORITY), "<PRIORITY 0x0024>")

    def test_bytes_keep_their_limits(self) -> None:
        kind = bytes_attribute(0x7001, "TEST", 2, 4)
        self.assertEqual(kind.decode(b"12", TRANSACTION_ID), b"12")
        self.assertEqual(kind.encode(b"1234", TRANSACTION_ID), b"1234")
        self.refuses(kind, b"1", b"12345")
        self.cannot_write(kind, b"1", b"12345")

    def test_text_keeps_both_limits(self) -> None:
        kind = text_attribute(0x7001, "TEST", maximum_characters=4, maximum_bytes=6)
        self.assertEqual(kind.decode("\u00e9\u00e9ab".encode(), TRANSACTION_ID), "\u00e9\u00e9ab")
        self.refuses(kind, b"abcde", "\u00e9\u00e9\u00e9\u00e9".encode(), b"\xff", b"\xed\xa0\x80")
        self.cannot_write(kind, "abcde", "\u00e9\u00e9\u00e9\u00e9", "\ud800")

    def test_text_limits_are_those_of_the_rfc(self) -> None:
        for kind in (NONCE, SOFTWARE):
            self.assertEqual(len(kind.encode("\U0001f600" * 127, TRANSACTION_ID)), 508)
            self.cannot_write(kind, "a" * 128)
        self.assertEqual(len(USERNAME.encode("a" * 508, TRANSACTION_ID)), 508)
        self.cannot_write(USERNAME, "a" * 509)

    def test_numbers_have_one_length(self) -> None:
        kind = uint16_attribute(0x7001, "TEST")
        self.assertEqual(kind.encode(0x1234, TRANSACTION_ID), b"\x12\x34")
        self.refuses(kind, b"", b"1", b"123")
        self.cannot_write(kind, -1, 0x10000)

    def test_flag_is_there_or_left_out(self) -> None:
        self.assertEqual(USE_CANDIDATE.encode(True, TRANSACTION_ID), b"")
        self.refuses(USE_CANDIDATE, b"\0")
        self.cannot_write(USE_CANDIDATE, False)

    def test_plain_address_is_written_as_the_rfc_draws_it(self) -> None:
        for address, wire in (
            (HostPort("192.0.2.1", 0x1234), "00011234c0000201"),
            (HostPort("2001:db8::1", 0x1234), "0002123420010db8000000000000000000000001"),
        ):
            self.assertEqual(MAPPED_ADDRESS.encode(address, TRANSACTION_ID).hex(), wire)
            self.assertEqual(MAPPED_ADDRESS.decode(bytes.fromhex(wire), TRANSACTION_ID), address)

    def test_xor_address_hides_every_byte_of_the_address(self) -> None:
        zero = HostPort("::", 0)
        self.assertEqual(
            XOR_MAPPED_ADDRESS.encode(zero, TRANSACTION_ID),
            bytes.fromhex("00022112 2112a442") + TRANSACTION_ID,
        )

    def test_scope_of_an_address_stays_at_home(self) -> None:
        data = MAPPED_ADDRESS.encode(HostPort("fe80::1%eth0", 1), TRANSACTION_ID)
        self.assertEqual(MAPPED_ADDRESS.decode(data, TRANSACTION_ID), HostPort("fe80::1", 1))

    def test_mapped_ipv4_address_is_written_as_sockets_do(self) -> None:
        address = HostPort("::ffff:192.0.2.1", 1)
        data = MAPPED_ADDRESS.encode(address, TRANSACTION_ID)
        self.assertEqual(len(data), 20)
        self.assertEqual(MAPPED_ADDRESS.decode(data, TRANSACTION_ID), address)

    def test_address_of_another_shape_is_refused(self) -> None:
        ipv4, ipv6 = bytes.fromhex("0001123401020304"), bytes.fromhex("00021234") + bytes(16)
        for kind in (MAPPED_ADDRESS, XOR_MAPPED_ADDRESS):
            self.assertIsInstance(kind.decode(ipv4, TRANSACTION_ID), HostPort)
            self.refuses(kind, b"", ipv4[:-1], ipv4 + b"\0", ipv6[:-1], b"\0\2" + ipv4[2:])
            self.refuses(kind, b"\0\1" + ipv6[2:], b"\0\0" + ipv4[2:])
            self.cannot_write(
                kind, HostPort("1.2.3", 1), HostPort("host", 1), HostPort("1.2.3.4", 0x10000)
            )

    def test_first_byte_of_an_address_is_ignored(self) -> None:
        self.assertEqual(
            MAPPED_ADDRESS.decode(bytes.fromhex("ff01123401020304"), TRANSACTION_ID),
            HostPort("1.2.3.4", 0x1234),
        )

    def test_error_code_is_hundreds_and_the_rest(self) -> None:
        self.assertEqual(
            ERROR_CODE.encode(ErrorCode(438, "Stale"), TRANSACTION_ID), b"\0\0\x04\x26Stale"
        )
        # The 21 reserved bits are ignored.
        self.assertEqual(ERROR_CODE.decode(b"\xff\xff\xfc\x26", TRANSACTION_ID), ErrorCode(438))
        self.refuses(ERROR_CODE, b"", b"\0\0\4", b"\0\0\2\0", b"\0\0\7\0", b"\0\0\4\x64")
        self.refuses(ERROR_CODE, b"\0\0\4\0\xff", b"\0\0\4\0" + b"a" * 128)
        self.cannot_write(ERROR_CODE, ErrorCode(299), ErrorCode(700), ErrorCode(400, "a" * 128))

    def test_unknown_attributes_are_two_bytes_each(self) -> None:
        self.assertEqual(
            UNKNOWN_ATTRIBUTES.encode((1, 0x7FFF), TRANSACTION_ID), b"\x00\x01\x7f\xff"
        )
        self.refuses(UNKNOWN_ATTRIBUTES, b"\0", b"\0\1\0")
        self.cannot_write(UNKNOWN_ATTRIBUTES, (0x10000,), (-1,))

    def test_password_algorithms_are_padded_like_attributes(self) -> None:
        algorithms = (PasswordAlgorithm(2), PasswordAlgorithm(7, b"salt!"))
        wire = bytes.fromhex("00020000 00070005 73616c7421000000")
        self.assertEqual(PASSWORD_ALGORITHMS.encode(algorithms, TRANSACTION_ID), wire)
        self.assertEqual(PASSWORD_ALGORITHMS.decode(wire, TRANSACTION_ID), algorithms)
        self.refuses(PASSWORD_ALGORITHMS, wire[:-1], wire[:-4], wire + b"\0")
        self.refuses(PASSWORD_ALGORITHM, b"", wire)
        self.cannot_write(PASSWORD_ALGORITHM, PasswordAlgorithm(0x10000))

    def test_change_request_has_two_bits(self) -> None:
        both = ChangeRequest.ADDRESS | ChangeRequest.PORT
        self.assertEqual(CHANGE_REQUEST.encode(both, TRANSACTION_ID), b"\0\0\0\6")
        self.assertEqual(CHANGE_REQUEST.decode(b"\xff\xff\xff\xff", TRANSACTION_ID), both)
        self.refuses(CHANGE_REQUEST, b"\0\0\6")

    def test_response_port_is_read_with_and_without_its_padding(self) -> None:
        self.assertEqual(RESPONSE_PORT.decode(b"\x12\x34", TRANSACTION_ID), 0x1234)
        self.assertEqual(RESPONSE_PORT.decode(b"\x12\x34\0\0", TRANSACTION_ID), 0x1234)
        self.refuses(RESPONSE_PORT, b"\x12\x34\0")


class AttributeRunTests(SynchronousTestCase):
    @given(
        run=st.lists(pairs(*VALUES), max_size=5),
        transaction_id=TRANSACTION_IDS,
        before=st.binary(max_size=8),
    )
    def test_runs_round_trip(
        self,
        run: list[tuple[AttributeType[Any], Any]],
        transaction_id: bytes,
        before: bytes,
    ) -> None:
        wire = encode_attributes(run, transaction_id)
        decoded = decode_attributes(before + wire, len(before))
        self.assertEqual(len(wire) % 4, 0)
        self.assertEqual(
            [
                kind.decode(data, transaction_id)
                for (kind, _), (_, data) in zip(run, decoded, strict=True)
            ],
            [value for _, value in run],
        )
        self.assertEqual([code for code, _ in decoded], [kind.code for kind, _ in run])

    @given(data=st.binary(max_size=80))
    def test_any_bytes_give_a_run_or_the_one_error(self, data: bytes) -> None:
        try:
            run = decode_attributes(data)
        except MalformedMessage:
            return
        self.assertEqual(
            len(b"".join(encode_attribute(*attribute) for attribute in run)), len(data)
        )

    def test_padding_is_written_as_zeros_and_read_as_anything(self) -> None:
        self.assertEqual(encode_attribute(0x7001, b"abcde").hex(), "700100056162636465000000")
        self.assertEqual(
            decode_attributes(bytes.fromhex("700100056162636465ffffff")), ((0x7001, b"abcde"),)
        )

    def test_run_that_ends_early_is_refused(self) -> None:
        whole = encode_attribute(0x7001, b"abcde")
        for size in range(1, len(whole)):
            self.assertRaises(MalformedMessage, decode_attributes, whole[:size])
        self.assertEqual(decode_attributes(b""), ())

    def test_what_does_not_fit_sixteen_bits_cannot_be_written(self) -> None:
        self.assertEqual(len(encode_attribute(0xFFFF, bytes(0xFFFF))), 4 + 0x10000)
        for code, value in ((0x10000, b""), (-1, b""), (1, bytes(0x10000))):
            self.assertRaises(ValueError, encode_attribute, code, value)
