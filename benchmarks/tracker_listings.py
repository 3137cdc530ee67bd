"""Promise 21, at length: a million attempts to register, and then what a listing costs.

    python benchmarks/tracker_listings.py [--attempts 1000000] [--listings 20000]

The attempts come from 5,000 networks with a name of their own each, and with topics of which half
are everybody's and half are named by few; their signatures count as checked.  By the default limits
100,000 are let in.  Then a peer asks who is here, with the topic that most have, and is answered
from the registry to the encoded message; the same answer drawn by looking through all peers is its
rival.  Exit status 0 only if the memory grew by less than 256 MB and 99 of 100 answers took less
than 50 ms.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.tracker.test_promises_listings import Crowded
from twisted_p2p.addresses import HostPort
from twisted_p2p.tracker.messages import ListPeers

ASKED = ListPeers(b"asking".rjust(32), bytes(16), "chat")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--listings", type=int, default=20_000)
    options = parser.parse_args()
    before = memory()
    crowded = Crowded()
    seconds = timed(lambda: flood(crowded, options.attempts))
    grown = memory() - before
    print(
        f"{options.attempts} attempts, {1e6 * seconds / options.attempts:.1f} us each: "
        f"{len(crowded.registry)} registrations, {crowded.registry.index.topics} topics, "
        f"refused {dict(crowded.refused)}"
    )
    print(f"memory grew by {grown / 1e6:.0f} MB")
    rounds = [timed(lambda: answer(crowded)) for _ in range(options.listings)]
    percentiles = quantiles(rounds, n=100)
    print(
        f"{options.listings} listings of {len(crowded.registry.index.of_topic('chat'))} peers: "
        f"median {1e6 * percentiles[49]:.0f} us, p99 {1e6 * percentiles[98]:.0f} us, "
        f"most {1e6 * max(rounds):.0f} us"
    )
    scans = sorted(timed(lambda: looked_through(crowded)) for _ in range(5))
    print(f"by looking through all peers: median {1e6 * scans[2]:.0f} us")
    holds = grown < 256e6 and percentiles[98] < 0.05
    print(f"promise 21 {'holds' if holds else 'is BROKEN'}")
    return 0 if holds else 1


def flood(crowded: Crowded, attempts: int) -> None:
    for number in range(attempts):
        network = number % 5_000
        host = f"11.{network // 250}.{network % 250}.{number // 5_000 % 256}"
        topic = "chat" if number % 2 else f"topic {number // 20}"
        crowded.register(
            f"{number}",
            host,
            1024 + number % 60_000,
            topics=(topic,),
            services=(f"web {number}",),
            addresses=(HostPort(host, 4000),),
        )


def answer(crowded: Crowded) -> bytes:
    return crowded.listings.answer(ASKED).encode(bytes(12))


def looked_through(crowded: Crowded) -> list[bytes]:
    """Return as many keys of the topic, in the way that needs no index, and is not fair."""
    peers = crowded.registry._store._peers
    return random.sample([key for key, peer in peers.items() if "chat" in peer.record.topics], 24)


def timed(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def memory() -> int:
    """Return the bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    raise SystemExit(main())
