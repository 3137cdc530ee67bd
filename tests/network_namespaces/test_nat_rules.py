"""The rules of each NAT; tests/kernel/test_nat_flavours.py shows what they do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.network_namespaces.nat_rules import NATFlavour, nat_rules

DROP = 'iifname "uplink" drop'
FORWARD_TO_HOST = 'iifname "uplink" udp dport @mapped_ports dnat to 192.168.1.2'


def rules(flavour: NATFlavour) -> list[str]:
    text = nat_rules(flavour, outside="uplink", inside="inside", host="192.168.1.2")
    return text.splitlines()


class NATRulesTests(SynchronousTestCase):
    def test_port_restricted_translates_replies_alone_and_drops_the_rest(self) -> None:
        lines = rules(NATFlavour.PORT_RESTRICTED)
        self.assertIn('oifname "uplink" masquerade', lines)
        self.assertIn(DROP, lines)
        self.assertNotIn(FORWARD_TO_HOST, lines)

    def test_other_ports_are_out_of_the_ephemeral_range(self) -> None:
        self.assertIn(
            'oifname "uplink" meta l4proto { tcp, udp } masquerade to :61000-65535',
            rules(NATFlavour.PORT_RESTRICTED_OTHER_PORT),
        )

    def test_random_symmetric_takes_a_port_for_each_flow(self) -> None:
        self.assertIn(
            'oifname "uplink" masquerade fully-random', rules(NATFlavour.RANDOM_SYMMETRIC)
        )

    def test_full_cone_lets_anyone_in_to_the_ports_that_were_used(self) -> None:
        lines = rules(NATFlavour.FULL_CONE)
        self.assertIn('iifname "inside" update @mapped_ports { udp sport }', lines)
        self.assertIn(FORWARD_TO_HOST, lines)

    def test_hostile_is_port_restricted_without_the_drop(self) -> None:
        lines = rules(NATFlavour.PORT_RESTRICTED)
        start = lines.index("chain input {")
        self.assertEqual(rules(NATFlavour.HOSTILE), lines[:start] + lines[start + 4 :])

    def test_braces_are_balanced(self) -> None:
        for flavour in (NATFlavour.PORT_RESTRICTED, NATFlavour.FULL_CONE, NATFlavour.HOSTILE):
            text = "\n".join(rules(flavour))
            self.assertEqual(text.count("{"), text.count("}"))
