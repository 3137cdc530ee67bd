"""CPU time of a test with two nodes behind NATs: a new world, connecting, one echo, the end.

    python benchmarks/simulated_pair.py [--tests 100] [--profile]

Each test has a seed and a simulated internet of its own, in which two nodes behind port-restricted
NATs register with a tracker, one connects to the other and has a word echoed, and both are
stopped.  The first one in a process also imports and warms up what the others find ready.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from cProfile import Profile
from pstats import SortKey, Stats
from statistics import median, quantiles
from time import process_time

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from twisted_p2p.testing import SimulatedInternet, connected_pair


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Caller(Protocol):
    def __init__(self) -> None:
        self.answered: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.answered.callback(data)


ECHO = Factory.forProtocol(Echo)
ECHO.noisy = False


def echo(seed: int) -> SimulatedInternet:
    with connected_pair(seed=seed) as pair:
        answer = pair.until(pair.connect(Caller(), ECHO).answered)
    assert answer == b"hello"
    return pair.internet


def cpu_time(test: Callable[[int], SimulatedInternet], seed: int) -> float:
    """Return milliseconds."""
    before = process_time()
    test(seed)
    return (process_time() - before) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=100)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    first = cpu_time(echo, 0)
    gc.collect()
    times = [cpu_time(echo, seed) for seed in range(1, options.tests + 1)]
    internet = echo(1)
    print(
        f"CPU ms a test, {options.tests} seeds: median {median(times):.1f}, "
        f"90 in 100 below {quantiles(times, n=10)[-1]:.1f}, most {max(times):.1f}; "
        f"the first in the process {first:.1f}"
    )
    print(f"{len(internet.log)} packets in {internet.now:.2f} s of virtual time")
    if options.profile:
        with Profile() as profile:
            for seed in range(options.tests):
                echo(seed)
        Stats(profile).sort_stats(SortKey.TIME).print_stats(25)


if __name__ == "__main__":
    main()
