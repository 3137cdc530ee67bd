"""A service for peers, and its test behind two simulated NATs."""

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.endpoints import PeerClientEndpoint, PeerServerEndpoint
from twisted_p2p.testing import PORT_RESTRICTED, SimulatedInternet
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker


class Greeter(Protocol):
    """Greets each peer by its verified key."""

    def connectionMade(self):
        self.transport.write(b"Hello, " + self.transport.getPeer().peer_id.encode())
        self.transport.loseConnection()


class Guest(Protocol):
    """Keeps what it is told, up to the end."""

    def __init__(self):
        self.told = Deferred()
        self._received = b""

    def dataReceived(self, data):
        self._received += data

    def connectionLost(self, reason):
        self.told.callback(self._received)


class GreeterTests(SynchronousTestCase):
    def setUp(self):
        self.internet = SimulatedInternet(seed=1)
        tracker = SimulatedTracker(self.internet.add_host("tracker", "11.0.0.1"))
        self.nodes = []
        for name, public in (("alice", "11.0.1.1"), ("bob", "11.0.2.1")):
            home = self.internet.add_network(f"home of {name}", public, PORT_RESTRICTED)
            host = self.internet.add_host(name, "192.168.1.2", network=home)
            node = simulated_node(host, [tracker.address])
            node.startService()
            self.addCleanup(lambda node: self.internet.run_until(node.stopService()), node)
            self.internet.run_until(node.when_ready())
            self.nodes.append(node)

    def test_a_guest_is_greeted_by_its_own_name(self):
        alice, bob = self.nodes
        listening = PeerServerEndpoint(alice, "greeting").listen(Factory.forProtocol(Greeter))
        self.internet.run_until(listening)

        endpoint = PeerClientEndpoint(bob, alice.peer_id, "greeting")
        guest = self.internet.run_until(connectProtocol(endpoint, Guest()))

        self.assertEqual(self.internet.run_until(guest.told), b"Hello, " + bob.peer_id.encode())
