"""TCP through a NAT: RFC 5382; RFC 7857, section 2."""

from __future__ import annotations

from random import Random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    PORT_TAKING,
    RANDOM_SYMMETRIC,
    Dependence,
    NATBehaviour,
    NATTable,
    TCPBehaviour,
    Unsolicited,
)
from twisted_p2p.testing.tcp.segment import TCPFlags

PUBLIC = "11.0.1.1"
INSIDE = HostPort("192.168.1.2", 5_000)
REMOTE = HostPort("11.0.0.1", 3_478)
SAME_HOST = HostPort("11.0.0.1", 3_479)
OTHER_HOST = HostPort("11.0.0.2", 3_478)
SYN, ACK, FIN, RST = TCPFlags.SYN, TCPFlags.ACK, TCPFlags.FIN, TCPFlags.RST
HOUR = 3_600.0


class Connection:
    """One connection through a NAT, packet by packet."""

    def __init__(
        self, behaviour: NATBehaviour = PORT_RESTRICTED, remote: HostPort = REMOTE
    ) -> None:
        self.nat = NATTable(behaviour, PUBLIC, Random(1), protocol="tcp")
        self.remote = remote
        self.port = INSIDE.port

    def out(self, flags: TCPFlags, now: float = 0.0, remote: HostPort = REMOTE) -> bool:
        public = self.nat.outbound(INSIDE, remote, now, flags)
        if public is not None:
            self.port = public.port
        return public is not None

    def back(self, flags: TCPFlags, now: float = 0.0, remote: HostPort = REMOTE) -> bool:
        return self.nat.inbound(remote, self.port, now, flags) == INSIDE

    def open(self, now: float = 0.0) -> Connection:
        assert self.out(SYN, now)
        assert self.back(SYN | ACK, now)
        assert self.out(ACK, now)
        return self


class BeginningTests(SynchronousTestCase):
    """REQ-2: what begins a connection, and what does not."""

    def test_a_syn_from_inside_does(self) -> None:
        connection = Connection().open()
        self.assertTrue(connection.back(ACK, HOUR))
        self.assertTrue(connection.out(ACK, HOUR))

    def test_nothing_else_does(self) -> None:
        for flags in (ACK, SYN | ACK, FIN | ACK, RST, TCPFlags(0)):
            self.assertFalse(Connection().out(flags), flags)
            self.assertFalse(Connection().nat.begins(flags))
        self.assertFalse(Connection().nat.begins(None))
        self.assertTrue(Connection().nat.begins(SYN))

    def test_nor_through_a_mapping_that_is_there(self) -> None:
        connection = Connection().open()
        self.assertFalse(connection.out(ACK, remote=OTHER_HOST))
        self.assertTrue(connection.out(SYN, remote=OTHER_HOST))

    def test_a_nat_that_picks_up_takes_all_but_a_reset(self) -> None:
        behaviour = evolve(PORT_RESTRICTED, tcp=TCPBehaviour(picks_up=True))
        connection = Connection(behaviour)
        self.assertFalse(connection.out(RST | ACK))
        self.assertFalse(connection.nat.begins(None))
        self.assertTrue(connection.out(ACK))
        self.assertTrue(connection.back(ACK, HOUR))

    def test_a_packet_without_flags_is_like_any_other_one(self) -> None:
        connection = Connection().open()
        self.assertEqual(connection.nat.inbound(REMOTE, connection.port, 0.0), INSIDE)
        self.assertIsNotNone(connection.nat.outbound(INSIDE, REMOTE, 0.0))

    def test_simultaneous_open(self) -> None:
        """REQ-2a."""
        connection = Connection()
        self.assertFalse(connection.back(SYN))
        self.assertTrue(connection.out(SYN))
        self.assertTrue(connection.back(SYN))
        self.assertTrue(connection.out(SYN | ACK))
        self.assertTrue(connection.back(ACK, HOUR))

    def test_some_nats_do_not_know_it(self) -> None:
        connection = Connection(evolve(FULL_CONE, tcp=TCPBehaviour(simultaneous_open=False)))
        self.assertTrue(connection.out(SYN))
        self.assertFalse(connection.back(SYN))
        self.assertTrue(connection.back(SYN | ACK))
        self.assertTrue(connection.back(SYN, remote=OTHER_HOST))


