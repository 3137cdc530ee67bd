"""Who is told of whom by a tracker that is asked who is here."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.world import Node, World, error_of, registered_node
from twisted_p2p.identity.record import AddressPolicy
from twisted_p2p.tracker.attributes import COOKIE_NEEDED, LIST, STALE_TOKEN, TOO_MANY
from twisted_p2p.tracker.limits import DEFAULT_LIMITS
from twisted_p2p.tracker.listed_peer import ListedPeer
from twisted_p2p.tracker.messages import CookieRequest, Failure, Listed, ListPeers


class ListingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.alice = registered_node(self.world, 1, "11.2.1.1")

    def add(self, number: int, *topics: str, **options: Any) -> Node:
        """Register a node of a network of its own."""
        return registered_node(self.world, number, f"11.3.{number}.1", topics=topics, **options)

    def add_listing(self, number: int, *listed: Node, topics: tuple[str, ...] = ()) -> Node:
        """Register a node that lists others."""
        keys = tuple(node.key for node in listed)
        policy = AddressPolicy.LISTED
        return self.add(number, *topics, address_policy=policy, listed_keys=keys)

    def listed(self, asking: Node, topic: str = "") -> Listed:
        response = asking.list_peers(topic)
        assert isinstance(response, Listed), response
        return response

    def assert_listed(self, asking: Node, topic: str, *expected: Node) -> None:
        """Assert that one answer tells of these and no other."""
        listed = self.listed(asking, topic)
        self.assertEqual({peer.peer_key for peer in listed.peers}, {node.key for node in expected})
        self.assertEqual(listed.in_all, len(expected))


class WhoIsListedTests(ListingTestCase):
    def test_those_with_the_topic_are_listed_and_the_asking_one_is_not(self) -> None:
        bob, carol = self.add(2, "chat"), self.add(3, "chat", "news")
        dave = self.add(4)
        self.assert_listed(self.alice, "", bob, carol, dave)
        self.assert_listed(self.alice, "chat", bob, carol)
        self.assert_listed(self.alice, "news", carol)
        self.assert_listed(self.alice, "none")
        self.assert_listed(bob, "chat", carol)
        self.assertEqual(self.world.status()["listings_total"], 5)
        self.assertEqual(self.world.status()["topics"], 2)

    def test_one_that_lists_peers_is_listed_to_these_alone(self) -> None:
        bob = self.add_listing(2, self.alice, topics=("chat",))
        carol = self.add(3, "chat")
        self.assert_listed(self.alice, "", bob, carol)
        self.assert_listed(self.alice, "chat", bob, carol)
        self.assert_listed(self.alice, "news")
        self.assert_listed(carol, "chat")
        self.assert_listed(carol, "", self.alice)

    def test_one_that_lists_itself_is_not_listed_to_itself(self) -> None:
        node = Node(self.world, 2, "11.3.2.1")
        node.register(address_policy=AddressPolicy.LISTED, listed_keys=(node.key,))
        self.assert_listed(node, "", self.alice)

    def test_one_that_decides_by_its_answers_is_listed_to_nobody(self) -> None:
        self.add(
            2, "chat", address_policy=AddressPolicy.AFTER_ANSWER, listed_keys=(self.alice.key,)
        )
        self.assert_listed(self.alice, "chat")
        self.assert_listed(self.alice, "")

    def test_who_has_left_is_not_listed(self) -> None:
        bob = self.add(2, "chat")
        bob.unregister()
        self.add_listing(3, self.alice)
        self.world.pass_time(30)
        self.alice.refresh()
        self.world.pass_time(30)
        self.assert_listed(self.alice, "chat")
        self.assert_listed(self.alice, "")

    def test_a_listing_tells_what_a_peer_offers_and_no_address(self) -> None:
        bob = self.add(2, services=("web", "x" * 250), accepting=True)
        carol = self.add(3, accepting=False)
        told = set(self.listed(self.alice).peers)
        self.assertEqual(
            told,
            {ListedPeer(bob.key, True, ("web", "x" * 250)), ListedPeer(carol.key, False)},
        )

    def test_of_many_peers_each_has_its_part_of_the_room(self) -> None:
        for number in range(2, 42):
            self.add(number, services=("web", "echo", "x" * 99))
        listed = self.listed(self.alice)
        self.assertTrue(1190 < len(self.world.sent[-1][0]) <= 1200)
        self.assertEqual((len(listed.peers), listed.in_all), (24, 40))
        for peer in listed.peers:
            self.assertEqual((peer.services, peer.has_more_services), (("web", "echo"), True))

    def test_asked_again_it_tells_of_others(self) -> None:
        for number in range(2, 62):
            self.add(number, "chat")
        told = {peer.peer_key for _ in range(12) for peer in self.listed(self.alice, "chat").peers}
        self.assertEqual(len(told), 60)

    def test_those_that_list_the_asking_one_take_half_of_the_room_at_most(self) -> None:
        public = [self.add(number) for number in range(2, 32)]
        for number in range(32, 72):
            self.add_listing(number, self.alice)
        listed = self.listed(self.alice)
        keys = {node.key for node in public}
        self.assertEqual(sum(peer.peer_key in keys for peer in listed.peers), 12)
        self.assertEqual((len(listed.peers), listed.in_all), (24, 70))

    def test_a_network_has_a_quarter_of_the_answer_however_its_peers_come_into_it(self) -> None:
        for number in range(2, 12):
            policy = AddressPolicy.LISTED if number % 2 else AddressPolicy.ANYONE
            keys = (self.alice.key,) if number % 2 else ()
            registered_node(
                self.world,
                number,
                "11.66.6.6",
                address_policy=policy,
                listed_keys=keys,
                port=number,
            )
        self.assertEqual(len(self.listed(self.alice).peers), 10)
        other = self.add(12)
        listed = self.listed(self.alice)
        self.assertEqual((len(listed.peers), listed.in_all), (7, 11))
        self.assertIn(other.key, {peer.peer_key for peer in listed.peers})

    def test_of_very_many_that_list_the_asking_one_the_rest_counts_as_well(self) -> None:
        for number in range(2, 112):
            self.add_listing(number, self.alice, topics=("chat",) if number % 2 else ())
        listed = self.listed(self.alice, "chat")
        self.assertEqual(len(listed.peers), 12)
        self.assertTrue(14 < listed.in_all < 110, listed.in_all)


class WhoMayAskTests(ListingTestCase):
    def test_a_registration_is_needed(self) -> None:
        stranger = Node(self.world, 2)
        self.assertEqual(error_of(stranger.list_peers()), STALE_TOKEN)
        self.assertEqual(error_of(stranger.ask(CookieRequest(LIST))), COOKIE_NEEDED)
        mallory = registered_node(self.world, 3)
        stolen = ListPeers(self.alice.key, mallory.token)
        self.assertEqual(error_of(mallory.ask(stolen)), STALE_TOKEN)

    def test_a_token_that_outlives_its_registration_is_not_enough(self) -> None:
        token = self.alice.token
        self.alice.unregister()
        self.alice.token = token
        self.assertEqual(error_of(self.alice.list_peers()), STALE_TOKEN)

    def test_the_unproven_get_no_more_than_they_send(self) -> None:
        for number in range(2, 30):
            self.add(number)
        request = ListPeers(self.alice.key, bytes(16)).encode(bytes(12))
        [(answer, _)] = self.world.deliver(request, self.alice.path)
        self.assertLessEqual(len(answer), len(request))

    def test_a_peer_and_a_network_ask_so_often_and_no_more(self) -> None:
        limits = evolve(DEFAULT_LIMITS, listings_by_peer=2, listings_by_source=3)
        self.world = World(limits)
        alice = registered_node(self.world, 1, "11.2.1.1")
        bob = registered_node(self.world, 2, "11.2.1.1", port=4001)
        carol = registered_node(self.world, 3, "11.2.1.2")
        for node, expected in ((alice, [0, 0, TOO_MANY]), (bob, [0, TOO_MANY]), (carol, [0])):
            responses = [node.list_peers() for _ in expected]
            codes = [one.error.code if isinstance(one, Failure) else 0 for one in responses]
            self.assertEqual(codes, expected)
        refused = alice.list_peers()
        assert isinstance(refused, Failure)
        self.assertTrue(0 < refused.retry_after_ms <= 60_000)
        self.world.pass_time(60)
        alice.register(sequence=2)
        self.assertIsInstance(alice.list_peers(), Listed)
