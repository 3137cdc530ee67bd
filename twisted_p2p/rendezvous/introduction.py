"""Both sides of an introduction: offers go out and come in, and ICE starts on what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_p2p.addresses import HostPort
from twisted_p2p.datagram.driver import monotonic_clock
from twisted_p2p.errors import (
    InvalidPeerID,
    MalformedMessage,
    P2PError,
    PeerRefused,
)
from twisted_p2p.ice.filter import CandidateFilter
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.rendezvous.gathering import LocalCandidates
from twisted_p2p.rendezvous.offer import (
    SECRET_SIZE,
    SESSION_ID_SIZE,
    Answer,
    Offer,
    OfferSequences,
    Refusal,
    open_answer,
    open_offer,
)
from twisted_p2p.rendezvous.offering import Offering
from twisted_p2p.rendezvous.session import PeerSession
from twisted_p2p.rendezvous.session_table import SessionTable
from twisted_p2p.tracker.messages import (
    AnswerHandedOver,
    AnswerTaken,
    Indication,
    Introduced,
    OfferHandedOver,
)

_HIGHEST_SEQUENCE = 2**64 - 1
_UNBOXINGS_PER_SECOND = 100

MOST_UNPROVEN = 32
"""Sessions begun by peers of which nothing authentic was heard yet: each may be 80 probes."""


class Introducer(Protocol):
    """What hands offers and answers over: the trackers of a node."""

    def introduce(self, target: PeerID, box: bytes) -> Deferred[Introduced]:
        """Have an offer handed to a peer."""

    def answer(self, initiator: PeerID, box: bytes, accepting: bool) -> Deferred[AnswerTaken]:
        """Have an answer handed to the peer that was introduced."""

    @property
    def addresses(self) -> Collection[HostPort]:
        """Where the trackers are."""


class Rendezvous:
    """Introduces this node to peers, and takes their introductions."""

    def __init__(
        self,
        reactor: Any,
        identity: IdentityKey,
        *,
        introducer: Introducer,
        sessions: SessionTable,
        candidates: LocalCandidates,
        next_sequence: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        refusal_for: Callable[[PeerID], Refusal | None],
        on_offered: Callable[[PeerSession], object],
    ) -> None:
        """Prepare for introductions.

        ``refusal_for`` says why a peer's offer is not taken, or None; ``on_offered`` is given the
        session that a peer's offer began, before anything happens on it.
        """
        self.dropped: Counter[str] = Counter()
        """What was handed over and not taken, by reason."""
        self._reactor = reactor
        self._now = monotonic_clock(reactor)
        self._identity = identity
        self._introducer = introducer
        self._sessions = sessions
        self._candidates = candidates
        self._next_sequence = next_sequence
        self._random_bytes = random_bytes
        self._refusal_for = refusal_for
        self._on_offered = on_offered
        self._sequences = OfferSequences()
        self._unboxings = 0
        self._unboxing_second = 0
        self._offerings: dict[PeerID, Offering] = {}

    # Offering.

    def dial(self, peer_id: PeerID) -> PeerSession:
        """Offer a peer to connect, and return the session for it, which needs an owner at once.

        The session fails with `PeerOffline`, `PeerRefused`, `TrackerUnreachable`, `TrackerBusy`,
        `DialTimedOut` or `NoPath` when it comes to nothing.
        """
        secret = self._random_bytes(SECRET_SIZE)
        session_id = self._random_bytes(SESSION_ID_SIZE)
        session = self._sessions.open(peer_id, session_id, secret, is_initiator=True)
        offering = Offering(
            self._reactor,
            session,
            secret,
            introduce=self._introducer.introduce,
            found=self._found,
        )
        self._offerings[peer_id] = offering
        session.when_closed(lambda: self._forget(offering))
        self._offer(offering, self._next_sequence())
        return session

    def _offer(self, offering: Offering, sequence: int) -> None:
        """Offer, or offer again with a higher sequence."""
        offering.sequence = sequence
        offer = Offer(
            sender=self._identity.peer_id,
            recipient=offering.session.peer_id,
            session_id=offering.session.session_id,
            sequence=sequence,
            secret=offering.secret,
            candidates=tuple(self._candidates.current()),
        )
        offering.start(offer.seal(self._identity))

    def _found(self, session: PeerSession, observed: Collection[HostPort]) -> None:
        """Try where a tracker sees the peer."""
        session.peer_is_at(observed, (), self._judge(observed))

    def _forget(self, offering: Offering) -> None:
        offering.stop()
        if self._offerings.get(offering.session.peer_id) is offering:
            del self._offerings[offering.session.peer_id]

    # What is handed over.

    def handed_over(self, message: Indication) -> None:
        """Take an offer or an answer that a tracker handed over; it proves nothing by itself."""
        try:
            sender = PeerID.from_public_key(message.peer_key)
            if isinstance(message, OfferHandedOver):
                reason = self._offer_received(sender, message)
            else:
                reason = self._answer_received(sender, message)
        except (InvalidPeerID, MalformedMessage) as error:
            reason = error.code
        if reason is not None:
            self.dropped[reason] += 1

    def _answer_received(self, sender: PeerID, message: AnswerHandedOver) -> str | None:
        offering = self._offerings.get(sender)
        if offering is None:
            return "unexpected_answer"
        answer = open_answer(self._identity, sender, message.box)
        session = offering.session
        if answer.session_id != session.session_id:
            return "unexpected_answer"
        if answer.refusal is Refusal.STALE_SEQUENCE:
            self._overtake(offering, answer.last_sequence)
        elif answer.refusal is not None:
            session.fail(PeerRefused())
        else:
            session.was_answered = True
            judge = self._judge(message.addresses)
            session.peer_is_at(message.addresses, answer.candidates, judge)
        return None

    def _overtake(self, offering: Offering, last_sequence: int) -> None:
        """Offer above the sequence that the peer remembers; once, since a peer may lie."""
        if last_sequence < offering.sequence:
            return  # it is about the offer that this one was made for
        if offering.has_overtaken or last_sequence >= _HIGHEST_SEQUENCE:
            offering.session.fail(PeerRefused())
            return
        offering.has_overtaken = True
        self._offer(offering, last_sequence + 1)

    def _offer_received(self, sender: PeerID, message: OfferHandedOver) -> str | None:
        if not self._may_unbox():
            return "too_many_offers"
        offer = open_offer(self._identity, sender, message.box)
        if self._sessions.find(offer.session_id, sender) is not None:
            self._answer(offer)  # the one before may have been lost
            return None
        crossing = self._crossing(sender)
        if crossing is not None and self._identity.peer_id < sender:
            return "crossing_offer"  # ours wins, by the rule that the peer goes by too
        refusal = None if crossing is not None else self._refusal_for(sender)
        reason = self._decline(offer, refusal)
        if reason is None:
            self._accept(offer, message.addresses)
            if crossing is not None:
                crossing.session.close()  # its dialler has the session just offered instead
        return reason

    def _decline(self, offer: Offer, refusal: Refusal | None) -> str | None:
        """Return why a new offer is not taken, told to its sender where that is due, or None."""
        if refusal is None and self._sessions.unproven_count() >= MOST_UNPROVEN:
            return "too_many_sessions"
        if not self._sequences.accept(offer):
            return self._refuse_stale(offer, refusal)
        if refusal is not None:
            self._answer(offer, refusal)
            return "refused"
        return None

    def _may_unbox(self) -> bool:
        """Count an offer, and return whether it is within what one second allows."""
        second = int(self._now())
        if second != self._unboxing_second:
            self._unboxing_second, self._unboxings = second, 0
        self._unboxings += 1
        return self._unboxings <= _UNBOXINGS_PER_SECOND

    def _crossing(self, sender: PeerID) -> Offering | None:
        """Return this node's own offer to a peer if the two may have crossed."""
        offering = self._offerings.get(sender)
        return offering if offering is not None and offering.may_cross else None

    def _refuse_stale(self, offer: Offer, refusal: Refusal | None) -> str:
        """Tell a sender whose clock went back what to exceed, and repeat a refusal that was lost.

        A replay of an offer that was taken is answered by nothing.
        """
        highest = self._sequences.highest(offer.sender)
        if highest is not None and offer.sequence < highest:
            self._answer(offer, Refusal.STALE_SEQUENCE, highest)
        elif refusal is not None:
            self._answer(offer, refusal)
        return "stale_sequence"

    def _accept(self, offer: Offer, observed: Collection[HostPort]) -> None:
        session = self._sessions.open(
            offer.sender, offer.session_id, offer.secret, is_initiator=False
        )
        self._on_offered(session)
        # Checks first: the sooner they open this side's NATs, the better.
        session.peer_is_at(observed, offer.candidates, self._judge(observed))
        self._answer(offer)

    def _answer(self, offer: Offer, refusal: Refusal | None = None, last_sequence: int = 0) -> None:
        answer = Answer(
            sender=self._identity.peer_id,
            recipient=offer.sender,
            session_id=offer.session_id,
            refusal=refusal,
            candidates=() if refusal else tuple(self._candidates.current()),
            last_sequence=last_sequence,
        )
        taken = self._introducer.answer(
            offer.sender, answer.seal(self._identity), accepting=refusal is None
        )
        # An answer lost is asked for again, by the repeated offer.
        taken.addErrback(_trap_own_errors)

    def _judge(self, peer_observed: Collection[HostPort]) -> CandidateFilter:
        return CandidateFilter(
            own_observed=self._candidates.mapped_addresses,
            peer_observed=peer_observed,
            trackers=self._introducer.addresses,
        )


def _trap_own_errors(failure: Failure) -> None:
    failure.trap(P2PError)
