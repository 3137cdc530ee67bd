"""How long a NAT remembers, and what it forgets: RFC 4787, section 4.3; RFC 7857, section 7."""

from __future__ import annotations

from random import Random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import (
    BLACKLISTING,
    FULL_CONE,
    PORT_RESTRICTED,
    PORT_TAKING,
    RANDOM_SYMMETRIC,
    NATBehaviour,
    NATTable,
    PortTaken,
    StaticMapping,
)
from twisted_p2p.testing.nat.memory import ExpiringSet, PrunedDict

PUBLIC = "11.0.1.1"
INSIDE = HostPort("192.168.1.2", 5_000)
NEIGHBOUR = HostPort("192.168.1.3", 5_000)
REMOTE = HostPort("11.0.0.1", 3_478)
SAME_HOST = HostPort("11.0.0.1", 3_479)
OTHER_HOST = HostPort("11.0.0.2", 3_478)


def table(behaviour: NATBehaviour = PORT_RESTRICTED, seed: int = 1) -> NATTable:
    return NATTable(behaviour, PUBLIC, Random(seed))


class InboundRefreshTests(SynchronousTestCase):
    """REQ-6: inbound packets may keep a mapping."""

    def test_they_do_if_told(self) -> None:
        nat = table(evolve(PORT_RESTRICTED, inbound_refresh=True, timeout=30.0))
        nat.outbound(INSIDE, REMOTE, 0.0)
        for now in (20.0, 40.0, 60.0):
            self.assertEqual(nat.inbound(REMOTE, INSIDE.port, now), INSIDE)
        self.assertIsNone(nat.inbound(REMOTE, INSIDE.port, 90.0))

    def test_filtered_ones_do_not(self) -> None:
        nat = table(evolve(PORT_RESTRICTED, inbound_refresh=True, timeout=30.0))
        nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 20.0))
        self.assertIsNone(nat.inbound(REMOTE, INSIDE.port, 30.0))


class AbsoluteLifetimeTests(SynchronousTestCase):
    """Some carriers end a mapping in the middle of its use."""

    def test_nothing_keeps_it_longer(self) -> None:
        nat = table(evolve(RANDOM_SYMMETRIC, lifetime=60.0, inbound_refresh=True))
        first = nat.outbound(INSIDE, REMOTE, 0.0)
        assert first is not None
        for now in (20.0, 40.0, 59.0):
            self.assertEqual(nat.outbound(INSIDE, REMOTE, now), first)
        self.assertEqual(nat.inbound(REMOTE, first.port, 59.9), INSIDE)
        self.assertIsNone(nat.inbound(REMOTE, first.port, 60.0))
        self.assertNotEqual(nat.outbound(INSIDE, REMOTE, 60.0), first)


class BlacklistTests(SynchronousTestCase):
    """A peer that is too early stays outside for a while."""

    def test_an_unsolicited_packet_shuts_its_sender_out(self) -> None:
        nat = table(BLACKLISTING)
        nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 1.0))
        nat.outbound(INSIDE, OTHER_HOST, 2.0)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 3.0))
        nat.outbound(INSIDE, OTHER_HOST, 60.0)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 60.9))
        self.assertEqual(nat.inbound(OTHER_HOST, INSIDE.port, 61.0), INSIDE)

    def test_a_mapping_with_an_end_shuts_out_after_it(self) -> None:
        nat = table(BLACKLISTING)
        nat.outbound(INSIDE, REMOTE, 0.0)
        nat.inbound(REMOTE, INSIDE.port, 120.0)
        nat.outbound(INSIDE, REMOTE, 121.0)
        self.assertIsNone(nat.inbound(SAME_HOST, INSIDE.port, 122.0))
        self.assertIsNone(nat.inbound(REMOTE, INSIDE.port, 181.0))
        nat.outbound(INSIDE, REMOTE, 182.0)
        self.assertEqual(nat.inbound(REMOTE, INSIDE.port, 182.0), INSIDE)

    def test_the_whole_address_is_shut_out_and_no_other(self) -> None:
        nat = table(BLACKLISTING)
        nat.outbound(INSIDE, REMOTE, 0.0)
        nat.outbound(INSIDE, OTHER_HOST, 0.0)
        self.assertIsNone(nat.inbound(SAME_HOST, INSIDE.port, 1.0))
        self.assertIsNone(nat.inbound(REMOTE, INSIDE.port, 2.0))
        self.assertEqual(nat.inbound(OTHER_HOST, INSIDE.port, 2.0), INSIDE)

    def test_another_unsolicited_packet_begins_it_anew(self) -> None:
        nat = table(BLACKLISTING)
        nat.inbound(OTHER_HOST, INSIDE.port, 0.0)
        nat.inbound(OTHER_HOST, INSIDE.port, 50.0)
        nat.outbound(INSIDE, OTHER_HOST, 100.0)
        self.assertIsNone(nat.inbound(OTHER_HOST, INSIDE.port, 100.0))
        self.assertEqual(nat.inbound(OTHER_HOST, INSIDE.port, 110.0), INSIDE)

    def test_whoever_was_written_to_first_is_welcome(self) -> None:
        nat = table(BLACKLISTING)
        nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertEqual(nat.inbound(REMOTE, INSIDE.port, 1.0), INSIDE)


