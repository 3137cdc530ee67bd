"""One node's rendezvous, between a tracker and a peer that say what the test wants."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort, NetworkInterface
from twisted_p2p.errors import (
    DialTimedOut,
    P2PError,
    PeerOffline,
    PeerRefused,
    TrackerBusy,
    TrackerUnreachable,
)
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.rendezvous.direct import DirectSignalling
from twisted_p2p.rendezvous.direct_exchange import OFFER_SIZE, DirectAnswer, DirectOffer
from twisted_p2p.rendezvous.gathering import LocalCandidates
from twisted_p2p.rendezvous.introduction import Rendezvous
from twisted_p2p.rendezvous.offer import Answer, Offer, Refusal, open_answer, open_offer
from twisted_p2p.rendezvous.remembered import RememberedAddresses
from twisted_p2p.rendezvous.session import PeerSession
from twisted_p2p.rendezvous.session_table import SessionTable
from twisted_p2p.tracker.messages import (
    AnswerHandedOver,
    AnswerTaken,
    Introduced,
    OfferHandedOver,
)
from twisted_p2p.tracker.wire import read_message

SOCKET = HostPort("0.0.0.0", 4000)
SEEN_AT = HostPort("11.2.0.2", 5000)
LOWER, HIGHER = sorted(
    (IdentityKey.from_seed(bytes([number] * 32)) for number in range(2)),
    key=lambda identity: str(identity.peer_id),
)


class FakeTracker:
    """Remembers what it was asked to hand over, and answers when it is told."""

    addresses: frozenset[HostPort] = frozenset()
    is_any = True

    def __init__(self) -> None:
        self.offers: list[bytes] = []
        self.answers: list[tuple[bytes, bool]] = []
        self.waiting: list[Deferred[Introduced]] = []

    def introduce(self, target: Any, box: bytes) -> Deferred[Introduced]:
        self.offers.append(box)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def answer(self, initiator: Any, box: bytes, accepting: bool) -> Deferred[AnswerTaken]:
        self.answers.append((box, accepting))
        return succeed(AnswerTaken())


class RendezvousTestCase(SynchronousTestCase):
    identity, peer = LOWER, HIGHER

    def setUp(self) -> None:
        self.clock = Clock()
        self.tracker = FakeTracker()
        self.sent: list[DatagramPath] = []
        self.offered: list[PeerSession] = []
        self.refusal: Refusal | None = None
        self.made = 0
        self.sequence = 100
        candidates = LocalCandidates(lambda: [NetworkInterface("eth0", 2, ("11.1.0.2/24",))])
        candidates.refresh([SOCKET])
        self.sessions = SessionTable(
            self.clock,
            candidates=candidates,
            send=lambda data, path: self.sent.append(path),
            local_address=lambda path: HostPort("11.1.0.2", 4000),
            random_bytes=self.random_bytes,
        )
        self.addCleanup(self.sessions.close)
        self.remembered = RememberedAddresses()
        self.straight: list[tuple[bytes, DatagramPath]] = []
        self.direct = DirectSignalling(
            self.clock,
            self.identity.peer_id,
            send=lambda data, path: self.straight.append((data, path)),
            sockets=lambda: [SOCKET],
            is_welcome=lambda source, key: True,
            random_bytes=self.random_bytes,
        )
        self.rendezvous = Rendezvous(
            self.clock,
            self.identity,
            introducer=self.tracker,
            direct=self.direct,
            sessions=self.sessions,
            candidates=candidates,
            remembered=self.remembered,
            local_address=lambda path: HostPort("11.1.0.2", 4000),
            next_sequence=self.next_sequence,
            random_bytes=self.random_bytes,
            refusal_for=lambda peer_id: self.refusal,
            on_offered=self.offered.append,
        )
        self.direct.happened = self.rendezvous.happened

    def random_bytes(self, size: int) -> bytes:
        self.made += 1
        return self.made.to_bytes(size, "big")

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def dial(self) -> PeerSession:
        """Dial the peer; the first offer leaves."""
        session = self.rendezvous.dial(self.peer.peer_id)
        self.clock.advance(0)
        return session

    def last_offer(self) -> Offer:
        return open_offer(self.peer, self.identity.peer_id, self.tracker.offers[-1])

    def last_answer(self) -> Answer:
        return open_answer(self.peer, self.identity.peer_id, self.tracker.answers[-1][0])

    def answer(
        self, session_id: bytes, refusal: Refusal | None = None, last_sequence: int = 0
    ) -> None:
        """Have the tracker hand over an answer of the peer."""
        answer = Answer(
            self.peer.peer_id,
            self.identity.peer_id,
            session_id,
            refusal=refusal,
            last_sequence=last_sequence,
        )
        box = answer.seal(self.peer)
        self.rendezvous.handed_over(AnswerHandedOver(self.peer.peer_id.public_key, box, (SEEN_AT,)))

    def offer(self, sequence: int, session: int | None = None) -> None:
        """Have the tracker hand over an offer of the peer."""
        offer = Offer(
            self.peer.peer_id,
            self.identity.peer_id,
            (sequence if session is None else session).to_bytes(16, "big"),
            sequence,
            bytes(32),
        )
        box = offer.seal(self.peer)
        self.rendezvous.handed_over(OfferHandedOver(self.peer.peer_id.public_key, box, (SEEN_AT,)))

    def dropped(self) -> dict[str, int]:
        return dict(self.rendezvous.dropped)


class OfferingTests(RendezvousTestCase):
    def test_an_offer_of_which_nothing_is_heard_is_repeated_in_the_same_box(self) -> None:
        self.dial()
        times = []
        for _ in range(200):
            before = len(self.tracker.offers)
            self.clock.advance(1 / 16)
            if len(self.tracker.offers) > before:
                times.append(self.clock.seconds())
        self.assertEqual(times, [0.25, 0.75, 1.75, 3.75])
        self.assertEqual(len(set(self.tracker.offers)), 1)

    def test_once_something_is_heard_it_is_repeated_no_more(self) -> None:
        session = self.dial()
        self.answer(session.session_id)
        self.clock.advance(5)
        self.assertEqual(len(self.tracker.offers), 1)
        self.assertEqual({path.remote for path in self.sent}, {SEEN_AT})

    def test_the_tracker_tells_where_the_peer_is(self) -> None:
        self.dial()
        self.tracker.waiting[0].callback(Introduced((SEEN_AT,)))
        self.assertEqual({path.remote for path in self.sent}, {SEEN_AT})

    def check_failure(self, error: P2PError) -> None:
        session = self.dial()
        self.tracker.waiting[0].errback(error)
        self.assertIs(session.error, error)
        self.clock.advance(5)
        self.assertEqual(len(self.tracker.offers), 1)
        self.assertIsNone(self.sessions.find(session.session_id, self.peer.peer_id))

    def test_a_refusal_of_the_tracker_is_the_end(self) -> None:
        self.check_failure(PeerOffline())

    def test_a_busy_tracker_is_the_end_and_says_when_to_try_again(self) -> None:
        self.check_failure(TrackerBusy(retry_after=7.0))

    def test_trouble_with_a_repeat_is_not_the_end(self) -> None:
        session = self.dial()
        self.tracker.waiting[0].callback(Introduced((SEEN_AT,)))
        for error in (TrackerBusy(), TrackerUnreachable()):
            self.clock.advance(0.5)
            self.tracker.waiting.pop().errback(error)
            self.assertFalse(session.is_closed)
        self.clock.pump([0.5] * 30)
        self.assertIsInstance(session.error, DialTimedOut)

    def test_a_peer_that_leaves_between_two_repeats_is_offline(self) -> None:
        session = self.dial()
        self.tracker.waiting[0].callback(Introduced((SEEN_AT,)))
        self.clock.advance(0.25)
        error = PeerOffline()
        self.tracker.waiting[1].errback(error)
        self.assertIs(session.error, error)

    def test_an_answer_counts_more_than_what_a_tracker_says_later(self) -> None:
        session = self.dial()
        self.answer(session.session_id)
        self.tracker.waiting[0].errback(PeerOffline())
        self.assertFalse(session.is_closed)

    def test_a_dial_that_is_given_up_at_once_offers_nothing(self) -> None:
        session = self.rendezvous.dial(self.peer.peer_id)
        session.close()
        self.clock.advance(20)
        self.assertEqual(self.tracker.offers, [])

    def test_a_second_dial_is_not_forgotten_with_the_first(self) -> None:
        first, second = self.dial(), self.dial()
        first.close()
        self.answer(second.session_id)
        self.assertTrue(second.was_answered)


class AnswerTests(RendezvousTestCase):
    def test_the_peers_refusal_is_the_end(self) -> None:
        for refusal in (Refusal.NOT_ACCEPTING, Refusal.NOT_ALLOWED):
            session = self.dial()
            self.answer(session.session_id, refusal)
            self.assertIsInstance(session.error, PeerRefused)

    def test_an_answer_to_another_offer_or_to_none_is_dropped(self) -> None:
        self.answer(bytes(16))
        session = self.dial()
        self.answer(bytes(16), Refusal.NOT_ALLOWED)
        self.assertEqual(self.dropped(), {"unexpected_answer": 2})
        self.assertFalse(session.is_closed)

    def test_what_is_no_key_is_dropped(self) -> None:
        for message in (OfferHandedOver, AnswerHandedOver):
            self.rendezvous.handed_over(message(bytes(32), b"box"))
        self.assertEqual(self.dropped(), {"invalid_peer_id": 2})

    def test_an_offer_below_what_the_peer_remembers_is_made_anew_above_it(self) -> None:
        session = self.dial()
        self.assertEqual(self.last_offer().sequence, 101)
        self.answer(session.session_id, Refusal.STALE_SEQUENCE, 5000)
        self.clock.advance(0)
        renewed = self.last_offer()
        self.assertEqual((renewed.sequence, renewed.session_id), (5001, session.session_id))
        self.clock.pump([0.25, 0.5])
        self.assertEqual(self.tracker.offers[1:], [self.tracker.offers[-1]] * 3)
        self.answer(session.session_id)
        self.assertTrue(session.was_answered)

    def test_the_same_said_twice_changes_nothing(self) -> None:
        """Each tracker hands the answer over, and each repeat of the offer has one."""
        session = self.dial()
        for _ in range(3):
            self.answer(session.session_id, Refusal.STALE_SEQUENCE, 5000)
        self.clock.advance(0)
        self.assertEqual(len(self.tracker.offers), 2)
        self.assertFalse(session.is_closed)

    def test_a_peer_cannot_drive_the_sequence_up_for_ever(self) -> None:
        for first, second in ((5000, 5001), (2**64 - 1, None)):
            session = self.dial()
            self.answer(session.session_id, Refusal.STALE_SEQUENCE, first)
            if second is not None:
                self.clock.advance(0)
                self.answer(session.session_id, Refusal.STALE_SEQUENCE, second)
            self.assertIsInstance(session.error, PeerRefused)
        self.assertLess(self.sequence, 200, "towards others it stays what it was")


class OfferedTests(RendezvousTestCase):
    def test_an_offer_begins_a_session_and_is_answered(self) -> None:
        self.offer(7)
        [session] = self.offered
        self.assertEqual((session.peer_id, session.is_initiator), (self.peer.peer_id, False))
        self.assertEqual({path.remote for path in self.sent}, {SEEN_AT})
        answer = self.last_answer()
        self.assertEqual((answer.session_id, answer.refusal), (session.session_id, None))
        self.assertEqual([str(c.address) for c in answer.candidates], ["11.1.0.2:4000"])
        self.assertTrue(self.tracker.answers[0][1])

    def test_its_repeat_is_answered_again_for_the_same_session(self) -> None:
        self.offer(7)
        self.offer(7)
        self.assertEqual((len(self.offered), len(self.tracker.answers)), (1, 2))
        self.assertEqual(self.last_answer().session_id, self.offered[0].session_id)

    def test_its_replay_after_the_session_is_answered_by_nothing(self) -> None:
        self.offer(7)
        self.offered[0].close()
        self.offer(7)
        self.assertEqual((len(self.offered), len(self.tracker.answers)), (1, 1))
        self.assertEqual(self.dropped(), {"stale_sequence": 1})

    def test_a_lower_sequence_is_told_the_one_to_exceed(self) -> None:
        self.offer(7)
        self.offered[0].close()
        self.offer(6)
        answer = self.last_answer()
        self.assertEqual((answer.refusal, answer.last_sequence), (Refusal.STALE_SEQUENCE, 7))
        self.assertEqual(len(self.offered), 1)
        self.assertFalse(self.tracker.answers[-1][1])

    def test_whom_the_node_refuses_is_told_so_at_each_repeat(self) -> None:
        for refusal in (Refusal.NOT_ACCEPTING, Refusal.NOT_ALLOWED):
            self.refusal = refusal
            for _ in range(2):
                self.offer(refusal)
                self.assertEqual(self.last_answer().refusal, refusal)
                self.assertEqual(self.last_answer().candidates, ())
        self.assertEqual(self.offered, [])
        self.assertEqual(self.sent, [])
        self.assertEqual({accepting for _, accepting in self.tracker.answers}, {False})


NEAR, FAR = HostPort("11.1.0.9", 6000), HostPort("11.5.0.9", 6000)


class StraightTestCase(RendezvousTestCase):
    """The peer says something straight to this node, from the same link or from elsewhere."""

    def dial_remembered(self, *addresses: HostPort) -> PeerSession:
        for address in addresses:
            self.remembered.remember(self.peer.peer_id.public_key, address)
        return self.dial()

    def asked(self) -> list[HostPort]:
        """Return where offers went straight, in order."""
        return [path.remote for _, path in self.straight]

    def reply(self, session: PeerSession, refusal: Refusal | None = None) -> None:
        """Answer the first of this node's straight offers."""
        data, path = self.straight[0]
        answer = Answer(
            self.peer.peer_id, self.identity.peer_id, session.session_id, refusal=refusal
        )
        message = DirectAnswer(answer.seal(self.peer)).encode(read_message(data).transaction_id)
        self.direct.datagram_received(message, path)
        self.clock.advance(0)

    def offer_straight(self, sequence: int, source: HostPort) -> Answer | None:
        """Send an offer of the peer, and return the answer."""
        offer = Offer(
            self.peer.peer_id,
            self.identity.peer_id,
            sequence.to_bytes(16, "big"),
            sequence,
            bytes(32),
        )
        self.straight.clear()
        request = DirectOffer(self.peer.peer_id.public_key, offer.seal(self.peer))
        self.direct.datagram_received(request.encode(bytes(12)), DatagramPath(SOCKET, source))
        self.clock.advance(0)
        for data, path in self.straight:
            self.assertEqual(path, DatagramPath(SOCKET, source))
            self.assertLess(len(data), OFFER_SIZE)
            answer = DirectAnswer.parse(read_message(data))
            return open_answer(self.peer, self.identity.peer_id, answer.box)
        return None


