"""Two agents find a path through every pair of NATs that allows one, and keep it."""

from __future__ import annotations

from collections import Counter
from itertools import product

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.ice.world import Link, Side, World, make_agent
from twisted_p2p.addresses import HostPort
from twisted_p2p.ice.candidate import CandidateType
from twisted_p2p.ice.events import (
    ConnectivityFailed,
    ConsentLost,
    PathAuthenticated,
    PathSelected,
)
from twisted_p2p.testing.nat import (
    FULL_CONE,
    PORT_RESTRICTED,
    RANDOM_SYMMETRIC,
    Dependence,
    NATBehaviour,
    PortAllocation,
)

BEHAVIOURS = [
    NATBehaviour(mapping=mapping, filtering=filtering, allocation=PortAllocation.RANDOM)
    for mapping, filtering in product(Dependence, Dependence)
]
INDEPENDENT = Dependence.ENDPOINT_INDEPENDENT


def two_sides(
    first: NATBehaviour | None = PORT_RESTRICTED,
    second: NATBehaviour | None = PORT_RESTRICTED,
    *,
    seed: int = 1,
    link: Link | None = None,
) -> tuple[World, Side, Side]:
    """An initiator and a responder in different networks, not yet introduced."""
    world = World(seed, link)
    initiator = world.add(
        make_agent(controlling=True, seed=seed),
        HostPort("192.168.1.2" if first else "11.0.1.1", 4000),
        behaviour=first,
        public_host="11.0.1.1",
    )
    responder = world.add(
        make_agent(controlling=False, seed=seed + 1_000),
        HostPort("192.168.2.2" if second else "11.0.2.1", 4000),
        behaviour=second,
        public_host="11.0.2.1",
    )
    return world, initiator, responder


def introduce(world: World, initiator: Side, responder: Side) -> None:
    """What a tracker does half way between them: both learn of the other in one instant."""
    world.introduce(initiator, responder)
    world.introduce(responder, initiator)


def can_meet(first: NATBehaviour, second: NATBehaviour) -> bool:
    """One maps independently, and no filter waits for a port that the other never uses."""
    if first.mapping is second.mapping is INDEPENDENT:
        return True
    for easy, hard in ((first, second), (second, first)):
        if easy.mapping is INDEPENDENT and hard.mapping is not INDEPENDENT:
            return easy.filtering is not Dependence.ADDRESS_AND_PORT_DEPENDENT
    return False


class PairsOfNATs(SynchronousTestCase):
    def assert_selected(self, initiator: Side, responder: Side) -> None:
        for side, other in ((initiator, responder), (responder, initiator)):
            path = side.agent.selected_path
            assert path is not None, f"nothing selected, {side.agent.dropped}"
            assert other.nat is not None
            self.assertEqual(path.remote.host, other.nat.address)
            self.assertTrue(side.agent.is_authenticated(path))
            self.assertEqual(side.told(PathSelected)[-1].path, path)

    def test_every_pair_that_can_meet_does(self) -> None:
        met = 0
        for first, second in product(BEHAVIOURS, BEHAVIOURS):
            if not can_meet(first, second):
                continue
            world, initiator, responder = two_sides(first, second)
            introduce(world, initiator, responder)
            world.run(1.0)
            self.assert_selected(initiator, responder)
            met += 1
        self.assertEqual(met, 9 + 2 * 2 * 6)

    def test_every_other_pair_meets_as_well_or_says_so_after_few_probes(self) -> None:
        failed = 0
        for first, second in product(BEHAVIOURS, BEHAVIOURS):
            if can_meet(first, second):
                continue
            world, initiator, responder = two_sides(first, second)
            introduce(world, initiator, responder)
            world.run(30.0)
            if initiator.agent.selected_path:  # by addresses that both learned from one another
                self.assert_selected(initiator, responder)
            else:
                self.assert_failed(initiator)
                self.assert_failed(responder)
                failed += 1
        self.assertEqual(failed, 36)

    def assert_failed(self, side: Side) -> None:
        (event,) = side.told(ConnectivityFailed)
        self.assertIsNone(side.agent.get_timer())
        answered = {check.path.remote for check in event.checks if check.is_authenticated}
        sent = Counter(packet.remote for packet in side.sent)
        for remote in sent.keys() - answered:
            self.assertEqual(sent[remote], 10)
        self.assertLessEqual(len(side.sent), 30)
        self.assertLess(side.sent[-1].time, 15.0)

    def test_failure_tells_what_was_tried(self) -> None:
        world, initiator, responder = two_sides(RANDOM_SYMMETRIC, RANDOM_SYMMETRIC)
        introduce(world, initiator, responder)
        world.run(60.0)
        (check,) = initiator.told(ConnectivityFailed)[0].checks
        self.assertEqual(check.path.remote.host, "11.0.2.1")
        self.assertEqual(check.candidate_type, CandidateType.SERVER_REFLEXIVE)
        self.assertEqual(check.state.name, "FAILED")
        self.assertEqual(check.probes, 10)
        self.assertFalse(check.is_authenticated)


