"""Gateways with NATs and firewalls, packet by packet through a simulated internet."""

from __future__ import annotations

from attrs import evolve

from tests.testing.gateways import ACK, PUBLIC, RST, SYN, Endpoint, GatewayTestCase, gateway_of
from twisted_p2p.addresses import HostPort
from twisted_p2p.testing import (
    BLACKLISTING,
    CARRIER_GRADE,
    FIREWALL,
    FULL_CONE,
    PORT_RESTRICTED,
    RESETTING,
    UDP_BLOCKED,
    Firewall,
    HairpinSource,
    NATBehaviour,
    PortTaken,
    SimulatedInternet,
    StaticMapping,
    TCPBehaviour,
    Unsolicited,
)
from twisted_p2p.testing.packet import ICMPError
from twisted_p2p.testing.tcp.segment import TCPFlags


class TranslationTests(GatewayTestCase):
    def test_tcp_is_translated_both_ways(self) -> None:
        self.home()
        self.inside.send_segment(SYN, self.remote.address)
        self.run_for()
        (flags, seen) = self.remote.segments[0]
        self.assertEqual((flags, seen), (SYN, HostPort(PUBLIC, 9)))
        self.remote.send_segment(SYN | ACK, seen)
        self.run_for()
        self.assertEqual(self.inside.segments, [(SYN | ACK, self.remote.address)])

    def test_tcp_and_udp_have_ports_of_their_own(self) -> None:
        gateway = self.home(FULL_CONE)
        self.inside.send(b"udp", self.remote.address)
        self.run_for()
        self.remote.send_segment(SYN, HostPort(PUBLIC, 9))
        self.run_for()
        self.assertEqual(self.inside.segments, [])
        self.assertEqual(self.fates()[-1], "filtered")
        self.assertIs(gateway.table, gateway.tables["udp"])

    def test_a_segment_of_no_connection_is_out_of_state(self) -> None:
        self.home()
        self.inside.send_segment(ACK, self.remote.address)
        self.run_for()
        self.assertEqual(self.fates(), ["out of state"])

    def test_a_customer_over_the_quota_is_out_of_ports(self) -> None:
        """A home NAT behind a carrier's."""
        carrier = self.internet.add_network("carrier", PUBLIC, evolve(CARRIER_GRADE, port_quota=2))
        self.network = self.internet.add_network("home", "100.64.0.2", behind=carrier)
        for port in (1, 2, 3):
            self.add_inside(f"host {port}", f"192.168.1.{port}", port).send(
                b"x", self.remote.address
            )
        self.run_for()
        self.assertEqual(self.fates(), ["out of ports", "delivered", "delivered"])
        self.assertEqual({addr[0] for _, addr in self.remote.heard}, {PUBLIC})

    def test_several_public_addresses_are_attached(self) -> None:
        self.network = self.internet.add_network("home", PUBLIC, more_addresses=["11.0.1.2"])
        for n in range(2, 22):
            self.add_inside(f"host {n}", f"192.168.1.{n}").send(b"x", self.remote.address)
        self.run_for()
        sources = [HostPort(*addr) for _, addr in self.remote.heard]
        self.assertEqual({source.host for source in sources}, {PUBLIC, "11.0.1.2"})
        for source in sources:
            self.remote.send(b"y", source)
        self.run_for()
        self.assertEqual(self.fates(), ["delivered"] * 40)

    def test_a_nat_can_keep_icmp_errors_out(self) -> None:
        """RFC 5508, REQ-4, and a NAT that does not care."""
        for forwards in (True, False):
            internet = SimulatedInternet()
            behaviour = evolve(PORT_RESTRICTED, icmp_errors=forwards)
            network = internet.add_network("home", PUBLIC, behaviour)
            inside = Endpoint(internet.add_host("inside", "192.168.1.2", network=network))
            wall = evolve(RESETTING, unsolicited=Unsolicited.ICMP_ERROR)
            internet.add_network("away", "11.0.2.1", wall)
            inside.send_segment(SYN, HostPort("11.0.2.1", 9))
            internet.run_for(1.0)
            errors = [error for _, error in inside.errors]
            self.assertEqual(errors, [ICMPError.PORT_UNREACHABLE] if forwards else [])


