"""Nodes on a simulated internet that find each other by what they are listed under."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import ROUGH_LINK, World
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import PORT_RESTRICTED


class WhoIsHereTests(SynchronousTestCase):
    def ids(self, world: World, asking: P2PNode, topic: str = "") -> set[str]:
        return {peer.peer_id for peer in world.until(asking.peers(topic))}

    def test_peers_find_each_other_by_a_topic_and_connect(self) -> None:
        with World(trackers=2) as world:
            alice, bob, carol = (
                world.add_node(PORT_RESTRICTED, topics=topics)
                for topics in (["chess"], ["chess", "go"], ["go"])
            )
            world.start()
            for node in (bob, carol):
                world.listen(node)
            [peer] = world.until(alice.peers("chess"))
            self.assertEqual((peer.peer_id, peer.services), (bob.peer_id, ("echo",)))
            self.assertTrue(peer.accepting)
            self.assertEqual(self.ids(world, alice, "go"), {bob.peer_id, carol.peer_id})
            self.assertEqual(self.ids(world, alice, "draughts"), set())
            stream = world.dial(alice, bob, greeting=b"e4")
            world.run(1)
            self.assertEqual(stream.received, b"e4")

    def test_a_peer_is_listed_to_whom_it_allows_and_while_it_listens(self) -> None:
        with World() as world:
            alice, bob, carol = (world.add_node(PORT_RESTRICTED, topics=["x"]) for _ in range(3))
            world.start()
            for node in (alice, carol):
                self.assertEqual(self.ids(world, node), set())
            listener = world.until(bob.listen("echo", world.recorders(), [alice.peer_id]))
            self.assertEqual(self.ids(world, alice, "x"), {bob.peer_id})
            self.assertEqual(self.ids(world, carol, "x"), set())
            world.listen(bob, "open")
            self.assertEqual(self.ids(world, carol, "x"), {bob.peer_id})
            world.until(listener.stopListening())
            world.stop(bob)
            for node in (alice, carol):
                self.assertEqual(self.ids(world, node, "x"), set())

    def test_it_works_on_a_bad_network_and_before_the_node_is_started(self) -> None:
        with World(link=ROUGH_LINK) as world:
            alice, bob = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start(bob)
            world.listen(bob)
            asked = alice.peers()
            world.start(alice)
            self.assertEqual([peer.peer_id for peer in world.until(asked)], [bob.peer_id])

    def test_what_is_no_topic_is_refused(self) -> None:
        with World() as world:
            node = world.add_node()
            world.start()
            self.assertIsInstance(world.error_of(node.peers("t" * 33)), ValueError)
            self.assertRaises(ValueError, world.add_node, topics=["t" * 33])
