"""Whatever the network and the tracker do, a registration neither breaks nor gives up."""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer_examples
from tests.tracker.registration_world import World, delivered, lost, rough
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import TrackerUnreachable
from twisted_p2p.stun.attributes import ErrorCode
from twisted_p2p.stun.message import MessageClass, STUNMessage
from twisted_p2p.tracker.attributes import (
    ANSWER,
    COOKIE_NEEDED,
    INTRODUCE,
    LOOK_UP,
    REFRESH,
    REGISTER,
    UNREGISTER,
)
from twisted_p2p.tracker.client_events import NodeLeft, RequestAnswered, RequestFailed
from twisted_p2p.tracker.enrolment import State
from twisted_p2p.tracker.messages import (
    AnswerHandedOver,
    AnswerTaken,
    Challenge,
    Failure,
    Introduced,
    OfferHandedOver,
    Presence,
    Refreshed,
    Registered,
    Unregistered,
)

ADDRESSES = st.builds(
    HostPort,
    st.sampled_from(["11.0.0.2", "11.0.0.3", "0.0.0.0", "2001:db8::1"]),
    st.integers(0, 65535),
)
METHOD_NUMBERS = st.sampled_from([REGISTER, REFRESH, UNREGISTER, LOOK_UP, INTRODUCE, ANSWER])
KEYS = st.binary(min_size=32, max_size=32)
COOKIES = st.binary(min_size=8, max_size=24)
REGISTRATIONS = (st.binary(min_size=8, max_size=32), COOKIES, st.integers(0, 2**32 - 1), ADDRESSES)
MESSAGES = st.one_of(
    st.builds(
        Failure,
        METHOD_NUMBERS,
        st.builds(ErrorCode, st.integers(300, 699), st.just("words")),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**64 - 1),
    ),
    st.builds(Challenge, METHOD_NUMBERS, st.just(ErrorCode(COOKIE_NEEDED)), COOKIES, ADDRESSES),
    st.builds(Registered, *REGISTRATIONS),
    st.builds(Refreshed, *REGISTRATIONS),
    st.just(Unregistered()),
    st.builds(Presence, KEYS, st.booleans(), st.lists(st.text(max_size=9), max_size=3).map(tuple)),
    st.builds(Introduced, st.lists(ADDRESSES, max_size=9).map(tuple)),
    st.just(AnswerTaken()),
    st.builds(OfferHandedOver, KEYS, st.binary(min_size=1, max_size=900)),
    st.builds(AnswerHandedOver, KEYS, st.binary(min_size=1, max_size=900)),
)


def fitting(message: Any, method: int) -> Any:
    """Return an error as the answer to a method; other messages have one of their own."""
    return evolve(message, method=method) if isinstance(message, Failure | Challenge) else message