class OfferingStraightTests(StraightTestCase):
    def test_a_peer_that_was_met_before_is_asked_at_once_where_it_was(self) -> None:
        session = self.dial_remembered(FAR, NEAR)
        self.assertEqual(self.asked(), [NEAR, FAR])
        self.assertEqual(len(self.tracker.offers), 1)
        self.assertEqual(self.sent, [], "whoever is there now is not probed")
        self.reply(session)
        self.assertTrue(session.was_answered)
        self.assertEqual(session.strategy, "lan")
        self.assertEqual({path.remote for path in self.sent}, {NEAR})

    def test_so_is_one_that_is_beyond_a_router(self) -> None:
        session = self.dial_remembered(FAR)
        self.reply(session)
        self.assertEqual(session.strategy, "remembered")
        self.assertEqual({path.remote for path in self.sent}, {FAR})

    def test_a_private_address_counts_only_in_its_network(self) -> None:
        self.dial_remembered(HostPort("192.168.1.2", 5000), HostPort("127.0.0.1", 5000))
        self.assertEqual(self.asked(), [])

    def test_an_address_of_which_nothing_is_heard_gets_four_packets(self) -> None:
        self.dial_remembered(FAR)
        self.clock.pump([0.25] * 48)
        self.assertEqual(self.asked(), [FAR] * 4)

    def test_trackers_that_know_no_such_peer_are_not_the_end_while_it_may_answer(self) -> None:
        session = self.dial_remembered(FAR)
        self.tracker.waiting[0].errback(PeerOffline())
        self.clock.pump([0.25] * 10)
        self.assertFalse(session.is_closed)
        self.clock.advance(0.25)
        self.assertIsInstance(session.error, PeerOffline)

    def test_a_tracker_that_knows_the_peer_at_last_is_believed(self) -> None:
        session = self.dial_remembered(FAR)
        self.tracker.waiting[0].errback(PeerOffline())
        self.clock.advance(0.25)
        self.tracker.waiting[1].callback(Introduced((SEEN_AT,)))
        self.clock.pump([0.25] * 12)
        self.assertFalse(session.is_closed)

    def test_an_answer_comes_to_the_rescue_of_dead_trackers(self) -> None:
        session = self.dial_remembered(FAR)
        self.tracker.waiting[0].errback(TrackerUnreachable())
        self.reply(session)
        self.clock.pump([0.25] * 12)
        self.assertFalse(session.is_closed)

    def test_a_refusal_is_the_end(self) -> None:
        session = self.dial_remembered(FAR)
        self.reply(session, Refusal.NOT_ALLOWED)
        self.assertIsInstance(session.error, PeerRefused)
        self.clock.pump([0.25] * 8)
        self.assertEqual(self.asked(), [FAR])

    def test_a_higher_sequence_goes_there_too(self) -> None:
        session = self.dial_remembered(FAR)
        self.answer(session.session_id, Refusal.STALE_SEQUENCE, 5000)
        boxes = [DirectOffer.parse(read_message(data)).box for data, _ in self.straight]
        offers = [open_offer(self.peer, self.identity.peer_id, box) for box in boxes]
        self.assertEqual([offer.sequence for offer in offers], [101, 5001])


