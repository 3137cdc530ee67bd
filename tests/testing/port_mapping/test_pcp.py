"""The router's PCP service does what RFC 6887 says."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.portmap.test_pcp import REQUESTS
from tests.testing.port_mapping.forwarder import (
    CLIENT,
    NEIGHBOUR,
    PUBLIC,
    REMOTE,
    MemoryForwarder,
)
from twisted_p2p.addresses import HostPort
from twisted_p2p.portmap.pcp import (
    Announce,
    Body,
    Mapping,
    Peer,
    Request,
    Response,
    TransportProtocol,
    decode_response,
)
from twisted_p2p.portmap.pcp_options import (
    Filter,
    Option,
    PreferFailure,
    ThirdParty,
    UnknownOption,
)
from twisted_p2p.portmap.pcp_results import ResultCode
from twisted_p2p.testing.port_mapping.leases import PortLeases, RouterManners
from twisted_p2p.testing.port_mapping.pcp import PCPService

ANY = HostPort("0.0.0.0", 0)
INTERNAL = HostPort(CLIENT.host, 5_000)
MAP = Mapping(b"twelve bytes", TransportProtocol.UDP, 5_000, ANY)
PEER = Peer(b"twelve bytes", TransportProtocol.UDP, 5_000, ANY, REMOTE)


class PCPServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.forwarder = MemoryForwarder()
        self.leases = PortLeases(self.forwarder, 100.0)
        self.service = PCPService(self.leases)

    def ask(
        self,
        body: Body,
        *options: Option,
        lifetime: int = 600,
        source: HostPort = CLIENT,
        now: float = 100.0,
    ) -> Response:
        request = Request(source.host, lifetime, body, options)
        answer = self.service.answer(request.encode(), source, now)
        assert answer is not None
        return decode_response(answer)

    def mapped(self, body: Mapping, *options: Option, lifetime: int = 600) -> int:
        response = self.ask(body, *options, lifetime=lifetime)
        self.assertEqual(response.result, ResultCode.SUCCESS)
        assert isinstance(response.body, Mapping)
        return response.body.external.port

    def refused(self, body: Body, *options: Option, **of_request: object) -> ResultCode:
        response = self.ask(body, *options, **of_request)  # type: ignore[arg-type]
        self.assertEqual((response.body, response.lifetime), (body, 30))
        self.assertEqual(response.options, options)
        return ResultCode(response.result)

    def test_it_tells_its_epoch(self) -> None:
        self.assertEqual(self.ask(Announce(), now=107.5), Response(0, 0, 7, 0, Announce()))
        self.assertEqual(
            decode_response(self.service.announcement(108.0)), Response(0, 0, 8, 0, Announce())
        )

    def test_it_maps_and_repeats_what_was_asked(self) -> None:
        response = self.ask(MAP, now=101.0)
        expected = evolve(MAP, external=HostPort(PUBLIC, 5_000))
        self.assertEqual(response, Response(0, 600, 1, Mapping.opcode, expected))
        self.assertEqual(self.forwarder.mapped, {("udp", 5_000): (INTERNAL, 701.0)})

    def test_it_maps_the_port_that_is_suggested_or_another_one(self) -> None:
        body = evolve(MAP, external=HostPort("0.0.0.0", 6_000), protocol=TransportProtocol.TCP)
        self.forwarder.taken = {6_000}
        self.assertEqual(self.mapped(body), 6_001)
        self.assertIn(("tcp", 6_001), self.forwarder.mapped)

    def test_lifetimes_have_limits(self) -> None:
        self.assertEqual(self.ask(MAP, lifetime=1).lifetime, 120)
        self.assertEqual(self.ask(MAP, lifetime=10**9).lifetime, 86_400)

    def test_the_same_client_renews(self) -> None:
        self.mapped(MAP)
        self.assertEqual(self.ask(MAP, now=400.0).result, ResultCode.SUCCESS)
        self.assertEqual(self.forwarder.mapped, {("udp", 5_000): (INTERNAL, 1_000.0)})

    def test_without_the_nonce_nobody_changes_a_mapping(self) -> None:
        self.mapped(MAP)
        other = evolve(MAP, nonce=b"other bytes.")
        self.assertIs(self.refused(other), ResultCode.NOT_AUTHORIZED)
        self.assertIs(self.refused(other, lifetime=0), ResultCode.NOT_AUTHORIZED)
        self.ask(evolve(other, internal_port=0), lifetime=0)
        self.assertIn(("udp", 5_000), self.forwarder.mapped)

    def test_a_lease_of_another_protocol_is_taken_over(self) -> None:
        self.leases.lend("udp", INTERNAL, 6_000, 200.0, 100.0)
        self.assertEqual(self.mapped(MAP), 6_000)
        self.assertEqual(self.leases.current(100.0)[0].nonce, MAP.nonce)

    def test_a_lifetime_of_zero_unmaps(self) -> None:
        self.mapped(MAP)
        for _ in range(2):  # what is not there is unmapped as well
            response = self.ask(MAP, lifetime=0)
            self.assertEqual(response, Response(0, 0, 0, Mapping.opcode, MAP))
        self.assertEqual(self.forwarder.mapped, {})

    def test_all_of_a_client_is_unmapped_by_port_zero(self) -> None:
        for protocol in (TransportProtocol.UDP, TransportProtocol.TCP):
            self.mapped(evolve(MAP, protocol=protocol))
            self.mapped(evolve(MAP, protocol=protocol, internal_port=7_000))
        self.ask(evolve(MAP, external=HostPort(PUBLIC, 8_000)), source=NEIGHBOUR)
        self.ask(evolve(MAP, internal_port=0), lifetime=0)
        self.assertEqual(
            set(self.forwarder.mapped), {("tcp", 5_000), ("tcp", 7_000), ("udp", 8_000)}
        )
        self.ask(evolve(MAP, internal_port=0, protocol=TransportProtocol.ALL), lifetime=0)
        self.assertEqual(set(self.forwarder.mapped), {("udp", 8_000)})

    def test_prefer_failure_gives_the_suggestion_or_nothing(self) -> None:
        wanted = evolve(MAP, external=HostPort(PUBLIC, 6_000))
        self.assertEqual(
            self.ask(wanted, PreferFailure()),
            Response(0, 600, 0, Mapping.opcode, wanted, (PreferFailure(),)),
        )
        self.assertEqual(self.mapped(wanted, PreferFailure()), 6_000)
        self.assertIs(
            self.refused(wanted, PreferFailure(), source=NEIGHBOUR),
            ResultCode.CANNOT_PROVIDE_EXTERNAL,
        )
        elsewhere = evolve(MAP, internal_port=7_000, external=HostPort("11.0.9.9", 7_000))
        self.assertIs(self.refused(elsewhere, PreferFailure()), ResultCode.CANNOT_PROVIDE_EXTERNAL)
        for options in ((PreferFailure(),), (PreferFailure(), PreferFailure())):
            body = evolve(MAP, internal_port=9_000)
            self.assertIs(self.refused(body, *options), ResultCode.MALFORMED_OPTION)
        self.assertIs(self.refused(PEER, PreferFailure()), ResultCode.MALFORMED_OPTION)

    def test_other_mandatory_options_are_refused(self) -> None:
        for option in (ThirdParty("192.168.1.9"), Filter(128, REMOTE), UnknownOption(99, b"")):
            self.assertIs(self.refused(MAP, option), ResultCode.UNSUPP_OPTION)
        self.assertEqual(self.mapped(MAP, UnknownOption(200, b"?")), 5_000)

    def test_a_client_behind_another_nat_hears_of_it(self) -> None:
        request = Request("10.0.0.2", 600, MAP).encode()
        answer = self.service.answer(request, CLIENT, 100.0)
        assert answer is not None
        self.assertEqual(decode_response(answer).result, ResultCode.ADDRESS_MISMATCH)

    def test_one_port_of_udp_or_tcp_is_all_that_is_mapped(self) -> None:
        for body, result in (
            (evolve(MAP, protocol=132), ResultCode.UNSUPP_PROTOCOL),
            (evolve(MAP, internal_port=0), ResultCode.UNSUPP_PROTOCOL),
            (evolve(MAP, internal_port=0, protocol=0), ResultCode.UNSUPP_PROTOCOL),
            (evolve(MAP, protocol=0), ResultCode.MALFORMED_REQUEST),
        ):
            self.assertIs(self.refused(body), result)

    def test_it_says_when_no_port_is_left(self) -> None:
        self.forwarder.is_full = True
        self.assertIs(self.refused(MAP), ResultCode.NO_RESOURCES)
        self.assertIs(self.refused(PEER), ResultCode.NO_RESOURCES)

    def test_peer_keeps_a_mapping_open_for_its_lifetime(self) -> None:
        self.assertIsNone(self.service.keep_open(100.0))
        response = self.ask(PEER, lifetime=1)
        expected = evolve(PEER, external=HostPort(PUBLIC, 5_000))
        self.assertEqual(response, Response(0, 120, 0, Peer.opcode, expected))
        self.assertEqual(self.service.keep_open(110.0), 120.0)
        self.assertEqual(self.forwarder.kept_open, [("udp", INTERNAL, REMOTE)] * 2)
        self.assertIsNone(self.service.keep_open(220.0))
        self.ask(PEER)
        self.service.forget()
        self.assertIsNone(self.service.keep_open(110.0))

    def test_peer_wants_a_remote_endpoint_of_its_family(self) -> None:
        for remote, result in (
            (ANY, ResultCode.MALFORMED_REQUEST),
            (HostPort("0.0.0.0", 1), ResultCode.MALFORMED_REQUEST),
            (HostPort("2a00::1", 1), ResultCode.CANNOT_PROVIDE_EXTERNAL),
        ):
            self.assertIs(self.refused(evolve(PEER, remote=remote)), result)

    def test_what_cannot_be_read_is_refused_or_dropped(self) -> None:
        answer = self.service.answer(b"\0\0", CLIENT, 103.0)
        assert answer is not None
        self.assertEqual(
            decode_response(answer), Response(ResultCode.UNSUPP_VERSION, 30, 3, 0, Announce())
        )
        self.assertIsNone(self.service.answer(b"\2", CLIENT, 103.0))
        self.assertEqual(self.service.dropped, {"malformed": 1})

    def test_it_can_refuse_everything(self) -> None:
        self.leases.manners = RouterManners(pcp_error=ResultCode.NOT_AUTHORIZED)
        for body in (MAP, PEER, Announce()):
            self.assertIs(self.refused(body), ResultCode.NOT_AUTHORIZED)

    def test_it_can_lie_about_the_address(self) -> None:
        self.leases.manners = RouterManners(claimed_address="10.9.8.7")
        for body in (MAP, PEER):
            answered = self.ask(body).body
            assert isinstance(answered, Mapping | Peer)
            self.assertEqual(answered.external, ("10.9.8.7", 5_000))

    @given(
        st.one_of(
            st.binary(max_size=80),
            REQUESTS.map(Request.encode),
            REQUESTS.map(lambda request: evolve(request, client=CLIENT.host).encode()),
        )
    )
    def test_no_datagram_makes_it_fail(self, data: bytes) -> None:
        service = PCPService(PortLeases(MemoryForwarder(), 0.0))
        answer = service.answer(data, CLIENT, 0.0)
        self.assertEqual(answer is None, service.dropped.total() == 1)
        self.assertLessEqual(len(answer or b""), 1_100)
