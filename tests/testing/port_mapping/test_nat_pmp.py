"""The router's NAT-PMP service does what RFC 6886 says."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.port_mapping.forwarder import CLIENT, NEIGHBOUR, PUBLIC, MemoryForwarder
from twisted_p2p.addresses import HostPort
from twisted_p2p.portmap.nat_pmp import (
    MappingRequest,
    MappingResponse,
    PublicAddressRequest,
    PublicAddressResponse,
    Refusal,
    Request,
    Response,
    ResultCode,
    decode_response,
)
from twisted_p2p.testing.port_mapping.leases import PortLeases, RouterManners
from twisted_p2p.testing.port_mapping.nat_pmp import NATPMPService

INTERNAL = HostPort(CLIENT.host, 5_000)


class NATPMPServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.forwarder = MemoryForwarder()
        self.leases = PortLeases(self.forwarder, 100.0)
        self.service = NATPMPService(self.leases)

    def ask(self, request: Request, source: HostPort = CLIENT, now: float = 100.0) -> Response:
        answer = self.service.answer(request.encode(), source, now)
        assert answer is not None
        return decode_response(answer)

    def map(self, request: MappingRequest, source: HostPort = CLIENT, now: float = 100.0) -> int:
        response = self.ask(request, source, now)
        assert isinstance(response, MappingResponse)
        return response.public_port

    def test_it_tells_the_public_address_and_how_long_it_has_been_there(self) -> None:
        self.assertEqual(
            self.ask(PublicAddressRequest(), now=105.9), PublicAddressResponse(0, 5, PUBLIC)
        )

    def test_it_maps_the_port_that_is_suggested(self) -> None:
        response = self.ask(MappingRequest("udp", 5_000, 6_000, 3_600), now=101.0)
        self.assertEqual(response, MappingResponse("udp", 0, 1, 5_000, 6_000, 3_600))
        self.assertEqual(self.forwarder.mapped, {("udp", 6_000): (INTERNAL, 3_701.0)})

    def test_without_a_suggestion_it_maps_the_same_port(self) -> None:
        self.assertEqual(self.map(MappingRequest("tcp", 5_000, 0, 3_600)), 5_000)
        self.assertIn(("tcp", 5_000), self.forwarder.mapped)

    def test_it_picks_another_port_when_that_is_taken(self) -> None:
        self.forwarder.taken = {5_001}
        self.assertEqual(self.map(MappingRequest("udp", 5_000, 5_000, 60)), 5_000)
        self.assertEqual(self.map(MappingRequest("udp", 5_000, 5_000, 60), NEIGHBOUR), 5_002)

    def test_it_renews_what_it_mapped_wherever_that_is(self) -> None:
        self.map(MappingRequest("udp", 5_000, 6_000, 60))
        renewed = self.map(MappingRequest("udp", 5_000, 7_000, 60), now=150.0)
        self.assertEqual(renewed, 6_000)
        self.assertEqual(self.forwarder.mapped, {("udp", 6_000): (INTERNAL, 210.0)})

    def test_an_expired_mapping_is_anyones(self) -> None:
        self.map(MappingRequest("udp", 5_000, 6_000, 60))
        self.assertEqual(self.leases.current(159.9)[0].remaining(120.5), 39)
        request = MappingRequest("udp", 1, 6_000, 60)
        self.assertEqual(self.map(request, NEIGHBOUR, 160.0), 6_000)

    def test_it_cuts_long_lifetimes(self) -> None:
        response = self.ask(MappingRequest("udp", 5_000, 0, 2**32 - 1))
        self.assertEqual(response, MappingResponse("udp", 0, 0, 5_000, 5_000, 86_400))

    def test_a_lifetime_of_zero_unmaps(self) -> None:
        self.map(MappingRequest("udp", 5_000, 6_000, 60))
        self.map(MappingRequest("tcp", 5_000, 6_000, 60))
        gone = MappingResponse("udp", 0, 0, 5_000, 0, 0)
        for _ in range(2):  # what is not there is unmapped as well (section 3.4)
            self.assertEqual(self.ask(MappingRequest("udp", 5_000, 0, 0)), gone)
        self.assertEqual(set(self.forwarder.mapped), {("tcp", 6_000)})

    def test_all_of_a_client_is_unmapped_by_port_zero(self) -> None:
        self.map(MappingRequest("udp", 5_000, 0, 60))
        self.map(MappingRequest("udp", 5_001, 0, 60))
        self.map(MappingRequest("tcp", 5_000, 0, 60))
        self.map(MappingRequest("udp", 5_000, 6_000, 60), NEIGHBOUR)
        self.ask(MappingRequest("udp", 0, 0, 0))
        self.assertEqual(set(self.forwarder.mapped), {("tcp", 5_000), ("udp", 6_000)})

    def test_port_zero_cannot_be_mapped(self) -> None:
        response = self.ask(MappingRequest("udp", 0, 0, 60))
        self.assertEqual(response, MappingResponse("udp", ResultCode.NOT_AUTHORIZED, 0, 0, 0, 0))

    def test_it_says_when_no_port_is_left(self) -> None:
        self.forwarder.is_full = True
        response = self.ask(MappingRequest("udp", 5_000, 0, 60))
        self.assertEqual(
            response, MappingResponse("udp", ResultCode.OUT_OF_RESOURCES, 0, 5_000, 0, 0)
        )

    def test_other_versions_and_opcodes_are_refused(self) -> None:
        for data, refusal in (
            (b"\2\0" + bytes(58), Refusal(0, ResultCode.UNSUPPORTED_VERSION, 3)),
            (b"\0\x09", Refusal(9, ResultCode.UNSUPPORTED_OPCODE, 3)),
        ):
            answer = self.service.answer(data, CLIENT, 103.0)
            assert answer is not None
            self.assertEqual(decode_response(answer), refusal)

    def test_what_is_no_request_gets_no_answer(self) -> None:
        self.assertIsNone(self.service.answer(b"\0\x80\0\0", CLIENT, 100.0))
        self.assertEqual(self.service.dropped, {"malformed": 1})

    def test_it_can_refuse_everything(self) -> None:
        self.leases.manners = RouterManners(nat_pmp_error=ResultCode.NETWORK_FAILURE)
        self.assertEqual(self.ask(PublicAddressRequest()), PublicAddressResponse(3, 0, "0.0.0.0"))
        self.assertEqual(
            self.ask(MappingRequest("udp", 5_000, 0, 60)), MappingResponse("udp", 3, 0, 5_000, 0, 0)
        )

    def test_it_can_lie_about_the_address_and_give_another_port(self) -> None:
        self.leases.manners = evolve(
            self.leases.manners, claimed_address="10.0.0.1", gives_other_port=True
        )
        self.assertEqual(self.ask(PublicAddressRequest()), PublicAddressResponse(0, 0, "10.0.0.1"))
        self.assertEqual(self.map(MappingRequest("udp", 5_000, 65_535, 60)), 1_024)

    def test_the_epoch_begins_again_when_it_forgets(self) -> None:
        self.map(MappingRequest("udp", 5_000, 0, 60))
        self.leases.forget(130.0)
        self.assertEqual(self.forwarder.mapped, {})
        self.assertEqual(self.leases.current(130.0), [])
        response = self.ask(PublicAddressRequest(), now=131.0)
        self.assertEqual(response, PublicAddressResponse(0, 1, PUBLIC))

    @given(st.one_of(st.binary(max_size=14), st.binary(max_size=14).map(lambda b: b"\0\1" + b)))
    def test_no_datagram_makes_it_fail(self, data: bytes) -> None:
        service = NATPMPService(PortLeases(MemoryForwarder(), 0.0))
        answer = service.answer(data, CLIENT, 0.0)
        self.assertEqual(answer is None, service.dropped.total() == 1)
        if answer is not None:
            decode_response(answer)