class OfferedStraightTests(StraightTestCase):
    def test_on_the_link_the_sender_is_checked_where_it_is_heard(self) -> None:
        answer = self.offer_straight(7, NEAR)
        assert answer is not None
        [session] = self.offered
        self.assertEqual((answer.refusal, answer.session_id), (None, session.session_id))
        self.assertEqual(session.strategy, "lan")
        self.assertEqual({path.remote for path in self.sent}, {NEAR})
        self.assertEqual(self.tracker.answers, [])

    def test_from_beyond_nothing_is_sent_but_the_answer(self) -> None:
        """The source may be a third party's address, though the offer is the peer's."""
        self.assertIsNotNone(self.offer_straight(7, FAR))
        self.assertEqual([session.strategy for session in self.offered], ["remembered"])
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.sent, [])

    def test_the_same_offer_by_both_ways_is_one_session(self) -> None:
        self.offer(7)
        self.assertIsNotNone(self.offer_straight(7, NEAR))
        self.offer(7)
        self.assertEqual(len(self.offered), 1)
        self.assertEqual(self.offered[0].strategy, "introduction")
        self.clock.pump([0.02] * 10)
        self.assertEqual({path.remote for path in self.sent}, {SEEN_AT, NEAR})

    def test_refusals_are_those_of_introductions(self) -> None:
        self.refusal = Refusal.NOT_ALLOWED
        answer = self.offer_straight(7, NEAR)
        assert answer is not None
        self.assertEqual((answer.refusal, answer.candidates), (Refusal.NOT_ALLOWED, ()))
        self.assertEqual((self.offered, self.sent), ([], []))

    def test_a_replay_after_the_session_is_answered_by_nothing(self) -> None:
        self.offer_straight(7, NEAR)
        self.offered[0].close()
        self.assertIsNone(self.offer_straight(7, FAR))
        self.assertEqual(self.dropped(), {"stale_sequence": 1})

    def test_what_the_named_peer_did_not_seal_is_dropped(self) -> None:
        request = DirectOffer(self.peer.peer_id.public_key, bytes(300)).encode(bytes(12))
        self.direct.datagram_received(request, DatagramPath(SOCKET, NEAR))
        self.clock.advance(0)
        self.assertEqual((self.straight, self.dropped()), ([], {"undecipherable_box": 1}))

    def test_our_winning_offer_goes_to_whoever_crosses_it(self) -> None:
        """Perhaps the one way by which ours went leads nowhere."""
        session = self.dial()
        self.straight.clear()
        self.assertIsNone(self.offer_crossing())
        self.assertEqual(self.asked(), [NEAR])
        self.assertEqual(self.dropped(), {"crossing_offer": 1})
        self.reply(session)
        self.assertTrue(session.was_answered)

    def offer_crossing(self) -> None:
        offer = Offer(self.peer.peer_id, self.identity.peer_id, bytes(16), 7, bytes(32))
        request = DirectOffer(self.peer.peer_id.public_key, offer.seal(self.peer))
        self.direct.datagram_received(request.encode(bytes(12)), DatagramPath(SOCKET, NEAR))
        self.clock.advance(0)


