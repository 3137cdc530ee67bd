"""Run both worlds and write the tables; the exit status is 1 where they disagree."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.trial.unittest import FailTest, SkipTest

from tests.kernel.agreement import tables
from tests.kernel.agreement.nat_facts import find_out
from tests.kernel.agreement.outcomes import kernel_outcomes, simulated_outcome
from tests.kernel.agreement.pairs import PAIRS
from tests.kernel.agreement.probes import KernelWorld, SimulatedWorld
from tests.requirements import require_delay
from twisted_p2p.network_namespaces.nat_rules import NATFlavour


async def compare(reactor: Any) -> None:
    """Write both tables, and end with a sentence if a row of them says NO."""
    try:
        require_delay()
    except (SkipTest, FailTest) as reason:
        sys.exit(str(reason))
    nats = tables.nat_rows(
        {flavour: find_out(KernelWorld, flavour) for flavour in NATFlavour},
        {flavour: find_out(SimulatedWorld, flavour) for flavour in NATFlavour},
    )
    tables.write(tables.NATS_FILE, tables.NATS_HEADING, nats)
    with TemporaryDirectory() as folder:
        outcomes = await kernel_outcomes(PAIRS, Path(folder))
    pairs = tables.pair_rows(outcomes, {pair: simulated_outcome(pair) for pair in PAIRS})
    tables.write(tables.PAIRS_FILE, tables.PAIRS_HEADING, pairs)
    if apart := [row for row in [*nats, *pairs] if row[-1] != "yes"]:
        sys.exit("\n".join(["Kernel and simulation disagree:", *map(", ".join, apart)]))


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(compare(reactor)))