class StaticMappingTests(SynchronousTestCase):
    """What UPnP, NAT-PMP and PCP ask for."""

    def test_anyone_comes_in(self) -> None:
        nat = table()
        self.assertEqual(nat.add_static(INSIDE, 80, 0.0), HostPort(PUBLIC, 80))
        for remote in (REMOTE, OTHER_HOST):
            self.assertEqual(nat.inbound(remote, 80, 1e9), INSIDE)
            self.assertTrue(nat.expects(remote, HostPort(PUBLIC, 80), 1e9))

    def test_answers_leave_from_there(self) -> None:
        nat = table(RANDOM_SYMMETRIC)
        nat.add_static(INSIDE, 80, 0.0)
        for remote in (REMOTE, OTHER_HOST):
            self.assertEqual(nat.outbound(INSIDE, remote, 1.0), HostPort(PUBLIC, 80))
        other = nat.outbound(NEIGHBOUR, REMOTE, 1.0)
        assert other is not None
        self.assertNotEqual(other.port, 80)

    def test_it_ends_at_its_moment(self) -> None:
        nat = table()
        nat.add_static(INSIDE, 80, 0.0, expires_at=100.0)
        nat.outbound(INSIDE, REMOTE, 99.0)
        self.assertEqual(nat.inbound(REMOTE, 80, 99.0), INSIDE)
        self.assertIsNone(nat.inbound(REMOTE, 80, 100.0))
        self.assertEqual(nat.outbound(INSIDE, REMOTE, 100.0), HostPort(PUBLIC, 5_000))
        self.assertEqual(list(nat.static_mappings(100.0)), [])

    def test_asked_for_again_it_has_another_end(self) -> None:
        nat = table()
        nat.add_static(INSIDE, 80, 0.0, expires_at=100.0)
        nat.add_static(INSIDE, 80, 50.0, expires_at=200.0)
        self.assertEqual(
            list(nat.static_mappings(150.0)),
            [StaticMapping("udp", INSIDE, HostPort(PUBLIC, 80), 200.0)],
        )

    def test_the_port_of_somebody_else_is_not_given(self) -> None:
        nat = table()
        nat.add_static(INSIDE, 80, 0.0)
        nat.outbound(NEIGHBOUR, REMOTE, 0.0)
        for internal, port in [(NEIGHBOUR, 80), (INSIDE, 5_000)]:
            with self.assertRaises(PortTaken):
                nat.add_static(internal, port, 1.0)
        self.assertEqual(nat.add_static(INSIDE, 5_000, 120.0), HostPort(PUBLIC, 5_000))

    def test_one_that_is_in_use_becomes_static(self) -> None:
        nat = table()
        nat.outbound(INSIDE, REMOTE, 0.0)
        self.assertEqual(nat.add_static(INSIDE, 5_000, 1.0), HostPort(PUBLIC, 5_000))
        self.assertEqual(nat.inbound(OTHER_HOST, 5_000, 1_000.0), INSIDE)

    def test_any_port_is_found(self) -> None:
        nat = table(NATBehaviour(port_set=(6_000,)))
        self.assertEqual(nat.add_static(INSIDE, 0, 0.0), HostPort(PUBLIC, 6_000))
        with self.assertRaises(PortTaken):
            nat.add_static(NEIGHBOUR, 0, 0.0)

    def test_it_can_be_taken_back_once(self) -> None:
        nat = table()
        nat.outbound(NEIGHBOUR, REMOTE, 0.0)
        nat.add_static(INSIDE, 80, 0.0)
        self.assertTrue(nat.remove_static(80))
        self.assertFalse(nat.remove_static(80))
        self.assertFalse(nat.remove_static(5_000))
        self.assertIsNone(nat.inbound(REMOTE, 80, 1.0))

    def test_one_endpoint_may_have_several_ports(self) -> None:
        nat = table()
        nat.add_static(INSIDE, 81, 0.0)
        nat.add_static(INSIDE, 80, 0.0)
        self.assertEqual([each.public.port for each in nat.static_mappings(0.0)], [80, 81])
        self.assertEqual(nat.outbound(INSIDE, REMOTE, 0.0), HostPort(PUBLIC, 80))
        self.assertTrue(nat.remove_static(81))
        self.assertEqual(nat.outbound(INSIDE, REMOTE, 0.0), HostPort(PUBLIC, 80))

    def test_each_public_address_has_its_own(self) -> None:
        nat = NATTable(PORT_RESTRICTED, PUBLIC, Random(1), more_addresses=["11.0.1.2"])
        nat.add_static(INSIDE, 80, 0.0, address="11.0.1.2")
        self.assertIsNone(nat.inbound(REMOTE, 80, 0.0))
        self.assertEqual(nat.inbound(REMOTE, 80, 0.0, address="11.0.1.2"), INSIDE)
        self.assertTrue(nat.remove_static(80, address="11.0.1.2"))


