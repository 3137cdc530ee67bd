"""Two peers that dial each other at once get one connection, and streams of both go over it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import ROUGH_LINK, World
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import INTERNET_LINK, PORT_RESTRICTED, Link


class CrossingDialTests(SynchronousTestCase):
    def cross(
        self,
        stagger: float,
        *,
        seed: int = 1,
        link: Link = INTERNET_LINK,
        patience: float = 3.0,
        lower_first: bool = True,
    ) -> None:
        with World(seed=seed, link=link) as world:
            pair = [world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)]
            world.start()
            services = {node: world.listen(node, greeting=b"welcome") for node in pair}
            world.run(1.0)
            first, second = sorted(
                pair, key=lambda node: str(node.peer_id), reverse=not lower_first
            )
            recorders = {node: world.recorders(b"hello") for node in pair}
            dials: list[Deferred[Any]] = [first.connect(second.peer_id, "echo", recorders[first])]
            world.run(stagger)
            dials.append(second.connect(first.peer_id, "echo", recorders[second]))
            connected = [world.until(dial) for dial in dials]
            world.run(patience)

            for protocol in connected:
                self.assertEqual(protocol.received, b"welcomehello")
            self.check_one_connection(world, first, second)
            for node in pair:
                self.assertEqual((services[node].made, recorders[node].made), (1, 1))
                self.assertEqual([one.lost for one in services[node].built], [None])
            # Whatever the loser of the race had begun is over, and the winner's goes on.
            world.run(40.0)
            self.check_one_connection(world, first, second)
            for protocol in connected:
                protocol.transport.write(b"still there")
            world.run(patience)
            for protocol in connected:
                self.assertEqual(protocol.received, b"welcomehellostill there")
            status = world.trackers[0].status()
            self.assertEqual(status["introductions_succeeded_total"], 1)

    def check_one_connection(self, world: World, first: P2PNode, second: P2PNode) -> None:
        here, there = first.connection_with(second.peer_id), second.connection_with(first.peer_id)
        assert here is not None
        assert there is not None
        links: Any = [here, there]
        self.assertEqual(sorted(link.is_initiator for link in links), [False, True])
        self.assertEqual(here.path.remote.host, world.seen_at[second])
        self.assertEqual(there.path.remote.host, world.seen_at[first])

    def test_at_the_same_instant(self) -> None:
        for seed in range(4):
            self.cross(0.0, seed=seed)

    def test_one_a_little_later(self) -> None:
        """The introductions cross in the tracker, at the peers, and while checks are under way."""
        for stagger in (0.001, 0.02, 0.04, 0.06, 0.079, 0.081, 0.1):
            for lower_first in (True, False):
                self.cross(stagger, lower_first=lower_first)

    def test_one_when_the_other_has_nearly_connected(self) -> None:
        for stagger in (0.12, 0.16, 0.2, 0.24, 0.28, 0.32):
            for lower_first in (True, False):
                self.cross(stagger, lower_first=lower_first)

    def test_with_loss_and_reordering(self) -> None:
        for seed in range(16):
            self.cross(
                0.007 * seed,
                seed=seed,
                link=ROUGH_LINK,
                patience=8.0,
                lower_first=seed % 2 == 0,
            )
