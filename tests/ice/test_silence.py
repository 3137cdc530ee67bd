"""A path that carried data and then falls silent, as when a NAT gives the peer another port."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.ice.agent_case import PATH, AgentCase, remote_candidate
from twisted_p2p.addresses import HostPort
from twisted_p2p.ice.consent import Consent
from twisted_p2p.ice.events import PathRevived, PathSelected


class ConsentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.consent = Consent(interval=5.0, lifetime=30.0, random=lambda: 0.5)
        self.consent.begin(100.0, 100.0)

    def test_a_check_is_due_a_second_after_the_last_data(self) -> None:
        self.assertTrue(self.consent.data_heard(100.0))
        self.assertFalse(self.consent.data_heard(100.5))
        self.assertEqual(self.consent.get_timer(), 101.5)
        self.assertFalse(self.consent.is_check_due(101.4))
        self.assertTrue(self.consent.is_check_due(101.5))

    def test_an_answer_ends_that_until_data_comes_again(self) -> None:
        self.consent.data_heard(100.0)
        self.consent.checked(101.0)
        self.assertFalse(self.consent.confirm(101.0))
        self.assertEqual(self.consent.get_timer(), 106.0)
        self.assertTrue(self.consent.data_heard(102.0))

    def test_four_checks_follow_at_once_while_none_is_answered(self) -> None:
        self.consent.data_heard(100.0)
        timers = []
        for _ in range(5):
            timer = self.consent.get_timer()
            assert timer is not None
            timers.append(timer)
            self.consent.checked(timer)
        self.assertEqual(timers, [101.0, 102.0, 103.0, 104.0, 109.0])

    def test_a_check_of_the_usual_kind_puts_it_off_by_nothing(self) -> None:
        self.consent.data_heard(104.8)
        self.consent.checked(105.0)
        self.assertEqual(self.consent.get_timer(), 105.8)

    def test_an_answer_after_one_that_never_came_says_that_the_path_carries_again(self) -> None:
        self.consent.checked(105.0)
        self.consent.checked(110.0)
        self.assertTrue(self.consent.confirm(110.0))
        self.consent.checked(115.0)
        self.assertFalse(self.consent.confirm(115.0))


class AgentTests(AgentCase):
    def test_after_a_move_all_is_checked_again_and_new_addresses_too(self) -> None:
        self.assertEqual(self.start().confirmed_at, 0.0)
        self.select()
        self.agent.add_remote_candidate(remote_candidate(HostPort("11.0.2.9", 4000), 1), self.now)
        self.assertEqual(self.pass_time(1.0), [], "what is selected is better")
        began = self.now
        self.agent.search_again(self.now)
        new = HostPort("11.0.2.8", 4000)
        self.agent.add_remote_candidate(remote_candidate(new, 1), self.now)
        checks = self.pass_time(0.1)
        self.assertEqual({path.remote for _, _, path in checks}, {PATH.remote, new})
        self.agent.search_again(self.now)  # what is being checked goes on
        self.assertLess(self.agent.confirmed_at, began)
        self.receive(self.answer(next(check for _, check, path in checks if path == PATH)))
        self.assertGreaterEqual(self.agent.confirmed_at, began)

    def select(self) -> None:
        self.start()
        [(check, _)] = self.sent()
        self.receive(self.answer(check))
        [(nomination, _)] = self.sent()
        self.receive(self.answer(nomination))
        self.assertIsInstance(self.events()[-1], PathSelected)

    def test_data_before_there_is_a_path_means_nothing(self) -> None:
        self.assertFalse(self.start().data_heard(self.now))

    def test_a_path_is_checked_when_data_stops_and_told_to_carry_again(self) -> None:
        self.select()
        self.now += 2.0
        self.assertTrue(self.agent.data_heard(self.now))
        sent = self.pass_time(2.5)
        self.assertEqual([at for at, _, _ in sent], [3.0, 4.0])
        self.assertEqual({path for _, _, path in sent}, {PATH})
        self.receive(self.answer(sent[1][1]))
        self.assertEqual(self.events(), [PathRevived(PATH)])
        self.assertEqual(self.pass_time(3.0), [])
