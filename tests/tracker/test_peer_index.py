from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.world import SERVER, identity
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.tracker.peer_index import PeerIndex, network_of
from twisted_p2p.tracker.store import RegisteredPeer, Registration

ALICE, BOB, CAROL = (identity(number).peer_id.public_key for number in (1, 2, 3))
RECORD = PeerRecord(
    identity(1).peer_id,
    sequence=1,
    lifetime=300,
    address_policy=AddressPolicy.ANYONE,
    topics=("chat", "news"),
)


def peer(record: PeerRecord, *hosts: str) -> RegisteredPeer:
    registrations = tuple(
        Registration(DatagramPath(SERVER, HostPort(host, 4000)), False, 45.0) for host in hosts
    )
    return RegisteredPeer(record, b"", 300.0, registrations)


class PeerIndexTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.index = PeerIndex()

    def test_a_peer_is_found_by_each_topic_and_among_all(self) -> None:
        self.index.put(ALICE, peer(RECORD, "11.1.1.1"))
        self.index.put(BOB, peer(evolve(RECORD, topics=()), "11.1.2.1"))
        self.assertEqual(len(self.index.of_topic("")), 2)
        for topic in ("chat", "news"):
            self.assertIn(ALICE, self.index.of_topic(topic))
            self.assertNotIn(BOB, self.index.of_topic(topic))
        self.assertEqual(len(self.index.of_topic("other")), 0)
        self.assertEqual(self.index.topics, 2)

    def test_one_that_lists_peers_is_found_by_these_alone(self) -> None:
        record = evolve(RECORD, address_policy=AddressPolicy.LISTED, listed_keys=(BOB, CAROL, BOB))
        self.index.put(ALICE, peer(record, "11.1.1.1"))
        self.assertIn(ALICE, self.index.listing(BOB))
        self.assertIn(ALICE, self.index.listing(CAROL))
        self.assertEqual((len(self.index.of_topic("")), len(self.index.of_topic("chat"))), (0, 0))
        self.index.remove(ALICE)
        self.assertEqual((len(self.index.listing(BOB)), self.index.topics), (0, 0))

    def test_one_that_decides_by_its_answers_is_found_by_nobody(self) -> None:
        record = evolve(RECORD, address_policy=AddressPolicy.AFTER_ANSWER, listed_keys=(BOB,))
        self.index.put(ALICE, peer(record, "11.1.1.1"))
        self.assertEqual((len(self.index.of_topic("")), len(self.index.listing(BOB))), (0, 0))
        self.index.remove(ALICE)

    def test_a_new_record_takes_the_place_of_the_old_one(self) -> None:
        self.index.put(ALICE, peer(RECORD, "11.1.1.1"))
        self.index.put(ALICE, peer(evolve(RECORD, topics=("news", "games")), "11.1.1.1"))
        self.assertNotIn(ALICE, self.index.of_topic("chat"))
        for topic in ("news", "games", ""):
            self.assertIn(ALICE, self.index.of_topic(topic))
        self.assertEqual(self.index.topics, 2)

    def test_a_peer_counts_for_one_network_for_as_long_as_it_is_there(self) -> None:
        first, second = network_of("11.1.1.1"), network_of("2a00:1:2::1")
        self.index.put(ALICE, peer(RECORD, "11.1.1.1"))
        self.index.put(ALICE, peer(RECORD, "11.1.1.1", "2a00:1:2::1"))
        self.assertEqual(self.index.network_of(ALICE), first)
        self.assertEqual(self.index.of_topic("chat").count_of(first), 1)
        self.index.put(ALICE, peer(RECORD, "2a00:1:2::1"))
        self.assertEqual(self.index.network_of(ALICE), second)
        crowd = self.index.of_topic("chat")
        self.assertEqual((crowd.count_of(first), crowd.count_of(second)), (0, 1))

    def test_a_network_is_a_24_or_a_48(self) -> None:
        for one, other in (("11.1.1.1", "11.1.1.255"), ("2a00:1:2::1", "2a00:1:2:ffff::")):
            self.assertEqual(network_of(one), network_of(other))
        for one, other in (("11.1.1.1", "11.1.2.1"), ("2a00:1:2::1", "2a00:1:3::1")):
            self.assertNotEqual(network_of(one), network_of(other))
