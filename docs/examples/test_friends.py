"""A service that asks a database who may connect, and its test."""

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p import PeerFactory, PeerProtocol
from twisted_p2p.errors import PeerRefused
from twisted_p2p.testing import FULL_CONE, SEQUENTIAL_SYMMETRIC, SimulatedInternetMixin


class Visit(PeerProtocol):
    """Welcomes a peer, and takes note of the way that it has come."""

    def peer_connected(self, address):
        self.factory.seen.append((address.peer_id, address.path.kind))
        self.transport.write(b"welcome")

    def path_changed(self, path):
        self.factory.seen.append(path and path.remote)


class FriendsOnly(PeerFactory):
    """Lets friends connect; to find out takes a moment."""

    protocol = Visit

    def __init__(self, reactor, friends):
        self.seen = []
        self._reactor = reactor
        self._friends = friends

    async def _is_friend(self, peer_id):
        await deferLater(self._reactor, 0.1)  # or a question to a database
        return peer_id in self._friends

    def may_connect(self, peer_id, service):
        return Deferred.fromCoroutine(self._is_friend(peer_id))


class FriendsTests(SimulatedInternetMixin, SynchronousTestCase):
    def setUp(self):
        self.pair = self.connected_pair(SEQUENTIAL_SYMMETRIC, FULL_CONE)
        self.service = FriendsOnly(self.pair.host_b.reactor, friends={self.pair.a.peer_id})

    def test_a_friend_is_welcome(self):
        self.pair.connect(PeerProtocol(), self.service)
        self.assertEqual(self.service.seen, [(self.pair.a.peer_id, "punched")])

    def test_a_stranger_is_refused_and_no_protocol_is_built(self):
        stranger = FriendsOnly(self.pair.host_b.reactor, friends=set())
        with self.assertRaises(PeerRefused):
            self.pair.connect(PeerProtocol(), stranger)
        self.assertEqual(stranger.seen, [])

    def test_a_path_that_moves_is_told(self):
        self.pair.connect(PeerProtocol(), self.service)
        self.pair.host_a.network.gateway.rebind()  # its NAT forgets all, and maps to another port
        self.pair.run_for(30.0)
        (_, first), moved_to = self.service.seen
        self.assertEqual((first, moved_to.host), ("punched", "11.0.1.1"))
