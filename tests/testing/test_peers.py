from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.testing import SimulatedInternet
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker


class SimulatedNodeTests(SynchronousTestCase):
    def test_it_runs_on_its_host_and_registers_with_its_trackers(self) -> None:
        net = SimulatedInternet()
        tracker = SimulatedTracker(net.add_host("tracker", "11.9.0.2"))
        host = net.add_host("node", "11.1.0.2")
        node = simulated_node(host, [tracker.address], port=4000)
        self.assertEqual(host.reactor.getDelayedCalls(), [])
        node.startService()
        net.run_until(node.when_ready())
        self.assertEqual((node.udp_port, tracker.status()["nodes"]), (4000, 1))
        net.run_until(node.stopService())
        self.assertEqual(tracker.status()["nodes"], 0)
        self.assertEqual(host.reactor.getDelayedCalls(), [])

    def test_its_identity_comes_from_the_seed_unless_it_is_given(self) -> None:
        def peer_id(seed: int, identity: IdentityKey | None = None) -> str:
            host = SimulatedInternet(seed).add_host("node", "11.1.0.2")
            return simulated_node(host, [], identity=identity).peer_id

        self.assertEqual(peer_id(1), peer_id(1))
        self.assertNotEqual(peer_id(1), peer_id(2))
        identity = IdentityKey.generate()
        self.assertEqual(peer_id(1, identity), identity.peer_id)
