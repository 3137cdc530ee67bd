"""Both sides of an introduction: offers go out and come in, and ICE starts on what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.driver import monotonic_clock
from twisted_p2p.errors import (
    InvalidPeerID,
    MalformedMessage,
    P2PError,
    PeerOffline,
    PeerRefused,
)
from twisted_p2p.ice.filter import AddressScope, CandidateFilter, address_scope
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.interfaces import IPeerDiscovery
from twisted_p2p.rendezvous.direct import DirectSignalling
from twisted_p2p.rendezvous.direct_exchange import AnswerCame, DirectEvent, OfferCame
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
from twisted_p2p.rendezvous.remembered import RememberedAddresses
from twisted_p2p.rendezvous.reunion import Reunions
from twisted_p2p.rendezvous.session import PeerSession
from twisted_p2p.rendezvous.session_table import SessionTable
from twisted_p2p.tracker.messages import (
    AnswerTaken,
    Indication,
    Introduced,
    OfferHandedOver,
)

_HIGHEST_SEQUENCE = 2**64 - 1
_ON_NO_LINK = "The peer is not on the local network, and no tracker is named that may know it."
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
    def is_any(self) -> bool:
        """Whether there is a tracker at all."""

    @property
    def addresses(self) -> Collection[HostPort]:
        """Where the trackers are."""


@frozen
class _Way:
    """How an offer or an answer came here."""

    strategy: str
    """The word for it in `PeerSession.strategy`."""
    observed: Collection[HostPort]
    """Where a tracker, or this node itself, sees the peer."""
    judge: Callable[[], CandidateFilter]
    """Makes what says which addresses may be tried because of it."""
    answer: Callable[[PeerID, bytes, bool], object]
    """Sends a boxed answer back to a peer, given whether it accepts."""
    source: HostPort | None = None
    """Where it came from, if that was the peer itself."""


class Rendezvous:
    """Introduces this node to peers, and takes their introductions."""

    def __init__(
        self,
        reactor: Any,
        identity: IdentityKey,
        *,
        introducer: Introducer,
        direct: DirectSignalling,
        sessions: SessionTable,
        candidates: LocalCandidates,
        remembered: RememberedAddresses,
        local_address: Callable[[DatagramPath], HostPort],
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
        self._direct = direct
        self._sessions = sessions
        self._candidates = candidates
        self._remembered = remembered
        self._local_address = local_address
        self._next_sequence = next_sequence
        self._random_bytes = random_bytes
        self._refusal_for = refusal_for
        self._on_offered = on_offered
        self._sequences = OfferSequences()
        self._unboxings = 0
        self._unboxing_second = 0
        self.discovery: IPeerDiscovery | None = None
        """Finds peers on the links of this host, while it dials them; assignable."""
        self._offerings: dict[PeerID, Offering] = {}
        self._reunions = Reunions(
            reactor, introduce=introducer.introduce, direct=direct, found=self._found
        )

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
            introduce=self._introduce,
            found=self._found,
            direct=self._direct,
        )
        self._offerings[peer_id] = offering
        session.when_closed(lambda: self._forget(offering))
        self._offer(offering, self._next_sequence())
        for address in self._remembered.of(peer_id.public_key):
            if self._may_be_there_still(address):
                offering.send_to(address)
        if self.discovery is not None:
            offering.look_for_peer(self.discovery, self._candidates.is_on_link)
        return session

    def _introduce(self, target: PeerID, box: bytes) -> Deferred[Introduced]:
        if self.discovery is not None and not self._introducer.is_any:
            return fail(PeerOffline(_ON_NO_LINK))
        return self._introducer.introduce(target, box)

    def is_dialling(self, peer_key: bytes) -> bool:
        """Return whether an offer of this node to a peer, named by its public key, is under way."""
        return any(peer_id.public_key == peer_key for peer_id in self._offerings)

    def _may_be_there_still(self, address: HostPort) -> bool:
        """Return whether a remembered address means the same host from where this node is now."""
        return address_scope(address.host) is AddressScope.PUBLIC or self._candidates.is_on_link(
            address.host
        )

    def _offer(self, offering: Offering, sequence: int) -> None:
        """Offer, or offer again with a higher sequence."""
        offering.sequence = sequence
        offer = self._make_offer(offering.session, sequence, offering.secret)
        offering.start(offer.seal(self._identity))

    def _make_offer(self, session: PeerSession, sequence: int, secret: bytes) -> Offer:
        return Offer(
            sender=self._identity.peer_id,
            recipient=session.peer_id,
            session_id=session.session_id,
            sequence=sequence,
            secret=secret,
            candidates=tuple(self._candidates.current()),
        )

    def _found(self, session: PeerSession, observed: Collection[HostPort]) -> None:
        """Try where a tracker, which has handed the offer over, sees the peer."""
        session.came_about_by("introduction")
        session.peer_is_at(observed, (), self._judge(observed))

    def _forget(self, offering: Offering) -> None:
        offering.stop()
        if self._offerings.get(offering.session.peer_id) is offering:
            del self._offerings[offering.session.peer_id]

    def meet_again(self, since: float) -> None:
        """Have the peers that were not heard since then told where this node is now."""
        for session in self._sessions.live():
            if not session.is_confirmed_since(since):
                self._reunions.begin(session, self._offer_again(session))

    def _offer_again(self, session: PeerSession) -> bytes:
        # The peer has the session's secret; to one that has forgotten it, this one is of no use.
        secret = self._random_bytes(SECRET_SIZE)
        return self._make_offer(session, self._next_sequence(), secret).seal(self._identity)

    # What is handed over.

    def handed_over(self, message: Indication) -> None:
        """Take an offer or an answer that a tracker handed over; it proves nothing by itself."""
        is_offer = isinstance(message, OfferHandedOver)
        received = self._offer_received if is_offer else self._answer_received
        self._take(received, message.peer_key, message.box, self._by_tracker(message))

    def happened(self, event: DirectEvent) -> None:
        """Take an offer or an answer that came straight from a peer, or note that none did."""
        if isinstance(event, OfferCame):
            self._take(
                self._offer_received, event.offer.peer_key, event.offer.box, self._straight(event)
            )
        elif isinstance(event, AnswerCame):
            self._take(
                self._answer_received, event.peer_id.public_key, event.box, self._straight(event)
            )
        elif event.peer_id in self._offerings:
            self._offerings[event.peer_id].lose_hope(event.path.remote)

    def _take(
        self,
        received: Callable[[PeerID, bytes, _Way], str | None],
        peer_key: bytes,
        box: bytes,
        way: _Way,
    ) -> None:
        try:
            reason = received(PeerID.from_public_key(peer_key), box, way)
        except (InvalidPeerID, MalformedMessage) as error:
            reason = error.code
        if reason is not None:
            self.dropped[reason] += 1

    def _by_tracker(self, message: Indication) -> _Way:
        judge = partial(self._judge, message.addresses)
        return _Way("introduction", message.addresses, judge, self._answer_by_tracker)

    def _answer_by_tracker(self, initiator: PeerID, box: bytes, accepting: bool) -> None:
        taken = self._introducer.answer(initiator, box, accepting)
        # An answer lost is asked for again, by the repeated offer.
        taken.addErrback(_trap_own_errors)

    def _straight(self, event: OfferCame | AnswerCame) -> _Way:
        """Return the way of what came straight from a peer.

        Whoever answers is at the address that was asked, and on a link of this host the source of
        a datagram is where a peer is.  But an offer from beyond may have anybody's address there,
        so nothing is tried because of it: the peer's own checks show where it is.
        """
        source = event.path.remote
        same_lan = self._candidates.is_on_link(source.host)
        observed = (source,) if same_lan or isinstance(event, AnswerCame) else ()

        def judge() -> CandidateFilter:
            return CandidateFilter(
                own_observed=[
                    *self._candidates.mapped_addresses,
                    self._local_address(event.path),
                ],
                peer_observed=observed,
                trackers=self._introducer.addresses,
                same_lan=same_lan,
            )

        def answer(peer_id: PeerID, box: bytes, accepting: bool) -> None:
            assert isinstance(event, OfferCame)
            self._direct.answer(event, box)

        return _Way("lan" if same_lan else "remembered", observed, judge, answer, source)

    def _answer_received(self, sender: PeerID, box: bytes, way: _Way) -> str | None:
        offering = self._offerings.get(sender)
        if offering is None and sender not in self._reunions:
            return "unexpected_answer"
        answer = open_answer(self._identity, sender, box)
        session = self._sessions.find(answer.session_id, sender)
        if session is None:
            return "unexpected_answer"
        if offering is None or offering.session is not session:
            session.peer_is_at(way.observed, answer.candidates, way.judge())
        elif answer.refusal is Refusal.STALE_SEQUENCE:
            self._overtake(offering, answer.last_sequence)
        elif answer.refusal is not None:
            session.fail(PeerRefused())
        else:
            session.came_about_by(way.strategy)
            session.was_answered = True
            session.peer_is_at(way.observed, answer.candidates, way.judge())
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

    def _offer_received(self, sender: PeerID, box: bytes, way: _Way) -> str | None:
        if way.source is None and not self._may_unbox():
            return "too_many_offers"
        offer = open_offer(self._identity, sender, box)
        session = self._sessions.find(offer.session_id, sender)
        if session is not None:
            # It came by another way too, the answer may have been lost, or the peer has moved.
            if offer.sequence > session.sequence:
                session.sequence = offer.sequence
                session.search_again()
            session.peer_is_at(way.observed, offer.candidates, way.judge())
            self._answer(offer, way)
            return None
        crossing = self._crossing(sender)
        if crossing is not None and self._identity.peer_id < sender:
            if way.source is not None:
                crossing.send_to(way.source)  # its own way may be one that leads nowhere
            return "crossing_offer"  # ours wins, by the rule that the peer goes by too
        refusal = None if crossing is not None else self._refusal_for(sender)
        reason = self._decline(offer, refusal, way)
        if reason is None:
            self._accept(offer, way)
            if crossing is not None:
                crossing.session.close()  # its dialler has the session just offered instead
        return reason

    def _decline(self, offer: Offer, refusal: Refusal | None, way: _Way) -> str | None:
        """Return why a new offer is not taken, told to its sender where that is due, or None."""
        if refusal is None and self._sessions.unproven_count() >= MOST_UNPROVEN:
            return "too_many_sessions"
        if not self._sequences.accept(offer):
            return self._refuse_stale(offer, refusal, way)
        if refusal is not None:
            self._answer(offer, way, refusal)
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

    def _refuse_stale(self, offer: Offer, refusal: Refusal | None, way: _Way) -> str:
        """Tell a sender whose clock went back what to exceed, and repeat a refusal that was lost.

        A replay of an offer that was taken is answered by nothing.
        """
        highest = self._sequences.highest(offer.sender)
        if highest is not None and offer.sequence < highest:
            self._answer(offer, way, Refusal.STALE_SEQUENCE, highest)
        elif refusal is not None:
            self._answer(offer, way, refusal)
        return "stale_sequence"

    def _accept(self, offer: Offer, way: _Way) -> None:
        session = self._sessions.open(
            offer.sender, offer.session_id, offer.secret, is_initiator=False
        )
        session.came_about_by(way.strategy)
        session.sequence = offer.sequence
        self._on_offered(session)
        # Checks first: the sooner they open this side's NATs, the better.
        session.peer_is_at(way.observed, offer.candidates, way.judge())
        self._answer(offer, way)

    def _answer(
        self, offer: Offer, way: _Way, refusal: Refusal | None = None, last_sequence: int = 0
    ) -> None:
        answer = Answer(
            sender=self._identity.peer_id,
            recipient=offer.sender,
            session_id=offer.session_id,
            refusal=refusal,
            candidates=() if refusal else tuple(self._candidates.current()),
            last_sequence=last_sequence,
        )
        way.answer(offer.sender, answer.seal(self._identity), refusal is None)

    # What may be tried.

    def _judge(self, peer_observed: Collection[HostPort]) -> CandidateFilter:
        return CandidateFilter(
            own_observed=self._candidates.mapped_addresses,
            peer_observed=peer_observed,
            trackers=self._introducer.addresses,
        )


def _trap_own_errors(failure: Failure) -> None:
    failure.trap(P2PError)
