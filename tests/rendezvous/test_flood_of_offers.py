from __future__ import annotations

from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.rendezvous.direct import DirectSignalling
from twisted_p2p.rendezvous.gathering import LocalCandidates
from twisted_p2p.rendezvous.introduction import MOST_UNPROVEN, Rendezvous
from twisted_p2p.rendezvous.offer import SECRET_SIZE, SESSION_ID_SIZE, Offer
from twisted_p2p.rendezvous.remembered import RememberedAddresses
from twisted_p2p.rendezvous.session import PATIENCE, PeerSession
from twisted_p2p.rendezvous.session_table import SessionTable
from twisted_p2p.tracker.messages import AnswerTaken, OfferHandedOver


class SilentIntroducer:
    """Takes everything and leads nowhere."""

    addresses: frozenset[HostPort] = frozenset()
    is_any = True

    def introduce(self, target: Any, box: bytes) -> Any:
        raise AssertionError("nobody dials here")

    def answer(self, initiator: Any, box: bytes, accepting: bool) -> Any:
        return succeed(AnswerTaken())


class FloodOfOffersTests(SynchronousTestCase):
    """Offers of many keys, as a hostile tracker can make up and hand over."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.identity = IdentityKey.from_seed(bytes(32))
        self.offered: list[PeerSession] = []
        self.made = 0
        candidates = LocalCandidates(list)
        self.sessions = SessionTable(
            self.clock,
            candidates=candidates,
            send=lambda data, path: None,
            local_address=lambda path: path.remote,
            random_bytes=self.random_bytes,
        )
        self.addCleanup(self.sessions.close)
        self.direct = DirectSignalling(
            self.clock,
            self.identity.peer_id,
            send=lambda data, path: None,
            sockets=list,
            is_welcome=lambda source, key: True,
            random_bytes=self.random_bytes,
        )
        self.remembered = RememberedAddresses()
        self.rendezvous = Rendezvous(
            self.clock,
            self.identity,
            introducer=SilentIntroducer(),
            direct=self.direct,
            sessions=self.sessions,
            candidates=candidates,
            remembered=self.remembered,
            local_address=lambda path: path.remote,
            next_sequence=lambda: 1,
            random_bytes=self.random_bytes,
            refusal_for=lambda peer_id: None,
            on_offered=self.offered.append,
        )

    def random_bytes(self, size: int) -> bytes:
        self.made += 1
        return self.made.to_bytes(size, "big")

    def offer(self) -> None:
        sender = IdentityKey.from_seed(self.random_bytes(32))
        offer = Offer(
            sender=sender.peer_id,
            recipient=self.identity.peer_id,
            session_id=self.random_bytes(SESSION_ID_SIZE),
            sequence=1,
            secret=self.random_bytes(SECRET_SIZE),
        )
        self.rendezvous.handed_over(OfferHandedOver(sender.peer_id.public_key, offer.seal(sender)))

    def test_so_many_sessions_may_be_unproven_at_one_time(self) -> None:
        for _ in range(MOST_UNPROVEN + 5):
            self.offer()
        self.assertEqual(len(self.offered), MOST_UNPROVEN)
        self.assertEqual(self.rendezvous.dropped["too_many_sessions"], 5)

    def test_a_session_that_failed_makes_room(self) -> None:
        for _ in range(MOST_UNPROVEN):
            self.offer()
        self.clock.advance(PATIENCE)
        self.offer()
        self.assertEqual(len(self.offered), MOST_UNPROVEN + 1)

    def test_so_many_boxes_are_opened_a_second(self) -> None:
        for _ in range(120):
            self.offer()
        self.assertEqual(self.rendezvous.dropped["too_many_offers"], 20)
        self.clock.advance(1)
        self.offer()
        self.assertEqual(self.rendezvous.dropped["too_many_offers"], 20)
