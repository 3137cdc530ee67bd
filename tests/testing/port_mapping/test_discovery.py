"""A router is found, and heard of again when it has restarted, by multicast."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.port_mapping.home import PUBLIC, Home
from twisted_p2p.addresses import HostPort
from twisted_p2p.portmap import nat_pmp, pcp
from twisted_p2p.portmap.ssdp import (
    ALL,
    GROUP,
    Advertisement,
    SearchRequest,
    SearchResponse,
    decode_message,
)

GATEWAY = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"


class Listener(DatagramProtocol):
    """Hears a group, and what comes back to it; notes when."""

    noisy = False

    def __init__(self, home: Home, group: str) -> None:
        self.home = home
        self.group = group
        self.received: list[tuple[float, bytes, HostPort]] = []

    def startProtocol(self) -> None:
        self.transport.joinGroup(self.group)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.received.append((self.home.net.now, datagram, HostPort(*addr)))


class SearchTests(SynchronousTestCase):
    def search(self, home: Home, data: bytes) -> list[tuple[float, bytes, HostPort]]:
        client = Listener(home, GROUP.host)
        port = home.laptop.reactor.listenMulticast(0, client)
        port.write(data, GROUP)
        home.net.run_for(6)
        port.stopListening()
        return client.received

    def test_a_search_finds_the_description(self) -> None:
        home = Home()
        ((_, data, source),) = self.search(home, SearchRequest(GATEWAY, 2).encode())
        response = decode_message(data)
        assert isinstance(response, SearchResponse)
        self.assertEqual(source, (home.router.address, 1900))
        self.assertEqual(response.location, home.router.location)
        self.assertEqual(response.target, GATEWAY)
        self.assertTrue(response.usn.startswith("uuid:"))
        self.assertTrue(response.usn.endswith(GATEWAY))

    def test_answers_are_spread_over_the_time_that_the_search_gives(self) -> None:
        home = Home()
        answers = self.search(home, SearchRequest(ALL, 4).encode())
        self.assertEqual(len(answers), 6)
        times = [time for time, _, _ in answers]
        self.assertGreater(max(times) - min(times), 1.0)
        self.assertLess(max(times), 4.1)

    def test_nothing_else_is_answered(self) -> None:
        home = Home()
        for data in (
            b"?",
            SearchRequest("urn:schemas-upnp-org:device:MediaServer:1").encode(),
            SearchResponse(GATEWAY, "uuid:1", "http://11.0.9.9/").encode(),
        ):
            self.assertEqual(self.search(home, data), [])
        self.assertEqual(self.search(Home(upnp=False), SearchRequest(ALL).encode()), [])

    @given(st.one_of(st.binary(max_size=100), st.just(SearchRequest(ALL, 1).encode())))
    def test_no_datagram_makes_it_fail(self, data: bytes) -> None:
        home = Home()
        self.search(home, data)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.search(home, SearchRequest(GATEWAY).encode())), 1)


class AnnouncementTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = Home()
        self.home.net.run_for(100)
        self.listener = Listener(self.home, nat_pmp.ANNOUNCEMENTS.host)
        self.home.laptop.reactor.listenMulticast(5350, self.listener, listenMultiple=True)

    def test_a_restart_is_announced_ten_times_ever_more_rarely(self) -> None:
        self.home.router.restart("11.0.1.2", seconds=1)
        self.home.net.run_for(150)
        self.assertEqual(
            {source for _, _, source in self.listener.received}, {(self.home.router.address, 5351)}
        )
        heard = [
            (time, nat_pmp.decode_response(data))
            for time, data, _ in self.listener.received
            if data[:1] == b"\0"
        ]
        times = [round(time - 101, 2) for time, _ in heard]
        self.assertEqual(times, [0.25 * (2**n - 1) for n in range(10)])
        self.assertEqual(heard[0][1], nat_pmp.PublicAddressResponse(0, 0, "11.0.1.2"))
        self.assertEqual(heard[3][1], nat_pmp.PublicAddressResponse(0, 1, "11.0.1.2"))
        others = [
            pcp.decode_response(data) for _, data, _ in self.listener.received if data[:1] == b"\2"
        ]
        self.assertEqual(len(others), 10)
        self.assertEqual(others[0], pcp.Response(0, 0, 0, 0, pcp.Announce()))

    def test_each_announces_what_it_has(self) -> None:
        for options, versions in (
            ({"pcp": False}, {0}),
            ({"nat_pmp": False}, {2}),
            ({"nat_pmp": False, "pcp": False}, set()),
        ):
            home = Home(upnp=False, **options)
            listener = Listener(home, nat_pmp.ANNOUNCEMENTS.host)
            home.laptop.reactor.listenMulticast(5350, listener, listenMultiple=True)
            home.router.restart()
            home.net.run_for(1)
            self.assertEqual({data[0] for _, data, _ in listener.received}, versions)

    def test_upnp_is_advertised_again(self) -> None:
        listener = Listener(self.home, GROUP.host)
        self.home.laptop.reactor.listenMulticast(1900, listener, listenMultiple=True)
        self.home.network.gateway.reboot()
        self.home.net.run_for(1)
        messages = [decode_message(data) for _, data, _ in listener.received]
        self.assertEqual(len(messages), 6)
        for message in messages:
            assert isinstance(message, Advertisement)
            self.assertEqual(message.kind, "ssdp:alive")
            self.assertEqual(message.location, self.home.router.location)

    def test_another_restart_calls_the_announcements_off(self) -> None:
        self.home.router.restart()
        self.home.net.run_for(0.1)
        self.home.router.restart(seconds=10)
        self.home.net.run_for(5)
        # Each announcement is one of NAT-PMP and one of PCP.
        self.assertEqual(len(self.listener.received), 2)
        self.assertEqual(PUBLIC, self.home.network.gateway.public_address)
