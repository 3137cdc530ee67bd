"""Promises 26, 33 and 34 on a small scale; ``benchmarks/simulated_day.py`` has the large one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.soak import Soak, SoakPlan


class SoakTests(SynchronousTestCase):
    def test_peers_come_go_move_and_talk_while_their_tracker_restarts(self) -> None:
        soak = Soak(SoakPlan(), seed=1)
        soak.run()
        self.assertEqual(soak.complaints, [], f"seed {soak.world.net.seed}")
        self.assertEqual(len(soak.restarts), 2)
        for what in ("conversations", "crashes", "leaves", "moves"):
            self.assertGreater(soak.counts[what], 2, what)