class RebindingTests(SynchronousTestCase):
    def test_the_next_packet_leaves_from_another_port(self) -> None:
        for behaviour in (PORT_RESTRICTED, RANDOM_SYMMETRIC):
            nat = table(behaviour)
            before = nat.outbound(INSIDE, REMOTE, 0.0)
            assert before is not None
            nat.rebind()
            self.assertIsNone(nat.inbound(REMOTE, before.port, 0.0))
            self.assertNotEqual(nat.outbound(INSIDE, REMOTE, 0.0), before)

    def test_static_mappings_stay(self) -> None:
        nat = table()
        nat.add_static(INSIDE, 80, 0.0)
        nat.rebind()
        self.assertEqual(nat.inbound(REMOTE, 80, 0.0), INSIDE)

    def test_a_restart_forgets_everything(self) -> None:
        for behaviour in (PORT_TAKING, BLACKLISTING):
            nat = table(behaviour)
            nat.add_static(NEIGHBOUR, 80, 0.0)
            nat.inbound(OTHER_HOST, INSIDE.port, 0.0)
            nat.outbound(INSIDE, REMOTE, 0.0)
            nat.restart()
            self.assertIsNone(nat.inbound(REMOTE, 80, 0.0))
            self.assertIsNone(nat.inbound(SAME_HOST, INSIDE.port, 0.0))
            self.assertEqual(nat.outbound(INSIDE, OTHER_HOST, 0.0), HostPort(PUBLIC, 5_000))
            self.assertEqual(nat.inbound(OTHER_HOST, INSIDE.port, 0.0), INSIDE)

    def test_a_restart_may_change_the_address(self) -> None:
        nat = NATTable(PORT_RESTRICTED, PUBLIC, Random(1), more_addresses=["11.0.1.2"])
        nat.restart("11.0.9.9")
        self.assertEqual(nat.addresses, ("11.0.9.9", "11.0.1.2"))
        self.assertFalse(nat.expects(REMOTE, HostPort(PUBLIC, 80), 0.0))


class ForgettingTests(SynchronousTestCase):
    """A day of many peers leaves nothing behind."""

    def test_expired_mappings_do_not_pile_up(self) -> None:
        nat = table(RANDOM_SYMMETRIC)
        for n in range(20_000):
            nat.outbound(INSIDE, HostPort(f"11.1.{n // 250}.{n % 250}", 9), n * 4.0)
        self.assertLess(len(nat._by_key), 140)
        self.assertEqual(len(nat._by_key), len(nat._first_pool.lent))
        self.assertEqual(len(nat._by_key), len(nat._by_host[INSIDE.host]))

    def test_expired_passes_do_not_pile_up(self) -> None:
        nat = table(PORT_RESTRICTED)
        for n in range(20_000):
            nat.outbound(INSIDE, HostPort(f"11.1.{n // 250}.{n % 250}", 9), n * 4.0)
        (mapping,) = nat._by_key.values()
        self.assertLess(len(mapping._passes), 140)  # type: ignore[attr-defined]

    def test_unsolicited_senders_do_not_pile_up(self) -> None:
        for behaviour in (PORT_TAKING, BLACKLISTING):
            nat = table(behaviour)
            for n in range(20_000):
                nat.inbound(HostPort(f"11.1.{n // 250}.{n % 250}", 9), 5_000, n * 4.0)
            self.assertLessEqual(len(nat._taken) + len(nat._shut_out), 31)

    def test_hosts_without_mappings_do_not_pile_up(self) -> None:
        nat = table(FULL_CONE)
        for n in range(20_000):
            nat.outbound(HostPort(f"10.1.{n // 250}.{n % 250}", 9), REMOTE, n * 4.0)
        self.assertLess(len(nat._by_host), 140)


class MemoryTests(SynchronousTestCase):
    def test_a_key_is_there_for_its_time(self) -> None:
        keys: ExpiringSet[str] = ExpiringSet(10.0)
        keys.add("a", 0.0)
        self.assertTrue(keys.has("a", 9.9))
        self.assertFalse(keys.has("a", 10.0))
        self.assertFalse(keys.has("b", 0.0))

    def test_a_key_that_is_added_again_stays_longer(self) -> None:
        keys: ExpiringSet[str] = ExpiringSet(10.0)
        for key, now in [("a", 0.0), ("b", 1.0), ("a", 5.0), ("c", 12.0)]:
            keys.add(key, now)
        self.assertTrue(keys.has("a", 14.9))
        self.assertEqual(len(keys), 2)

    def test_pruning_returns_what_was_dead(self) -> None:
        numbers: PrunedDict[int, int] = PrunedDict()
        numbers.update({n: n for n in range(100)})
        self.assertEqual(numbers.prune(lambda n: n >= 90), list(range(90, 100)))
        self.assertEqual(numbers.many, 180)
