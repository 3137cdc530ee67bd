"""Which pairs of NATs let plain datagrams through when each peer sends where the other was seen."""

from __future__ import annotations

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.kernel.udp_probe import Endpoint, UDPProbe
from tests.requirements import require_delay, require_namespaces
from twisted_p2p.network_namespaces.lab import Lab
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

PORT = 4000
TRACKER_PORT = 3478


@frozen
class Peer:
    probe: UDPProbe
    mapped: Endpoint

    def send(self, destination: Endpoint, text: str) -> None:
        self.probe.send(PORT, destination, text)

    def receive(self) -> tuple[str, Endpoint]:
        return self.probe.receive(PORT)


class PlainPunchingTests(SynchronousTestCase):
    def build(
        self, left: NATFlavour | None, right: NATFlavour | None, delay: float = 0.0
    ) -> tuple[Peer, Peer]:
        """Return the two peers, each known to the tracker."""
        require_namespaces()
        lab = Lab(left, right, delay=delay)
        self.addCleanup(lab.close)
        self.tracker = UDPProbe(lab.tracker, TRACKER_PORT)
        return self.registered(UDPProbe(lab.left, PORT)), self.registered(UDPProbe(lab.right, PORT))

    def registered(self, probe: UDPProbe) -> Peer:
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
        require_delay()
        self.assert_joined(*self.build(NATFlavour.HOSTILE, NATFlavour.HOSTILE, delay=0.2))

    def test_hostile_nats_keep_apart_peers_of_which_one_is_early(self) -> None:
        self.assert_apart(*self.build(NATFlavour.HOSTILE, NATFlavour.HOSTILE))
