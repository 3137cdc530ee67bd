"""A node comes to be registered, stays so, and comes back by itself."""

from __future__ import annotations

from itertools import pairwise

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.registration_world import (
    ONE_WAY,
    TRACKER,
    Node,
    World,
    lost,
)
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import TrackerBusy, TrackerUnreachable
from twisted_p2p.stun.attributes import ErrorCode
from twisted_p2p.stun.message import decode_message
from twisted_p2p.tracker.attributes import (
    BAD_REQUEST,
    COOKIE,
    COOKIE_NEEDED,
    FORBIDDEN,
    INTRODUCTIONS_SUCCEEDED,
    NO_CAPACITY,
    REFRESH,
    REGISTER,
    STALE_SEQUENCE,
    STALE_TOKEN,
    TOO_MANY,
    UNREGISTER,
    VERSION_NOT_SUPPORTED,
)
from twisted_p2p.tracker.client_events import (
    NodeLeft,
    NodeRegistered,
    PathWanted,
    RegistrationFailed,
    RegistrationLost,
)
from twisted_p2p.tracker.enrolment import State
from twisted_p2p.tracker.limits import TrackerLimits
from twisted_p2p.tracker.messages import (
    Challenge,
    Failure,
    Refreshed,
    Registered,
    Unregistered,
)


def failure(code: int, **more: int) -> Failure:
    return Failure(REGISTER, ErrorCode(code), **more)


def challenge(address: HostPort, method: int = REGISTER) -> Challenge:
    return Challenge(method, ErrorCode(COOKIE_NEEDED), bytes(16), address)


def registered(address: HostPort, lifetime: int = 45) -> Registered:
    return Registered(bytes(16), bytes(16), lifetime, address)


def refreshed(address: HostPort, lifetime: int = 45) -> Refreshed:
    return Refreshed(bytes(16), bytes(16), lifetime, address)


class RegistrationTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()

    def methods(self, node: Node) -> list[int]:
        return [message.method for message in self.world.asked(node)]


