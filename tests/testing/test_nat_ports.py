"""Public ports, addresses and their limits: RFC 4787, sections 4.1 and 4.2; RFC 6888, REQ-4."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import (
    CARRIER_GRADE,
    FULL_CONE,
    PORT_RESTRICTED,
    RANDOM_SYMMETRIC,
    SEQUENTIAL_SYMMETRIC,
    Dependence,
    NATBehaviour,
    NATTable,
    Pooling,
    PortAllocation,
)
from twisted_p2p.testing.nat.ports import PortPool

PUBLIC, SECOND, THIRD = "11.0.1.1", "11.0.1.2", "11.0.1.3"
INSIDE = HostPort("192.168.1.2", 5_000)
NEIGHBOUR = HostPort("192.168.1.3", 5_000)
REMOTE = HostPort("11.0.0.1", 3_478)
SEQUENTIAL = NATBehaviour(allocation=PortAllocation.SEQUENTIAL)
RANDOM = NATBehaviour(allocation=PortAllocation.RANDOM)


def table(behaviour: NATBehaviour, *more_addresses: str, seed: int = 1) -> NATTable:
    return NATTable(behaviour, PUBLIC, Random(seed), more_addresses=more_addresses)


def ports(nat: NATTable, count: int, *, now: float = 0.0, first: int = 2_000) -> list[int]:
    """The public ports of as many new internal ones."""
    mapped = [
        nat.outbound(HostPort("192.168.1.2", first + n), REMOTE, now + n / 1_000)
        for n in range(count)
    ]
    return [public.port for public in mapped if public is not None]


class PortStepTests(SynchronousTestCase):
    """Sequential allocation, the predictable one of section 4.2.1."""

    def test_the_next_port_is_a_step_away(self) -> None:
        for step in (2, -1, -3):
            lent = ports(table(evolve(SEQUENTIAL, port_step=step), seed=3), 5)
            self.assertEqual({after - before for before, after in pairwise(lent)}, {step})

    def test_a_symmetric_nat_takes_a_step_for_each_destination(self) -> None:
        nat = table(SEQUENTIAL_SYMMETRIC)
        lent = [nat.outbound(INSIDE, HostPort("11.0.0.1", port), 0.0) for port in (1, 2, 3)]
        first = lent[0]
        assert first is not None
        self.assertEqual(lent, [HostPort(PUBLIC, first.port + n) for n in range(3)])

    def test_steps_that_come_round_early_leave_no_port_out(self) -> None:
        behaviour = evolve(SEQUENTIAL, port_step=2, port_set=range(6_000, 6_010))
        lent = ports(table(behaviour), 11)
        self.assertEqual(sorted(lent), list(range(6_000, 6_010)))


class PortSetTests(SynchronousTestCase):
    def test_only_ports_of_the_set_are_lent(self) -> None:
        for allocation in PortAllocation:
            behaviour = NATBehaviour(allocation=allocation, port_set=(7_000, 7_001, 9_000))
            lent = ports(table(behaviour), 4)
            self.assertEqual(sorted(lent), [7_000, 7_001, 9_000])

    def test_a_port_of_the_set_is_preserved(self) -> None:
        nat = table(NATBehaviour(port_set=range(5_000, 5_002)))
        self.assertEqual(nat.outbound(INSIDE, REMOTE, 0.0), HostPort(PUBLIC, 5_000))

    def test_without_a_set_a_well_known_port_is_preserved(self) -> None:
        """REQ-3a: what is below 1,024 stays there."""
        well_known = HostPort("192.168.1.2", 53)
        self.assertEqual(
            table(PORT_RESTRICTED).outbound(well_known, REMOTE, 0.0), HostPort(PUBLIC, 53)
        )


class PortParityTests(SynchronousTestCase):
    """REQ-4."""

    def test_even_stays_even_and_odd_stays_odd(self) -> None:
        for behaviour in (SEQUENTIAL, RANDOM):
            nat = table(evolve(behaviour, port_parity=True))
            lent = ports(nat, 50)
            self.assertEqual([port % 2 for port in lent], [0, 1] * 25)

    def test_otherwise_there_is_no_parity(self) -> None:
        self.assertNotEqual([port % 2 for port in ports(table(RANDOM), 50)], [0, 1] * 25)


class OtherTrafficTests(SynchronousTestCase):
    """Others behind the same NAT take ports as time goes by."""

    def test_a_sequence_goes_on_without_us(self) -> None:
        nat = table(evolve(SEQUENTIAL, other_traffic=10.0))
        (before,) = ports(nat, 1, now=100.0, first=2_000)
        (after,) = ports(nat, 1, now=110.0, first=3_000)
        self.assertTrue(60 <= (after - before) % 64_512 <= 140, after - before)

    def test_a_sequence_goes_on_through_a_long_silence(self) -> None:
        nat = table(evolve(SEQUENTIAL, other_traffic=10.0))
        (before,) = ports(nat, 1, now=0.0, first=2_000)
        (after,) = ports(nat, 1, now=3_600.0, first=3_000)
        self.assertTrue(35_000 <= (after - before) % 64_512 <= 37_000, after - before)

    def test_a_busy_nat_has_less_to_lend(self) -> None:
        # Ten a second for 20 s each: 200 at any time.
        behaviour = evolve(RANDOM, other_traffic=10.0, timeout=20.0, port_set=range(5_000, 5_300))
        lent = len(ports(table(behaviour), 300, now=50.0))
        self.assertTrue(50 <= lent <= 160, lent)

    def test_a_port_of_others_is_not_preserved(self) -> None:
        behaviour = evolve(
            PORT_RESTRICTED, other_traffic=100.0, timeout=60.0, port_set=range(5_000, 5_050)
        )
        self.assertNotIn(5_000, ports(table(behaviour), 1, first=5_000))

    def test_a_packet_to_a_port_of_others_is_not_for_us(self) -> None:
        behaviour = evolve(FULL_CONE, other_traffic=5.0, port_set=range(5_000, 5_020))
        nat = table(behaviour)
        mine = ports(nat, 20)
        arrived = [p for p in range(5_000, 5_020) if nat.inbound(REMOTE, p, 1.0) is not None]
        self.assertEqual(arrived, sorted(mine))

    def test_others_repeat_from_the_seed(self) -> None:
        behaviour = evolve(SEQUENTIAL, other_traffic=3.0)
        runs = [
            [ports(nat, 1, now=now, first=int(now) + 2_000) for now in (0.0, 5.0, 500.0)]
            for nat in (table(behaviour, seed=5), table(behaviour, seed=5))
        ]
        self.assertEqual(runs[0], runs[1])

    def test_a_long_silence_means_nothing_to_random_ports(self) -> None:
        nat = table(evolve(RANDOM, other_traffic=1.0))
        self.assertEqual(len(ports(nat, 1) + ports(nat, 1, now=9_999.0, first=3_000)), 2)

    def test_there_is_no_time_before_the_first_packet(self) -> None:
        pool = PortPool(PUBLIC, evolve(RANDOM, other_traffic=50.0, timeout=10.0), Random(1))
        self.assertIsNotNone(pool.pick(5_000, 1e9))


class PortQuotaTests(SynchronousTestCase):
    """RFC 6888, REQ-4: a carrier limits the ports of one customer."""

    def nat(self) -> NATTable:
        return table(evolve(RANDOM_SYMMETRIC, port_quota=3, timeout=30.0))

    def test_no_internal_host_has_more_than_its_quota(self) -> None:
        self.assertEqual(len(ports(self.nat(), 9)), 3)

    def test_each_internal_host_has_its_own(self) -> None:
        nat = self.nat()
        ports(nat, 3)
        self.assertIsNotNone(nat.outbound(NEIGHBOUR, REMOTE, 0.0))

    def test_what_is_mapped_goes_on(self) -> None:
        nat = self.nat()
        ports(nat, 3)
        self.assertIsNotNone(nat.outbound(HostPort("192.168.1.2", 2_000), REMOTE, 1.0))

    def test_expired_mappings_count_no_more(self) -> None:
        nat = self.nat()
        ports(nat, 3)
        self.assertIsNone(nat.outbound(INSIDE, REMOTE, 29.0))
        self.assertEqual(len(ports(nat, 3, now=31.0, first=4_000)), 3)

    def test_a_carrier_grade_nat_gives_a_thousand(self) -> None:
        self.assertEqual(len(ports(table(evolve(CARRIER_GRADE, other_traffic=0.0)), 1_002)), 1_000)


class PoolingTests(SynchronousTestCase):
    """REQ-2: several public addresses."""

    def hosts(self, pooling: Pooling, internal: str, nat: NATTable | None = None) -> set[str]:
        nat = nat or table(evolve(RANDOM, pooling=pooling), SECOND, THIRD)
        lent = [nat.outbound(HostPort(internal, port), REMOTE, 0.0) for port in range(1, 41)]
        return {public.host for public in lent if public is not None}

    def test_paired_gives_one_internal_address_one_public_address(self) -> None:
        nat = table(RANDOM, SECOND, THIRD)
        seen = [self.hosts(Pooling.PAIRED, f"192.168.1.{n}", nat) for n in range(2, 42)]
        self.assertEqual({len(hosts) for hosts in seen}, {1})
        self.assertEqual(set().union(*seen), {PUBLIC, SECOND, THIRD})

    def test_arbitrary_gives_it_all_of_them(self) -> None:
        self.assertEqual(self.hosts(Pooling.ARBITRARY, "192.168.1.2"), {PUBLIC, SECOND, THIRD})

    def test_a_pair_ends_with_its_last_mapping(self) -> None:
        nat = table(evolve(RANDOM, timeout=1.0), SECOND, THIRD)
        seen = [
            nat.outbound(HostPort(INSIDE.host, 5_000 + now), REMOTE, float(now))
            for now in range(40)
        ]
        self.assertEqual(len({public.host for public in seen if public is not None}), 3)

    def test_paired_does_not_stray_when_its_address_is_full(self) -> None:
        nat = table(NATBehaviour(port_set=(5_000,)), SECOND)
        self.assertEqual(len(ports(nat, 2)), 1)

    def test_arbitrary_uses_every_port_of_every_address(self) -> None:
        nat = table(NATBehaviour(port_set=(5_000,), pooling=Pooling.ARBITRARY), SECOND)
        lent = [nat.outbound(HostPort("192.168.1.2", n), REMOTE, 0.0) for n in (1, 2, 3)]
        self.assertEqual({*lent}, {HostPort(PUBLIC, 5_000), HostPort(SECOND, 5_000), None})

    def test_each_address_has_ports_and_mappings_of_its_own(self) -> None:
        nat = table(NATBehaviour(port_set=(5_000,), pooling=Pooling.ARBITRARY), SECOND)
        owners = {}
        for inside in (INSIDE, NEIGHBOUR):
            public = nat.outbound(inside, REMOTE, 0.0)
            assert public is not None
            owners[public] = inside
        for public, inside in owners.items():
            arrived = nat.inbound(REMOTE, public.port, 1.0, address=public.host)
            self.assertEqual(arrived, inside)
        self.assertEqual(nat.addresses, (PUBLIC, SECOND))
        self.assertEqual(nat.address, PUBLIC)
        self.assertEqual(nat.behaviour.mapping, Dependence.ENDPOINT_INDEPENDENT)
