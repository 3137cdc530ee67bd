"""NAT-PMP's messages survive the wire, and no bytes but good ones become messages."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.portmap.nat_pmp import (
    MappingRequest,
    MappingResponse,
    PublicAddressRequest,
    PublicAddressResponse,
    Refusal,
    RefusedRequest,
    Request,
    Response,
    ResultCode,
    decode_request,
    decode_response,
)

UINT16 = st.integers(0, 0xFFFF)
UINT32 = st.integers(0, 2**32 - 1)
PROTOCOLS = st.sampled_from(["udp", "tcp"])
REQUESTS = st.one_of(
    st.builds(PublicAddressRequest),
    st.builds(MappingRequest, PROTOCOLS, UINT16, UINT16, UINT32),
)
RESPONSES = st.one_of(
    st.builds(PublicAddressResponse, UINT16, UINT32, UINT32.map(lambda n: str(IPv4Address(n)))),
    st.builds(MappingResponse, PROTOCOLS, UINT16, UINT32, UINT16, UINT16, UINT32),
    st.builds(Refusal, st.integers(0, 127), st.integers(1, 0xFFFF), UINT32),
)


class RequestTests(SynchronousTestCase):
    def test_requests_are_written_as_the_rfc_draws_them(self) -> None:
        self.assertEqual(PublicAddressRequest().encode(), b"\0\0")
        request = MappingRequest("tcp", 0x1234, 0x5678, 3_600)
        self.assertEqual(request.encode(), bytes.fromhex("0002 0000 1234 5678 00000e10"))

    @given(REQUESTS)
    def test_requests_round_trip(self, request: Request) -> None:
        self.assertEqual(decode_request(request.encode()), request)

    def test_an_address_request_may_be_longer(self) -> None:
        # PCP's version 0 does not exist; but clients pad, and section 3.5 looks at two bytes.
        self.assertEqual(decode_request(bytes(4)), PublicAddressRequest())

    def test_versions_and_opcodes_of_others_are_refused_by_name(self) -> None:
        for data, result in (
            (b"\2\1", ResultCode.UNSUPPORTED_VERSION),
            (b"\0\3", ResultCode.UNSUPPORTED_OPCODE),
        ):
            refused = self.assertRaises(RefusedRequest, decode_request, data)
            self.assertEqual((refused.result, refused.opcode), (result, data[1]))

    def test_what_is_no_request_is_refused(self) -> None:
        for data in (b"", b"\0", b"\0\x80", b"\0\1", bytes(1_101), b"\0\1" + bytes(11)):
            with self.assertRaises(MalformedMessage) as caught:
                decode_request(data)
            self.assertNotIsInstance(caught.exception, RefusedRequest)

    @given(st.binary(max_size=20))
    def test_any_bytes_give_a_request_or_the_one_error(self, data: bytes) -> None:
        try:
            request = decode_request(data)
        except MalformedMessage:
            return
        self.assertEqual(decode_request(request.encode()), request)


class ResponseTests(SynchronousTestCase):
    def test_responses_are_written_as_the_rfc_draws_them(self) -> None:
        response = PublicAddressResponse(0, 0x01020304, "11.0.1.1")
        self.assertEqual(response.encode(), bytes.fromhex("0080 0000 01020304 0b000101"))
        mapped = MappingResponse("udp", 0, 1, 5_000, 6_000, 7_200)
        self.assertEqual(mapped.encode(), bytes.fromhex("0081 0000 00000001 1388 1770 00001c20"))
        self.assertEqual(Refusal(3, 5, 1).encode(), bytes.fromhex("0083 0005 00000001"))

    @given(RESPONSES)
    def test_responses_round_trip(self, response: Response) -> None:
        self.assertEqual(decode_response(response.encode()), response)

    def test_an_error_may_be_cut_short(self) -> None:
        self.assertEqual(decode_response(bytes.fromhex("0080 0003")), Refusal(0, 3, 0))
        # Of an unknown opcode a router returns the whole request, with the result in it.
        returned = bytes.fromhex("0083 0005 1388 1770 00001c20")
        self.assertEqual(decode_response(returned), Refusal(3, 5, 0x13881770))

    def test_what_is_no_response_is_refused(self) -> None:
        whole = MappingResponse("udp", 0, 1, 5_000, 6_000, 7_200).encode()
        for data in (
            b"\0\x80\0",
            b"\2" + whole[1:],
            b"\0\1" + whole[2:],
            whole[:-1],
            whole + b"\0",
        ):
            with self.assertRaises(MalformedMessage):
                decode_response(data)
        with self.assertRaises(MalformedMessage):
            decode_response(whole + bytes(1_100))

    @given(st.one_of(st.binary(max_size=20), st.binary(max_size=20).map(lambda b: b"\0\x81" + b)))
    def test_any_bytes_give_a_response_or_the_one_error(self, data: bytes) -> None:
        try:
            response = decode_response(data)
        except MalformedMessage:
            return
        self.assertEqual(decode_response(response.encode()), response)