class RegisteringTests(RegistrationTestCase):
    def test_takes_two_round_trips_and_tells_the_observed_address(self) -> None:
        node = self.world.add()
        node.do(node.machine.start)
        self.world.run(4 * ONE_WAY)
        self.assertEqual(node.events, [PathWanted(), NodeRegistered(HostPort("11.0.0.2", 4000))])
        self.assertEqual(node.machine.mapped_address, HostPort("11.0.0.2", 4000))
        self.assertEqual(self.methods(node), [REGISTER, REGISTER])

    def test_nothing_is_done_before_it_is_started(self) -> None:
        node = self.world.add()
        self.assertIs(node.state, State.IDLE)
        self.assertIsNone(node.machine.get_timer())
        self.assertIsNone(node.machine.next_event())

    def test_starting_twice_is_starting_once(self) -> None:
        node = self.world.started()
        node.do(node.machine.start)
        self.assertEqual(node.events, [])

    def test_the_first_packet_is_repeated_promptly_and_given_up_at_five_seconds(self) -> None:
        self.world.is_tracker_up = False
        node = self.world.add()
        start = self.world.now
        node.do(node.machine.start)
        self.world.run(4.9)
        self.assertEqual(
            [round(time - start, 6) for time, _, _ in self.world.sent],
            [0, 0.25, 0.75, 1.75, 3.75],
        )
        self.assertEqual(node.told(RegistrationFailed), [])
        self.world.run(0.2)
        (failed,) = node.told(RegistrationFailed)
        self.assertIsInstance(failed.error, TrackerUnreachable)
        self.assertIs(node.state, State.SILENT)

    def test_a_node_whose_path_is_not_found_asks_for_it_again_ever_more_seldom(self) -> None:
        node = self.world.add()
        node.path = None
        node.do(node.machine.start)
        self.world.run(200)
        self.assertEqual(self.world.sent, [])
        wanted, failed = node.told(PathWanted), node.told(RegistrationFailed)
        self.assertEqual(len(wanted), len(failed))
        self.assertTrue(7 <= len(wanted) <= 18, len(wanted))

    def test_a_path_that_is_found_late_is_taken(self) -> None:
        node = self.world.add()
        machine = node.machine
        machine.start(self.world.now)
        self.assertEqual(machine.next_event(), PathWanted())
        self.world.run(3)
        self.assertEqual(machine.datagrams_to_send(self.world.now), [])
        assert node.path is not None
        node.do(machine.path_found, node.path)
        self.world.run(1)
        self.assertIs(node.state, State.REGISTERED)

    def test_a_path_for_a_machine_that_does_not_want_it_now_changes_nothing(self) -> None:
        node = self.world.started()
        assert node.path is not None
        node.do(node.machine.path_found, node.path)
        self.assertIs(node.state, State.REGISTERED)
        node.do(node.machine.close)
        self.world.run(1)
        node.do(node.machine.path_found, node.path)
        self.assertIs(node.state, State.CLOSED)

    def test_a_record_says_what_the_tracker_observed(self) -> None:
        node = self.world.started()
        self.assertEqual(node.records[-1].addresses, (node.address,))

    def test_a_tracker_that_only_challenges_is_left_alone(self) -> None:
        self.world.is_tracker_up = False
        node = self.world.add()
        node.do(node.machine.start)
        for _ in range(5):
            self.world.reply(node, challenge(node.address))
        self.assertIs(node.state, State.WAITING)
        sent = len(self.world.sent)
        self.assertTrue(sent <= 5, sent)
        self.world.run(59)
        self.assertEqual(len(self.world.sent), sent)
        self.world.is_tracker_up = True
        self.world.run(20)
        self.assertIs(node.state, State.REGISTERED)

    def test_refusals_say_what_is_the_matter_and_are_tried_again_after_a_minute(self) -> None:
        sentences = {
            FORBIDDEN: "The tracker refuses this node (error 403).",
            BAD_REQUEST: "The tracker refuses this node (error 400).",
            VERSION_NOT_SUPPORTED: (
                "The tracker speaks another version of this protocol; update the older of the two."
            ),
            STALE_TOKEN: "The tracker refuses this node (error 438).",
        }
        for code, sentence in sentences.items():
            world = self.world = World()
            node = world.add()
            world.is_tracker_up = False
            node.do(node.machine.start)
            world.reply(node, failure(code))
            (failed,) = node.told(RegistrationFailed)
            self.assertEqual(str(failed.error), sentence)
            self.assertIs(node.state, State.WAITING)
            world.is_tracker_up = True
            world.run(59)
            self.assertIs(node.state, State.WAITING)
            world.run(20)
            self.assertIs(node.state, State.REGISTERED)

    def test_a_busy_tracker_is_given_the_time_it_asks_for(self) -> None:
        for code in (TOO_MANY, NO_CAPACITY):
            world = World()
            node = world.add()
            world.is_tracker_up = False
            node.do(node.machine.start)
            world.reply(node, failure(code, retry_after_ms=7_000))
            (failed,) = node.told(RegistrationFailed)
            assert isinstance(failed.error, TrackerBusy)
            self.assertTrue(7 <= failed.error.retry_after <= 8.75, failed.error.retry_after)
            world.is_tracker_up = True
            sent = len(world.sent)
            world.run(6.9)
            self.assertEqual(len(world.sent), sent)
            world.run(3)
            self.assertIs(node.state, State.REGISTERED)

    def test_a_full_tracker_takes_the_node_when_there_is_room(self) -> None:
        self.world = World(limits=TrackerLimits(registrations=1, registration_lifetime=10))
        first = self.world.started("11.0.0.2")
        second = self.world.add("11.0.0.3")
        second.do(second.machine.start)
        self.world.run(1)
        self.assertIs(second.state, State.WAITING)
        first.do(first.machine.close)
        self.world.run(15)
        self.assertIs(second.state, State.REGISTERED)

    def test_nobody_is_sent_away_for_longer_than_ten_minutes(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        self.world.reply(node, failure(TOO_MANY, retry_after_ms=2**32 - 1))
        self.world.is_tracker_up = True
        self.world.run(751)
        self.assertIs(node.state, State.REGISTERED)


class SequenceTests(RegistrationTestCase):
    def test_a_node_whose_clock_was_set_back_goes_above_the_sequence_seen(self) -> None:
        seed = bytes(32)
        before = self.world.add(seed=seed)
        before.sequence = 10**12
        before.do(before.machine.start)
        self.world.run(1)
        after = self.world.started("11.0.0.3", seed=seed)
        self.assertEqual([record.sequence for record in after.records], [1, 10**12 + 2])

    def test_the_sequence_stays_above_it_later(self) -> None:
        seed = bytes(32)
        before = self.world.add(seed=seed)
        before.sequence = 10**12
        before.do(before.machine.start)
        self.world.run(1)
        after = self.world.started("11.0.0.3", seed=seed)
        after.do(after.machine.record_changed)
        self.world.run(1)
        self.assertEqual(after.records[-1].sequence, 10**12 + 3)
        self.assertEqual(len(after.records), 3)

    def test_a_tracker_that_claims_the_last_sequence_is_a_refusal(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        self.world.reply(node, challenge(node.address))
        self.world.reply(node, failure(STALE_SEQUENCE, sequence=2**64 - 1))
        self.assertIs(node.state, State.WAITING)
        self.world.run(80)
        self.assertEqual([record.sequence for record in node.records], [1, 2])

    def test_the_last_sequence_can_be_used_and_not_passed(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        self.world.reply(node, challenge(node.address))
        self.world.reply(node, failure(STALE_SEQUENCE, sequence=2**64 - 2))
        self.assertEqual(node.records[-1].sequence, 2**64 - 1)
        self.world.reply(node, registered(node.address))
        node.do(node.machine.record_changed)
        self.assertEqual(node.records[-1].sequence, 2**64 - 1)

    def test_endless_stale_sequences_are_a_refusal(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        self.world.reply(node, challenge(node.address))
        for sequence in (10, 20, 30, 40):
            self.world.reply(node, failure(STALE_SEQUENCE, sequence=sequence))
        self.assertIs(node.state, State.WAITING)
        self.assertEqual([record.sequence for record in node.records], [1, 11, 21, 31])


class RefreshingTests(RegistrationTestCase):
    def test_a_refresh_leaves_every_25_seconds_at_most_and_at_about_half_the_lifetime(self) -> None:
        node = self.world.started()
        self.world.run(600)
        times = [
            time
            for (time, _, _), message in zip(self.world.sent, self.world.asked(node), strict=True)
            if message.method == REFRESH
        ]
        waits = [later - earlier for earlier, later in pairwise(times)]
        self.assertTrue(len(waits) > 20)
        self.assertTrue(all(0.45 * 45 <= wait <= 0.56 * 45 for wait in waits), waits)
        self.assertTrue(max(waits) <= 25)
        self.assertTrue(len(set(waits)) > 10, "no jitter")

    def test_a_shorter_lifetime_is_refreshed_sooner(self) -> None:
        self.world = World(limits=TrackerLimits(registration_lifetime=20))
        node = self.world.started()
        self.world.run(100)
        self.assertTrue(self.methods(node).count(REFRESH) >= 9)
        self.assertEqual(node.events, [])

    def test_no_lifetime_makes_it_ask_without_pause(self) -> None:
        self.world.is_tracker_up = False
        node = self.world.add()
        node.do(node.machine.start)
        self.world.reply(node, registered(node.address, 0))
        for _ in range(10):
            sent = len(self.world.sent)
            self.world.run(0.99)
            self.assertEqual(len(self.world.sent), sent)
            self.world.run(4.02)
            self.assertGreater(len(self.world.sent), sent)
            self.world.reply(node, refreshed(node.address, 0))

    def test_a_record_is_registered_anew_before_its_lifetime_is_over(self) -> None:
        node = self.world.started(lifetime=120)
        self.world.run(600)
        self.assertEqual(node.told(RegistrationLost), [])
        self.assertTrue(6 <= len(node.records) <= 9, len(node.records))

    def test_a_busy_answer_to_a_refresh_puts_the_next_one_off(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.run_until_asked(node, REFRESH)
        self.world.reply(node, Failure(REFRESH, ErrorCode(TOO_MANY), 3_000))
        self.assertIs(node.state, State.REGISTERED)
        sent = len(self.world.sent)
        self.world.run(2.9)
        self.assertEqual(len(self.world.sent), sent)
        self.world.is_tracker_up = True
        self.world.run(1)
        self.assertEqual(len(self.world.sent), sent + 1)

    def test_a_moved_node_registers_its_new_address_within_one_refresh(self) -> None:
        node = self.world.started()
        self.world.move(node, "11.0.0.2", 4001)
        self.world.run(25.5)
        self.assertIs(node.state, State.REGISTERED)
        self.assertEqual(node.machine.mapped_address, HostPort("11.0.0.2", 4001))
        self.assertEqual(node.told(NodeRegistered)[-1].mapped_address.port, 4001)

    def test_another_address_in_the_answer_to_a_refresh_is_registered_at_once(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.run_until_asked(node, REFRESH)
        self.world.reply(node, refreshed(HostPort("11.0.0.9", 9)))
        self.assertEqual(self.methods(node)[-1], REGISTER)
        self.assertEqual(node.records[-1].addresses, (HostPort("11.0.0.9", 9),))
        self.assertIs(node.state, State.REGISTERED)

    def test_introductions_that_succeeded_are_reported_once(self) -> None:
        node = self.world.started()
        node.machine.introduction_succeeded()
        node.machine.introduction_succeeded()
        self.world.fate = lost
        self.run_until_asked(node, REFRESH)
        node.machine.introduction_succeeded()
        self.world.fate = World().fate
        self.world.run(60)
        reports = [
            message.get(INTRODUCTIONS_SUCCEEDED)
            for message in self.world.asked(node)
            if message.method == REFRESH
        ]
        self.assertEqual([report for report in reports if report][-1], 1)
        self.assertIsNone(reports[-1])
        self.assertEqual(set(reports), {None, 1, 2})

    def run_until_asked(self, node: Node, method: int) -> None:
        while self.methods(node)[-1] != method:
            self.world.run(0.1)


class ChangingTests(RegistrationTestCase):
    def test_a_changed_record_is_registered_at_once_and_told(self) -> None:
        node = self.world.started()
        node.record["services"] = ("web",)
        node.do(node.machine.record_changed)
        self.assertIs(node.state, State.REGISTERED)
        self.world.run(2 * ONE_WAY)
        self.assertEqual(node.told(NodeRegistered), [NodeRegistered(node.address)])
        self.assertEqual(node.records[-1].services, ("web",))
        self.assertEqual(self.methods(node), [REGISTER, REGISTER, REGISTER])

    def test_a_record_that_changes_while_it_is_registered_is_registered_as_changed(self) -> None:
        node = self.world.add()
        node.do(node.machine.start)
        self.world.run(3 * ONE_WAY)
        node.record["services"] = ("web",)
        node.do(node.machine.record_changed)
        self.world.run(1)
        self.assertIs(node.state, State.REGISTERED)
        self.assertEqual(node.records[-1].services, ("web",))
        self.assertEqual(len(node.told(NodeRegistered)), 1)

    def test_a_cookie_that_is_too_old_costs_one_more_round_trip(self) -> None:
        node = self.world.started()
        node.do(node.machine.record_changed)
        self.world.reply(node, challenge(node.address))
        self.assertEqual(self.world.asked(node)[-1].get(COOKIE), bytes(16))
        self.assertIs(node.state, State.REGISTERED)

    def test_a_change_that_is_put_off_is_registered_later_and_refreshes_go_on(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        node.do(node.machine.record_changed)
        self.world.reply(node, failure(TOO_MANY, retry_after_ms=60_000))
        self.assertIs(node.state, State.REGISTERED)
        self.world.is_tracker_up = True
        self.world.run(59)
        self.assertEqual(len(node.records), 2)
        self.assertTrue(self.methods(node).count(REFRESH) >= 2)
        self.world.run(20)
        self.assertEqual(len(node.records), 3)
        self.assertEqual(len(node.told(NodeRegistered)), 1)

    def test_a_change_that_got_no_answer_is_registered_when_the_tracker_is_back(self) -> None:
        node = self.world.started()
        self.world.run(24)
        self.world.is_tracker_up = False
        node.do(node.machine.record_changed)
        self.world.run(5.1)
        self.assertIs(node.state, State.SILENT)
        self.world.is_tracker_up = True
        self.world.run(9)
        self.assertIs(node.state, State.REGISTERED)
        self.assertEqual(len(node.records), 3)
        self.assertEqual(len(node.told(NodeRegistered)), 1)

    def test_a_refresh_gives_way_to_a_registration_under_way(self) -> None:
        node = self.world.started()
        self.world.fate = lost
        deadline = node.machine.get_timer()
        assert deadline is not None
        self.world.run(deadline - self.world.now - 2)
        node.do(node.machine.record_changed)
        self.world.run(3)
        self.assertNotIn(REFRESH, self.methods(node))
        self.world.fate = World().fate
        self.world.run(3)
        self.assertIs(node.state, State.REGISTERED)
        self.assertEqual(len(node.told(NodeRegistered)), 1)

    def test_a_changed_network_is_proven_at_once(self) -> None:
        node = self.world.started()
        self.world.move(node, "11.0.0.7", 7)
        node.do(node.machine.network_changed)
        self.world.run(4 * ONE_WAY)
        self.assertEqual(node.told(NodeRegistered), [NodeRegistered(HostPort("11.0.0.7", 7))])

    def test_a_changed_network_ends_the_wait_for_a_silent_tracker(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.world.run(200)
        self.assertIs(node.state, State.SILENT)
        self.world.is_tracker_up = True
        node.do(node.machine.network_changed)
        self.world.run(4 * ONE_WAY)
        self.assertIs(node.state, State.REGISTERED)

    def test_a_changed_network_does_not_hurry_a_tracker_that_put_the_node_off(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        self.world.reply(node, failure(TOO_MANY, retry_after_ms=30_000))
        sent = len(self.world.sent)
        node.do(node.machine.network_changed)
        self.assertEqual(len(self.world.sent), sent)


class DeadTrackerTests(RegistrationTestCase):
    def test_three_unanswered_refreshes_are_a_dead_tracker(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.world.run(30.1)
        self.assertIs(node.state, State.SILENT)
        self.assertEqual(self.methods(node)[2:5], [REFRESH] * 3)
        self.assertEqual(len(node.told(RegistrationLost)), 1)

    def test_it_is_asked_ever_more_seldom(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.world.run(1000)
        self.world.sent.clear()
        self.world.run(1000)
        self.assertTrue(3 * 1000 / 50 - 3 <= len(self.world.sent) <= 3 * 1000 / 20 + 3)
        self.assertTrue(node.told(RegistrationFailed))

    def test_a_tracker_that_remembers_takes_the_next_refresh(self) -> None:
        node = self.world.started()
        self.world.run(24)
        self.world.is_tracker_up = False
        while node.state is not State.SILENT:
            self.world.run(0.5)
        self.world.is_tracker_up = True
        self.world.run(4)
        self.assertIs(node.state, State.REGISTERED)
        self.assertEqual(len(node.told(NodeRegistered)), 1)
        self.assertEqual(self.methods(node).count(REGISTER), 2)

    def test_a_busy_answer_while_silent_puts_the_next_try_off(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        while node.state is not State.SILENT:
            self.world.run(0.1)
        sent = len(self.world.sent)
        while len(self.world.sent) == sent:
            self.world.run(0.01)
        self.world.reply(node, Failure(REFRESH, ErrorCode(TOO_MANY), 10_000))
        self.assertIs(node.state, State.SILENT)
        sent = len(self.world.sent)
        self.world.run(9.9)
        self.assertEqual(len(self.world.sent), sent)
        self.world.run(3)
        self.assertGreater(len(self.world.sent), sent)

    def test_once_the_token_has_expired_the_path_is_found_anew(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.world.run(100)
        self.assertTrue(node.told(PathWanted))
        self.world.sent.clear()
        node.path = DatagramPath("socket", HostPort("11.0.0.1", 3479))
        self.world.run(100)
        self.assertTrue(self.world.sent)

    def test_a_tracker_that_restarts_quickly_has_the_node_back_within_one_refresh(self) -> None:
        node = self.world.started()
        self.world.run(40)
        self.world.restart_tracker()
        self.world.run(25.5)
        self.assertIs(node.state, State.REGISTERED)
        self.assertEqual(len(node.told(RegistrationLost)), 1)
        self.assertEqual(len(node.told(NodeRegistered)), 1)

    def test_a_tracker_that_is_back_after_a_while_has_the_node_back_within_90_seconds(self) -> None:
        for outage in (5, 20, 60, 600):
            world = self.world = World()
            node = world.started()
            world.run(30)
            world.is_tracker_up = False
            world.run(outage)
            world.is_tracker_up = True
            world.restart_tracker()
            world.run(90)
            self.assertIs(node.state, State.REGISTERED, outage)

    def test_a_node_that_has_waited_for_the_tracker_takes_its_turn(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.world.run(100)
        self.world.is_tracker_up = True
        self.world.restart_tracker()
        while node.state is State.SILENT:
            self.world.run(0.5)
        self.assertIs(node.state, State.SPREADING)
        self.world.run(25)
        self.assertIs(node.state, State.REGISTERED)

    def test_a_node_that_was_never_registered_does_not_wait_for_a_turn(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        self.world.run(60)
        self.world.is_tracker_up = True
        while node.state is not State.REGISTERED:
            self.assertIsNot(node.state, State.SPREADING)
            self.world.run(0.02)

    def test_a_node_that_has_moved_meanwhile_does_not_wait_for_a_turn(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.world.run(60)
        self.world.move(node, "11.0.0.3", 4000)
        self.world.is_tracker_up = True
        while node.state is not State.REGISTERED:
            self.assertIsNot(node.state, State.SPREADING)
            self.world.run(0.02)

    def test_a_restart_that_a_refresh_meets_after_a_silence_is_spread(self) -> None:
        node = self.world.started()
        self.world.run(24)
        self.world.is_tracker_up = False
        while node.state is not State.SILENT:
            self.world.run(0.1)
        self.world.is_tracker_up = True
        self.world.restart_tracker()
        while node.state is State.SILENT:
            self.world.run(0.1)
        self.world.run(0.3)
        self.assertIs(node.state, State.SPREADING)
        self.world.run(45)
        self.assertIs(node.state, State.REGISTERED)

    def test_a_challenge_to_a_refresh_means_that_the_token_is_not_taken(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.world.run(26)
        self.world.reply(node, challenge(node.address, REFRESH))
        self.assertEqual(len(node.told(RegistrationLost)), 1)
        self.world.is_tracker_up = True
        self.world.run(51)
        self.assertIs(node.state, State.REGISTERED)


class StreamTests(RegistrationTestCase):
    def test_nothing_is_sent_twice_over_a_stream(self) -> None:
        self.world.is_tracker_up = False
        node = self.world.add(on_a_stream=True)
        node.do(node.machine.start)
        self.world.run(4.9)
        self.assertEqual(len(self.world.sent), 1)
        self.world.run(0.2)
        self.assertIs(node.state, State.SILENT)

    def test_a_stream_that_ends_is_opened_anew_and_the_node_registered_on_it(self) -> None:
        node = self.world.started(on_a_stream=True)
        self.world.move(node, "11.0.0.2", 4001)
        node.do(node.machine.path_lost, TrackerUnreachable())
        self.assertEqual(len(node.told(RegistrationLost)), 1)
        self.assertIs(node.state, State.SILENT)
        self.world.run(4)
        self.assertIs(node.state, State.SPREADING)
        self.world.run(25)
        self.assertIs(node.state, State.REGISTERED)
        self.assertEqual(node.told(NodeRegistered), [NodeRegistered(HostPort("11.0.0.2", 4001))])

    def test_a_silent_stream_is_replaced(self) -> None:
        node = self.world.started(on_a_stream=True)
        self.world.is_tracker_up = False
        self.world.run(35)
        self.assertTrue(node.told(PathWanted))

    def test_a_changed_network_opens_another_stream_at_once(self) -> None:
        node = self.world.started(on_a_stream=True)
        self.world.move(node, "11.0.0.9", 1)
        node.do(node.machine.network_changed)
        self.assertEqual(node.told(PathWanted), [PathWanted()])
        self.assertEqual(len(node.told(RegistrationLost)), 1)
        self.world.run(4 * ONE_WAY)
        self.assertIs(node.state, State.REGISTERED)

    def test_a_stream_that_cannot_be_opened_is_told_at_once(self) -> None:
        node = self.world.add(on_a_stream=True)
        node.path = None
        node.do(node.machine.start)
        (failed,) = node.told(RegistrationFailed)
        self.assertIsInstance(failed.error, TrackerUnreachable)


class LeavingTests(RegistrationTestCase):
    def test_a_node_that_leaves_is_gone_at_once(self) -> None:
        node = self.world.started()
        node.do(node.machine.close)
        self.assertIs(node.state, State.LEAVING)
        self.world.run(2 * ONE_WAY)
        self.assertEqual(node.events, [NodeLeft()])
        self.assertIs(node.state, State.CLOSED)
        self.assertIsNone(node.machine.get_timer())
        self.assertEqual(self.world.tracker.status(self.world.now)["nodes"], 0)

    def test_a_node_whose_cookie_is_too_old_leaves_with_another_one(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        node.do(node.machine.close)
        self.world.reply(node, challenge(node.address, UNREGISTER))
        self.assertEqual(self.methods(node)[-2:], [UNREGISTER, UNREGISTER])
        self.assertEqual(self.world.asked(node)[-1].get(COOKIE), bytes(16))
        self.world.reply(node, Unregistered())
        self.assertEqual(node.events, [NodeLeft()])

    def test_a_node_that_is_proving_its_address_can_leave(self) -> None:
        node = self.world.started()
        node.do(node.machine.network_changed)
        node.do(node.machine.close)
        self.assertIsNone(self.world.asked(node)[-1].get(COOKIE))
        self.world.run(1)
        self.assertEqual(self.world.tracker.status(self.world.now)["nodes"], 0)
        self.assertEqual(node.events, [NodeLeft()])

    def test_leaving_takes_no_more_than_two_seconds(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        node.do(node.machine.close)
        self.world.run(1.7)
        self.assertIs(node.state, State.LEAVING)
        self.world.run(0.1)
        self.assertEqual(node.events, [NodeLeft()])

    def test_a_tracker_that_only_challenges_does_not_hold_it_back(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        node.do(node.machine.close)
        for _ in range(2):
            self.world.reply(node, challenge(node.address, UNREGISTER))
        self.assertEqual(node.events, [NodeLeft()])

    def test_a_refused_removal_is_an_end_too(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        node.do(node.machine.close)
        self.world.reply(node, Failure(UNREGISTER, ErrorCode(FORBIDDEN)))
        self.assertEqual(node.events, [NodeLeft()])

    def test_whoever_is_not_registered_has_left_at_once(self) -> None:
        node = self.world.add()
        node.do(node.machine.start)
        node.do(node.machine.close)
        self.assertEqual(node.events[-1], NodeLeft())
        self.world.run(100)
        self.assertEqual(len(self.world.sent), 1)
        self.assertIs(node.state, State.CLOSED)

    def test_a_stream_that_ends_meanwhile_is_an_end_too(self) -> None:
        node = self.world.started(on_a_stream=True)
        self.world.is_tracker_up = False
        node.do(node.machine.close)
        node.do(node.machine.path_lost, TrackerUnreachable())
        self.assertEqual(node.events, [NodeLeft()])

    def test_leaving_twice_is_leaving_once(self) -> None:
        node = self.world.started()
        node.do(node.machine.close)
        node.do(node.machine.close)
        self.world.run(5)
        node.do(node.machine.close)
        self.assertEqual(node.events, [NodeLeft()])

    def test_nothing_happens_afterwards(self) -> None:
        node = self.world.started()
        node.do(node.machine.close)
        self.world.run(5)
        sent = len(self.world.sent)
        for command in (
            node.machine.start,
            node.machine.record_changed,
            node.machine.network_changed,
        ):
            node.do(command)
        node.do(node.machine.path_lost, TrackerUnreachable())
        self.world.run(200)
        self.assertEqual(len(self.world.sent), sent)
        self.assertEqual(node.events, [NodeLeft()])


class UntrustedTests(RegistrationTestCase):
    def test_answers_from_elsewhere_are_dropped(self) -> None:
        self.world.is_tracker_up = False
        node = self.world.add()
        node.do(node.machine.start)
        answer = challenge(node.address).encode(self.world.asked(node)[-1].transaction_id)
        for path in (
            DatagramPath("socket", HostPort("11.0.0.66", 3478)),
            DatagramPath("socket", HostPort(TRACKER.host, 3479)),
            DatagramPath("another socket", TRACKER),
        ):
            self.world.inject(node, answer, path)
        self.assertEqual(node.machine.dropped, {"not from the tracker": 3})
        self.assertEqual(len(self.world.sent), 1)

    def test_nothing_is_taken_before_there_is_a_path(self) -> None:
        node = self.world.add()
        self.world.inject(node, b"anything")
        self.assertEqual(node.machine.dropped, {"not from the tracker": 1})

    def test_answers_to_nothing_that_was_asked_are_dropped(self) -> None:
        node = self.world.started()
        self.world.inject(node, registered(HostPort("11.0.0.66", 1)).encode(bytes(12)))
        self.assertEqual(node.machine.dropped, {"unexpected": 1})
        self.assertEqual(node.machine.mapped_address, node.address)

    def test_an_answer_is_taken_once(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        node.do(node.machine.record_changed)
        self.world.reply(node, registered(node.address))
        self.world.reply(node, registered(HostPort("11.0.0.66", 1)))
        self.assertEqual(node.machine.dropped, {"unexpected": 1})
        self.assertEqual(node.machine.mapped_address, node.address)

    def test_what_is_malformed_is_dropped(self) -> None:
        node = self.world.started()
        good = registered(node.address).encode(bytes(12))
        for data in (b"", b"\x00", good[:-1], good[:-1] + b"\xff", good + bytes(1200)):
            self.world.inject(node, data)
        self.assertEqual(node.machine.dropped, {"malformed": 5})

    def test_an_answer_that_must_be_understood_and_is_not_is_dropped(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        answer = decode_message(
            challenge(node.address).encode(self.world.asked(node)[-1].transaction_id)
        )
        strange = evolve(answer, attributes=((0x7FFF, b""), *answer.attributes[:-1]))
        self.world.inject(node, strange.encode(fingerprint=True))
        self.assertEqual(node.machine.dropped, {"unknown attribute": 1})
        self.assertIs(node.state, State.REGISTERING)

    def test_the_success_of_another_method_is_a_refusal(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        self.world.reply(node, Unregistered())
        self.assertIs(node.state, State.WAITING)


class HurryingTests(RegistrationTestCase):
    def test_a_node_that_waits_for_its_turn_registers_at_once_when_told_to(self) -> None:
        node = self.world.started()
        self.world.is_tracker_up = False
        self.world.run(100)
        self.world.is_tracker_up = True
        self.world.restart_tracker()
        while node.state is not State.SPREADING:
            self.world.run(0.1)
        node.do(node.machine.start)
        self.world.run(4 * ONE_WAY)
        self.assertIs(node.state, State.REGISTERED)

    def test_a_node_that_was_put_off_is_told_so_again(self) -> None:
        node = self.world.add()
        self.world.is_tracker_up = False
        node.do(node.machine.start)
        self.world.reply(node, failure(TOO_MANY, retry_after_ms=30_000))
        sent = len(self.world.sent)
        node.do(node.machine.start)
        self.assertEqual(len(node.told(RegistrationFailed)), 2)
        self.assertEqual(len(self.world.sent), sent)
