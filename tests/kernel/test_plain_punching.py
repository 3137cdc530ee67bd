"""Which pairs of NATs let plain datagrams through when each peer sends where the other was seen.

They are the same on the kernel and in the simulation.
"""

from __future__ import annotations

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.kernel.agreement.pairs import Pair
from tests.kernel.agreement.probes import KernelWorld, Probe, ProbedWorld, SimulatedWorld
from tests.kernel.udp_probe import Endpoint
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

PORT = 4000
TRACKER_PORT = 3478


@frozen
class Peer:
    probe: Probe
    mapped: Endpoint

    def send(self, destination: Endpoint, text: str) -> None:
        self.probe.send(PORT, destination, text)

    def receive(self) -> tuple[str, Endpoint]:
        return self.probe.receive(PORT)


class PlainPunchingTests(SynchronousTestCase):
    world_class: type[ProbedWorld] = KernelWorld

    def build(
        self, left: NATFlavour | None, right: NATFlavour | None, delay: float = 0.0
    ) -> tuple[Peer, Peer]:
        """Return the two peers, each known to the tracker."""
        world = self.world_class(Pair(left, right), delay)
        self.addCleanup(world.close)
        self.tracker = world.probe_tracker(TRACKER_PORT)
        return self.registered(world.probe_left(PORT)), self.registered(world.probe_right(PORT))

    def registered(self, probe: Probe) -> Peer:
        probe.send(PORT, (self.tracker.host, TRACKER_PORT), "here I am")
        return Peer(probe, self.tracker.receive(TRACKER_PORT)[1])

    def assert_joined(self, opener: Peer, visitor: Peer) -> None:
        """The first one's datagram may be lost; the second's arrives, and its answer too."""
        opener.send(visitor.mapped, "opens the way")
        visitor.send(opener.mapped, "comes in")
        text, source = opener.receive()
        self.assertEqual(text, "comes in")
        opener.send(source, "is answered")
        text, source = visitor.receive()
        if text == "opens the way":
            text, source = visitor.receive()
        self.assertEqual((text, source), ("is answered", opener.mapped))

    def assert_apart(self, opener: Peer, visitor: Peer) -> None:
        """Nothing of either one passes, however often, and the tracker still reaches both."""
        for _ in range(3):
            opener.send(visitor.mapped, "opens nothing")
            visitor.send(opener.mapped, "opens nothing")
        for peer in (opener, visitor):
            self.tracker.send(TRACKER_PORT, peer.mapped, "still there?")
            self.assertEqual(peer.receive()[0], "still there?")

    def test_port_restricted_and_port_restricted(self) -> None:
        self.assert_joined(*self.build(NATFlavour.PORT_RESTRICTED, NATFlavour.PORT_RESTRICTED))

    def test_port_restricted_with_other_ports(self) -> None:
        self.assert_joined(
            *self.build(
                NATFlavour.PORT_RESTRICTED_OTHER_PORT, NATFlavour.PORT_RESTRICTED_OTHER_PORT
            )
        )

    def test_full_cone_and_random_symmetric(self) -> None:
        self.assert_joined(*self.build(NATFlavour.FULL_CONE, NATFlavour.RANDOM_SYMMETRIC))

    def test_public_and_random_symmetric(self) -> None:
        self.assert_joined(*self.build(None, NATFlavour.RANDOM_SYMMETRIC))

    def test_public_and_public(self) -> None:
        self.assert_joined(*self.build(None, None))

    def test_port_restricted_and_random_symmetric_stay_apart(self) -> None:
        self.assert_apart(*self.build(NATFlavour.PORT_RESTRICTED, NATFlavour.RANDOM_SYMMETRIC))

    def test_hostile_nats_join_peers_that_send_before_anything_arrives(self) -> None:
        self.assert_joined(*self.build(NATFlavour.HOSTILE, NATFlavour.HOSTILE, delay=0.2))

    def test_hostile_nats_keep_apart_peers_of_which_one_is_early(self) -> None:
        self.assert_apart(*self.build(NATFlavour.HOSTILE, NATFlavour.HOSTILE))


class SimulatedPlainPunchingTests(PlainPunchingTests):
    world_class = SimulatedWorld