class CrossingOfferOfTheHigherPeerTests(RendezvousTestCase):
    """The node's own peer ID is the lower one: its offer wins."""

    def test_while_our_offer_may_still_win_it_is_dropped(self) -> None:
        session = self.dial()
        self.offer(7)
        self.assertEqual(self.dropped(), {"crossing_offer": 1})
        self.assertEqual((self.offered, self.tracker.answers), ([], []))
        self.assertFalse(session.is_closed)

    def test_for_some_seconds_after_ours_has_won_it_is_dropped_too(self) -> None:
        session = self.dial()
        session._current = DatagramPath(SOCKET, SEEN_AT)  # as when a path is authenticated
        session.was_answered = True
        session._forget_deadline()
        self.clock.advance(4.9)
        self.offer(7)
        self.assertEqual(self.dropped(), {"crossing_offer": 1})
        self.clock.advance(0.1)
        self.offer(7)
        self.assertEqual(len(self.offered), 1)
        self.assertFalse(session.is_closed, "until the new one is a connection")

    def test_when_ours_came_to_nothing_it_is_taken(self) -> None:
        session = self.dial()
        self.tracker.waiting[0].errback(PeerOffline())
        self.assertTrue(session.is_closed)
        self.offer(7)
        self.assertEqual(len(self.offered), 1)


