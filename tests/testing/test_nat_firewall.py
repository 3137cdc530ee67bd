"""A firewall lets in what answers, and translates nothing (RFC 6092)."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import FIREWALL, Dependence, Firewall, FirewallTable, Unsolicited
from twisted_p2p.testing.tcp.segment import TCPFlags

INSIDE = HostPort("2400:1::2", 5_000)
NEIGHBOUR = HostPort("2400:1::3", 5_000)
REMOTE = HostPort("2400::1", 3_478)
SAME_HOST = HostPort("2400::1", 3_479)
OTHER_HOST = HostPort("2400::2", 3_478)
SYN, ACK = TCPFlags.SYN, TCPFlags.ACK


class FirewallTests(SynchronousTestCase):
    def test_endpoints_stay_as_they_are(self) -> None:
        wall = FirewallTable(FIREWALL)
        self.assertEqual(wall.outbound(INSIDE, REMOTE, 0.0), INSIDE)
        self.assertEqual(wall.inbound(REMOTE, INSIDE, 0.0), INSIDE)

    def test_filtering(self) -> None:
        for filtering, expected in [
            (Dependence.ENDPOINT_INDEPENDENT, [True, True, True]),
            (Dependence.ADDRESS_DEPENDENT, [True, True, False]),
            (Dependence.ADDRESS_AND_PORT_DEPENDENT, [True, False, False]),
        ]:
            wall = FirewallTable(Firewall(filtering=filtering))
            wall.outbound(INSIDE, REMOTE, 0.0)
            for remote, is_let_in in zip((REMOTE, SAME_HOST, OTHER_HOST), expected, strict=True):
                self.assertEqual(wall.expects(remote, INSIDE, 1.0), is_let_in)
                self.assertEqual(wall.inbound(remote, INSIDE, 1.0) is not None, is_let_in)

    def test_nobody_reaches_an_endpoint_that_has_sent_nothing(self) -> None:
        wall = FirewallTable(Firewall(filtering=Dependence.ENDPOINT_INDEPENDENT))
        wall.outbound(INSIDE, REMOTE, 0.0)
        self.assertIsNone(wall.inbound(REMOTE, NEIGHBOUR, 0.0))
        self.assertFalse(wall.expects(REMOTE, NEIGHBOUR, 0.0))

    def test_it_forgets(self) -> None:
        wall = FirewallTable(evolve(FIREWALL, timeout=30.0))
        wall.outbound(INSIDE, REMOTE, 0.0)
        self.assertEqual(wall.inbound(REMOTE, INSIDE, 29.0), INSIDE)
        self.assertIsNone(wall.inbound(REMOTE, INSIDE, 30.0))
        wall.outbound(INSIDE, OTHER_HOST, 31.0)
        self.assertIsNone(wall.inbound(REMOTE, INSIDE, 31.0))

    def test_a_restart_forgets_everything(self) -> None:
        wall = FirewallTable(evolve(FIREWALL, unsolicited=Unsolicited.BLACKLISTS))
        wall.outbound(INSIDE, REMOTE, 0.0)
        wall.inbound(OTHER_HOST, INSIDE, 0.0)
        wall.restart()
        wall.outbound(INSIDE, OTHER_HOST, 0.0)
        self.assertEqual(wall.inbound(OTHER_HOST, INSIDE, 0.0), INSIDE)
        self.assertIsNone(wall.inbound(REMOTE, INSIDE, 0.0))

    def test_tcp_begins_with_a_syn(self) -> None:
        wall = FirewallTable(FIREWALL, "tcp")
        self.assertIsNone(wall.outbound(INSIDE, REMOTE, 0.0, ACK))
        self.assertEqual(wall.outbound(INSIDE, REMOTE, 0.0, SYN), INSIDE)
        self.assertIsNone(wall.outbound(INSIDE, OTHER_HOST, 0.0, ACK))
        self.assertEqual(wall.inbound(REMOTE, INSIDE, 0.0, SYN | ACK), INSIDE)
        self.assertEqual(wall.inbound(REMOTE, INSIDE, 7_000.0, ACK), INSIDE)

    def test_endpoints_do_not_pile_up(self) -> None:
        wall = FirewallTable(FIREWALL)
        for n in range(20_000):
            wall.outbound(HostPort(f"2400:1::{n:x}", 9), REMOTE, n * 4.0)
        self.assertLess(len(wall._open), 140)
