"""A NAT does what RFC 4787's words for it say."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import (
    FULL_CONE,
    PORT_RESTRICTED,
    PORT_TAKING,
    RANDOM_SYMMETRIC,
    Dependence,
    NATBehaviour,
    NATTable,
    PortAllocation,
    Unsolicited,
)

PUBLIC = "11.0.1.1"
INSIDE = HostPort("192.168.1.2", 5_000)
NEIGHBOUR = HostPort("192.168.1.3", 5_000)
REMOTE = HostPort("11.0.0.1", 3_478)
SAME_HOST = HostPort("11.0.0.1", 3_479)
OTHER_HOST = HostPort("11.0.0.2", 3_478)


def table(behaviour: NATBehaviour = PORT_RESTRICTED, seed: int = 1) -> NATTable:
    return NATTable(behaviour, PUBLIC, Random(seed))


class MappingTests(SynchronousTestCase):
    """Section 4.1: when a new destination makes a new mapping."""

    def mapped_alike(self, mapping: Dependence) -> list[bool]:
        nat = table(NATBehaviour(mapping=mapping))
        first = nat.outbound(INSIDE, REMOTE, 0.0)
        return [nat.outbound(INSIDE, other, 0.0) == first for other in (SAME_HOST, OTHER_HOST)]

    def test_endpoint_independent(self) -> None:
        self.assertEqual(self.mapped_alike(Dependence.ENDPOINT_INDEPENDENT), [True, True])

    def test_address_dependent(self) -> None:
        self.assertEqual(self.mapped_alike(Dependence.ADDRESS_DEPENDENT), [True, False])

    def test_address_and_port_dependent(self) -> None:
        self.assertEqual(self.mapped_alike(Dependence.ADDRESS_AND_PORT_DEPENDENT), [False, False])

    def test_one_destination_keeps_its_mapping(self) -> None:
        nat = table(RANDOM_SYMMETRIC)
        first = nat.outbound(INSIDE, REMOTE, 0.0)
        nat.outbound(INSIDE, OTHER_HOST, 1.0)
        self.assertEqual(nat.outbound(INSIDE, REMOTE, 2.0), first)

    def test_the_public_address_is_the_nats(self) -> None:
        public = table().outbound(INSIDE, REMOTE, 0.0)
        assert public is not None
        self.assertEqual(public.host, PUBLIC)


class FilteringTests(SynchronousTestCase):
    """Section 5: who may send to a mapping."""

    def let_in(self, filtering: Dependence) -> list[bool]:
        nat = table(NATBehaviour(filtering=filtering))
        public = nat.outbound(INSIDE, REMOTE, 0.0)
        assert public is not None
        return [
            nat.inbound(sender, public.port, 1.0) == INSIDE
            for sender in (REMOTE, SAME_HOST, OTHER_HOST)
        ]

    def test_endpoint_independent(self) -> None:
        self.assertEqual(self.let_in(Dependence.ENDPOINT_INDEPENDENT), [True, True, True])

    def test_address_dependent(self) -> None:
        self.assertEqual(self.let_in(Dependence.ADDRESS_DEPENDENT), [True, True, False])

    def test_address_and_port_dependent(self) -> None:
        self.assertEqual(self.let_in(Dependence.ADDRESS_AND_PORT_DEPENDENT), [True, False, False])

    def test_writing_to_a_remote_endpoint_lets_it_in(self) -> None:
        nat = table()
        nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 1.0))
        nat.outbound(INSIDE, OTHER_HOST, 2.0)
        self.assertEqual(nat.inbound(OTHER_HOST, INSIDE.port, 3.0), INSIDE)

    def test_nobody_gets_in_where_nothing_is_mapped(self) -> None:
        self.assertIsNone(table(FULL_CONE).inbound(REMOTE, INSIDE.port, 0.0))

    def test_each_dependent_mapping_has_a_filter_of_its_own(self) -> None:
        nat = table(RANDOM_SYMMETRIC)
        first = nat.outbound(INSIDE, REMOTE, 0.0)
        second = nat.outbound(INSIDE, OTHER_HOST, 0.0)
        assert first is not None
        assert second is not None
        self.assertEqual(nat.inbound(OTHER_HOST, second.port, 1.0), INSIDE)
        self.assertIsNone(nat.inbound(OTHER_HOST, first.port, 1.0))


class PortAllocationTests(SynchronousTestCase):
    """Section 4.2: which public port a mapping gets."""

    def ports(self, allocation: PortAllocation, count: int, seed: int = 1) -> list[int]:
        nat = table(NATBehaviour(allocation=allocation), seed)
        mapped = [
            nat.outbound(HostPort("192.168.1.2", 2_000 + 7 * n), REMOTE, 0.0) for n in range(count)
        ]
        return [public.port for public in mapped if public is not None]

    def test_preserving_keeps_the_internal_port(self) -> None:
        self.assertEqual(self.ports(PortAllocation.PRESERVING, 3), [2_000, 2_007, 2_014])

    def test_preserving_picks_another_port_when_that_is_taken(self) -> None:
        nat = table()
        first = nat.outbound(INSIDE, REMOTE, 0.0)
        second = nat.outbound(NEIGHBOUR, REMOTE, 0.0)
        assert first is not None
        assert second is not None
        self.assertEqual(first.port, 5_000)
        self.assertNotEqual(second.port, 5_000)
        self.assertEqual(nat.inbound(REMOTE, second.port, 1.0), NEIGHBOUR)

    def test_sequential_counts_upwards(self) -> None:
        ports = self.ports(PortAllocation.SEQUENTIAL, 4)
        self.assertEqual(ports, list(range(ports[0], ports[0] + 4)))
        self.assertNotEqual(ports[0], 2_000)

    def test_sequential_begins_again_after_the_last_port(self) -> None:
        ports = range(64_000, 65_536)
        nat = table(NATBehaviour(allocation=PortAllocation.SEQUENTIAL, port_set=ports))
        before = None
        for port in ports:
            public = nat.outbound(HostPort("192.168.1.2", port), REMOTE, 0.0)
            assert public is not None
            if before == 65_535:
                break
            before = public.port
        self.assertEqual(public.port, 64_000)

    def test_random_has_no_order(self) -> None:
        ports = self.ports(PortAllocation.RANDOM, 100)
        self.assertEqual(len(set(ports)), 100)
        self.assertGreater(max(ports) - min(ports), 30_000)
        self.assertFalse({1, -1} & {b - a for a, b in pairwise(ports)})

    def test_random_ports_repeat_from_the_seed(self) -> None:
        self.assertEqual(
            self.ports(PortAllocation.RANDOM, 9, seed=3),
            self.ports(PortAllocation.RANDOM, 9, seed=3),
        )

    def test_when_all_ports_are_lent_there_is_no_mapping(self) -> None:
        nat = table(NATBehaviour(port_set=range(1_024, 2_048)))
        for port in range(1_024, 2_048):
            self.assertIsNotNone(nat.outbound(HostPort("192.168.1.2", port), REMOTE, 0.0))
        self.assertIsNone(nat.outbound(NEIGHBOUR, REMOTE, 0.0))


class TimeoutTests(SynchronousTestCase):
    """Section 4.3: how long a mapping lasts."""

    def test_an_idle_mapping_is_forgotten(self) -> None:
        nat = table(evolve(FULL_CONE, timeout=30.0))
        nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertEqual(nat.inbound(REMOTE, INSIDE.port, 29.0), INSIDE)
        self.assertIsNone(nat.inbound(REMOTE, INSIDE.port, 30.0))

    def test_outbound_packets_keep_it(self) -> None:
        nat = table(evolve(FULL_CONE, timeout=30.0))
        for now in (0.0, 20.0, 40.0):
            nat.outbound(INSIDE, REMOTE, now)
        self.assertEqual(nat.inbound(REMOTE, INSIDE.port, 60.0), INSIDE)

    def test_inbound_packets_do_not(self) -> None:
        nat = table(evolve(FULL_CONE, timeout=30.0))
        nat.outbound(INSIDE, REMOTE, 0.0)
        nat.inbound(REMOTE, INSIDE.port, 20.0)
        self.assertIsNone(nat.inbound(REMOTE, INSIDE.port, 40.0))

    def test_the_pass_for_one_remote_is_forgotten_while_the_mapping_lives(self) -> None:
        nat = table(evolve(PORT_RESTRICTED, timeout=30.0))
        nat.outbound(INSIDE, REMOTE, 0.0)
        nat.outbound(INSIDE, OTHER_HOST, 20.0)
        self.assertIsNone(nat.inbound(REMOTE, INSIDE.port, 40.0))
        self.assertEqual(nat.inbound(OTHER_HOST, INSIDE.port, 40.0), INSIDE)

    def test_a_forgotten_mapping_gets_another_random_port(self) -> None:
        nat = table(evolve(RANDOM_SYMMETRIC, timeout=30.0))
        first = nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertNotEqual(nat.outbound(INSIDE, REMOTE, 30.0), first)

    def test_the_port_of_a_forgotten_mapping_is_free(self) -> None:
        nat = table(evolve(PORT_RESTRICTED, timeout=30.0))
        nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertEqual(nat.outbound(NEIGHBOUR, REMOTE, 30.0), HostPort(PUBLIC, 5_000))
        # The first owner's mapping is gone for good.
        self.assertNotEqual(nat.outbound(INSIDE, REMOTE, 30.0), HostPort(PUBLIC, 5_000))


class PortTakingTests(SynchronousTestCase):
    """The hostile variant: an early packet spoils the mapping towards its sender."""

    def test_a_peer_that_came_too_early_sees_another_port(self) -> None:
        nat = table(PORT_TAKING)
        nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 1.0))
        moved = nat.outbound(INSIDE, OTHER_HOST, 2.0)
        assert moved is not None
        self.assertNotEqual(moved.port, INSIDE.port)
        self.assertEqual(nat.inbound(OTHER_HOST, moved.port, 3.0), INSIDE)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 3.0))
        self.assertEqual(nat.outbound(INSIDE, OTHER_HOST, 4.0), moved)

    def test_the_early_packet_counts_even_before_there_is_a_mapping(self) -> None:
        nat = table(PORT_TAKING)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 0.0))
        moved = nat.outbound(INSIDE, OTHER_HOST, 1.0)
        assert moved is not None
        self.assertNotEqual(moved.port, INSIDE.port)

    def test_others_see_the_usual_port(self) -> None:
        nat = table(PORT_TAKING)
        nat.inbound(OTHER_HOST, INSIDE.port, 0.0)
        self.assertEqual(nat.outbound(INSIDE, REMOTE, 1.0), HostPort(PUBLIC, INSIDE.port))

    def test_the_port_is_free_again_after_the_timeout(self) -> None:
        nat = table(evolve(PORT_TAKING, timeout=30.0))
        nat.inbound(OTHER_HOST, INSIDE.port, 0.0)
        self.assertEqual(nat.outbound(INSIDE, OTHER_HOST, 30.0), HostPort(PUBLIC, INSIDE.port))

    def test_whoever_was_written_to_first_takes_nothing(self) -> None:
        nat = table(PORT_TAKING)
        public = nat.outbound(INSIDE, OTHER_HOST, 0.0)
        self.assertEqual(nat.inbound(OTHER_HOST, INSIDE.port, 1.0), INSIDE)
        self.assertEqual(nat.outbound(INSIDE, OTHER_HOST, 2.0), public)

    def test_a_nat_that_drops_is_not_impressed(self) -> None:
        nat = table(PORT_RESTRICTED)
        nat.inbound(OTHER_HOST, INSIDE.port, 0.0)
        self.assertEqual(nat.outbound(INSIDE, OTHER_HOST, 1.0), HostPort(PUBLIC, INSIDE.port))


HOSTS = st.sampled_from(["192.168.1.2", "192.168.1.3"])
PORTS = st.sampled_from([1_024, 5_000, 65_535])
INTERNALS = st.builds(HostPort, HOSTS, PORTS)
REMOTES = st.builds(HostPort, st.sampled_from(["11.0.0.1", "11.0.0.2"]), PORTS)
BEHAVIOURS = st.builds(
    NATBehaviour,
    mapping=st.sampled_from(Dependence),
    filtering=st.sampled_from(Dependence),
    allocation=st.sampled_from(PortAllocation),
    unsolicited=st.sampled_from(
        [word for word in Unsolicited if word is not Unsolicited.BLACKLISTS]
    ),
    timeout=st.just(60.0),
)
PACKETS = st.lists(st.tuples(st.booleans(), INTERNALS, REMOTES, st.floats(0, 50)), max_size=30)


class EveryNATTests(SynchronousTestCase):
    @given(BEHAVIOURS, PACKETS, st.integers())
    def test_an_answer_comes_back_to_whom_it_is_for(
        self,
        behaviour: NATBehaviour,
        packets: list[tuple[bool, HostPort, HostPort, float]],
        seed: int,
    ) -> None:
        nat = table(behaviour, seed)
        now = 0.0
        for outbound, internal, remote, pause in packets:
            now += pause
            if not outbound:
                nat.inbound(remote, internal.port, now)
                continue
            public = nat.outbound(internal, remote, now)
            assert public is not None
            self.assertEqual(nat.inbound(remote, public.port, now + 59.0), internal)

    @given(BEHAVIOURS, PACKETS, st.integers())
    def test_two_internal_endpoints_never_share_a_public_one(
        self,
        behaviour: NATBehaviour,
        packets: list[tuple[bool, HostPort, HostPort, float]],
        seed: int,
    ) -> None:
        nat = table(behaviour, seed)
        owners: dict[HostPort | None, HostPort] = {}
        for _, internal, remote, _ in packets:
            public = nat.outbound(internal, remote, 0.0)
            self.assertEqual(owners.setdefault(public, internal), internal)
