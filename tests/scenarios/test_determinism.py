"""Promise 33: a simulated run repeats from its seed, packet for packet."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from itertools import zip_longest

from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import ROUGH_LINK, World
from twisted_p2p.testing import FULL_CONE, PORT_RESTRICTED, RANDOM_SYMMETRIC, PacketLog

PROGRAM = """
from tests.scenarios.test_determinism import run
log = run({seed})
print(log.digest())
for entry in log:
    print(entry.comparable)
"""


def run(seed: int) -> PacketLog:
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
    return world.net.log


@cache
def first_run(seed: int) -> PacketLog:
    """Return the same, the same one each time."""
    return run(seed)


def start_elsewhere(seed: int, hash_seed: int) -> subprocess.Popen[str]:
    """Start another process that prints the digest of a run, and what of each packet is in it."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(seed=seed)],
        env={
            **os.environ,
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        stdout=subprocess.PIPE,
        text=True,
    )


class DeterminismTests(SynchronousTestCase):
    def test_equal_seeds_give_equal_packets(self) -> None:
        for seed in (3, 4):
            once, again = first_run(seed), run(seed)
            self.assertGreater(len(once), 300)
            self.assertIsNone(once.difference(again), f"seed {seed}")
            self.assertEqual(list(once), list(again))

    def test_other_seeds_give_other_packets(self) -> None:
        self.assertNotEqual(first_run(3).digest(), first_run(4).digest())

    def test_so_do_other_processes_whatever_their_hash_seed(self) -> None:
        processes = [start_elsewhere(seed=3, hash_seed=hash_seed) for hash_seed in (1, 2)]
        outputs = [process.communicate()[0].splitlines() for process in processes]
        self.assertEqual([process.returncode for process in processes], [0, 0])
        log = first_run(3)
        here = [str(entry.comparable) for entry in log]
        for digest, *packets in outputs:
            for number, (ours, theirs) in enumerate(zip_longest(here, packets)):
                self.assertEqual(ours, theirs, f"seed 3, packet {number}")
            self.assertEqual(digest, log.digest())
