"""The kernel and the simulation agree, and docs/kernel-agreement.rst says what they say."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.kernel.agreement import tables
from tests.kernel.agreement.nat_facts import find_out
from tests.kernel.agreement.outcomes import kernel_outcomes, simulated_outcome
from tests.kernel.agreement.pairs import MEETINGS, PAIRS, TRANSFERS, Pair
from tests.kernel.agreement.probes import SimulatedWorld
from tests.requirements import require_delay
from twisted_p2p.network_namespaces.nat_rules import NATFlavour


class TableTests(SynchronousTestCase):
    """The committed tables say what the simulation does, and that the kernel did the same."""

    def test_nats(self) -> None:
        found = {flavour: find_out(SimulatedWorld, flavour) for flavour in NATFlavour}
        self.assertEqual(tables.read(tables.NATS_FILE), tables.nat_rows(found, found))

    def test_pairs(self) -> None:
        outcomes = {pair: simulated_outcome(pair) for pair in PAIRS}
        self.assertEqual(tables.read(tables.PAIRS_FILE), tables.pair_rows(outcomes, outcomes))

    def test_the_suite_has_each_pair_in_one_order_or_the_other(self) -> None:
        ran = {*TRANSFERS, *MEETINGS}
        self.assertEqual(ran | {Pair(pair.right, pair.left) for pair in ran}, set(PAIRS))

    def test_disagreement_is_said(self) -> None:
        pair = Pair(None, None)
        self.assertEqual(
            tables.pair_rows({pair: "direct"}, {pair: "no_path"}),
            [("public", "public", "direct", "no_path", "NO")],
        )


class MeetingTests(TestCase):
    """Those pairs between which the suite transfers nothing."""

    timeout = 400

    async def test_pairs_meet_on_the_kernel_as_in_the_simulation(self) -> None:
        require_delay()
        self.assertEqual(
            await kernel_outcomes(MEETINGS, Path(self.mktemp())),
            {pair: simulated_outcome(pair) for pair in MEETINGS},
        )
