"""Promise 33: a simulated run repeats from its seed, packet for packet."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import ROUGH_LINK, World
from twisted_p2p.testing import FULL_CONE, PORT_RESTRICTED, RANDOM_SYMMETRIC, LoggedPacket


def run(seed: int) -> list[LoggedPacket]:
    """Return every packet of a minute among three peers, two trackers and bad links."""
    with World(seed=seed, link=ROUGH_LINK, trackers=2) as world:
        one, two = world.add_node(PORT_RESTRICTED), world.add_node(FULL_CONE)
        three = world.add_node(RANDOM_SYMMETRIC)
        world.start()
        world.listen(one)
        world.listen(two)
        dials = [
            one.connect(two.peer_id, "echo", world.recorders(bytes(30_000))),
            two.connect(one.peer_id, "echo", world.recorders(b"hello")),
            three.connect(two.peer_id, "echo", world.recorders(b"hello")),
            three.connect(one.peer_id, "echo", world.recorders(b"hello")),
        ]
        dials[3].addErrback(lambda _: None)  # these two have no path
        for dial in dials:
            world.until(dial)
        world.vanish(two)
        world.run(40.0)
        world.return_from_nowhere(two)
    return list(world.net.log)


class DeterminismTests(SynchronousTestCase):
    def test_equal_seeds_give_equal_packets(self) -> None:
        for seed in (3, 4):
            once, again = run(seed), run(seed)
            self.assertGreater(len(once), 300)
            for number, (one, other) in enumerate(zip(once, again, strict=False)):
                self.assertEqual(one, other, f"seed {seed}, packet {number}")
            self.assertEqual(len(once), len(again))

    def test_other_seeds_give_other_packets(self) -> None:
        self.assertNotEqual(run(3), run(4))
