"""Labs come up, count what the tracker carries, take the time they are told, and leave nothing."""

from __future__ import annotations

import subprocess
import sys
from time import monotonic

from twisted.trial.unittest import SynchronousTestCase

from tests.kernel.udp_probe import UDPProbe
from tests.requirements import require_delay, require_namespaces
from twisted_p2p.network_namespaces.lab import Lab
from twisted_p2p.network_namespaces.namespace import LabFailed
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

OWNER = """
import signal, sys
from twisted_p2p.network_namespaces.lab import Lab
from twisted_p2p.network_namespaces.nat_rules import NATFlavour
lab = Lab(NATFlavour.PORT_RESTRICTED, NATFlavour.PORT_RESTRICTED)
script = "import time; print('runs', flush=True); time.sleep(60)"
program = lab.left.popen([sys.executable, "-c", script])
signal.pause()
"""
"""A program that makes a lab, runs a program in it, and has nothing that would clean up."""


class LabTests(SynchronousTestCase):
    def setUp(self) -> None:
        require_namespaces()

    def build(self, delay: float = 0.0) -> Lab:
        lab = Lab(NATFlavour.PORT_RESTRICTED, None, delay=delay)
        self.addCleanup(lab.close)
        return lab

    def test_labs_stand_side_by_side(self) -> None:
        for lab in (self.build(), self.build()):
            tracker, left = UDPProbe(lab.tracker, 3478), UDPProbe(lab.left, 4000)
            left.send(4000, (tracker.host, 3478), "hello")
            self.assertEqual(tracker.receive(3478), ("hello", ("11.1.0.2", 4000)))

    def test_interface_counters_show_what_the_tracker_carried(self) -> None:
        lab = self.build()
        tracker, left = UDPProbe(lab.tracker, 3478), UDPProbe(lab.left, 4000)
        left.send(4000, (tracker.host, 3478), "the address is resolved")
        tracker.receive(3478)
        before = lab.tracker.bytes_carried()
        left.send(4000, (tracker.host, 3478), "x" * 1000)
        tracker.receive(3478)
        self.assertEqual(lab.tracker.bytes_carried() - before, 14 + 20 + 8 + 1000)

    def test_traffic_between_the_peers_does_not_pass_the_tracker(self) -> None:
        lab = self.build()
        right, left = UDPProbe(lab.right, 4000), UDPProbe(lab.left, 4000)
        left.send(4000, (right.host, 4000), "x" * 1000)
        right.receive(4000)
        self.assertEqual(lab.tracker.bytes_carried(), 0)

    def test_delay_is_added_each_way_on_each_side(self) -> None:
        require_delay()
        lab = self.build(delay=0.02)
        right, left = UDPProbe(lab.right, 4000), UDPProbe(lab.left, 4000)
        began = monotonic()
        left.send(4000, (right.host, 4000), "there")
        _, source = right.receive(4000)
        right.send(4000, source, "and back")
        left.receive(4000)
        self.assertGreaterEqual(monotonic() - began, 4 * 0.02)

    def test_failing_command_tells_what_it_complained_of(self) -> None:
        lab = self.build()
        with self.assertRaises(LabFailed) as caught:
            lab.left.run(["ip", "link", "set", "dev", "nowhere", "up"])
        self.assertIn("nowhere", str(caught.exception))

    def test_close_ends_programs_and_holders(self) -> None:
        lab = self.build()
        program = lab.left.popen([sys.executable, "-c", "import time; time.sleep(60)"])
        lab.close()
        self.assertIsNotNone(program.returncode)

    def test_nothing_outlives_an_owner_that_is_killed(self) -> None:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert owner.stdout is not None
        self.assertEqual(owner.stdout.readline(), b"runs\n")
        owner.kill()
        # Every process of the lab has the pipe that this reads, so the end of it is theirs.
        self.assertEqual(owner.communicate(timeout=10)[0], b"")
