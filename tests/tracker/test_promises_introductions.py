"""Promises 4 to 6: whom a tracker tells what about whom, how often, and how much."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.world import SERVER, Node, World, error_of, identity, registered_node
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.record import AddressPolicy
from twisted_p2p.stun.message import MessageClass, STUNMessage
from twisted_p2p.tracker import messages
from twisted_p2p.tracker.attributes import (
    BAD_REQUEST,
    BOX,
    FORBIDDEN,
    INTRODUCE,
    PEER_ID,
    PROTOCOL_VERSION,
    TARGET,
    TOKEN,
    TOO_MANY,
    VERSION,
)
from twisted_p2p.tracker.limits import DEFAULT_LIMITS
from twisted_p2p.tracker.messages import (
    AnswerTaken,
    Challenge,
    CookieRequest,
    Introduced,
    Register,
    read_response,
)
from twisted_p2p.tracker.wire import TrackerMessage

VICTIM = HostPort("11.66.6.6", 53)
UNBOUNDED = evolve(
    DEFAULT_LIMITS,
    introductions_by_strangers=1000,
    introductions_by_stranger=1000,
    introductions_by_peer=1000,
    requests=10_000,
)


class Promise4TheObservedAddress(SynchronousTestCase):
    """Nobody is sent to an address that its peer does not receive at."""

    def test_promise_4_a_claimed_address_is_never_told_nor_sent_to(self) -> None:
        world = World(UNBOUNDED)
        attacker = registered_node(world, 1, addresses=(VICTIM,))
        for number in range(2, 502):
            honest = registered_node(world, number)
            told = honest.introduce(attacker)
            self.assertEqual(told, Introduced((attacker.address,)))
            attacker.introduce(honest)
            ((offer, _),) = attacker.handed_over()
            self.assertEqual(offer.addresses, (attacker.address,))
        self.assertEqual([path for _, path in world.sent if path.remote == VICTIM], [])

    def test_promise_4_a_registration_must_be_signed_for_the_address_it_comes_from(self) -> None:
        world = World()
        attacker = Node(world, 1)
        attacker.fetch_cookie()
        request = attacker.registration(mapped_address=VICTIM)
        self.assertEqual(error_of(attacker.ask(request)), FORBIDDEN)
        # Nor does it help to send from the victim's address, which never showed a cookie.
        attacker.path = DatagramPath(SERVER, VICTIM)
        self.assertEqual(error_of(attacker.ask(request)), 401)
        self.assertEqual(world.status()["nodes"], 0)

    def test_promise_4_a_hostile_tracker_that_passes_on_a_cookie_registers_nobody(self) -> None:
        honest = World()
        hostile = HostPort("11.6.6.6", SERVER.port)
        node = Node(honest, 1)
        for address in (hostile, node.address):
            # The hostile tracker asks from its own address, or from the node's, and passes the
            # honest tracker's challenge on; the node signs what it was told, to whom it talks to.
            relay = Node(honest, 1, address.host, port=address.port)
            challenge = relay.ask(CookieRequest(Register.method))
            assert isinstance(challenge, Challenge)
            signed = node.registration(
                cookie=challenge.cookie,
                mapped_address=challenge.mapped_address,
                server_address=hostile,
            )
            self.assertEqual(error_of(relay.ask(signed)), FORBIDDEN)
        self.assertEqual(honest.status()["nodes"], 0)

    def test_promise_4_another_port_of_the_same_host_is_another_tracker(self) -> None:
        world = World()
        node = Node(world, 1)
        node.fetch_cookie()
        claim = HostPort(SERVER.host, SERVER.port + 1)
        self.assertEqual(error_of(node.ask(node.registration(server_address=claim))), FORBIDDEN)


class Promise5BoundedAndConsented(SynchronousTestCase):
    """How often a target hears of others, and that it can refuse."""

    def setUp(self) -> None:
        self.world = World()

    def strangers(self, count: int, host: str) -> list[Node]:
        """Return nodes whose hosts are ``host`` with their number in it."""
        return [
            registered_node(self.world, 10 + number, host.format(number)) for number in range(count)
        ]

    def introduced(self, nodes: list[Node], target: Node) -> int:
        """Return how many of the nodes were introduced to the target."""
        offers = 0
        for node in nodes:
            response = node.introduce(target)
            if isinstance(response, Introduced):
                offers += len(node.handed_over())
            else:
                self.assertEqual((error_of(response), node.handed_over()), (TOO_MANY, []))
        return offers

    def test_promise_5_thirty_strangers_a_minute(self) -> None:
        target = registered_node(self.world, 1)
        nodes = self.strangers(40, "11.50.{}.1")
        self.assertEqual(self.introduced(nodes, target), 30)
        self.world.pass_time(30)
        for node in (target, *nodes):
            node.refresh()
        self.assertEqual(self.introduced(nodes, target), 0)
        self.world.pass_time(30)
        self.assertEqual(self.introduced(nodes, target), 30)

    def test_promise_5_three_of_each_network(self) -> None:
        target = registered_node(self.world, 1)
        self.assertEqual(self.introduced(self.strangers(10, "11.50.1.{}"), target), 3)
        self.assertEqual(self.introduced(self.strangers(10, "2a00:1:1:f{}::1"), target), 3)

    def test_promise_5_three_of_each_key(self) -> None:
        target = registered_node(self.world, 1)
        roaming = [registered_node(self.world, 2, f"11.50.{number}.1") for number in range(4)]
        self.assertEqual(self.introduced(roaming, target), 3)

    def test_promise_5_listed_peers_are_outside_the_cap(self) -> None:
        friend = registered_node(self.world, 2, "11.50.1.200")
        for policy in AddressPolicy:
            self.world = World()
            friend = registered_node(self.world, 2, "11.50.1.200")
            target = registered_node(
                self.world, 1, listed_keys=(friend.key,), address_policy=policy
            )
            if policy is not AddressPolicy.LISTED:
                self.introduced(self.strangers(40, "11.50.{}.1"), target)
            self.assertEqual(self.introduced([friend] * 5, target), 5)

    def test_promise_5_a_target_refuses_by_list(self) -> None:
        target = registered_node(self.world, 1, address_policy=AddressPolicy.LISTED, listed_keys=())
        (stranger,) = self.strangers(1, "11.50.{}.1")
        self.assertEqual(error_of(stranger.introduce(target)), FORBIDDEN)
        self.assertEqual(stranger.handed_over(), [])

    def test_promise_5_a_target_refuses_by_peer_before_its_address_is_told(self) -> None:
        target = registered_node(self.world, 1, address_policy=AddressPolicy.AFTER_ANSWER)
        (stranger,) = self.strangers(1, "11.50.{}.1")
        self.assertEqual(stranger.introduce(target), Introduced(()))
        for accepting, addresses in ((False, ()), (True, (target.address,))):
            self.assertEqual(target.answer(stranger, accepting=accepting), AnswerTaken())
            ((answer, path),) = target.handed_over()
            self.assertEqual((answer.addresses, path), (addresses, stranger.path))


class Promise6NoPayload(SynchronousTestCase):
    """Nothing of an application passes through the tracker."""

    def test_promise_6_the_box_is_the_only_room_and_is_capped_at_900_bytes(self) -> None:
        world = World()
        node, target = registered_node(world, 1), registered_node(world, 2)

        def introduce_with(size: int) -> list[Any]:
            pairs = (
                *((PEER_ID.code, node.key), (TOKEN.code, node.token), (TARGET.code, target.key)),
                (BOX.code, bytes(size)),
            )
            message = STUNMessage(
                INTRODUCE,
                MessageClass.REQUEST,
                node.new_transaction_id(),
                ((PROTOCOL_VERSION.code, VERSION.to_bytes(2, "big")), *pairs),
            )
            return node.ask_raw(message.encode(fingerprint=True))

        self.assertEqual(len(introduce_with(900)), 2)
        ((refusal, to),) = introduce_with(901)
        self.assertEqual((error_of(read_response(refusal)), to), (BAD_REQUEST, node.path))

    def test_promise_6_what_is_handed_on_is_box_and_what_the_tracker_itself_knows(self) -> None:
        world = World()
        node, target = registered_node(world, 1), registered_node(world, 2)
        node.introduce(target, b"sealed")
        ((offer, _),) = node.handed_over()
        expected = {"peer_key": node.key, "box": b"sealed", "addresses": (node.address,)}
        self.assertEqual({name: getattr(offer, name) for name in expected}, expected)
        kinds = [
            kind
            for kind in vars(messages).values()
            if isinstance(kind, type)
            and issubclass(kind, TrackerMessage)
            and getattr(kind, "message_class", None) is MessageClass.INDICATION
        ]
        names = {name for kind in kinds for name in kind.__match_args__}  # type: ignore[attr-defined]
        self.assertEqual(names, {"peer_key", "box", "addresses", "nat_facts"})

    def test_promise_6_two_friends_cannot_make_it_a_relay(self) -> None:
        # Both list each other and pass as much as they can in boxes, for a minute.
        world = World()
        keys = [identity(number).peer_id.public_key for number in (1, 2)]
        one, two = (registered_node(world, number, listed_keys=tuple(keys)) for number in (1, 2))
        passed = set()
        for number in range(600):
            for sender, receiver in ((one, two), (two, one)):
                for ask in (sender.introduce, sender.answer):
                    ask(receiver, b"%d" % number + bytes(890))
                    passed |= {indication.box for indication, _ in sender.handed_over()}
            world.pass_time(0.1)
            if number % 200 == 199:
                one.refresh(), two.refresh()
        self.assertLessEqual(900 * len(passed) / 60, 1500)  # bytes a second

    def test_promise_6_a_repeat_carries_nothing_new_and_is_bounded(self) -> None:
        world = World()
        one, two = registered_node(world, 1), registered_node(world, 2)
        handed_over = 0
        for _ in range(20):
            one.introduce(two, b"sealed once")
            handed_over += len(one.handed_over())
        self.assertEqual(handed_over, DEFAULT_LIMITS.hand_overs)
        self.assertEqual(world.status()["introductions_total"], 1)
