"""Promise 1, at length: a million datagrams from a seeded mutator, and none is amplified.

    python benchmarks/tracker_mutations.py [--count 1000000] [--seed 1]

The suite runs the first 20,000 of them.  Exit status 0 only if no datagram had an answer longer
than itself, or more than one; a bare answer to a Binding request is the exception.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.tracker.mutator import Mutator, is_amplified
from tests.tracker.world import World


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    world = World()
    amplified = answered = 0
    start = time.monotonic()
    for data, path in Mutator(options.seed).datagrams(options.count):
        # The clock goes on, so that the limits by source do not hide what lies behind them.
        world.now += 1 / 10_000
        world.tracker.receive_datagram(data, path, world.now)
        sent = world.tracker.datagrams_to_send(world.now)
        answered += len(sent)
        amplified += is_amplified(data, path, sent)
    took = time.monotonic() - start
    print(f"seed {options.seed}: {options.count} datagrams in {took:.0f} s, {answered} answered")
    print(f"dropped {dict(world.tracker.dropped)}, refused {dict(world.tracker.refused)}")
    print(f"{amplified} amplified: promise 1 {'is BROKEN' if amplified else 'holds'}")
    return 1 if amplified else 0


if __name__ == "__main__":
    raise SystemExit(main())
