"""A service for peers, and its test behind two simulated NATs."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.testing import SimulatedInternetMixin


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


class GreeterTests(SimulatedInternetMixin, SynchronousTestCase):
    def test_a_guest_is_greeted_by_its_own_name(self):
        pair = self.connected_pair()
        guest = pair.connect(Guest(), Factory.forProtocol(Greeter))
        self.assertEqual(pair.until(guest.told), b"Hello, " + pair.a.peer_id.encode())