class HairpinTests(GatewayTestCase):
    """RFC 4787, section 6; RFC 5382, REQ-8."""

    def seen_by_the_neighbour(self, nat: NATBehaviour) -> list[tuple[str, int]]:
        self.home(nat)
        other = self.add_inside("other", "192.168.1.3", port=8)
        for endpoint in (self.inside, other):
            endpoint.send(b"hello", self.remote.address)
        self.run_for()
        other.send(b"across", HostPort(PUBLIC, 9))
        self.run_for()
        self.inside.send(b"back", HostPort(PUBLIC, 8))
        self.run_for()
        return [addr for _, addr in (*other.heard, *self.inside.heard)]

    def test_the_filters_apply(self) -> None:
        """The first packet opens the way for the answer, and is itself filtered."""
        self.assertEqual(self.seen_by_the_neighbour(PORT_RESTRICTED), [(PUBLIC, 9)])
        self.assertEqual(self.fates().count("filtered"), 1)

    def test_the_source_is_external(self) -> None:
        """REQ-9."""
        self.assertEqual(self.seen_by_the_neighbour(FULL_CONE), [(PUBLIC, 9), (PUBLIC, 8)])

    def test_some_nats_show_the_internal_source(self) -> None:
        nat = evolve(FULL_CONE, hairpin_source=HairpinSource.INTERNAL)
        self.assertEqual(self.seen_by_the_neighbour(nat), [("192.168.1.2", 9), ("192.168.1.3", 8)])

    def test_a_reset_is_hairpinned_as_well(self) -> None:
        self.home(RESETTING)
        self.inside.send_segment(SYN, HostPort(PUBLIC, 80))
        self.run_for()
        self.assertEqual(self.inside.segments, [(RST | ACK, HostPort(PUBLIC, 80))])


class UnsolicitedTests(GatewayTestCase):
    """RFC 5382, REQ-4."""

    def answers(self, nat: NATBehaviour, flags: TCPFlags = SYN) -> list[tuple[TCPFlags, HostPort]]:
        self.home(nat)
        self.remote.send_segment(flags, HostPort(PUBLIC, 80))
        self.run_for()
        return self.remote.segments

    def test_it_is_dropped(self) -> None:
        self.assertEqual(self.answers(PORT_RESTRICTED), [])
        self.assertEqual(self.answers_of_errors(), [])

    def test_it_is_answered_by_a_reset(self) -> None:
        self.assertEqual(self.answers(RESETTING), [(RST | ACK, HostPort(PUBLIC, 80))])
        self.assertEqual(self.fates(), ["filtered"])

    def test_a_reset_is_not_answered(self) -> None:
        self.assertEqual(self.answers(RESETTING, RST), [])

    def test_udp_is_not_reset(self) -> None:
        self.home(RESETTING)
        self.remote.send(b"x", HostPort(PUBLIC, 80))
        self.run_for()
        self.assertEqual(self.fates(), ["filtered"])

    def test_a_lost_reset_is_in_the_log(self) -> None:
        self.home(RESETTING)
        self.remote.send_segment(SYN, HostPort(PUBLIC, 80))
        self.internet.public.detach("11.0.0.1")
        self.run_for()
        self.assertEqual(self.fates(), ["filtered", "unreachable"])
        self.assertEqual([*self.internet.log][-1].sender, "home")

    def test_it_is_answered_by_an_icmp_error(self) -> None:
        self.answers(evolve(RESETTING, unsolicited=Unsolicited.ICMP_ERROR))
        self.assertEqual(self.answers_of_errors(), [(0.08, ICMPError.PORT_UNREACHABLE)])

    def answers_of_errors(self) -> list[tuple[float, ICMPError]]:
        return [(round(time, 6), error) for time, error in self.remote.errors]

    def hold(self, nat: NATBehaviour = RESETTING) -> None:
        self.home(evolve(nat, tcp=TCPBehaviour(syn_hold=6.0)))
        self.remote.send_segment(SYN, HostPort(PUBLIC, 9))
        self.run_for(5.0)
        self.assertEqual(self.remote.segments, [])
        self.assertEqual(self.remote.errors, [])

    def test_a_syn_can_be_held_for_six_seconds(self) -> None:
        self.hold()
        self.run_for(2.0)
        self.assertEqual([flags for flags, _ in self.remote.segments], [RST | ACK])

    def test_the_error_for_a_held_syn_takes_no_longer_on_its_way(self) -> None:
        self.hold(evolve(RESETTING, unsolicited=Unsolicited.ICMP_ERROR))
        self.run_for(2.0)
        self.assertEqual(self.answers_of_errors(), [(6.08, ICMPError.PORT_UNREACHABLE)])

    def test_an_outbound_syn_in_the_meantime_is_the_answer(self) -> None:
        self.hold()
        self.inside.send_segment(SYN, self.remote.address)
        self.run_for(9.0)
        self.assertEqual([flags for flags, _ in self.remote.segments], [SYN])

    def test_only_a_syn_is_held(self) -> None:
        nat = evolve(RESETTING, tcp=TCPBehaviour(syn_hold=6.0))
        self.assertEqual([flags for flags, _ in self.answers(nat, ACK)], [RST])

    def test_a_peer_that_is_too_early_is_shut_out(self) -> None:
        self.home(BLACKLISTING)
        self.remote.send(b"early", HostPort(PUBLIC, 9))
        self.run_for()
        self.inside.send(b"x", self.remote.address)
        self.remote.send(b"late", HostPort(PUBLIC, 9))
        self.run_for()
        self.assertEqual(self.inside.heard, [])
        self.assertEqual(self.fates(), ["filtered", "filtered", "delivered"])


