"""Each NAT of a lab does to UDP what its name says, in the words of RFC 4787.

So does the one that stands for it in the simulation.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.kernel.agreement.nat_facts import find_out
from tests.kernel.agreement.pairs import Pair
from tests.kernel.agreement.probes import KernelWorld, Probe, ProbedWorld, SimulatedWorld
from tests.kernel.udp_probe import Endpoint
from twisted_p2p.network_namespaces.lab import LEFT
from twisted_p2p.network_namespaces.nat_rules import OTHER_PORTS, NATFlavour

PORT = 4000
PUBLIC = LEFT.outside.address


class NATFlavourTestCase(SynchronousTestCase):
    """A host behind the NAT in question on the left; the tracker and a public host beyond it."""

    world_class: type[ProbedWorld] = KernelWorld

    def build(self, flavour: NATFlavour) -> None:
        world = self.world_class(Pair(flavour, None))
        self.addCleanup(world.close)
        self.inside = world.probe_left(PORT)
        self.tracker = world.probe_tracker(3478, 3479, 3480)
        self.outside = world.probe_right(5000, 5001)

    def mapped(self, probe: Probe, port: int) -> Endpoint:
        """Send from inside to a port outside, and return the source that is seen there."""
        self.inside.send(PORT, (probe.host, port), "who am I?")
        text, source = probe.receive(port)
        self.assertEqual((text, source[0]), ("who am I?", PUBLIC))
        return source

    def mapped_ports(self) -> list[int]:
        """Return the public ports of one inside socket as three endpoints outside see them."""
        return [
            self.mapped(probe, port)[1]
            for probe, port in [(self.tracker, 3478), (self.tracker, 3479), (self.outside, 5000)]
        ]

    def answer(self, mapped: Endpoint) -> None:
        """Send to a mapping from the one endpoint that it was made for, and from two others."""
        self.outside.send(5001, mapped, "from another port")
        self.tracker.send(3480, mapped, "from another address")
        self.outside.send(5000, mapped, "from where it was sent to")

    def assert_only_answers_pass(self) -> None:
        mapped = self.mapped(self.outside, 5000)
        self.answer(mapped)
        self.outside.send(5000, mapped, "and once more")
        passed = [self.inside.receive(PORT)[0] for _ in range(2)]
        self.assertEqual(passed, ["from where it was sent to", "and once more"])

    def mapped_after_early_probe(self) -> int:
        """Let a packet come in first, and return the port that its sender then hears from."""
        self.outside.send(5000, (PUBLIC, PORT), "too early")
        mapped = self.mapped(self.outside, 5000)
        self.outside.send(5000, mapped, "in time")
        self.assertEqual(self.inside.receive(PORT)[0], "in time")
        return mapped[1]


class PortRestrictedTests(NATFlavourTestCase):
    def setUp(self) -> None:
        self.build(NATFlavour.PORT_RESTRICTED)

    def test_one_mapping_that_keeps_the_port(self) -> None:
        self.assertEqual(self.mapped_ports(), [PORT, PORT, PORT])

    def test_only_answers_pass(self) -> None:
        self.assert_only_answers_pass()

    def test_early_probe_leaves_the_mapping_where_it_is(self) -> None:
        self.assertEqual(self.mapped_after_early_probe(), PORT)


class PortRestrictedOtherPortTests(NATFlavourTestCase):
    def setUp(self) -> None:
        self.build(NATFlavour.PORT_RESTRICTED_OTHER_PORT)

    def test_one_mapping_to_another_port(self) -> None:
        ports = self.mapped_ports()
        self.assertEqual(len(set(ports)), 1)
        self.assertIn(ports[0], range(OTHER_PORTS[0], OTHER_PORTS[1] + 1))

    def test_only_answers_pass(self) -> None:
        self.assert_only_answers_pass()


class FullConeTests(NATFlavourTestCase):
    def setUp(self) -> None:
        self.build(NATFlavour.FULL_CONE)

    def test_one_mapping_that_keeps_the_port(self) -> None:
        self.assertEqual(self.mapped_ports(), [PORT, PORT, PORT])

    def test_anyone_may_send_to_a_mapping(self) -> None:
        self.answer(self.mapped(self.outside, 5000))
        passed = {self.inside.receive(PORT)[0] for _ in range(3)}
        self.assertEqual(
            passed,
            {"from another port", "from another address", "from where it was sent to"},
        )

    def test_nothing_passes_before_there_is_a_mapping(self) -> None:
        self.assertEqual(self.mapped_after_early_probe(), PORT)


class RandomSymmetricTests(NATFlavourTestCase):
    def setUp(self) -> None:
        self.build(NATFlavour.RANDOM_SYMMETRIC)

    def test_a_mapping_for_each_remote_endpoint(self) -> None:
        self.assertGreater(len(set(self.mapped_ports())), 1)

    def test_only_answers_pass(self) -> None:
        self.assert_only_answers_pass()


class HostileTests(NATFlavourTestCase):
    def setUp(self) -> None:
        self.build(NATFlavour.HOSTILE)

    def test_one_mapping_that_keeps_the_port(self) -> None:
        self.assertEqual(self.mapped_ports(), [PORT, PORT, PORT])

    def test_only_answers_pass(self) -> None:
        self.assert_only_answers_pass()

    def test_early_probe_moves_the_mapping_towards_its_sender(self) -> None:
        self.assertEqual(self.mapped(self.tracker, 3478)[1], PORT)
        self.assertNotEqual(self.mapped_after_early_probe(), PORT)
        self.assertEqual(self.mapped(self.tracker, 3478)[1], PORT)


class SimulatedPortRestrictedTests(PortRestrictedTests):
    world_class = SimulatedWorld


class SimulatedPortRestrictedOtherPortTests(PortRestrictedOtherPortTests):
    world_class = SimulatedWorld


class SimulatedFullConeTests(FullConeTests):
    world_class = SimulatedWorld


class SimulatedRandomSymmetricTests(RandomSymmetricTests):
    world_class = SimulatedWorld


class SimulatedHostileTests(HostileTests):
    world_class = SimulatedWorld


class AgreementTests(SynchronousTestCase):
    """What is found out about a NAT is the same in both worlds."""

    def test_each_nat_is_found_alike(self) -> None:
        for flavour in NATFlavour:
            self.assertEqual(find_out(KernelWorld, flavour), find_out(SimulatedWorld, flavour))