class NATsThatLeadOneAnotherOn(SynchronousTestCase):
    """Both map by port and let in anyone: each check has a port of its own to be checked."""

    def test_they_keep_a_path_and_soon_follow_each_other_no_more(self) -> None:
        behaviour = evolve(RANDOM_SYMMETRIC, filtering=Dependence.ENDPOINT_INDEPENDENT)
        world, initiator, responder = two_sides(behaviour, behaviour)
        introduce(world, initiator, responder)
        world.run(60.0)
        for side in (initiator, responder):
            self.assertIsNotNone(side.agent.selected_path)
            self.assertEqual(side.told(ConsentLost), [])
            self.assertLess(len([one for one in side.sent if one.time > 30.0]), 90)


class Timing(SynchronousTestCase):
    """On a path of 80 ms round trip, 40 ms each way."""

    def test_data_may_flow_after_one_way_delay_and_both_agree_after_three(self) -> None:
        world, initiator, responder = two_sides()
        introduce(world, initiator, responder)
        world.run(1.0)
        for side in (initiator, responder):
            self.assertAlmostEqual(side.time_of(PathAuthenticated), 0.04)
        self.assertAlmostEqual(responder.time_of(PathSelected), 0.08)
        self.assertAlmostEqual(initiator.time_of(PathSelected), 0.12)

    def test_a_responder_that_starts_late_finds_the_other_side_waiting(self) -> None:
        for lateness in (0.005, 0.03, 0.3, 3.0, 9.0):
            world, initiator, responder = two_sides()
            world.introduce(initiator, responder)
            world.run(lateness)
            world.introduce(responder, initiator)
            world.run(0.2)
            waited = initiator.time_of(PathAuthenticated) - lateness
            self.assertAlmostEqual(waited, 0.04, msg=f"{lateness} late")
            self.assertEqual(len(initiator.told(PathSelected)), 1)
            self.assertEqual(len(responder.told(PathSelected)), 1)

    def test_a_responder_nearer_to_the_tracker_waits_for_one_repetition(self) -> None:
        # The initiator has heard from the tracker 30 ms before the responder has acted on its
        # offer, so its first probe meets a closed filter if the way is shorter than that.
        world, initiator, responder = two_sides(link=Link(delay=0.02))
        world.introduce(initiator, responder)
        world.run(0.03)
        world.introduce(responder, initiator)
        world.run(1.0)
        self.assertLessEqual(responder.time_of(PathAuthenticated), 0.03 + 0.04 + 1e-6)

    def test_packets_are_few(self) -> None:
        world, initiator, responder = two_sides()
        introduce(world, initiator, responder)
        world.run(3.0)
        self.assertLessEqual(len(initiator.sent) + len(responder.sent), 12)

    def test_lossy_and_slow_paths_are_found(self) -> None:
        """12 % lost, 5 % twice, order mixed, 600 ms round trip: 95 of 100 is the promise."""
        link = Link(delay=0.3, jitter=0.05, loss=0.12, duplication=0.05)
        for seed in range(100):
            world, initiator, responder = two_sides(seed=seed, link=link)
            introduce(world, initiator, responder)
            world.run(10.0)
            self.assertIsNotNone(initiator.agent.selected_path, f"seed {seed}")
            self.assertIsNotNone(responder.agent.selected_path, f"seed {seed}")


