"""A tracker that asks whoever runs it, as a machine."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.world import Node, World, error_of, registered_node
from twisted_p2p.stun.message import decode_message
from twisted_p2p.tracker import service
from twisted_p2p.tracker.attributes import FORBIDDEN, OFFER, PEER_OFFLINE, STALE_TOKEN
from twisted_p2p.tracker.messages import Introduce, Introduced, Listed, ListPeers, Registered
from twisted_p2p.tracker.messages import read_response as response_of
from twisted_p2p.tracker.server_events import (
    IntroductionWanted,
    ListingWanted,
    PeerCame,
    PeerLeft,
    PermissionWanted,
    RegistrationWanted,
    WishFulfilled,
)
from twisted_p2p.tracker.service import DECISION_TIME


class PermissionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(asks_permission=True)

    def events(self) -> list[Any]:
        events = []
        while (event := self.world.tracker.next_event()) is not None:
            events.append(event)
        return events

    def decide(self, number: int, allowed: bool) -> list[Any]:
        """Return the responses and indications that the decision leads to."""
        self.world.tracker.decide(number, allowed, self.world.now)
        sent = self.world.tracker.datagrams_to_send(self.world.now)
        return [decode_message(data) for data, _ in sent]

    def ask_to_register(self, number: int = 1, **options: Any) -> tuple[Node, bytes, int]:
        """Return a node, its request, and the number under which that waits."""
        node = Node(self.world, number, **options)
        node.fetch_cookie()
        request = node.registration().encode(node.new_transaction_id())
        self.assertEqual(node.ask_raw(request), [])
        [event] = self.events()
        self.assertIsInstance(event, PermissionWanted)
        wish = RegistrationWanted(node.identity.peer_id, node.address, node.record.services)
        self.assertEqual(event.wish, wish)
        return node, request, event.number

    def register(self, number: int) -> Node:
        node, _, asked = self.ask_to_register(number)
        [message] = self.decide(asked, True)
        registered: Any = response_of(message)
        node.token = registered.token
        self.events()
        return node

    def ask_to_introduce(self, initiator: Node, target: Node) -> tuple[bytes, int]:
        request = Introduce(initiator.key, initiator.token, target.key, b"box")
        data = request.encode(initiator.new_transaction_id())
        self.assertEqual(initiator.ask_raw(data), [])
        [event] = self.events()
        wish = IntroductionWanted(initiator.identity.peer_id, target.identity.peer_id)
        self.assertEqual(event.wish, wish)
        return data, event.number


class RegistrationTests(PermissionTestCase):
    def test_a_permitted_peer_is_registered(self) -> None:
        node, _, number = self.ask_to_register()
        self.assertEqual(self.world.status()["nodes"], 0)
        [answer] = self.decide(number, True)
        self.assertIsInstance(response_of(answer), Registered)
        self.assertEqual(self.world.status()["nodes"], 1)
        came, fulfilled = self.events()
        self.assertEqual(came, PeerCame(node.identity.peer_id))
        self.assertEqual(
            fulfilled, WishFulfilled(RegistrationWanted(node.identity.peer_id, node.address, ()))
        )

    def test_a_peer_that_is_not_permitted_is_told(self) -> None:
        _, _, number = self.ask_to_register()
        [answer] = self.decide(number, False)
        self.assertEqual(error_of(response_of(answer)), FORBIDDEN)
        self.assertEqual((self.world.status()["nodes"], self.events()), (0, []))

    def test_a_repeated_request_is_asked_about_once_while_it_waits(self) -> None:
        node, request, number = self.ask_to_register()
        self.assertEqual(node.ask_raw(request), [])
        self.assertEqual(self.events(), [])
        self.assertEqual(self.world.tracker.dropped["undecided"], 1)
        self.assertEqual(len(self.decide(number, True)), 1)
        self.assertEqual(self.decide(number, True), [])

    def test_a_decision_that_comes_too_late_is_none(self) -> None:
        _, _, number = self.ask_to_register()
        self.world.pass_time(DECISION_TIME / 2)
        _, _, second = self.ask_to_register(2)
        self.world.pass_time(DECISION_TIME / 2)
        self.assertEqual(self.world.tracker.dropped["undecided"], 1)
        self.assertEqual(self.decide(number, True), [])
        self.assertEqual(len(self.decide(second, True)), 1)

    def test_a_request_that_nobody_decides_on_is_forgotten(self) -> None:
        _, _, number = self.ask_to_register()
        self.world.pass_time(DECISION_TIME)
        self.assertEqual(self.world.tracker.dropped["undecided"], 1)
        self.assertIsNone(self.world.tracker.get_timer())
        self.assertEqual(self.decide(number, True), [])

    def test_so_many_wait_and_no_more(self) -> None:
        self.patch(service, "_MOST_UNDECIDED", 1)
        self.ask_to_register()
        node = Node(self.world, 2)
        node.fetch_cookie()
        self.assertEqual(node.ask_raw(node.registration().encode(node.new_transaction_id())), [])
        self.assertEqual(self.world.tracker.dropped["too_many_undecided"], 1)
        self.assertEqual(self.events(), [])

    def test_a_request_that_is_in_no_order_is_not_asked_about(self) -> None:
        node = Node(self.world, 1)
        node.fetch_cookie()
        node.cookie = node.cookie[:-1] + b"?"
        node.ask_raw(node.registration().encode(node.new_transaction_id()))
        self.assertEqual(self.events(), [])

    def test_it_is_told_when_a_peer_leaves(self) -> None:
        node = self.register(1)
        self.world.pass_time(50.0)
        self.world.tracker.handle_timer(self.world.now)
        self.assertEqual(self.events(), [PeerLeft(node.identity.peer_id)])


class IntroductionTests(PermissionTestCase):
    def test_a_permitted_introduction_is_made(self) -> None:
        one, two = self.register(1), self.register(2)
        _, number = self.ask_to_introduce(one, two)
        answer, offer = self.decide(number, True)
        self.assertIsInstance(response_of(answer), Introduced)
        self.assertEqual(offer.method, OFFER)
        wish = IntroductionWanted(one.identity.peer_id, two.identity.peer_id)
        self.assertEqual(self.events(), [WishFulfilled(wish)])

    def test_one_that_is_not_permitted_hands_nothing_over(self) -> None:
        one, two = self.register(1), self.register(2)
        _, number = self.ask_to_introduce(one, two)
        [answer] = self.decide(number, False)
        self.assertEqual(error_of(response_of(answer)), FORBIDDEN)
        self.assertEqual(self.world.status()["introductions_total"], 0)

    def test_either_may_have_gone_meanwhile(self) -> None:
        for gone, error in ((1, PEER_OFFLINE), (0, STALE_TOKEN)):
            both = [self.register(10 * gone + 3), self.register(10 * gone + 4)]
            _, number = self.ask_to_introduce(both[0], both[1])
            leaving = both[gone]
            registry = self.world.tracker._registry
            registration = registry.find(leaving.key, leaving.address, False)
            assert registration is not None
            registry.remove(leaving.key, registration)
            [answer] = self.decide(number, True)
            self.assertEqual(error_of(response_of(answer)), error)
            self.events()


class ListingTests(PermissionTestCase):
    def ask_to_list(self, node: Node) -> int:
        request = ListPeers(node.key, node.token, "chat").encode(node.new_transaction_id())
        self.assertEqual(node.ask_raw(request), [])
        [event] = self.events()
        self.assertEqual(event.wish, ListingWanted(node.identity.peer_id, "chat"))
        return int(event.number)

    def test_a_permitted_listing_is_made_and_told_to_nobody(self) -> None:
        number = self.ask_to_list(self.register(1))
        [answer] = self.decide(number, True)
        self.assertEqual(response_of(answer), Listed())
        self.assertEqual(self.events(), [])

    def test_one_that_is_not_permitted_tells_nothing(self) -> None:
        number = self.ask_to_list(self.register(1))
        [answer] = self.decide(number, False)
        self.assertEqual(error_of(response_of(answer)), FORBIDDEN)
        self.assertEqual(self.world.status()["listings_total"], 0)


class WithoutPolicyTests(SynchronousTestCase):
    def test_nobody_is_asked_and_nothing_told(self) -> None:
        world = World()
        one, two = registered_node(world, 1), registered_node(world, 2)
        self.assertIsInstance(one.introduce(two), Introduced)
        self.assertIsInstance(one.list_peers(), Listed)
        self.assertIsNone(world.tracker.next_event())
