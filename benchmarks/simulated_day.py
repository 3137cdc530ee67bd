"""Promise 34: a thousand simulated peers through a day of coming, going, moving and talking.

    python benchmarks/simulated_day.py [--hours 24] [--joins 0.5] [--peers 1000] [--seed 1]

``--hours 1 --joins 5`` is the hour of the promise, which ``tox -e soak`` runs; the suite runs 50
peers for 10 minutes.  Exit status 0 only if there is nothing to complain of: see
``tests/scenarios/soak.py``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from twisted.logger import globalLogBeginner

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.scenarios.soak import Sample, Soak, SoakPlan


def tell(sample: Sample) -> None:
    print(
        f"at {sample.at:6.0f} s: {sample.objects} objects, {sample.resident} MB, "
        f"{time.process_time():.0f} s of one core",
        flush=True,
    )


def show(soak: Soak) -> None:
    for what, count in sorted(soak.counts.items()):
        print(f"{count:9} {what}")
    for restart in soak.restarts:
        print(
            f"tracker back at {restart.at:.0f} s after {restart.downtime:g} s: "
            f"at most {restart.busiest} registrations a second"
        )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--joins", type=float, default=0.5, help="a second, and as many leave")
    parser.add_argument("--peers", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    plan = SoakPlan(
        peers=options.peers,
        seconds=options.hours * 3_600,
        joins=options.joins,
        conversations=options.joins / 5,
        moves=options.joins / 25,
        restart_interval=max(300.0, options.hours * 150),
    )
    # Until logging begins, Twisted keeps every event, and so every node that has said something.
    globalLogBeginner.beginLoggingTo([lambda event: None], redirectStandardIO=False)
    soak = Soak(plan, options.seed, on_sample=tell)
    soak.run()
    show(soak)
    for complaint in soak.complaints:
        print(complaint)
    took = time.process_time()
    print(f"seed {options.seed}: {took:.0f} s of one core, {len(soak.complaints)} complaints")
    return 1 if soak.complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