class CrossingOfferOfTheLowerPeerTests(RendezvousTestCase):
    """The node's own peer ID is the higher one: the other offer wins."""

    identity, peer = HIGHER, LOWER

    def test_it_is_taken_and_ours_is_given_up(self) -> None:
        session = self.dial()
        self.offer(7)
        self.assertTrue(session.is_closed)
        self.assertIsNone(session.error)
        self.assertEqual(len(self.offered), 1)
        self.clock.advance(5)
        self.assertEqual(len(self.tracker.offers), 1)

    def test_it_is_taken_even_where_the_node_accepts_from_nobody(self) -> None:
        self.refusal = Refusal.NOT_ACCEPTING
        self.dial()
        self.offer(7)
        self.assertEqual(len(self.offered), 1)

    def test_its_replay_does_not_end_ours(self) -> None:
        self.offer(7)
        self.offered[0].close()
        session = self.dial()
        self.offer(7)
        self.assertFalse(session.is_closed)
        self.assertEqual(self.dropped(), {"stale_sequence": 1})

    def test_a_later_one_does_not_end_what_ours_has_become(self) -> None:
        self.refusal = Refusal.NOT_ACCEPTING
        session = self.dial()
        session._current = DatagramPath(SOCKET, SEEN_AT)
        session.was_answered = True
        session._forget_deadline()
        self.clock.advance(5)
        self.offer(7)
        self.assertEqual(self.offered, [])
        self.assertFalse(session.is_closed)
        self.refusal = None
        self.offer(8)
        self.assertEqual(len(self.offered), 1)
        self.assertFalse(session.is_closed)
