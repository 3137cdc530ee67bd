"""Offers and answers straight from peer to peer, without a tracker: a machine.

An offer is a STUN request that is sent again until it is answered, and its answer is the response.
Both boxes are those that a tracker would hand over.  Whoever learns a node's address can send it
such requests, so what is cheap to tell comes first: length, form, where it is from, how many came.
A request has at least `OFFER_SIZE` bytes, more than any answer: nothing is amplified.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Annotated

from attrs import frozen

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.stun.message import MessageClass, STUNMessage
from twisted_p2p.stun.transaction import ClientTransactions, RetransmissionSchedule
from twisted_p2p.tracker.attributes import (
    BOX,
    KNOWN_ATTRIBUTES,
    OFFER,
    PEER_ID,
    PROTOCOL_VERSION,
    VERSION,
)
from twisted_p2p.tracker.wire import TrackerMessage, read_message

OFFER_SIZE = 1000
"""Bytes of an offer's request: an answer with the longest box has 940."""

OFFER_SCHEDULE = RetransmissionSchedule(0.25, 4, 4)
"""Sent at 0, 0.25, 0.75 and 1.75 s and given up at 2.75: whoever is at a remembered address now
gets four packets.  The peer itself, on a link that loses 12 % both ways, is missed once in 380."""

OFFERS_PER_SECOND = 50
"""Offers of others that are looked at, in all."""

OFFERS_PER_SOURCE = 10
"""The same, from one IP address."""


@frozen
class DirectOffer(TrackerMessage):
    """A peer's boxed offer, from that very peer; answered by `DirectAnswer`, or by nothing."""

    method = OFFER
    message_class = MessageClass.REQUEST
    minimum_size = OFFER_SIZE

    peer_key: Annotated[bytes, PEER_ID]
    """Who boxed it; the box alone proves that."""
    box: Annotated[bytes, BOX]


@frozen
class DirectAnswer(TrackerMessage):
    """The boxed answer to an offer; whose it is, the request's address and the box say."""

    method = OFFER
    message_class = MessageClass.SUCCESS

    box: Annotated[bytes, BOX]


# Events.


@frozen
class OfferCame:
    """A peer's offer is here; `DirectExchange.answer` answers it."""

    offer: DirectOffer
    path: DatagramPath
    transaction_id: bytes


@frozen
class AnswerCame:
    """An offer of this node was answered from the address that it was sent to."""

    peer_id: PeerID
    box: bytes
    path: DatagramPath


@frozen
class OfferUnanswered:
    """An offer of this node was sent as often as it is, and nothing came back."""

    peer_id: PeerID
    path: DatagramPath


DirectEvent = OfferCame | AnswerCame | OfferUnanswered


class DirectExchange:
    """Sends this node's offers along paths, and takes those of others."""

    def __init__(
        self,
        peer_key: bytes,
        *,
        is_welcome: Callable[[HostPort, bytes], bool],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """Prepare.

        :param peer_key: this node's public key.
        :param is_welcome: returns whether an offer from an address, that claims to be of a peer
            with a public key, is to be looked at; it must be cheap.
        """
        self.dropped: Counter[str] = Counter()
        """Messages that were not taken, by reason."""
        self._peer_key = peer_key
        self._is_welcome = is_welcome
        self._random_bytes = random_bytes
        self._rate = _Rate()
        self._transactions: ClientTransactions[OfferUnanswered] = ClientTransactions()
        self._asked: dict[PeerID, list[bytes]] = {}
        self._events: deque[DirectEvent] = deque()
        self._answers: Datagrams = []

    # Commands.

    def offer(self, peer_id: PeerID, box: bytes, path: DatagramPath, now: float) -> None:
        """Send a boxed offer, 1 to 900 bytes; `AnswerCame` or `OfferUnanswered` follows."""
        transaction_id = self._random_bytes(12)
        self._asked.setdefault(peer_id, []).append(transaction_id)
        self._transactions.start(
            DirectOffer(self._peer_key, box).encode(transaction_id),
            transaction_id,
            path,
            now,
            context=OfferUnanswered(peer_id, path),
            schedule=OFFER_SCHEDULE,
        )

    def withdraw(self, peer_id: PeerID) -> None:
        """Send no offer to this peer any more, and want no answer."""
        for transaction_id in self._asked.pop(peer_id, ()):
            self._transactions.cancel(transaction_id)

    def answer(self, came: OfferCame, box: bytes) -> None:
        """Answer an offer with a box, 1 to 900 bytes."""
        self._answers.append((DirectAnswer(box).encode(came.transaction_id), came.path))

    # The five names.

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        """Take a message for which `is_direct` holds; bad ones are counted and dropped."""
        assert isinstance(addr, DatagramPath)
        try:
            message = read_message(data)
            if message.get(PROTOCOL_VERSION) != VERSION:
                reason: str | None = "version"
            elif message.unknown_required(KNOWN_ATTRIBUTES):
                reason = "unknown_attribute"
            elif message.message_class is MessageClass.REQUEST:
                reason = self._offer_received(message, len(data), addr, now)
            else:
                reason = self._answer_received(message, addr)
        except MalformedMessage:
            reason = "malformed"
        if reason:
            self.dropped[reason] += 1

    def handle_timer(self, now: float) -> None:
        """Send again what is due, and give up."""
        self._events.extend(self._transactions.handle_timer(now))

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` is wanted, or None."""
        return self._transactions.get_timer()

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the datagrams to send now."""
        answers, self._answers = self._answers, []
        return [*answers, *self._transactions.datagrams_to_send(now)]

    def next_event(self) -> DirectEvent | None:
        """Return the next thing that happened, or None."""
        return self._events.popleft() if self._events else None

    # Receiving; each returns why a message was dropped, or None.

    def _offer_received(
        self, message: STUNMessage, size: int, path: DatagramPath, now: float
    ) -> str | None:
        if size < OFFER_SIZE:
            return "too_short"
        offer = DirectOffer.parse(message)
        if not self._is_welcome(path.remote, offer.peer_key):
            return "unknown_source"
        if not self._rate.admits(path.remote.host, now):
            return "too_many_offers"
        self._events.append(OfferCame(offer, path, message.transaction_id))
        return None

    def _answer_received(self, message: STUNMessage, path: DatagramPath) -> str | None:
        answer = DirectAnswer.parse(message)
        asked = self._transactions.response_received(message.transaction_id, path)
        if asked is None:
            return "unexpected"
        self._events.append(AnswerCame(asked.peer_id, answer.box, path))
        return None


class _Rate:
    """Counts offers within a second; it holds no more sources than offers that are admitted."""

    def __init__(self) -> None:
        self._second = -1
        self._by_source: Counter[str] = Counter()

    def admits(self, host: str, now: float) -> bool:
        """Return whether one more from this host is within what one second allows."""
        if int(now) != self._second:
            self._second = int(now)
            self._by_source.clear()
        if (
            self._by_source[host] >= OFFERS_PER_SOURCE
            or self._by_source.total() >= OFFERS_PER_SECOND
        ):
            return False
        self._by_source[host] += 1
        return True


def is_direct(data: bytes) -> bool:
    """Return whether a STUN message is an offer's request or its success response."""
    return data[:2] in _TYPES


_TYPES = frozenset(
    STUNMessage.build(OFFER, message_class, bytes(12)).encode()[:2]
    for message_class in (MessageClass.REQUEST, MessageClass.SUCCESS)
)
