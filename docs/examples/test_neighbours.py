"""A program that shows who else is on the local network, and its test."""

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p import IdentityKey, LANDiscovery
from twisted_p2p.testing import SimulatedInternetMixin


class Neighbours(LANDiscovery):
    """Takes note of who comes and goes."""

    def __init__(self, reactor, **options):
        super().__init__(reactor, **options)
        self.log = []

    def peer_found(self, peer):
        self.log.append(("came", peer.peer_id, peer.services))

    def peer_updated(self, peer):
        self.log.append(("changed", peer.peer_id, peer.services))

    def peer_lost(self, peer):
        self.log.append(("left", peer.peer_id))


class NeighboursTests(SimulatedInternetMixin, SynchronousTestCase):
    def setUp(self):
        self.internet = self.simulate()
        self.lan = self.internet.add_network("lan", "11.0.0.1")

    def plug_in(self, number):
        host = self.internet.add_host(f"host {number}", f"192.168.1.{number}", network=self.lan)
        neighbours = Neighbours(
            host.reactor,
            interfaces=host.network_interfaces,
            random_bytes=host.random.randbytes,
        )
        host.stop_at_end.append(neighbours.stop)
        neighbours.start()
        return neighbours

    def test_who_comes_and_goes(self):
        here, there = self.plug_in(2), self.plug_in(3)
        peer_id = IdentityKey.generate().peer_id
        here.browse()
        there.announce(peer_id, 4711, ["chat"], accepting=True)
        self.internet.run_until(there.when_announced())
        self.internet.run_for(1.0)
        there.announce(peer_id, 4711, ["chat", "file"], accepting=True)
        self.internet.run_for(1.0)
        self.internet.run_until(there.stop())
        self.internet.run_for(2.0)
        self.assertEqual(
            here.log,
            [
                ("came", peer_id, ("chat",)),
                ("changed", peer_id, ("chat", "file")),
                ("left", peer_id),
            ],
        )

    def test_one_that_hides_is_found_by_who_knows_it(self):
        here, there = self.plug_in(2), self.plug_in(3)
        peer_id = IdentityKey.generate().peer_id
        here.browse()
        there.announce(peer_id, 4711, ["chat"], accepting=True, unlinkable_name=True)
        self.internet.run_for(5.0)
        self.assertEqual(here.log, [])
        peer = self.internet.run_until(here.look_for(peer_id))
        self.assertEqual([str(address) for address in peer.addresses], ["192.168.1.3:4711"])