class BlockedTests(GatewayTestCase):
    def test_udp_can_be_blocked_wholly(self) -> None:
        self.home(UDP_BLOCKED)
        self.inside.send(b"x", self.remote.address)
        self.inside.send_segment(SYN, self.remote.address)
        self.remote.send(b"x", HostPort(PUBLIC, 9))
        self.run_for()
        self.assertEqual(self.fates(), ["blocked", "blocked"])
        self.assertEqual(len(self.remote.segments), 1)

    def test_or_but_for_some_ports(self) -> None:
        self.home(evolve(FULL_CONE, udp_destination_ports={53, 9}))
        self.inside.send(b"x", self.remote.address)
        self.inside.send(b"x", HostPort("11.0.0.1", 10))
        self.run_for()
        self.assertEqual(sorted(self.fates()), ["blocked", "delivered"])

    def test_so_can_tcp(self) -> None:
        self.home(evolve(PORT_RESTRICTED, tcp_destination_ports=(443,)))
        self.inside.send_segment(SYN, self.remote.address)
        self.inside.send_segment(SYN, HostPort("11.0.0.1", 443))
        self.inside.send(b"x", self.remote.address)
        self.run_for()
        self.assertEqual(self.fates(), ["blocked", "delivered"])
        self.assertEqual(len(self.remote.segments), 1)


class FirewallTests(GatewayTestCase):
    """RFC 6092: without translation, for IPv6 and for IPv4."""

    def walled(self, wall: Firewall = FIREWALL) -> tuple[Endpoint, Endpoint]:
        outside = Endpoint(self.internet.add_host("six", "2400::1"), interface="::")
        network = self.internet.add_network("home", PUBLIC, firewall=wall)
        host = self.internet.add_host("inside", "2400:1::2", network=network)
        return Endpoint(host, interface="::"), outside

    def test_ipv6_is_let_in_only_as_an_answer(self) -> None:
        inside, outside = self.walled()
        outside.send(b"early", inside.address)
        self.run_for()
        inside.send(b"x", outside.address)
        self.run_for()
        outside.send(b"answer", inside.address)
        self.run_for()
        self.assertEqual(inside.heard, [(b"answer", ("2400::1", 9))])
        self.assertEqual(outside.heard, [(b"x", ("2400:1::2", 9))])
        self.assertEqual(self.fates()[0], "filtered")

    def test_tcp_as_well(self) -> None:
        inside, outside = self.walled()
        outside.send_segment(SYN, inside.address)
        self.run_for()
        inside.send_segment(ACK, outside.address)
        inside.send_segment(SYN, outside.address)
        self.run_for()
        outside.send_segment(SYN | ACK, inside.address)
        self.run_for()
        self.assertEqual([flags for flags, _ in inside.segments], [SYN | ACK])
        self.assertEqual(sorted(self.fates()), ["filtered", "out of state"])

    def test_ports_can_be_blocked(self) -> None:
        inside, outside = self.walled(Firewall(udp_destination_ports=()))
        inside.send(b"x", outside.address)
        outside.send(b"x", inside.address)
        self.run_for()
        self.assertEqual(self.fates(), ["blocked", "blocked"])

    def test_an_unsolicited_packet_can_be_called_prohibited(self) -> None:
        inside, outside = self.walled(Firewall(unsolicited=Unsolicited.ICMP_ERROR))
        outside.send_segment(SYN, inside.address)
        self.run_for()
        self.assertEqual([error for _, error in outside.errors], [ICMPError.PROHIBITED])

    def test_a_network_of_public_addresses_without_a_nat(self) -> None:
        network = self.internet.add_network("office", PUBLIC, None, firewall=FIREWALL)
        inside = Endpoint(self.internet.add_host("desk", "11.0.1.2", network=network))
        self.remote.send(b"early", inside.address)
        self.run_for()
        inside.send(b"x", self.remote.address)
        self.run_for()
        self.remote.send(b"answer", inside.address)
        self.run_for()
        self.assertEqual(self.remote.heard, [(b"x", ("11.0.1.2", 9))])
        self.assertEqual(inside.heard, [(b"answer", ("11.0.0.1", 9))])
        gateway = gateway_of(network)
        self.assertEqual((gateway.tables, gateway.public_address), ({}, PUBLIC))
        gateway.reboot()
        self.remote.send(b"late", inside.address)
        self.run_for()
        self.assertEqual(self.fates()[-1], "filtered")


