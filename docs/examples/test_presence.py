"""A program that uses a tracker alone, to see who is there, and its test."""

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p import IdentityKey, TrackerClientDatagramProtocol
from twisted_p2p.errors import PeerOffline
from twisted_p2p.testing import SimulatedInternetMixin, SimulatedTracker


class Doorkeeper(TrackerClientDatagramProtocol):
    """Takes note of who comes and goes, and of what others want to say."""

    def startProtocol(self):
        self.log = []
        super().startProtocol()

    def registered(self, address):
        self.log.append(("seen at", address.host))

    def peer_online(self, peer_id):
        self.log.append(("came", peer_id))

    def peer_offline(self, peer_id):
        self.log.append(("left", peer_id))

    def introduced(self, introduction):
        self.log.append(("said", introduction.peer_id, introduction.box))
        if not introduction.is_answer:
            self.answer(introduction.peer_id, b"welcome")


class DoorkeeperTests(SimulatedInternetMixin, SynchronousTestCase):
    def setUp(self):
        self.internet = self.simulate()
        self.tracker = SimulatedTracker(self.internet.add_host("tracker", "11.0.0.1"))

    def listen(self, number, **options):
        home = self.internet.add_network(f"home {number}", f"11.0.{number}.1")
        host = self.internet.add_host(f"client {number}", f"192.168.{number}.2", network=home)
        identity = IdentityKey.generate()
        client = Doorkeeper(host.reactor, identity, self.tracker.address, **options)
        client.peer_id = identity.peer_id
        host.stop_at_end.append(host.reactor.listenUDP(0, client).stopListening)
        self.internet.run_until(client.when_registered())
        return client

    def test_who_is_watched_comes_and_goes(self):
        keeper, guest = self.listen(1), self.listen(2)
        keeper.watch(guest.peer_id)
        self.internet.run_for(1.0)
        self.internet.run_until(guest.stop())
        self.internet.run_for(16.0)
        self.assertEqual(
            keeper.log,
            [("seen at", "11.0.1.1"), ("came", guest.peer_id), ("left", guest.peer_id)],
        )

    def test_what_a_peer_offers_can_be_looked_up(self):
        keeper, guest = self.listen(1), self.listen(2, services=["chat"])
        presence = self.internet.run_until(keeper.look_up(guest.peer_id))
        self.assertEqual((presence.accepting, presence.services), (True, ("chat",)))
        with self.assertRaises(PeerOffline):
            nobody = IdentityKey.generate().peer_id
            self.internet.run_until(keeper.look_up(nobody))

    def test_who_is_here_is_told_by_topic(self):
        guests = {self.listen(number, topics=["chess"]).peer_id for number in (1, 2)}
        keeper = self.listen(3)
        listing = self.internet.run_until(keeper.list_peers("chess"))
        self.assertEqual({peer.peer_id for peer in listing.peers}, guests)
        self.assertEqual(listing.in_all, 2)

    def test_boxes_are_handed_over_and_answered(self):
        keeper, guest = self.listen(1), self.listen(2)
        introduced = self.internet.run_until(guest.introduce(keeper.peer_id, b"let me in"))
        self.internet.run_for(1.0)
        self.assertEqual([address.host for address in introduced.addresses], ["11.0.1.1"])
        self.assertEqual(keeper.log[-1], ("said", guest.peer_id, b"let me in"))
        self.assertEqual(guest.log[-1], ("said", keeper.peer_id, b"welcome"))
