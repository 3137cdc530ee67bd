"""What a node learns of who is here, from all its trackers, on a simulated internet."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve
from twisted.internet.defer import CancelledError

from tests.tracker.client_world import NodeProgram, TrackerProgram
from tests.tracker.test_client import ClientTestCase
from twisted_p2p.errors import TrackerBusy, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.tracker.client import MOST_LISTINGS
from twisted_p2p.tracker.limits import DEFAULT_LIMITS
from twisted_p2p.tracker.listed_peer import ListedPeer
from twisted_p2p.tracker.messages import Listed, ListPeers
from twisted_p2p.tracker.present_peers import PresentPeer, read_listing


class ListingTestCase(ClientTestCase):
    def add_peers(self, count: int, *trackers: TrackerProgram, topic: str = "") -> set[str]:
        """Add peers of networks of their own, registered; return their IDs."""
        nodes = []
        for _ in range(count):
            self.homes += 1
            host = self.internet.add_host(f"peer {self.homes}", f"11.2.{self.homes}.1")
            node = NodeProgram(host, *(tracker.address for tracker in trackers))
            node.topics = (topic,) if topic else ()
            nodes.append(node)
            node.trackers.start()
        self.internet.run_for(1)
        return {str(node.peer_id) for node in nodes}

    def ids(self, peers: Iterable[PresentPeer]) -> list[str]:
        return sorted(peer.peer_id for peer in peers)


class OneTrackerTests(ListingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tracker = self.add_tracker("11.0.0.1")
        self.alice = self.started(self.tracker)

    def test_all_who_are_here_are_told_however_many_they_are(self) -> None:
        expected = self.add_peers(40, self.tracker, topic="chat")
        self.add_peers(1, self.tracker)
        seconds, peers = self.time_to(self.alice.trackers.peers("chat"))
        self.assertEqual(self.ids(peers), sorted(expected))
        self.assertTrue(seconds < 2, seconds)
        self.assertEqual(len(self.run_until(self.alice.trackers.peers())), 41)
        self.assertEqual(self.run_until(self.alice.trackers.peers("other")), [])

    def test_a_peer_is_told_as_it_is(self) -> None:
        bob = self.add_node(self.tracker)
        bob.services = ("web", "echo")
        self.run_until(bob.start())
        [peer] = self.run_until(self.alice.trackers.peers())
        self.assertEqual(peer, PresentPeer(str(bob.peer_id), True, ("web", "echo"), False))

    def test_a_tracker_that_never_tells_all_is_asked_so_often(self) -> None:
        asked: list[ListPeers] = []

        def answer(request: ListPeers) -> Listed:
            asked.append(request)
            return Listed(1_000)

        self.patch(self.tracker.machine._listings, "answer", answer)
        self.assertEqual(self.run_until(self.alice.trackers.peers()), [])
        self.assertEqual(len(asked), MOST_LISTINGS)

    def test_what_a_busy_tracker_has_told_already_is_good(self) -> None:
        self.tracker.stop()
        self.internet.run_for(1)
        self.tracker.start(evolve(DEFAULT_LIMITS, listings_by_peer=1))
        self.add_peers(30, self.tracker)
        self.internet.run_for(60)
        self.assertEqual(len(self.run_until(self.alice.trackers.peers())), 24)
        _, error = self.time_to(self.alice.trackers.peers())
        self.assertIsInstance(error, TrackerBusy)

    def test_what_is_no_topic_fails(self) -> None:
        self.failureResultOf(self.alice.trackers.peers("t" * 33), ValueError)

    def test_it_can_be_cancelled(self) -> None:
        asking = self.alice.trackers.peers()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)


class ThreeTrackersTests(ListingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.three = [self.add_tracker(f"11.0.0.{number}") for number in (1, 2, 3)]
        self.alice = self.started(*self.three)
        self.everywhere = self.add_peers(2, *self.three)
        self.here = self.add_peers(2, self.three[2])

    def test_each_peer_is_told_once_whoever_knows_it(self) -> None:
        peers = self.run_until(self.alice.trackers.peers())
        self.assertEqual(self.ids(peers), sorted(self.everywhere | self.here))

    def test_a_silent_tracker_is_waited_for_two_seconds(self) -> None:
        self.three[0].stop()
        seconds, peers = self.time_to(self.alice.trackers.peers())
        self.assertEqual(self.ids(peers), sorted(self.everywhere | self.here))
        self.assertTrue(2 < seconds < 2.3, seconds)

    def test_cancelled_while_a_silent_one_is_waited_for_it_tells_what_it_has(self) -> None:
        self.three[0].stop()
        asking = self.alice.trackers.peers()
        self.internet.run_for(1)
        asking.cancel()
        peers = self.successResultOf(asking)
        self.assertEqual(self.ids(peers), sorted(self.everywhere | self.here))

    def test_when_none_answers_the_trackers_are_unreachable(self) -> None:
        for tracker in self.three:
            tracker.stop()
        _, error = self.time_to(self.alice.trackers.peers())
        self.assertIsInstance(error, TrackerUnreachable)


class ReadListingTests(ListingTestCase):
    def test_a_key_that_is_none_is_left_out(self) -> None:
        key = IdentityKey.from_seed(bytes(32)).peer_id
        listing = read_listing(Listed(9, (ListedPeer(bytes(32)), ListedPeer(key.public_key))))
        self.assertEqual(listing.in_all, 9)
        self.assertEqual(self.ids(listing.peers), [str(key)])
