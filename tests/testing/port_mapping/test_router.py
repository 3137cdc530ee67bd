"""What is asked of a router by any of its protocols comes true at the network's NAT."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.port_mapping.home import PUBLIC, Exchange, Home, Recorder
from tests.testing.port_mapping.test_upnp import ADD
from twisted_p2p.addresses import HostPort
from twisted_p2p.portmap import nat_pmp, pcp
from twisted_p2p.portmap.pcp_results import ResultCode
from twisted_p2p.testing import NATBehaviour, Pooling, SimulatedInternet
from twisted_p2p.testing.port_mapping.leases import RouterManners
from twisted_p2p.testing.router import FakeInternetGateway
from twisted_p2p.testing.shutdown import leftovers, shut_down


class MappingTests:
    """Each protocol's test case says how it maps and unmaps."""

    home: Home

    def map(self, protocol: str, public: int, lifetime: int) -> int:
        """Map the laptop's port 5000 and return the public port."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.home = Home()

    def test_a_stranger_is_let_in_until_the_mapping_expires(self) -> None:
        for number, protocol in enumerate(("udp", "tcp")):
            public = 6_000 + number
            self.assertFalse(self.home.lets_in(protocol, public))
            self.assertEqual(self.map(protocol, public, 120), public)
            self.home.net.run_for(100)
            self.assertTrue(self.home.lets_in(protocol, public), protocol)
            self.home.net.run_for(20)
            self.assertFalse(self.home.lets_in(protocol, public), protocol)
            self.assertEqual(self.home.router.leases(), ())

    def test_a_stranger_is_let_in_until_the_mapping_is_deleted(self) -> None:
        for protocol in ("udp", "tcp"):
            self.map(protocol, 6_000, 600)
            self.assertTrue(self.home.lets_in(protocol, 6_000), protocol)
            self.map(protocol, 6_000, 0)
            self.assertFalse(self.home.lets_in(protocol, 6_000), protocol)

    def test_a_mapping_is_for_one_protocol(self) -> None:
        self.map("udp", 6_000, 600)
        self.assertFalse(self.home.lets_in("tcp", 6_000))

    def test_a_renewed_mapping_lasts(self) -> None:
        self.map("udp", 6_000, 120)
        self.home.net.run_for(100)
        self.map("udp", 6_000, 120)
        self.home.net.run_for(100)
        self.assertTrue(self.home.lets_in("udp", 6_000))

    def test_after_a_restart_nothing_is_mapped(self) -> None:
        self.map("udp", 6_000, 600)
        self.home.router.restart("11.0.1.2", seconds=5)
        self.home.net.run_for(10)
        self.assertFalse(self.home.lets_in("udp", 6_000))
        self.assertEqual(self.home.router.leases(), ())
        self.assertEqual(self.map("udp", 6_000, 600), 6_000)
        self.assertTrue(self.home.lets_in("udp", 6_000))


class NATPMPTests(MappingTests, SynchronousTestCase):
    def map(self, protocol: str, public: int, lifetime: int) -> int:
        request = nat_pmp.MappingRequest(protocol, 5_000, public, lifetime)  # type: ignore[arg-type]
        answer = self.home.ask(request.encode())
        assert answer is not None
        response = nat_pmp.decode_response(answer)
        assert isinstance(response, nat_pmp.MappingResponse)
        self.assertEqual((response.result, response.lifetime), (0, lifetime))
        return response.public_port


class PCPTests(MappingTests, SynchronousTestCase):
    def map(self, protocol: str, public: int, lifetime: int) -> int:
        number = pcp.TransportProtocol[protocol.upper()]
        body = pcp.Mapping(b"twelve bytes", number, 5_000, HostPort("0.0.0.0", public))
        answer = self.home.ask(pcp.Request("192.168.1.2", lifetime, body).encode())
        assert answer is not None
        response = pcp.decode_response(answer)
        assert isinstance(response.body, pcp.Mapping)
        self.assertEqual((response.result, response.lifetime), (0, lifetime))
        return response.body.external.port


class UPnPTests(MappingTests, SynchronousTestCase):
    def map(self, protocol: str, public: int, lifetime: int) -> int:
        arguments = {
            **ADD,
            "NewProtocol": protocol.upper(),
            "NewExternalPort": str(public),
            "NewLeaseDuration": str(lifetime),
        }
        if not lifetime:
            self.assertEqual(self.home.call("DeletePortMapping", arguments), {})
            return 0
        results = self.home.call("AddAnyPortMapping", arguments)
        assert isinstance(results, dict)
        return int(results["NewReservedPort"])

    def test_the_descriptions_are_served(self) -> None:
        status, body = self.home.fetch(b"GET /rootDesc.xml HTTP/1.1\r\n\r\n")
        self.assertEqual(status, 200)
        self.assertIn(b"InternetGatewayDevice:2", body)
        self.assertEqual(self.home.router.location, "http://192.168.1.1:5000/rootDesc.xml")

    def test_a_conflict_is_told(self) -> None:
        self.home.ask(nat_pmp.MappingRequest("udp", 1, 6_000, 600).encode(), self.home.add_host(3))
        self.assertEqual(self.home.call("AddPortMapping", ADD), 718)


class FakeInternetGatewayTests(SynchronousTestCase):
    def public_address(self, home: Home) -> nat_pmp.Response | None:
        answer = home.ask(nat_pmp.PublicAddressRequest().encode())
        return None if answer is None else nat_pmp.decode_response(answer)

    def test_hosts_know_it_as_their_default_gateway(self) -> None:
        home = Home(address="192.168.1.254")
        self.assertEqual(home.laptop.default_gateway, "192.168.1.254")
        self.assertEqual(home.router.address, "192.168.1.254")

    def test_it_needs_a_nat(self) -> None:
        net = SimulatedInternet()
        with self.assertRaises(ValueError):
            FakeInternetGateway(net, net.public)

    def test_the_nats_other_traffic_keeps_its_ports(self) -> None:
        home = Home()
        port = home.add_host(3).reactor.listenUDP(6_000, Recorder())
        port.write(b"out", ("11.0.9.9", 9))
        home.net.run_for(1)
        self.assertEqual(home.call("AddPortMapping", ADD), 718)
        answer = home.ask(nat_pmp.MappingRequest("udp", 5_000, 6_000, 600).encode())
        assert answer is not None
        self.assertEqual(
            nat_pmp.decode_response(answer),
            nat_pmp.MappingResponse("udp", 0, 1, 5_000, 6_001, 600),
        )

    def test_pcp_and_nat_pmp_share_a_port_and_leases(self) -> None:
        home = Home()
        announce = pcp.Request("192.168.1.2", 0, pcp.Announce()).encode()
        answer = home.ask(announce)
        assert answer is not None
        self.assertEqual(pcp.decode_response(answer).result, 0)
        self.assertEqual(self.public_address(home), nat_pmp.PublicAddressResponse(0, 0, PUBLIC))

    def test_without_pcp_clients_are_told_to_use_nat_pmp(self) -> None:
        answer = Home(pcp=False).ask(pcp.Request("192.168.1.2", 0, pcp.Announce()).encode())
        assert answer is not None
        self.assertEqual(
            nat_pmp.decode_response(answer),
            nat_pmp.Refusal(0, nat_pmp.ResultCode.UNSUPPORTED_VERSION, 0),
        )

    def test_without_nat_pmp_clients_are_told_to_use_pcp(self) -> None:
        answer = Home(nat_pmp=False).ask(nat_pmp.PublicAddressRequest().encode())
        assert answer is not None
        response = pcp.decode_response(answer)
        self.assertEqual(response.result, ResultCode.UNSUPP_VERSION)

    def test_without_either_nobody_answers(self) -> None:
        self.assertIsNone(self.public_address(Home(nat_pmp=False, pcp=False)))

    def test_peer_keeps_a_nat_open_without_packets(self) -> None:
        for protocol in (pcp.TransportProtocol.UDP, pcp.TransportProtocol.TCP):
            home = Home()
            port = home.stranger.reactor.listenUDP(7_000, Recorder())
            peer = pcp.Peer(
                b"twelve bytes",
                protocol,
                5_000,
                HostPort("0.0.0.0", 0),
                HostPort("11.0.9.9", 7_000),
            )
            answer = home.ask(pcp.Request("192.168.1.2", 3_600, peer).encode())
            assert answer is not None
            told = HostPort(PUBLIC, 5_000)
            self.assertEqual(pcp.decode_response(answer).body, evolve(peer, external=told))
            home.net.run_for(1_800)
            table = home.network.gateway.tables[protocol.name.lower()]
            now = home.net.now
            self.assertIsNotNone(table.inbound(peer.remote, 5_000, now))
            home.net.run_for(1_800 + 7_500)
            self.assertIsNone(table.inbound(peer.remote, 5_000, home.net.now))
            port.stopListening()

    def test_peer_tells_the_public_address_that_its_packets_leave_from(self) -> None:
        home = Home(NATBehaviour(pooling=Pooling.ARBITRARY), ("11.0.1.3", "11.0.1.4"))
        seen = set()
        for port in range(5_000, 5_020):
            remote = HostPort("11.0.9.9", 7_000)
            peer = pcp.Peer(b"twelve bytes", 17, port, HostPort("0.0.0.0", 0), remote)
            answer = home.ask(pcp.Request("192.168.1.2", 3_600, peer).encode())
            assert answer is not None
            body = pcp.decode_response(answer).body
            assert isinstance(body, pcp.Peer)
            table = home.network.gateway.tables["udp"]
            internal = HostPort("192.168.1.2", port)
            self.assertEqual(table.outbound(internal, remote, home.net.now), body.external)
            seen.add(body.external.host)
        self.assertGreater(len(seen), 1)

    def test_many_peers_are_kept_open_at_once(self) -> None:
        home = Home()
        for port in (1, 2):
            remote = HostPort("11.0.9.9", port)
            peer = pcp.Peer(b"twelve bytes", 17, 5_000, HostPort("0.0.0.0", 0), remote)
            home.ask(pcp.Request("192.168.1.2", 3_600, peer).encode())
        self.assertEqual(len(home.router.host.reactor.getDelayedCalls()), 1)
        home.net.run_for(1_800)
        table = home.network.gateway.tables["udp"]
        for port in (1, 2):
            remote = HostPort("11.0.9.9", port)
            self.assertIsNotNone(table.inbound(remote, 5_000, home.net.now))

    @given(st.one_of(st.binary(max_size=100), st.sampled_from([b"\0\1", b"\2\1", b"\2\2"])))
    def test_no_datagram_makes_it_fail(self, data: bytes) -> None:
        home = Home()
        home.ask(data)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertIsNotNone(self.public_address(home))

    @given(st.binary(max_size=200))
    def test_no_request_of_the_web_makes_it_fail(self, data: bytes) -> None:
        home = Home()
        endpoint = TCP4ClientEndpoint(home.laptop.reactor, home.router.address, 5_000)
        exchange = home.net.run_until(connectProtocol(endpoint, Exchange(data + b"\r\n\r\n")))
        home.net.run_until(exchange.ended, limit=120)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(home.fetch(b"GET /rootDesc.xml HTTP/1.1\r\n\r\n")[0], 200)

    def test_while_it_restarts_nobody_answers_and_then_its_epoch_is_new(self) -> None:
        home = Home()
        home.net.run_for(100)
        self.assertEqual(home.router.epoch, 100)
        home.router.restart(seconds=10)
        home.net.run_for(5)
        self.assertIsNone(self.public_address(home))
        home.net.run_for(10)
        self.assertEqual(self.public_address(home), nat_pmp.PublicAddressResponse(0, 5, PUBLIC))

    def test_a_reboot_of_the_nat_is_a_restart(self) -> None:
        home = Home()
        home.ask(nat_pmp.MappingRequest("udp", 5_000, 6_000, 600).encode())
        home.network.gateway.reboot("11.0.1.9")
        home.net.run_for(3)
        self.assertEqual(home.router.leases(), ())
        self.assertEqual(self.public_address(home), nat_pmp.PublicAddressResponse(0, 3, "11.0.1.9"))

    def test_its_manners_can_change(self) -> None:
        home = Home(manners=RouterManners(claimed_address="10.1.2.3"))
        self.assertEqual(self.public_address(home), nat_pmp.PublicAddressResponse(0, 0, "10.1.2.3"))
        home.router.manners = evolve(home.router.manners, nat_pmp_error=3)
        self.assertEqual(self.public_address(home), nat_pmp.PublicAddressResponse(3, 0, "0.0.0.0"))

    def test_stopped_it_leaves_nothing_behind(self) -> None:
        home = Home()
        home.ask(nat_pmp.MappingRequest("udp", 5_000, 6_000, 3_600).encode())
        endpoint = TCP4ClientEndpoint(home.laptop.reactor, home.router.address, 5_000)
        exchange = home.net.run_until(connectProtocol(endpoint, Exchange(b"GET /")))
        home.net.run_for(0.1)
        self.assertFalse(exchange.ended.called)
        home.router.restart()
        home.net.run_for(0.1)
        self.assertTrue(exchange.ended.called)
        home.router.stop()
        home.router.stop()
        home.net.run_for(0)
        self.assertEqual(leftovers(home.net), [])
        home.network.gateway.reboot()
        home.net.run_for(1)
        self.assertIsNone(self.public_address(home))

    def test_it_is_stopped_with_the_internet(self) -> None:
        home = Home()
        home.router.restart()
        home.net.run_for(0.1)
        shut_down(home.net)
        self.assertEqual(home.router.host.reactor.getDelayedCalls(), [])