class MappingTests(GatewayTestCase):
    """What UPnP, NAT-PMP and PCP command."""

    def test_anyone_comes_in_by_a_mapping_until_it_ends(self) -> None:
        gateway = self.home()
        expected = HostPort(PUBLIC, 4_000)
        self.assertEqual(gateway.add_mapping("udp", self.inside.address, 4_000, 10.0), expected)
        gateway.add_mapping("tcp", self.inside.address, 4_000)
        for _ in range(2):
            self.remote.send(b"x", expected)
            self.remote.send_segment(SYN, expected)
            self.run_for(10.0)
        self.assertEqual(len(self.inside.heard), 1)
        self.assertEqual(len(self.inside.segments), 2)
        forever = StaticMapping("tcp", self.inside.address, expected, float("inf"))
        self.assertEqual(gateway.mappings(), [forever])

    def test_a_mapping_can_be_taken_back(self) -> None:
        gateway = self.home()
        gateway.add_mapping("udp", self.inside.address, 4_000)
        with self.assertRaises(PortTaken):
            gateway.add_mapping("udp", HostPort("192.168.1.3", 9), 4_000)
        self.assertTrue(gateway.remove_mapping("udp", 4_000))
        self.assertFalse(gateway.remove_mapping("udp", 4_000))


class RunningTests(GatewayTestCase):
    """Rebinding and reboot, while packets come and go."""

    def talk(self) -> tuple[str, int]:
        self.inside.send(b"x", self.remote.address)
        self.run_for()
        return self.remote.heard[-1][1]

    def test_after_rebinding_the_peer_sees_another_port(self) -> None:
        gateway = self.home()
        before = self.talk()
        gateway.rebind()
        self.remote.send(b"gone", HostPort(*before))
        after = self.talk()
        self.assertEqual(self.fates().count("filtered"), 1)
        self.assertEqual(after[0], before[0])
        self.assertNotEqual(after[1], before[1])

    def test_a_reboot_forgets_and_takes_its_time(self) -> None:
        gateway = self.home()
        ups: list[float] = []
        gateway.when_up.append(lambda: ups.append(self.internet.now))
        seen = HostPort(*self.talk())
        gateway.add_mapping("udp", self.inside.address, 4_000)
        gateway.reboot(seconds=30.0)
        self.remote.send(b"x", seen)
        self.inside.send(b"x", self.remote.address)
        self.run_for(30.0)
        self.assertEqual(self.fates()[-2:], ["rebooting", "rebooting"])
        self.assertEqual((ups, gateway.started_at), ([31.0], 31.0))
        self.remote.send(b"x", HostPort(PUBLIC, 4_000))
        self.run_for()
        self.assertEqual(self.fates()[-1], "filtered")
        self.assertEqual(HostPort(*self.talk()), seen)

    def test_a_reboot_during_a_reboot_begins_anew(self) -> None:
        gateway = self.home()
        ups: list[float] = []
        gateway.when_up.append(lambda: ups.append(self.internet.now))
        gateway.reboot(seconds=30.0)
        self.run_for(10.0)
        gateway.reboot(seconds=30.0)
        self.run_for(60.0)
        self.assertEqual(ups, [40.0])
        gateway.reboot()
        self.assertEqual(ups, [40.0, 70.0])

    def test_a_reboot_may_bring_another_address(self) -> None:
        gateway = self.home()
        before = HostPort(*self.talk())
        gateway.reboot("11.0.1.9")
        self.assertEqual(gateway.public_address, "11.0.1.9")
        self.remote.send(b"x", before)
        self.run_for()
        self.assertEqual(self.fates()[-1], "unreachable")
        self.assertEqual(self.talk(), ("11.0.1.9", 9))
        self.remote.send(b"x", HostPort("11.0.1.9", 9))
        self.run_for()
        self.assertEqual(len(self.inside.heard), 1)
        gateway.reboot("11.0.1.9")
        self.assertEqual(self.talk(), ("11.0.1.9", 9))

    def test_the_address_of_somebody_else_is_not_given(self) -> None:
        gateway = self.home()
        with self.assertRaises(ValueError):
            gateway.reboot("11.0.0.1")
        self.assertEqual(gateway.public_address, PUBLIC)
        self.assertEqual(self.talk(), (PUBLIC, 9))

    def test_an_untranslated_address_that_is_given_up_is_gone_outside(self) -> None:
        outside = Endpoint(self.internet.add_host("six", "2400::1"), interface="::")
        network = self.internet.add_network("home", PUBLIC)
        self.internet.add_host("inside", "2400:1::2", network=network)
        network.detach("2400:1::2")
        outside.send(b"x", HostPort("2400:1::2", 9))
        self.run_for()
        self.assertEqual(self.fates(), ["unreachable"])