class RoughLife(RuleBasedStateMachine):
    """Two nodes and a tracker; the network, the tracker and one node's address fail at will."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Random(7))
        self.world.fate = rough
        self.alice = self.world.add("11.0.0.2", on_a_stream=self.on_a_stream)
        self.bob = self.world.add("11.0.0.3")
        self.numbers: list[int] = []
        for node in (self.alice, self.bob):
            node.do(node.machine.start)

    on_a_stream = False

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(fate=st.sampled_from([delivered, rough, lost]))
    def network_changes(self, fate: Any) -> None:
        self.world.fate = fate

    @rule(is_up=st.booleans())
    def tracker_stops_or_starts(self, is_up: bool) -> None:
        self.world.is_tracker_up = is_up

    @rule()
    def tracker_forgets(self) -> None:
        self.world.restart_tracker()

    @rule(port=st.integers(1, 9))
    def node_moves(self, port: int) -> None:
        self.world.move(self.alice, "11.0.0.2", port)

    @rule()
    def path_is_lost(self) -> None:
        self.alice.do(self.alice.machine.path_lost, TrackerUnreachable())

    @rule(is_there=st.booleans())
    def path_can_be_found(self, is_there: bool) -> None:
        self.alice.path = self.bob.path if is_there else None

    @rule()
    def record_changes(self) -> None:
        self.alice.do(self.alice.machine.record_changed)

    @rule()
    def network_is_said_to_change(self) -> None:
        self.alice.do(self.alice.machine.network_changed)

    @rule()
    def asks(self) -> None:
        self.numbers += [
            self.alice.do(self.alice.machine.look_up, self.bob.peer_id),
            self.alice.do(self.alice.machine.introduce, self.bob.peer_id, b"box"),
            self.alice.do(self.alice.machine.answer, self.bob.peer_id, b"box", True),
        ]

    @invariant()
    def something_is_due(self) -> None:
        assert self.alice.machine.get_timer() is not None
        assert self.alice.machine.dropped["malformed"] == 0

    def teardown(self) -> None:
        """When all is well again, so is the node, and every request has had one end."""
        self.alice.path = self.bob.path
        self.world.fate = delivered
        self.world.is_tracker_up = True
        self.world.run(110)
        for node in (self.alice, self.bob):
            assert node.state is State.REGISTERED, node.state
            assert node.machine.mapped_address == node.address
        ends = [
            event.number
            for event in self.alice.events
            if isinstance(event, RequestAnswered | RequestFailed)
        ]
        assert sorted(ends) == self.numbers, (ends, self.numbers)
        self.alice.do(self.alice.machine.close)
        self.world.run(3)
        assert self.alice.told(NodeLeft) == [NodeLeft()]
        assert self.alice.machine.get_timer() is None


class RoughLifeOnStreams(RoughLife):
    on_a_stream = True


class RoughLifeTests(SynchronousTestCase):
    def test_a_node_survives_whatever_happens(self) -> None:
        run_state_machine_as_test(
            RoughLife, settings=settings(max_examples=fewer_examples(0.5), stateful_step_count=25)
        )

    def test_a_node_on_streams_survives_whatever_happens(self) -> None:
        run_state_machine_as_test(
            RoughLifeOnStreams,
            settings=settings(max_examples=fewer_examples(0.5), stateful_step_count=25),
        )


class HostileTrackerTests(SynchronousTestCase):
    @settings(max_examples=fewer_examples(0.5))
    @given(
        st.lists(st.tuples(MESSAGES, st.booleans(), st.floats(0, 40)), max_size=25), st.booleans()
    )
    def test_no_answer_raises_or_makes_a_node_talk_without_pause(
        self, answers: list[tuple[Any, bool, float]], on_a_stream: bool
    ) -> None:
        world = World(Random(1))
        world.is_tracker_up = False
        node = world.add(on_a_stream=on_a_stream)
        node.do(node.machine.start)
        node.do(node.machine.look_up, node.peer_id)
        node.do(node.machine.introduce, node.peer_id, b"box")
        for message, is_expected, wait in answers:
            asked = world.asked(node)[-1]
            if is_expected:
                world.reply(node, fitting(message, asked.method))
            else:
                world.inject(node, message.encode(bytes(12)))
            world.run(wait)
        # An answer leads to one or two messages, a request to eleven at most.
        seconds = sum(wait for _, _, wait in answers)
        self.assertTrue(len(world.sent) <= 3 * 12 + 4 * len(answers) + seconds)
        sent = len(world.sent)
        world.run(1000)
        self.assertTrue(len(world.sent) - sent <= 300)

    @given(
        st.binary(max_size=1300),
        st.binary(max_size=60),
        st.integers(0, 255),
        st.sampled_from(MessageClass),
    )
    def test_no_bytes_raise(
        self, data: bytes, value: bytes, method: int, message_class: MessageClass
    ) -> None:
        world = World(Random(1))
        world.is_tracker_up = False
        node = world.add()
        node.do(node.machine.start)
        transaction_id = world.asked(node)[-1].transaction_id
        message = STUNMessage(method, message_class, transaction_id, ((0x7402, value),))
        for datagram in (data, message.encode(fingerprint=True)):
            world.inject(node, datagram)
        self.assertIn(node.state, (State.REGISTERING, State.WAITING))
        self.assertTrue(node.machine.dropped.total() >= 1)

    @given(MESSAGES, ADDRESSES)
    def test_what_is_forged_changes_nothing(self, message: Any, source: HostPort) -> None:
        world = World(Random(1))
        node = world.started()
        deadline = node.machine.get_timer()
        world.inject(node, message.encode(bytes(12)), DatagramPath("socket", source))
        if not isinstance(message, OfferHandedOver | AnswerHandedOver):
            world.inject(node, message.encode(bytes(12)))
        self.assertIs(node.state, State.REGISTERED)
        self.assertEqual(node.events, [])
        self.assertEqual(node.machine.get_timer(), deadline)
        self.assertEqual(node.machine.mapped_address, node.address)
