"""Wall clocks that are wrong, drift or are set, on nodes and on the tracker: promise 28."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import Recorder, World
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import PORT_RESTRICTED, SimulatedHost

TODAY = 1_790_000_000.0
TEN_YEARS = 10 * 365.25 * 86_400
HOUR = 3_600.0


class ClockTests(SynchronousTestCase):
    """Two nodes behind NATs, one of which offers an echo."""

    def set_up(self, world: World) -> None:
        self.world = world
        self.left, self.right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
        self.hosts = {
            "tracker": world.trackers[0].host,
            "left": world.hosts[self.left],
            "right": world.hosts[self.right],
        }
        for host in self.hosts.values():
            host.clock.skew(TODAY)

    def start(self) -> Recorder:
        """Start the nodes, and connect the left one to the right one."""
        self.world.start()
        self.world.listen(self.right)
        return self.world.dial(self.left, self.right, greeting=b"one")

    def assert_nothing_expires(self, recorder: Recorder, seconds: float = 200.0) -> None:
        """Check that, all the time, the nodes are registered and the connection lives."""
        for _ in range(int(seconds / 2)):
            self.world.run(2.0)
            self.assertEqual(self.world.trackers[0].status()["nodes"], 2, self.world.now)
            self.assertIsNone(recorder.lost)
        self.assert_all_is_well(recorder)

    def assert_all_is_well(self, recorder: Recorder) -> None:
        recorder.received = b""
        recorder.transport.write(b"two")
        self.world.run(1.0)
        self.assertEqual(recorder.received, b"two")
        began = self.world.now
        again = self.redial(self.left, self.right)
        self.assertLess(self.world.now - began, 1.0)
        self.world.run(1.0)
        self.assertEqual(again.received, b"three")

    def redial(self, node: P2PNode, target: P2PNode) -> Recorder:
        return self.world.dial(node, target, greeting=b"three")

    def each_host(self) -> Iterator[tuple[World, SimulatedHost]]:
        for name in ("tracker", "left", "right"):
            with World() as world:
                self.set_up(world)
                yield world, self.hosts[name]

    def test_a_clock_off_by_ten_years_works(self) -> None:
        for offset in (TEN_YEARS, -TEN_YEARS):
            for _, host in self.each_host():
                host.clock.skew(TODAY + offset)
                self.assert_all_is_well(self.start())

    def test_a_step_on_expires_nothing(self) -> None:
        for _, host in self.each_host():
            recorder = self.start()
            host.clock.step(HOUR)
            self.assert_nothing_expires(recorder)

    def test_a_step_back_expires_nothing(self) -> None:
        for _, host in self.each_host():
            recorder = self.start()
            host.clock.step(-HOUR)
            self.assert_nothing_expires(recorder)

    def test_many_steps_to_and_fro_expire_nothing(self) -> None:
        for world, host in self.each_host():
            recorder = self.start()
            for seconds in (5.0, -5.0, TEN_YEARS, -TEN_YEARS, 0.5, -0.5):
                host.clock.step(seconds)
                world.run(7.0)
            self.assert_nothing_expires(recorder, 60.0)

    def test_a_drifting_clock_works(self) -> None:
        for _, host in self.each_host():
            host.clock.skew(TODAY, rate=1.01)
            self.assert_nothing_expires(self.start(), 60.0)

    def test_a_step_in_mid_dial_is_no_matter(self) -> None:
        for seconds in (HOUR, -HOUR):
            for world, host in self.each_host():
                world.start()
                world.listen(self.right)
                dialled = self.left.connect(self.right.peer_id, "echo", world.recorders())
                world.run(0.1)
                self.assertNoResult(dialled)
                host.clock.step(seconds)
                began = world.now
                world.until(dialled)
                self.assertLess(world.now - began, 1.0)