class RuleTests(SynchronousTestCase):
    """REQ-1 and REQ-3: mapping and filtering, in the words of RFC 4787."""

    def test_filtering(self) -> None:
        for filtering, expected in [
            (Dependence.ENDPOINT_INDEPENDENT, [True, True]),
            (Dependence.ADDRESS_DEPENDENT, [True, False]),
            (Dependence.ADDRESS_AND_PORT_DEPENDENT, [False, False]),
        ]:
            connection = Connection(NATBehaviour(filtering=filtering)).open()
            let_in = [connection.back(SYN, remote=each) for each in (SAME_HOST, OTHER_HOST)]
            self.assertEqual(let_in, expected)

    def test_the_rules_can_differ_from_those_of_udp(self) -> None:
        tcp = TCPBehaviour(
            mapping=Dependence.ADDRESS_DEPENDENT,
            filtering=Dependence.ENDPOINT_INDEPENDENT,
            unsolicited=Unsolicited.RESET,
        )
        behaviour = evolve(PORT_RESTRICTED, tcp=tcp)
        rules = NATTable(behaviour, PUBLIC, Random(1), protocol="tcp").behaviour
        self.assertEqual(rules.mapping, Dependence.ADDRESS_DEPENDENT)
        self.assertEqual(rules.filtering, Dependence.ENDPOINT_INDEPENDENT)
        self.assertEqual(rules.unsolicited, Unsolicited.RESET)
        self.assertEqual(NATTable(behaviour, PUBLIC, Random(1)).behaviour, behaviour)

    def test_a_symmetric_nat_maps_each_destination(self) -> None:
        nat = Connection(RANDOM_SYMMETRIC).nat
        self.assertNotEqual(
            nat.outbound(INSIDE, REMOTE, 0.0, SYN), nat.outbound(INSIDE, OTHER_HOST, 0.0, SYN)
        )

    def test_what_comes_in_must_begin_with_a_syn(self) -> None:
        connection = Connection(FULL_CONE).open()
        self.assertFalse(connection.back(ACK, remote=OTHER_HOST))
        self.assertFalse(connection.back(SYN | ACK, remote=OTHER_HOST))
        self.assertTrue(connection.back(SYN, remote=OTHER_HOST))
        self.assertTrue(connection.out(SYN | ACK, remote=OTHER_HOST))
        self.assertTrue(connection.back(ACK, HOUR, remote=OTHER_HOST))

    def test_an_early_syn_takes_the_port(self) -> None:
        connection = Connection(PORT_TAKING)
        self.assertFalse(connection.back(SYN))
        self.assertTrue(connection.out(SYN))
        self.assertNotEqual(connection.port, INSIDE.port)


class TimeoutTests(SynchronousTestCase):
    """REQ-5."""

    def test_an_open_connection_lasts_for_two_hours_and_four_minutes(self) -> None:
        self.assertTrue(Connection().open().back(ACK, 7_439.0))
        self.assertFalse(Connection().open().back(ACK, 7_440.0))

    def test_packets_of_both_directions_keep_it(self) -> None:
        connection = Connection().open()
        self.assertTrue(connection.back(ACK, 2 * HOUR))
        self.assertTrue(connection.out(ACK, 4 * HOUR))
        self.assertTrue(connection.back(ACK, 6 * HOUR))

    def test_one_that_is_being_opened_lasts_for_four_minutes(self) -> None:
        for before, after in [(239.0, True), (240.0, False)]:
            connection = Connection()
            connection.out(SYN)
            self.assertEqual(connection.back(SYN | ACK, before), after)

    def test_so_does_one_from_outside(self) -> None:
        for now, expected in [(239.0, True), (240.0, False)]:
            connection = Connection(FULL_CONE).open()
            connection.back(SYN, remote=OTHER_HOST)
            self.assertEqual(connection.out(SYN | ACK, now, remote=OTHER_HOST), expected)

    def test_a_syn_that_is_sent_again_opens_nothing(self) -> None:
        connection = Connection()
        connection.out(SYN)
        connection.out(SYN, 3.0)
        self.assertTrue(connection.nat.expects(REMOTE, HostPort(PUBLIC, 5_000), 242.0, SYN))
        self.assertFalse(connection.nat.expects(REMOTE, HostPort(PUBLIC, 5_000), 243.0, SYN))

    def test_a_mapping_lasts_as_long_as_its_longest_connection(self) -> None:
        connection = Connection().open()
        connection.out(SYN, 10.0, remote=OTHER_HOST)
        self.assertFalse(connection.back(SYN | ACK, 251.0, remote=OTHER_HOST))
        self.assertTrue(connection.back(ACK, 251.0))

    def test_an_absolute_lifetime_cuts_it_short(self) -> None:
        connection = Connection(evolve(PORT_RESTRICTED, lifetime=600.0)).open()
        self.assertTrue(connection.back(ACK, 599.0))
        self.assertFalse(connection.back(ACK, 600.0))

    def test_connections_do_not_pile_up(self) -> None:
        connection = Connection(FULL_CONE)
        for n in range(20_000):
            connection.out(SYN, n * 10.0, remote=HostPort(f"11.1.{n // 250}.{n % 250}", 9))
        (mapping,) = connection.nat._by_key.values()
        self.assertLess(len(mapping._sessions), 140)  # type: ignore[attr-defined]


