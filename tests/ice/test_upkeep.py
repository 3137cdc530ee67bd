"""The small parts: the brake on probes, consent, and nominations that overtake one another."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.candidate import Candidate
from twisted_p2p.ice.checklist import CandidatePair, PairState
from twisted_p2p.ice.consent import Consent
from twisted_p2p.ice.nomination import Nomination
from twisted_p2p.ice.pacing import Following, Pacer

SOCKET = HostPort("0.0.0.0", 4000)


class PacerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pacer = Pacer(pace=0.02, limit=3)

    def test_an_address_has_so_many_probes_and_no_more(self) -> None:
        first, second = make_pair(1), make_pair(2)
        for _ in range(3):
            self.assertFalse(self.pacer.is_spent(first))
            self.pacer.probed(first, 0.0)
        self.assertTrue(self.pacer.is_spent(first))
        self.assertFalse(self.pacer.is_spent(second))

    def test_all_addresses_share_one_pace(self) -> None:
        first, second = make_pair(1), make_pair(2)
        first.start(5.0)
        second.start(5.0)
        self.assertEqual(self.pacer.due_at(first), 5.0)
        self.pacer.probed(first, 5.0)
        self.assertEqual(self.pacer.due_at(second), 5.02)

    def test_where_the_peer_was_heard_only_the_pair_counts(self) -> None:
        pair = make_pair(1)
        pair.is_authenticated = True
        pair.start(5.0)
        for pair.probes in range(3):
            self.assertFalse(self.pacer.is_spent(pair))
            self.pacer.probed(pair, 5.0)
        self.assertEqual(self.pacer.due_at(pair), 5.0)
        pair.probes = 3
        self.assertTrue(self.pacer.is_spent(pair))


class FollowingTests(SynchronousTestCase):
    def test_so_many_addresses_are_followed_at_once_and_then_one_an_interval(self) -> None:
        following = Following(most=3, interval=5.0)
        self.assertEqual([following.admits(0.0) for _ in range(4)], [True, True, True, False])
        self.assertEqual([following.admits(at) for at in (4.9, 5.0, 5.1)], [False, True, False])

    def test_none_at_all_for_a_while_allow_no_more_than_at_first(self) -> None:
        following = Following(most=3, interval=5.0)
        following.admits(0.0)
        self.assertEqual([following.admits(1e6) for _ in range(4)], [True, True, True, False])


class ConsentTests(SynchronousTestCase):
    def test_is_asked_for_in_intervals_of_four_to_six_seconds(self) -> None:
        for random, expected in ((0.0, 4.0), (0.5, 5.0), (1.0, 6.0)):
            consent = Consent(interval=5.0, lifetime=30.0, random=lambda number=random: number)
            self.assertIsNone(consent.get_timer())
            consent.begin(100.0, 99.9)
            assert consent.next_check is not None
            self.assertAlmostEqual(consent.next_check, 100.0 + expected)
            self.assertEqual(consent.get_timer(), consent.next_check)
            consent.checked(200.0)
            self.assertAlmostEqual(consent.next_check, 200.0 + expected)

    def test_lasts_thirty_seconds_from_the_question_that_was_answered(self) -> None:
        consent = Consent(interval=5.0, lifetime=30.0, random=lambda: 0.5)
        consent.begin(100.0, 99.0)
        self.assertEqual(consent.expires_at, 129.0)
        consent.confirm(105.0)
        self.assertEqual(consent.expires_at, 135.0)
        consent.confirm(104.0)  # an answer that took longer than the next one
        self.assertEqual(consent.expires_at, 135.0)
        consent.checked(134.0)
        self.assertEqual(consent.get_timer(), 135.0)


def make_pair(
    number: int, *, answered_at: float | None = None, preference: int = 9, rtt: float = 0.1
) -> CandidatePair:
    own = Candidate.host(HostPort("192.168.1.2", 4000), base=SOCKET)
    theirs = Candidate.host(
        HostPort(f"11.0.2.{number}", 4000), base=None, local_preference=preference
    )
    pair = CandidatePair(DatagramPath(SOCKET, theirs.address), own, theirs)
    pair.answered_at = answered_at
    pair.round_trip_time = rtt
    return pair


class NominatingTests(SynchronousTestCase):
    def test_the_first_answer_leads_to_a_nomination_and_its_answer_to_agreement(self) -> None:
        nomination, pair = Nomination(), make_pair(1, answered_at=0.0)
        self.assertFalse(nomination.answered(pair, None, 0.0))
        self.assertIs(nomination.pair, pair)
        self.assertEqual(nomination.number_for(pair), 1)
        self.assertEqual(pair.state, PairState.WAITING)
        self.assertFalse(nomination.answered(pair, None, 0.1))  # to a check sent before
        self.assertTrue(nomination.answered(pair, 1, 0.2))

    def test_a_pair_that_answers_replaces_one_that_has_not(self) -> None:
        nomination, silent, pair = Nomination(), make_pair(1), make_pair(2, answered_at=0.1)
        nomination.nominate(silent, 0.0)
        nomination.answered(pair, None, 0.1)
        self.assertIs(nomination.pair, pair)
        self.assertEqual(nomination.number, 2)
        self.assertIsNone(nomination.number_for(silent))

    def test_a_clearly_better_pair_replaces_a_good_one(self) -> None:
        for preference, rtt, is_better in (
            (9, 0.094, True),  # faster beyond noise
            (9, 0.096, False),
            (8, 0.094, True),
            (10, 0.104, True),  # preferred, and not slower beyond noise
            (10, 0.106, False),
        ):
            nomination, pair = Nomination(), make_pair(1, answered_at=0.0)
            nomination.nominate(pair, 0.0)
            other = make_pair(2, answered_at=0.0, preference=preference, rtt=rtt)
            nomination.answered(other, None, 0.0)
            self.assertEqual(nomination.pair is other, is_better, (preference, rtt))

    def challenged(self) -> tuple[Nomination, CandidatePair, CandidatePair]:
        nomination = Nomination()
        incumbent, challenger = make_pair(1, answered_at=0.0), make_pair(2, answered_at=10.0)
        nomination.nominate(incumbent, 0.0)
        incumbent.stop(PairState.SUCCEEDED)
        nomination.answered(challenger, None, 10.0)
        return nomination, incumbent, challenger

    def test_a_challenged_pair_that_answers_stays(self) -> None:
        nomination, incumbent, _ = self.challenged()
        self.assertEqual(incumbent.state, PairState.WAITING)
        self.assertAlmostEqual(nomination.get_timer() or 0.0, 10.3)
        incumbent.answered_at = 10.1
        nomination.handle_timer(10.31)
        self.assertIs(nomination.pair, incumbent)
        self.assertIsNone(nomination.get_timer())

    def test_a_challenged_pair_that_does_not_answer_in_time_is_replaced(self) -> None:
        nomination, incumbent, challenger = self.challenged()
        nomination.handle_timer(10.29)
        self.assertIs(nomination.pair, incumbent)
        nomination.handle_timer(10.31)
        self.assertIs(nomination.pair, challenger)
        self.assertIsNone(nomination.get_timer())

    def test_a_pair_given_up_during_a_challenge_is_replaced(self) -> None:
        nomination, _, challenger = self.challenged()
        nomination.nominate_best([], 10.1)
        self.assertIsNone(nomination.pair)
        nomination.handle_timer(10.31)
        self.assertIs(nomination.pair, challenger)

    def test_a_slow_pair_has_three_round_trips_to_answer(self) -> None:
        nomination, slow = Nomination(), make_pair(1, answered_at=0.0, rtt=0.6)
        nomination.nominate(slow, 0.0)
        nomination.answered(make_pair(2, answered_at=10.0, rtt=0.6), None, 10.0)
        self.assertAlmostEqual(nomination.get_timer() or 0.0, 11.8)

    def test_there_is_one_challenge_at_a_time(self) -> None:
        nomination, incumbent, challenger = self.challenged()
        nomination.answered(make_pair(3, answered_at=10.2), None, 10.2)
        self.assertEqual(nomination.pairs, (incumbent, challenger))
        self.assertAlmostEqual(nomination.get_timer() or 0.0, 10.3)

    def test_the_best_valid_pair_is_nominated_in_place_of_a_lost_one(self) -> None:
        nomination = Nomination()
        nomination.nominate(make_pair(1), 0.0)
        worse, better = make_pair(2, preference=3), make_pair(3, preference=4)
        nomination.nominate_best([worse, better], 1.0)
        self.assertIs(nomination.pair, better)
        self.assertEqual(nomination.number, 2)

    def test_a_pair_heard_again_is_checked_unless_it_is_nominated_or_fresh(self) -> None:
        nomination, pair = Nomination(), make_pair(1, answered_at=10.0)
        self.assertFalse(nomination.is_worth_checking(pair, 11.0))
        self.assertTrue(nomination.is_worth_checking(pair, 11.1))
        nomination.nominate(pair, 11.1)
        self.assertFalse(nomination.is_worth_checking(pair, 99.0))


class AcceptingTests(SynchronousTestCase):
    def test_a_pair_that_has_just_answered_is_taken(self) -> None:
        nomination, pair = Nomination(), make_pair(1, answered_at=0.0)
        self.assertTrue(nomination.accept(pair, 1, 0.5))
        self.assertEqual(nomination.pairs, (pair,))

    def test_a_pair_that_has_not_answered_waits_for_its_own_check(self) -> None:
        nomination, pair = Nomination(), make_pair(1)
        self.assertFalse(nomination.accept(pair, 1, 0.5))
        self.assertIs(nomination.pair, pair)

    def test_a_pair_that_answered_long_ago_answers_again_first(self) -> None:
        nomination, pair = Nomination(), make_pair(1, answered_at=0.0)
        self.assertFalse(nomination.accept(pair, 1, 1.5))
        self.assertEqual((pair.state, pair.next_probe), (PairState.WAITING, 1.5))

    def test_an_older_nomination_that_was_overtaken_is_ignored(self) -> None:
        nomination = Nomination()
        newer, older = make_pair(1, answered_at=0.0), make_pair(2, answered_at=0.0)
        nomination.accept(newer, 2, 0.0)
        self.assertFalse(nomination.accept(older, 1, 0.0))
        self.assertIs(nomination.pair, newer)

    def test_a_repeated_nomination_changes_nothing(self) -> None:
        nomination, pair = Nomination(), make_pair(1, answered_at=0.0)
        nomination.accept(pair, 1, 0.0)
        self.assertFalse(nomination.accept(pair, 1, 9.0))
        self.assertEqual(pair.state, PairState.FROZEN)

    def test_the_same_nomination_along_another_path_must_be_proven(self) -> None:
        nomination = Nomination()
        before, after = make_pair(1, answered_at=0.0), make_pair(2, answered_at=0.0)
        nomination.accept(before, 1, 0.0)
        self.assertFalse(nomination.accept(after, 1, 0.1))
        self.assertIs(nomination.pair, after)
        self.assertEqual(after.state, PairState.WAITING)

    def test_a_peer_of_the_bare_rfc_is_understood(self) -> None:
        nomination = Nomination()
        first, second = make_pair(1, answered_at=0.0), make_pair(2, answered_at=0.0)
        self.assertTrue(nomination.accept(first, None, 0.0))
        self.assertFalse(nomination.accept(first, None, 0.0))
        self.assertFalse(nomination.accept(second, None, 0.0))
        self.assertIs(nomination.pair, second)