class Choice(SynchronousTestCase):
    def neighbours(self) -> tuple[World, Side, Side]:
        """Two hosts behind NATs that also share a LAN; the outer way is 40 ms, the LAN none."""
        world, initiator, responder = two_sides()
        initiator.lan = responder.lan = "home"
        return world, initiator, responder

    def test_the_lan_is_chosen_although_the_nats_could_be_punched(self) -> None:
        world, initiator, responder = self.neighbours()
        world.introduce(initiator, responder, with_hosts=True)
        world.introduce(responder, initiator, with_hosts=True)
        world.run(3.0)
        assert initiator.agent.selected_path
        assert responder.agent.selected_path
        self.assertEqual(initiator.agent.selected_path.remote, responder.base)
        self.assertEqual(responder.agent.selected_path.remote, initiator.base)

    def test_the_path_moves_to_a_better_one_that_is_learned_later(self) -> None:
        world, initiator, responder = self.neighbours()
        introduce(world, initiator, responder)
        world.run(3.0)
        self.assertEqual(len(initiator.told(PathSelected)), 1)
        world.introduce(initiator, responder, with_hosts=True)
        world.introduce(responder, initiator, with_hosts=True)
        world.run(1.0)
        for side, other in ((initiator, responder), (responder, initiator)):
            self.assertEqual(
                [event.path.remote.host for event in side.told(PathSelected)],
                [other.nat.address if other.nat else "", other.base.host],
            )

    def test_a_symmetric_nat_is_met_at_the_address_its_checks_come_from(self) -> None:
        easy = NATBehaviour(filtering=Dependence.ADDRESS_DEPENDENT)
        world, initiator, responder = two_sides(RANDOM_SYMMETRIC, easy)
        introduce(world, initiator, responder)
        world.run(1.0)
        (event,) = responder.told(PathSelected)
        self.assertEqual(event.pair.remote.candidate_type, CandidateType.PEER_REFLEXIVE)
        assert initiator.nat
        assert responder.nat
        told = list(initiator.agent.mapped_addresses.values())
        self.assertEqual(told, [event.path.remote])


class Upkeep(SynchronousTestCase):
    def connected(self, first: NATBehaviour, second: NATBehaviour) -> tuple[World, Side, Side]:
        world, initiator, responder = two_sides(first, second)
        introduce(world, initiator, responder)
        world.run(2.0)
        self.assertIsNotNone(initiator.agent.selected_path)
        self.assertIsNotNone(responder.agent.selected_path)
        return world, initiator, responder

    def test_consent_is_asked_every_five_seconds_and_keeps_the_path(self) -> None:
        world, initiator, responder = self.connected(PORT_RESTRICTED, PORT_RESTRICTED)
        before = len(initiator.sent)
        world.run(600.0)
        self.assertEqual(initiator.told(ConsentLost), [])
        self.assertEqual(responder.told(ConsentLost), [])
        # A question and an answer of each side in every interval.
        self.assertTrue(200 <= len(initiator.sent) - before <= 300)

    def test_nothing_is_sent_thirty_seconds_after_the_peer_vanished(self) -> None:
        world, initiator, responder = self.connected(PORT_RESTRICTED, PORT_RESTRICTED)
        world.run(60.0)
        vanished = world.now
        world.sides.remove(responder)
        world.run(120.0)
        self.assertLess(initiator.sent[-1].time, vanished + 30.0)
        (lost,) = initiator.told(ConsentLost)
        self.assertEqual(lost.path, initiator.told(PathSelected)[-1].path)
        self.assertLessEqual(initiator.time_of(ConsentLost), vanished + 30.0)
        self.assertIsNone(initiator.agent.get_timer())

    def test_nothing_is_sent_after_close(self) -> None:
        world, initiator, responder = self.connected(PORT_RESTRICTED, PORT_RESTRICTED)
        initiator.agent.close()
        before = len(initiator.sent)
        world.run(120.0)
        self.assertEqual(len(initiator.sent), before)
        self.assertTrue(initiator.agent.dropped["closed"])
        self.assertEqual(len(responder.told(ConsentLost)), 1)

    def test_either_side_may_get_a_new_mapping_in_mid_session(self) -> None:
        for rebound in (0, 1):
            world, *sides = self.connected(FULL_CONE, FULL_CONE)
            other = sides[1 - rebound]
            for _ in range(20):
                sides[rebound].rebind(world.random)
                world.run(8.0)
                nat = sides[rebound].nat
                assert nat
                assert other.agent.selected_path
                current = nat.outbound(sides[rebound].base, HostPort("11.0.9.9", 9), world.now)
                self.assertEqual(other.agent.selected_path.remote, current)
                world.run(8.0)
            self.assertEqual(sides[0].told(ConsentLost) + sides[1].told(ConsentLost), [])
            # Addresses are not gathered for ever.
            self.assertLessEqual(len(other.agent.authenticated_paths), 10)
