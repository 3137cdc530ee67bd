"""A program on UDP, and its test on a simulated internet."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.testing import PORT_RESTRICTED, Link, SimulatedInternetMixin


class Mirror(DatagramProtocol):
    """Tells everybody how it sees them."""

    def datagramReceived(self, datagram, addr):
        host, port = addr
        self.transport.write(f"{host} {port}".encode(), addr)


class Asker(DatagramProtocol):
    """Asks a mirror twice a second until it is answered."""

    def __init__(self, reactor, mirror):
        self.answered = Deferred()
        self._reactor = reactor
        self._mirror = mirror

    def startProtocol(self):
        self.transport.write(b"?", self._mirror)
        self._again = self._reactor.callLater(0.5, self.startProtocol)

    def datagramReceived(self, datagram, addr):
        if not self.answered.called:
            self._again.cancel()
            self.answered.callback(datagram)


class AskerTests(SimulatedInternetMixin, SynchronousTestCase):
    def test_the_answer_comes_through_a_nat_and_in_spite_of_loss(self):
        internet = self.simulate(seed=1)
        far = internet.add_host("far", "11.0.0.1", link=Link(delay=0.1, loss=0.5))
        listening = far.reactor.listenUDP(7000, Mirror())
        far.stop_at_end.append(listening.stopListening)
        home = internet.add_network("home", "11.0.1.1", PORT_RESTRICTED)
        laptop = internet.add_host("laptop", "192.168.1.2", network=home)
        asker = Asker(laptop.reactor, ("11.0.0.1", 7000))
        asking = laptop.reactor.listenUDP(5000, asker)
        laptop.stop_at_end.append(asking.stopListening)

        answer = internet.run_until(asker.answered)

        self.assertEqual(answer, b"11.0.1.1 5000")
        fates = {packet.fate for packet in internet.log}
        self.assertEqual(fates, {"lost", "delivered"}, internet.log.dump())
