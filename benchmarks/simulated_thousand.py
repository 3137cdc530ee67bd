"""A thousand simulated peers register, and half of them reach the other half through NATs.

    python benchmarks/simulated_thousand.py [--pairs 500] [--seed 1] [--limit 60]

Each peer is behind a NAT of its own, of the kinds that can be punched; each pair echoes a
greeting.  Exit status 0 only if all of them did, within ``--limit`` seconds of one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from twisted.internet.defer import gatherResults

from tests.scenarios.world import Recorder, World
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import FULL_CONE, PORT_RESTRICTED, RANDOM_SYMMETRIC

GREETING = b"Is anybody there?"
NATS = (
    (PORT_RESTRICTED, PORT_RESTRICTED),
    (PORT_RESTRICTED, FULL_CONE),
    (FULL_CONE, RANDOM_SYMMETRIC),
    (RANDOM_SYMMETRIC, FULL_CONE),
)


class Stages:
    """Says what each stage has taken of the core."""

    def __init__(self) -> None:
        self.began = self.last = time.process_time()

    def end(self, what: str) -> None:
        now = time.process_time()
        print(f"{what:34}{now - self.last:7.2f} s of one core")
        self.last = now


def add_pairs(world: World, count: int) -> list[tuple[P2PNode, P2PNode]]:
    nats = cycle(NATS)
    return [
        (world.add_node(left), world.add_node(right)) for left, right in map(next, [nats] * count)
    ]


def register(world: World) -> None:
    for node in world.nodes:
        node.startService()
    world.until(gatherResults([node.when_ready() for node in world.nodes]))


def connect(world: World, pairs: list[tuple[P2PNode, P2PNode]]) -> list[Recorder]:
    for _, right in pairs:
        world.until(right.listen("echo", world.recorders(echoes=True)))
    dials = [
        left.connect(right.peer_id, "echo", world.recorders(GREETING)) for left, right in pairs
    ]
    recorders = world.until(gatherResults(dials))
    world.run(2.0)
    return recorders


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=60.0)
    options = parser.parse_args()
    stages = Stages()
    with World(seed=options.seed) as world:
        pairs = add_pairs(world, options.pairs)
        stages.end(f"{len(world.nodes)} peers made")
        register(world)
        stages.end(f"{world.trackers[0].status()['nodes']} peers registered")
        recorders = connect(world, pairs)
        echoed = sum(recorder.received == GREETING for recorder in recorders)
        stages.end(f"{echoed} pairs connected and echoed")
    stages.end("all stopped")
    took = stages.last - stages.began
    held = echoed == options.pairs and took < options.limit
    print(
        f"seed {options.seed}, {took:.1f} s in all: {'' if held else 'NOT '}under {options.limit:g}"
    )
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
