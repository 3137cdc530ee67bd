"""A program that asks its router for a public port, and its test with a simulated router."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.portmap.nat_pmp import PORT, MappingRequest, decode_response
from twisted_p2p.testing import (
    PORT_RESTRICTED,
    FakeInternetGateway,
    RouterManners,
    SimulatedInternet,
)


class PortOpener(DatagramProtocol):
    """Asks a router by NAT-PMP to let UDP in to port 5000."""

    def __init__(self, router):
        self.answered = Deferred()
        self._router = router

    def startProtocol(self):
        request = MappingRequest("udp", internal_port=5000, suggested_port=5000, lifetime=7200)
        self.transport.write(request.encode(), (self._router, PORT))

    def datagramReceived(self, datagram, addr):
        self.answered.callback(decode_response(datagram))


class Greeted(DatagramProtocol):
    """Waits for a word from anyone."""

    def __init__(self):
        self.greeting = Deferred()

    def datagramReceived(self, datagram, addr):
        self.greeting.callback(datagram)


class PortOpenerTests(SynchronousTestCase):
    def setUp(self):
        self.internet = SimulatedInternet(seed=1)
        home = self.internet.add_network("home", "11.0.1.1", PORT_RESTRICTED)
        self.router = FakeInternetGateway(self.internet, home)
        self.laptop = self.internet.add_host("laptop", "192.168.1.2", network=home)

    def ask(self):
        opener = PortOpener(self.laptop.default_gateway)
        self.laptop.reactor.listenUDP(0, opener)
        return self.internet.run_until(opener.answered)

    def test_strangers_get_in(self):
        self.assertEqual(self.ask().public_port, 5000)
        greeted = Greeted()
        self.laptop.reactor.listenUDP(5000, greeted)

        stranger = self.internet.add_host("stranger", "11.0.9.9")
        port = stranger.reactor.listenUDP(0, DatagramProtocol())
        port.write(b"hello", ("11.0.1.1", 5000))

        self.assertEqual(self.internet.run_until(greeted.greeting), b"hello")

    def test_a_router_may_refuse(self):
        self.router.manners = RouterManners(nat_pmp_error=2)
        response = self.ask()
        self.assertEqual((response.result, response.public_port), (2, 0))
