"""PCP's messages survive the wire, and no bytes but good ones become messages."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.portmap.pcp import (
    LARGEST,
    Announce,
    Mapping,
    Peer,
    Request,
    Response,
    TransportProtocol,
    decode_request,
    decode_response,
    encode_refusal,
)
from twisted_p2p.portmap.pcp_options import (
    Filter,
    PreferFailure,
    ThirdParty,
    UnknownOption,
    decode_options,
    is_mandatory,
)
from twisted_p2p.portmap.pcp_results import RefusedRequest, ResultCode

UINT8 = st.integers(0, 0xFF)
UINT16 = st.integers(0, 0xFFFF)
UINT32 = st.integers(0, 2**32 - 1)
HOSTS = st.one_of(
    UINT32.map(lambda number: str(IPv4Address(number))),
    # From 2**48, as mapped IPv4 addresses are written as IPv4.
    st.integers(2**48, 2**128 - 1).map(lambda number: str(IPv6Address(number))),
    st.just("::"),
)
ADDRESSES = st.builds(HostPort, HOSTS, UINT16)
NONCES = st.binary(min_size=12, max_size=12)
BODIES = st.one_of(
    st.builds(Announce),
    st.builds(Mapping, NONCES, UINT8, UINT16, ADDRESSES),
    st.builds(Peer, NONCES, UINT8, UINT16, ADDRESSES, ADDRESSES),
)
OPTIONS = st.lists(
    st.one_of(
        st.builds(ThirdParty, HOSTS),
        st.builds(PreferFailure),
        st.builds(Filter, st.integers(0, 128), ADDRESSES),
        st.builds(UnknownOption, st.integers(4, 255), st.binary(max_size=9)),
    ),
    max_size=4,
).map(tuple)
REQUESTS = st.builds(Request, HOSTS, UINT32, BODIES, OPTIONS)
RESPONSES = st.builds(
    lambda result, lifetime, epoch, body, options: Response(
        result, lifetime, epoch, body.opcode, body, options
    ),
    UINT8,
    UINT32,
    UINT32,
    BODIES,
    OPTIONS,
)

NONCE = b"twelve bytes"
MAPPING = Mapping(NONCE, TransportProtocol.UDP, 5_000, HostPort("0.0.0.0", 0))
REQUEST = Request("192.168.1.2", 7_200, MAPPING)


class RequestTests(SynchronousTestCase):
    def refused(self, data: bytes) -> ResultCode:
        return self.assertRaises(RefusedRequest, decode_request, data).result

    def test_a_request_is_written_as_the_rfc_draws_it(self) -> None:
        self.assertEqual(
            REQUEST.encode(),
            bytes.fromhex("02 01 0000 00001c20 00000000000000000000ffffc0a80102")
            + NONCE
            + bytes.fromhex("11 000000 1388 0000 00000000000000000000ffff00000000"),
        )

    @given(REQUESTS)
    def test_requests_round_trip(self, request: Request) -> None:
        self.assertEqual(decode_request(request.encode()), request)

    def test_what_is_no_request_gets_no_answer(self) -> None:
        response = Response(0, 1, 1, Announce.opcode, Announce()).encode()
        for data in (b"", b"\2", response):
            with self.assertRaises(MalformedMessage) as caught:
                decode_request(data)
            self.assertNotIsInstance(caught.exception, RefusedRequest)

    def test_requests_are_refused_by_name(self) -> None:
        whole = REQUEST.encode()
        for data, result in (
            (b"\0\0", ResultCode.UNSUPP_VERSION),
            (b"\3" + whole[1:], ResultCode.UNSUPP_VERSION),
            (whole[:20], ResultCode.MALFORMED_REQUEST),
            (whole[:56], ResultCode.MALFORMED_REQUEST),
            (whole + b"\0", ResultCode.MALFORMED_REQUEST),
            (whole + bytes(LARGEST), ResultCode.MALFORMED_REQUEST),
            (b"\2\3" + whole[2:], ResultCode.UNSUPP_OPCODE),
            (whole + b"\1\0\0\4" + bytes(4), ResultCode.MALFORMED_OPTION),
            (whole + b"\2\0\0\4" + bytes(4), ResultCode.MALFORMED_OPTION),
            (whole + b"\4\0\0\5" + bytes(4), ResultCode.MALFORMED_OPTION),
            (whole + b"\3\0\0\x14\0\x81" + bytes(18), ResultCode.MALFORMED_OPTION),
            (whole + b"\4\0\0\1", ResultCode.MALFORMED_OPTION),
        ):
            self.assertIs(self.refused(data), result)

    def test_an_option_that_ends_within_its_header_is_refused(self) -> None:
        refused = self.assertRaises(RefusedRequest, decode_options, b"\4\0\0")
        self.assertIs(refused.result, ResultCode.MALFORMED_OPTION)

    def test_options_below_128_are_mandatory(self) -> None:
        self.assertTrue(is_mandatory(UnknownOption(127, b"")))
        self.assertFalse(is_mandatory(UnknownOption(128, b"")))
        self.assertTrue(is_mandatory(PreferFailure()))

    @given(st.binary(max_size=120).map(lambda data: b"\2\1" + data))
    def test_any_bytes_give_a_request_or_the_one_error(self, data: bytes) -> None:
        try:
            request = decode_request(data)
        except MalformedMessage:
            return
        self.assertEqual(decode_request(request.encode()), request)


class ResponseTests(SynchronousTestCase):
    def test_a_response_is_written_as_the_rfc_draws_it(self) -> None:
        response = Response(ResultCode.SUCCESS, 120, 9, Announce.opcode, Announce())
        self.assertEqual(
            response.encode(), bytes.fromhex("02 80 00 00 00000078 00000009") + bytes(12)
        )

    @given(RESPONSES)
    def test_responses_round_trip(self, response: Response) -> None:
        self.assertEqual(decode_response(response.encode()), response)

    def test_a_refusal_repeats_the_request(self) -> None:
        refusal = encode_refusal(
            REQUEST.encode(), ResultCode.ADDRESS_MISMATCH, lifetime=30, epoch=5
        )
        self.assertEqual(
            decode_response(refusal),
            Response(ResultCode.ADDRESS_MISMATCH, 30, 5, Mapping.opcode, MAPPING),
        )

    def test_a_refusal_of_a_short_request_has_no_body(self) -> None:
        refusal = encode_refusal(b"\0\1", ResultCode.UNSUPP_VERSION, lifetime=0, epoch=5)
        self.assertEqual(len(refusal), 24)
        self.assertEqual(refusal[:4], b"\2\x81\0\1")
        response = decode_response(refusal)
        self.assertIsNone(response.body)
        self.assertEqual(response.encode(), refusal)

    @given(st.binary(min_size=2, max_size=1_500))
    def test_a_refusal_is_a_message_whatever_was_asked(self, data: bytes) -> None:
        refusal = encode_refusal(data, ResultCode.MALFORMED_REQUEST, lifetime=0, epoch=0)
        self.assertLessEqual(len(refusal), LARGEST)
        self.assertEqual(len(refusal) % 4, 0)

    def test_what_is_no_response_is_refused(self) -> None:
        whole = Response(0, 1, 1, Mapping.opcode, MAPPING).encode()
        for data in (
            b"",
            whole[:-1],
            whole[:-4],
            b"\0" + whole[1:],
            b"\2\1" + whole[2:],
            b"\2\x83" + whole[2:],
            whole + b"\1\0\0\4" + bytes(4),
            whole + bytes(LARGEST),
        ):
            with self.assertRaises(MalformedMessage):
                decode_response(data)

    @given(st.binary(min_size=22, max_size=120).map(lambda data: b"\2\x81" + data))
    def test_any_bytes_give_a_response_or_the_one_error(self, data: bytes) -> None:
        try:
            response = decode_response(data)
        except MalformedMessage:
            return
        self.assertEqual(decode_response(response.encode()), response)
