"""A node looks peers up, introduces itself and answers, through a tracker machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.registration_world import ONE_WAY, Node, World, lost
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import PeerOffline, PeerRefused, TrackerBusy, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.record import AddressPolicy
from twisted_p2p.stun.attributes import ErrorCode
from twisted_p2p.tracker.attributes import (
    COOKIE_NEEDED,
    INTRODUCE,
    LOOK_UP,
    PEER_OFFLINE,
    REGISTER,
    STALE_TOKEN,
    TOO_MANY,
)
from twisted_p2p.tracker.client_events import (
    HandedOver,
    NodeLeft,
    NodeRegistered,
    PathWanted,
    RegistrationLost,
    RequestAnswered,
    RequestFailed,
)
from twisted_p2p.tracker.enrolment import State
from twisted_p2p.tracker.messages import (
    AnswerHandedOver,
    AnswerTaken,
    Challenge,
    Failure,
    Introduced,
    OfferHandedOver,
    Presence,
    Registered,
)


class RequestTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.alice = self.world.started("11.0.0.2")
        self.bob = self.world.started("11.0.0.3", services=("web", "ssh"), nat_facts=b"facts")

    def failed(self, node: Node, number: int) -> Exception:
        """Return the error of the one event that a request has led to."""
        (event,) = node.told(RequestFailed)
        self.assertEqual(event.number, number)
        self.assertEqual(node.told(RequestAnswered), [])
        return event.error

    def methods(self, node: Node) -> list[int]:
        return [message.method for message in self.world.asked(node)]


class LookingUpTests(RequestTestCase):
    def test_a_registered_peer_is_found_in_one_round_trip(self) -> None:
        number = self.alice.do(self.alice.machine.look_up, self.bob.peer_id)
        self.world.run(2 * ONE_WAY)
        presence = Presence(self.bob.peer_id.public_key, True, ("web", "ssh"))
        self.assertEqual(self.alice.events, [RequestAnswered(number, presence)])

    def test_a_peer_that_is_not_there_is_offline(self) -> None:
        self.bob.do(self.bob.machine.close)
        self.world.run(1)
        number = self.alice.do(self.alice.machine.look_up, self.bob.peer_id)
        self.world.run(1)
        self.assertIsInstance(self.failed(self.alice, number), PeerOffline)

    def test_a_node_that_is_not_started_registers_first(self) -> None:
        carol = self.world.add("11.0.0.4")
        number = carol.do(carol.machine.look_up, self.bob.peer_id)
        self.world.run(1)
        self.assertEqual([event.number for event in carol.told(RequestAnswered)], [number])
        self.assertIs(carol.state, State.REGISTERED)

    def test_a_cookie_is_enough(self) -> None:
        carol = self.world.add("11.0.0.4")
        carol.do(carol.machine.start)
        carol.do(carol.machine.look_up, self.bob.peer_id)
        self.world.run(2 * ONE_WAY)
        self.assertEqual(sorted(self.methods(carol)), [REGISTER, REGISTER, LOOK_UP])

    def test_an_old_cookie_costs_one_more_round_trip(self) -> None:
        self.world.is_tracker_up = False
        self.alice.do(self.alice.machine.look_up, self.bob.peer_id)
        challenge = Challenge(LOOK_UP, ErrorCode(COOKIE_NEEDED), bytes(16), self.alice.address)
        self.world.reply(self.alice, challenge)
        self.assertEqual(self.methods(self.alice)[-2:], [LOOK_UP, LOOK_UP])
        presence = Presence(self.bob.peer_id.public_key)
        self.world.reply(self.alice, presence)
        self.assertEqual([one.response for one in self.alice.told(RequestAnswered)], [presence])

    def test_a_tracker_that_takes_no_cookie_is_no_use(self) -> None:
        self.world.is_tracker_up = False
        number = self.alice.do(self.alice.machine.look_up, self.bob.peer_id)
        challenge = Challenge(LOOK_UP, ErrorCode(COOKIE_NEEDED), bytes(16), self.alice.address)
        self.world.reply(self.alice, challenge)
        self.world.reply(self.alice, challenge)
        self.assertIsInstance(self.failed(self.alice, number), TrackerUnreachable)


class IntroducingTests(RequestTestCase):
    def test_the_offer_arrives_and_the_initiator_learns_where_the_target_is(self) -> None:
        number = self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.world.run(2 * ONE_WAY)
        introduced = Introduced((self.bob.address,), b"facts")
        self.assertEqual(self.alice.events, [RequestAnswered(number, introduced)])
        offer = OfferHandedOver(self.alice.peer_id.public_key, b"box", (self.alice.address,), b"")
        self.assertEqual(self.bob.events, [HandedOver(offer)])

    def test_the_answer_goes_back(self) -> None:
        self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.world.run(1)
        number = self.bob.do(self.bob.machine.answer, self.alice.peer_id, b"reply", True)
        self.world.run(1)
        self.assertEqual(self.bob.told(RequestAnswered), [RequestAnswered(number, AnswerTaken())])
        answer = AnswerHandedOver(
            self.bob.peer_id.public_key, b"reply", (self.bob.address,), b"facts"
        )
        self.assertEqual(self.alice.told(HandedOver), [HandedOver(answer)])

    def test_an_answer_that_does_not_accept_tells_no_address(self) -> None:
        self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.world.run(1)
        self.bob.do(self.bob.machine.answer, self.alice.peer_id, b"reply", False)
        self.world.run(1)
        (handed_over,) = self.alice.told(HandedOver)
        self.assertEqual(handed_over.message.addresses, ())

    def test_a_peer_that_lists_others_refuses(self) -> None:
        dave = self.world.started("11.0.0.5", address_policy=AddressPolicy.LISTED)
        number = self.alice.do(self.alice.machine.introduce, dave.peer_id, b"box")
        self.world.run(1)
        self.assertIsInstance(self.failed(self.alice, number), PeerRefused)
        self.assertEqual(dave.events, [])

    def test_a_busy_tracker_says_when_to_come_again(self) -> None:
        self.world.is_tracker_up = False
        number = self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.world.reply(self.alice, Failure(INTRODUCE, ErrorCode(TOO_MANY), 1_500))
        error = self.failed(self.alice, number)
        assert isinstance(error, TrackerBusy)
        self.assertEqual(error.retry_after, 1.5)
        self.assertIs(self.alice.state, State.REGISTERED)

    def test_a_box_that_fits_no_datagram_is_refused_at_once(self) -> None:
        for box in (b"", bytes(901)):
            with self.assertRaises(ValueError):
                self.alice.machine.introduce(self.bob.peer_id, box, self.world.now)
            with self.assertRaises(ValueError):
                self.alice.machine.answer(self.bob.peer_id, box, True, self.world.now)
        self.alice.do(self.alice.machine.introduce, self.bob.peer_id, bytes(900))
        self.world.run(1)
        self.assertEqual(len(self.bob.told(HandedOver)), 1)

    def test_no_more_addresses_are_told_than_an_honest_tracker_tells(self) -> None:
        many = tuple(HostPort("11.0.0.3", port) for port in range(1, 31))
        self.world.is_tracker_up = False
        self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.world.reply(self.alice, Introduced(many))
        (answered,) = self.alice.told(RequestAnswered)
        self.assertEqual(answered.response, Introduced(many[:4]))
        offer = OfferHandedOver(self.bob.peer_id.public_key, b"box", many)
        self.world.inject(self.alice, offer.encode(bytes(12)))
        (handed_over,) = self.alice.told(HandedOver)
        self.assertEqual(handed_over.message.addresses, many[:4])

    def test_an_offer_from_elsewhere_is_not_the_trackers(self) -> None:
        offer = OfferHandedOver(self.bob.peer_id.public_key, b"box").encode(bytes(12))
        self.world.inject(self.alice, offer, self.bob.tracker_path)
        self.assertEqual(self.alice.events, [])

    def test_a_lost_packet_costs_a_quarter_of_a_second(self) -> None:
        deliver, self.world.fate = self.world.fate, lost
        self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.world.fate = deliver
        self.world.run(0.25 + 2 * ONE_WAY)
        self.assertEqual(len(self.alice.told(RequestAnswered)), 1)


class ProofTests(RequestTestCase):
    def test_a_token_that_the_tracker_forgot_is_replaced_and_the_request_goes_on(self) -> None:
        self.world.restart_tracker()
        bob = self.world.started("11.0.0.6")
        self.alice.do(self.alice.machine.introduce, bob.peer_id, b"box")
        self.world.run(8 * ONE_WAY)
        self.assertEqual(len(self.alice.told(RequestAnswered)), 1)
        self.assertEqual(len(self.alice.told(RegistrationLost)), 1)
        self.assertIs(self.alice.state, State.REGISTERED)
        self.assertEqual(len(bob.told(HandedOver)), 1)

    def test_a_token_that_is_never_taken_is_given_up_and_nothing_goes_round_for_ever(self) -> None:
        self.world.is_tracker_up = False
        number = self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        sent = len(self.world.sent)
        while not self.alice.told(RequestFailed):
            method = self.methods(self.alice)[-1]
            if method == INTRODUCE:
                self.world.reply(self.alice, Failure(INTRODUCE, ErrorCode(STALE_TOKEN)))
            else:
                token = self.world.random.randbytes(16)
                answer = Registered(token, bytes(16), 45, self.alice.address)
                self.world.reply(self.alice, answer)
        self.assertIsInstance(self.failed(self.alice, number), TrackerUnreachable)
        self.assertEqual(len(self.world.sent) - sent, 3)

    def test_a_late_refusal_of_the_last_token_does_not_cost_the_next_one(self) -> None:
        self.world.is_tracker_up = False
        self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        refusal = Failure(INTRODUCE, ErrorCode(STALE_TOKEN)).encode(
            self.world.asked(self.alice)[-1].transaction_id
        )
        self.alice.do(self.alice.machine.record_changed)
        self.world.reply(
            self.alice, Registered(b"the next token.", bytes(16), 45, self.alice.address)
        )
        self.world.inject(self.alice, refusal)
        self.assertEqual(self.methods(self.alice)[-1], INTRODUCE)
        self.assertEqual(self.alice.told(RegistrationLost), [])

    def test_requests_wait_until_the_node_is_registered(self) -> None:
        carol = self.world.add("11.0.0.4")
        carol.do(carol.machine.start)
        carol.do(carol.machine.introduce, self.bob.peer_id, b"one")
        carol.do(carol.machine.introduce, self.bob.peer_id, b"two")
        self.world.run(6 * ONE_WAY)
        self.assertEqual(len(carol.told(RequestAnswered)), 2)
        boxes = [event.message.box for event in self.bob.told(HandedOver)]
        self.assertEqual(boxes, [b"one", b"two"])

    def test_a_request_of_a_node_that_waits_for_its_turn_registers_it_at_once(self) -> None:
        self.world.is_tracker_up = False
        self.world.run(100)
        self.world.is_tracker_up = True
        self.world.restart_tracker()
        bob = self.world.started("11.0.0.6")
        while self.alice.state is not State.SPREADING:
            self.world.run(0.1)
        self.alice.events.clear()
        self.alice.do(self.alice.machine.introduce, bob.peer_id, b"box")
        self.world.run(6 * ONE_WAY)
        self.assertEqual(len(self.alice.told(RequestAnswered)), 1)

    def test_a_look_up_of_a_node_that_waits_for_its_turn_leaves_it_waiting(self) -> None:
        self.world.is_tracker_up = False
        self.world.run(100)
        self.world.is_tracker_up = True
        self.world.restart_tracker()
        while self.alice.state is not State.SPREADING:
            self.world.run(0.1)
        self.alice.events.clear()
        nobody = IdentityKey.from_seed(b"n" * 32).peer_id
        self.alice.do(self.alice.machine.look_up, nobody)
        self.world.run(2 * ONE_WAY)
        self.assertEqual(len(self.alice.told(RequestFailed)), 1)
        self.assertIs(self.alice.state, State.SPREADING)

    def test_a_request_after_a_silence_asks_the_tracker_at_once(self) -> None:
        self.world.is_tracker_up = False
        self.world.run(200)
        self.world.is_tracker_up = True
        self.world.restart_tracker()
        bob = self.world.started("11.0.0.6")
        self.alice.do(self.alice.machine.introduce, bob.peer_id, b"box")
        self.world.run(6 * ONE_WAY)
        self.assertEqual(len(self.alice.told(RequestAnswered)), 1)


class FailingTests(RequestTestCase):
    def test_a_request_that_gets_no_answer_fails_after_five_seconds(self) -> None:
        self.world.run(0.5)
        self.world.is_tracker_up = False
        number = self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.world.run(4.9)
        self.assertEqual(self.alice.told(RequestFailed), [])
        self.world.run(0.2)
        self.assertIsInstance(self.failed(self.alice, number), TrackerUnreachable)
        self.assertIs(self.alice.state, State.SILENT)

    def test_requests_that_wait_for_a_dead_tracker_fail_with_its_first_silence(self) -> None:
        self.world.is_tracker_up = False
        carol = self.world.add("11.0.0.4")
        number = carol.do(carol.machine.introduce, self.bob.peer_id, b"box")
        self.world.run(5.1)
        self.assertIsInstance(self.failed(carol, number), TrackerUnreachable)

    def test_a_request_to_a_tracker_that_is_silent_already_is_tried(self) -> None:
        self.world.is_tracker_up = False
        while self.alice.state is not State.SILENT:
            self.world.run(0.1)
        number = self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.assertEqual(self.methods(self.alice)[-1], INTRODUCE)
        self.world.run(6)
        self.assertIsInstance(self.failed(self.alice, number), TrackerUnreachable)

    def test_requests_under_way_fail_once_when_everything_times_out_together(self) -> None:
        self.world.is_tracker_up = False
        self.alice.do(self.alice.machine.record_changed)
        for _ in range(3):
            self.alice.do(self.alice.machine.look_up, self.bob.peer_id)
        self.world.run(5.5)
        self.assertEqual(len(self.alice.told(RequestFailed)), 3)
        self.assertEqual(len(self.alice.told(RegistrationLost)), 1)

    def test_a_request_that_times_out_before_an_errand_ends_that_too(self) -> None:
        self.world.is_tracker_up = False
        self.alice.do(self.alice.machine.look_up, self.bob.peer_id)
        self.alice.do(self.alice.machine.record_changed)
        self.world.run(5.5)
        self.assertEqual(len(self.alice.told(RequestFailed)), 1)
        self.assertEqual(len(self.alice.told(RegistrationLost)), 1)
        self.assertIs(self.alice.state, State.SILENT)

    def test_a_request_while_the_tracker_puts_the_node_off_fails_with_that(self) -> None:
        carol = self.world.add("11.0.0.4")
        self.world.is_tracker_up = False
        carol.do(carol.machine.start)
        self.world.reply(carol, Failure(REGISTER, ErrorCode(TOO_MANY), 9_000))
        number = carol.do(carol.machine.introduce, self.bob.peer_id, b"box")
        self.assertIsInstance(self.failed(carol, number), TrackerBusy)

    def test_a_cancelled_request_is_not_repeated_and_tells_nothing(self) -> None:
        self.world.is_tracker_up = False
        number = self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        sent = len(self.world.sent)
        self.alice.machine.cancel(number)
        self.world.run(6)
        self.assertEqual(self.methods(self.alice)[sent:].count(INTRODUCE), 0)
        self.assertEqual(self.alice.told(RequestFailed), [])

    def test_a_request_that_waits_can_be_cancelled(self) -> None:
        carol = self.world.add("11.0.0.4")
        number = carol.do(carol.machine.introduce, self.bob.peer_id, b"box")
        carol.machine.cancel(number)
        carol.machine.cancel(number)
        self.world.run(1)
        self.assertEqual(carol.told(RequestAnswered) + carol.told(RequestFailed), [])
        self.assertEqual(self.bob.events, [])

    def test_closing_fails_every_request(self) -> None:
        self.world.is_tracker_up = False
        waiting = self.world.add("11.0.0.4")
        for node in (waiting, self.alice):
            number = node.do(node.machine.introduce, self.bob.peer_id, b"box")
            node.do(node.machine.close)
            self.assertEqual(str(self.failed(node, number)), "This node is stopping.")

    def test_a_refusal_after_the_goodbye_does_not_bring_the_node_back(self) -> None:
        self.world.is_tracker_up = False
        self.alice.do(self.alice.machine.close)
        self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box")
        self.world.reply(self.alice, Failure(INTRODUCE, ErrorCode(STALE_TOKEN)))
        self.assertIs(self.alice.state, State.LEAVING)
        self.world.run(2)
        self.assertEqual(self.alice.told(NodeLeft), [NodeLeft()])
        self.assertIs(self.alice.state, State.CLOSED)

    def test_a_request_after_the_end_fails_at_once(self) -> None:
        self.alice.do(self.alice.machine.close)
        self.world.run(1)
        number = self.alice.do(self.alice.machine.look_up, self.bob.peer_id)
        self.assertEqual(str(self.failed(self.alice, number)), "This node is stopping.")
        self.assertEqual(self.alice.told(NodeLeft), [NodeLeft()])


class LostStreamTests(RequestTestCase):
    def test_a_request_goes_on_along_the_next_stream(self) -> None:
        carol = self.world.started("11.0.0.4", on_a_stream=True)
        deliver, self.world.fate = self.world.fate, lost
        number = carol.do(carol.machine.introduce, self.bob.peer_id, b"box")
        self.world.fate = deliver
        self.world.move(carol, "11.0.0.4", 4001)
        carol.do(carol.machine.path_lost, TrackerUnreachable())
        self.assertEqual(carol.told(PathWanted), [PathWanted()])
        self.world.run(6 * ONE_WAY)
        self.assertEqual([event.number for event in carol.told(RequestAnswered)], [number])
        self.assertEqual(len(carol.told(NodeRegistered)), 1)

    def test_a_request_that_loses_a_second_stream_has_failed(self) -> None:
        carol = self.world.started("11.0.0.4", on_a_stream=True)
        self.world.is_tracker_up = False
        number = carol.do(carol.machine.introduce, self.bob.peer_id, b"box")
        carol.do(carol.machine.path_lost, TrackerUnreachable())
        self.world.reply(carol, Registered(bytes(16), bytes(16), 45, carol.address))
        carol.do(carol.machine.path_lost, TrackerUnreachable())
        self.assertIsInstance(self.failed(carol, number), TrackerUnreachable)

    def test_a_request_whose_stream_cannot_be_opened_again_has_failed(self) -> None:
        carol = self.world.started("11.0.0.4", on_a_stream=True)
        self.world.is_tracker_up = False
        number = carol.do(carol.machine.introduce, self.bob.peer_id, b"box")
        carol.path = None
        carol.do(carol.machine.path_lost, TrackerUnreachable())
        self.assertIsInstance(self.failed(carol, number), TrackerUnreachable)
        self.assertIs(carol.state, State.SILENT)

    def test_a_stream_lost_while_the_node_is_put_off_fails_what_was_under_way(self) -> None:
        carol = self.world.add("11.0.0.4", on_a_stream=True)
        self.world.is_tracker_up = False
        carol.do(carol.machine.start)
        challenge = Challenge(REGISTER, ErrorCode(COOKIE_NEEDED), bytes(16), carol.address)
        self.world.reply(carol, challenge)
        self.world.reply(carol, Failure(REGISTER, ErrorCode(TOO_MANY), 9_000))
        number = carol.do(carol.machine.look_up, self.bob.peer_id)
        self.assertEqual(self.methods(carol)[-1], LOOK_UP)
        carol.do(carol.machine.path_lost, TrackerUnreachable())
        self.assertIsInstance(self.failed(carol, number), TrackerBusy)
        self.assertIs(carol.state, State.WAITING)


class SaidTests(RequestTestCase):
    def test_the_trackers_own_words_are_not_repeated(self) -> None:
        self.world.is_tracker_up = False
        number = self.alice.do(self.alice.machine.look_up, self.bob.peer_id)
        self.world.reply(self.alice, Failure(LOOK_UP, ErrorCode(PEER_OFFLINE, "\x1b[2Jpwned")))
        self.assertEqual(str(self.failed(self.alice, number)), str(PeerOffline()))