class ClosingTests(SynchronousTestCase):
    """RFC 7857, sections 2.1 and 2.2."""

    def closed(self, behaviour: NATBehaviour = PORT_RESTRICTED) -> Connection:
        connection = Connection(behaviour).open()
        assert connection.out(FIN | ACK, 1.0)
        assert connection.back(FIN | ACK, 2.0)
        return connection

    def test_after_both_fins_it_lasts_for_four_minutes(self) -> None:
        self.assertTrue(self.closed().out(ACK, 241.0))
        self.assertFalse(self.closed().out(ACK, 242.0))

    def test_nothing_prolongs_that(self) -> None:
        connection = self.closed()
        self.assertTrue(connection.out(ACK, 200.0))
        self.assertTrue(connection.out(RST, 2.0))
        self.assertFalse(connection.back(ACK, 242.0))

    def test_the_other_way_round_as_well(self) -> None:
        connection = Connection().open()
        self.assertTrue(connection.back(FIN | ACK, 1.0))
        self.assertTrue(connection.back(FIN | ACK, 1.5))
        self.assertTrue(connection.out(ACK, HOUR))
        self.assertTrue(connection.out(FIN | ACK, HOUR))
        self.assertFalse(connection.back(ACK, HOUR + 240.0))

    def test_one_that_is_half_closed_lasts_like_an_open_one(self) -> None:
        connection = Connection().open()
        connection.out(FIN | ACK, 1.0)
        self.assertTrue(connection.back(ACK, 2 * HOUR))

    def test_a_reset_ends_it(self) -> None:
        connection = Connection().open()
        self.assertTrue(connection.back(RST, 1.0))
        self.assertFalse(connection.out(ACK, 241.0))

    def test_a_packet_after_a_reset_takes_it_back(self) -> None:
        connection = Connection().open()
        connection.back(RST, 1.0)
        self.assertTrue(connection.out(ACK, 2.0))
        self.assertTrue(connection.back(ACK, HOUR))

    def test_a_fin_after_a_reset_is_half_an_end(self) -> None:
        connection = Connection().open()
        connection.back(RST, 1.0)
        self.assertTrue(connection.out(FIN | ACK, 2.0))
        self.assertTrue(connection.back(ACK, HOUR))

    def test_the_same_endpoints_can_begin_again(self) -> None:
        connection = self.closed()
        self.assertTrue(connection.out(SYN, 3.0))
        self.assertTrue(connection.back(SYN | ACK, 3.0))
        self.assertTrue(connection.back(ACK, HOUR))

    def test_the_closing_time_can_be_shorter(self) -> None:
        connection = self.closed(evolve(PORT_RESTRICTED, tcp=TCPBehaviour(closing_timeout=10.0)))
        self.assertTrue(connection.out(ACK, 11.0))
        self.assertFalse(connection.out(ACK, 12.0))

    def test_a_closed_connection_holds_no_mapping(self) -> None:
        connection = self.closed(ADDRESS_RESTRICTED)
        self.assertTrue(connection.back(SYN, 241.0, remote=SAME_HOST))
        self.assertFalse(self.closed(ADDRESS_RESTRICTED).back(SYN, 242.0, remote=SAME_HOST))

    def test_a_connection_through_a_static_mapping_leaves_it_open(self) -> None:
        connection = Connection()
        connection.nat.add_static(INSIDE, 80, 0.0)
        connection.port = 80
        self.assertTrue(connection.back(SYN))
        self.assertTrue(connection.out(RST | ACK))
        self.assertTrue(connection.back(SYN, HOUR))
