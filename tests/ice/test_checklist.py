"""Pairs: which are made, in which order they start, and how many there may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.candidate import Candidate, CandidateType
from twisted_p2p.ice.checklist import CandidatePair, Checklist, PairState

SOCKET = HostPort("0.0.0.0", 4000)
IPV6_SOCKET = HostPort("::", 4000)


def local(host: str = "192.168.1.2", *, base: HostPort = SOCKET, preference: int = 9) -> Candidate:
    return Candidate.host(HostPort(host, 4000), base=base, local_preference=preference)


def remote(number: int, *, foundation: str = "", priority: int = 0) -> Candidate:
    return Candidate(
        address=HostPort(f"11.0.2.{number}", 4000),
        candidate_type=CandidateType.SERVER_REFLEXIVE,
        priority=priority or 1_000 - number,
        foundation=foundation or f"f{number}",
    )


def make_checklist(*candidates: Candidate) -> Checklist:
    checklist = Checklist(max_remote_candidates=8, max_peer_reflexive=3)
    for candidate in candidates:
        checklist.add_local(candidate)
    return checklist


def states(checklist: Checklist) -> list[PairState]:
    return [pair.state for pair in checklist.pairs.values()]


class PriorityTests(SynchronousTestCase):
    @given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
    def test_both_sides_compute_the_same(self, one: int, other: int) -> None:
        first, second = remote(1, priority=one or 1), remote(2, priority=other or 1)
        path = DatagramPath(SOCKET, first.address)
        ours = CandidatePair(path, local=first, remote=second)
        theirs = CandidatePair(path, local=second, remote=first)
        self.assertEqual(ours.priority(True), theirs.priority(False))
        controlling, controlled = first.priority, second.priority
        self.assertEqual(
            ours.priority(True),
            2**32 * min(controlling, controlled)
            + 2 * max(controlling, controlled)
            + (1 if controlling > controlled else 0),
        )


class PairingTests(SynchronousTestCase):
    def test_a_pair_is_a_socket_and_a_remote_address(self) -> None:
        checklist = make_checklist(local())
        self.assertIsNone(checklist.add_remote(remote(1)))
        self.assertEqual(list(checklist.pairs), [DatagramPath(SOCKET, HostPort("11.0.2.1", 4000))])

    def test_candidates_may_come_in_any_order(self) -> None:
        checklist = make_checklist()
        checklist.add_remote(remote(1))
        self.assertEqual(checklist.pairs, {})
        checklist.add_local(local())
        self.assertEqual(len(checklist.pairs), 1)

    def test_addresses_of_one_socket_make_one_pair_of_the_best(self) -> None:
        for first, second in ((1, 2), (2, 1)):
            checklist = make_checklist(
                local("192.168.1.2", preference=first), local("10.0.0.2", preference=second)
            )
            checklist.add_remote(remote(1))
            (pair,) = checklist.pairs.values()
            self.assertEqual(pair.local.address.host, "192.168.1.2" if first == 2 else "10.0.0.2")

    def test_families_and_link_local_addresses_are_kept_apart(self) -> None:
        checklist = make_checklist(
            local(),
            local("2a00::1", base=IPV6_SOCKET),
            local("fe80::1", base=HostPort("fe80::1", 4000)),
        )
        for host in ("11.0.2.1", "2a00::2", "fe80::2"):
            checklist.add_remote(Candidate.host(HostPort(host, 4000), base=None))
        self.assertEqual(
            {(path.local, path.remote.host) for path in checklist.pairs},
            {
                (SOCKET, "11.0.2.1"),
                (IPV6_SOCKET, "2a00::2"),
                (HostPort("fe80::1", 4000), "fe80::2"),
            },
        )

    def test_a_ninth_address_of_the_peer_and_a_known_one_are_refused(self) -> None:
        checklist = make_checklist(local())
        for number in range(8):
            self.assertIsNone(checklist.add_remote(remote(number)))
        self.assertEqual(checklist.add_remote(remote(3)), "known_candidate")
        self.assertEqual(checklist.add_remote(remote(9)), "too_many_candidates")
        self.assertEqual(len(checklist.pairs), 8)


class OrderTests(SynchronousTestCase):
    def test_the_best_of_each_foundation_starts_and_then_the_rest(self) -> None:
        checklist = make_checklist(local())
        checklist.add_remote(remote(3, foundation="a"))
        checklist.add_remote(remote(2, foundation="b"))
        checklist.add_remote(remote(1, foundation="a"))
        checklist.thaw(7.0, -1, True)
        waiting, frozen = PairState.WAITING, PairState.FROZEN
        self.assertEqual(states(checklist), [frozen, waiting, waiting])
        self.assertEqual([pair.next_probe for pair in checklist.pairs.values()], [None, 7.0, 7.0])
        pairs = list(checklist.pairs.values())
        pairs[1].state = PairState.IN_PROGRESS
        checklist.thaw(8.0, -1, True)
        self.assertEqual(pairs[0].state, frozen)  # one still waits
        pairs[2].state = PairState.FAILED
        checklist.thaw(9.0, -1, True)
        self.assertEqual(pairs[0].state, waiting)

    def test_pairs_below_the_floor_stay_frozen(self) -> None:
        checklist = make_checklist(local())
        checklist.add_remote(remote(1))
        checklist.add_remote(remote(2))
        first, second = checklist.pairs.values()
        checklist.thaw(0.0, second.priority(True), True)
        self.assertEqual(first.state, PairState.WAITING)
        self.assertEqual(second.state, PairState.FROZEN)

    def test_unanswered_checks_below_the_floor_are_held_back(self) -> None:
        checklist = make_checklist(local())
        for number in range(5):
            checklist.add_remote(remote(number))
        checklist.thaw(0.0, -1, True)
        best, in_progress, failed, heard, waiting = checklist.pairs.values()
        best.state = in_progress.state = heard.state = PairState.IN_PROGRESS
        failed.state = PairState.FAILED
        heard.is_authenticated = True
        checklist.freeze(best.priority(True), True)
        self.assertEqual(
            states(checklist),
            [
                PairState.IN_PROGRESS,
                PairState.FROZEN,
                PairState.FAILED,
                PairState.IN_PROGRESS,
                PairState.FROZEN,
            ],
        )
        self.assertIsNone(in_progress.next_probe)
        self.assertIsNone(waiting.next_probe)


class ForgettingTests(SynchronousTestCase):
    def test_addresses_that_were_never_heard_make_room_for_others(self) -> None:
        checklist = make_checklist(local())
        for number in range(8):
            checklist.add_remote(remote(number))
        heard = list(checklist.pairs.values())[3]
        heard.is_authenticated = True
        checklist.forget_unheard()
        self.assertEqual(list(checklist.pairs.values()), [heard])
        self.assertEqual(checklist.add_remote(remote(3)), "known_candidate")
        self.assertEqual({checklist.add_remote(remote(number)) for number in range(10, 17)}, {None})
        self.assertEqual(checklist.add_remote(remote(17)), "too_many_candidates")


class LearningTests(SynchronousTestCase):
    def learn(self, checklist: Checklist, port: int, *keep: DatagramPath) -> CandidatePair | str:
        path = DatagramPath(SOCKET, HostPort("11.0.2.1", port))
        return checklist.learn_remote(path, 77, keep)

    def learned(self, checklist: Checklist, port: int, *keep: DatagramPath) -> CandidatePair:
        pair = self.learn(checklist, port, *keep)
        assert isinstance(pair, CandidatePair), pair
        pair.heard_at = port
        return pair

    def test_an_unknown_address_becomes_peer_reflexive(self) -> None:
        checklist = make_checklist(local(preference=1), local("10.0.0.2", preference=2))
        pair = self.learned(checklist, 1)
        self.assertEqual(pair.remote.candidate_type, CandidateType.PEER_REFLEXIVE)
        self.assertEqual(pair.remote.priority, 77)
        self.assertEqual(pair.local.address.host, "10.0.0.2")
        self.assertIs(checklist.pairs[pair.path], pair)
        self.assertNotEqual(pair.foundation, self.learned(checklist, 2).foundation)

    def test_nothing_is_learned_on_a_socket_without_candidate(self) -> None:
        self.assertEqual(self.learn(make_checklist(), 1), "unknown_socket")

    def test_an_address_that_is_signalled_afterwards_is_no_longer_learned(self) -> None:
        checklist = make_checklist(local())
        pair = self.learned(checklist, 4000)
        checklist.add_remote(remote(1))
        self.assertEqual(pair.remote, remote(1))
        self.assertEqual(list(checklist.pairs.values()), [pair])
        for port in (1, 2, 3):  # it takes no room of theirs
            self.learned(checklist, port)
        self.assertEqual(len(checklist.pairs), 4)

    def test_the_one_silent_longest_makes_room(self) -> None:
        checklist = make_checklist(local())
        pairs = [self.learned(checklist, port) for port in (3, 1, 2)]
        self.learned(checklist, 4)
        self.assertNotIn(pairs[1].path, checklist.pairs)
        self.assertEqual(len(checklist.pairs), 3)

    def test_one_that_is_kept_or_being_checked_makes_no_room(self) -> None:
        checklist = make_checklist(local())
        kept, checked, other = (self.learned(checklist, port) for port in (1, 2, 3))
        checked.start(0.0)
        self.assertEqual(self.learn(checklist, 4, kept.path, other.path), "too_many_addresses")
        self.learned(checklist, 4, kept.path)
        self.assertNotIn(other.path, checklist.pairs)
