"""What a node and a tracker say to each other: STUN messages, each as one typed value.

A node's requests, the tracker's responses and its indications each have a class here with
``encode(transaction_id)`` and ``parse(message)``; `read_response` and `read_indication` choose
the class for a node.  Neither side touches attributes.  Peers are named by their raw public
keys, 32 bytes, because the check that a key is a point of the curve costs as much as a signature
and comes after cheaper ones.

Every message of ours carries the protocol version, ends with FINGERPRINT and fits into
`MAXIMUM_SIZE`.  Every request is at least `CHALLENGE_MINIMUM` bytes long, so that the challenge
which answers one without a valid proof of its source never amplifies.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from attrs import frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.identity.keys import IdentityKey, SignatureLabel, verify
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    LIFETIME,
    MAPPED_ADDRESS,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
    ErrorCode,
)
from twisted_p2p.stun.message import (
    MessageClass,
    STUNMessage,
)
from twisted_p2p.tracker.attributes import (
    ACCEPTING,
    ANSWER,
    BOX,
    CHALLENGE_MINIMUM,
    COOKIE,
    COOKIE_NEEDED,
    INTRODUCE,
    INTRODUCTIONS_SUCCEEDED,
    LIST,
    LISTED_PEER,
    LOOK_UP,
    NAT_FACTS,
    OFFER,
    PEER_ID,
    PEERS_IN_ALL,
    REFRESH,
    REGISTER,
    RETRY_AFTER,
    SEQUENCE,
    SERVER_ADDRESS,
    SERVICE_NAME,
    SIGNATURE,
    SIGNED_RECORD,
    TARGET,
    TOKEN,
    TOPIC,
    UNREGISTER,
)
from twisted_p2p.tracker.listed_peer import ListedPeer
from twisted_p2p.tracker.wire import OfAnyMethod, TrackerMessage

# Requests of a node.


class _Request(TrackerMessage):
    __slots__ = ()

    message_class = MessageClass.REQUEST
    minimum_size = CHALLENGE_MINIMUM


@frozen
class CookieRequest(OfAnyMethod, _Request):
    """Any request before a cookie is known; answered by a `Challenge`."""

    method: int


@frozen
class Register(_Request):
    """A node's signed record, and its proof that the record's key wants to be found right there.

    The signature covers the cookie, the address that the tracker observed, and the tracker's
    address that the node sends to.  So a tracker that passes on another one's cookie registers
    nobody there.  Who registers, the record says.
    """

    method = REGISTER

    cookie: Annotated[bytes, COOKIE]
    mapped_address: Annotated[HostPort, XOR_MAPPED_ADDRESS]
    """As the `Challenge` told it."""
    server_address: Annotated[HostPort, SERVER_ADDRESS]
    """The tracker's address that this request is sent to."""
    record: Annotated[bytes, SIGNED_RECORD]
    signature: Annotated[bytes, SIGNATURE]

    @classmethod
    def sign(
        cls,
        identity: IdentityKey,
        *,
        cookie: bytes,
        mapped_address: HostPort,
        server_address: HostPort,
        record: bytes,
    ) -> Register:
        """Return the request signed by the identity, which signed the record too."""
        parts = _signed_parts(cookie, mapped_address, server_address, record)
        signature = identity.sign(SignatureLabel.REGISTER, *parts)
        return cls(cookie, mapped_address, server_address, record, signature)

    def is_signed_by(self, peer_id: PeerID) -> bool:
        """Return whether this peer signed the request."""
        parts = _signed_parts(self.cookie, self.mapped_address, self.server_address, self.record)
        return verify(peer_id, SignatureLabel.REGISTER, self.signature, *parts)


@frozen
class Refresh(_Request):
    """Keeps a registration alive from the address that holds the token, and moves nothing."""

    method = REFRESH

    peer_key: Annotated[bytes, PEER_ID]
    token: Annotated[bytes, TOKEN]
    succeeded: Annotated[int, INTRODUCTIONS_SUCCEEDED] = 0
    """How many introductions that this node asked for have led to a connection and were not yet
    reported.  A repeat (same transaction ID) reports the same ones.
    """


@frozen
class Unregister(_Request):
    """Ends the registration made from this address; signed as `Register` is."""

    method = UNREGISTER

    peer_key: Annotated[bytes, PEER_ID]
    cookie: Annotated[bytes, COOKIE]
    mapped_address: Annotated[HostPort, XOR_MAPPED_ADDRESS]
    server_address: Annotated[HostPort, SERVER_ADDRESS]
    signature: Annotated[bytes, SIGNATURE]
    succeeded: Annotated[int, INTRODUCTIONS_SUCCEEDED] = 0
    """As in `Refresh`; it is not signed."""

    @classmethod
    def sign(
        cls,
        identity: IdentityKey,
        *,
        cookie: bytes,
        mapped_address: HostPort,
        server_address: HostPort,
        succeeded: int = 0,
    ) -> Unregister:
        """Return the request signed by the identity that registered."""
        parts = _signed_parts(cookie, mapped_address, server_address)
        signature = identity.sign(SignatureLabel.UNREGISTER, *parts)
        key = identity.peer_id.public_key
        return cls(key, cookie, mapped_address, server_address, signature, succeeded)

    def is_signed_by(self, peer_id: PeerID) -> bool:
        """Return whether this peer signed the request."""
        parts = _signed_parts(self.cookie, self.mapped_address, self.server_address)
        return verify(peer_id, SignatureLabel.UNREGISTER, self.signature, *parts)


def _signed_parts(
    cookie: bytes, mapped_address: HostPort, server_address: HostPort, record: bytes = b""
) -> tuple[bytes, ...]:
    return (
        cookie,
        MAPPED_ADDRESS.encode(mapped_address, b""),
        MAPPED_ADDRESS.encode(server_address, b""),
        sha256(record).digest(),
    )


@frozen
class LookUp(_Request):
    """Asks whether a peer is there; answered by `Presence`, or by a `Failure` of 404.

    A cookie is enough, so a node need not be registered; registered ones have a fresh cookie
    from `Registered`.
    """

    method = LOOK_UP

    cookie: Annotated[bytes, COOKIE]
    target_key: Annotated[bytes, TARGET]


@frozen
class Introduce(_Request):
    """Asks the tracker to hand a boxed offer to a registered peer; answered by `Introduced`.

    A repeat of the same box within 10 seconds is the same introduction: the offer is handed over
    again and counted once.
    """

    method = INTRODUCE

    peer_key: Annotated[bytes, PEER_ID]
    token: Annotated[bytes, TOKEN]
    target_key: Annotated[bytes, TARGET]
    box: Annotated[bytes, BOX]


@frozen
class Answer(_Request):
    """Asks the tracker to hand a boxed answer to the initiator; answered by `AnswerTaken`."""

    method = ANSWER

    peer_key: Annotated[bytes, PEER_ID]
    token: Annotated[bytes, TOKEN]
    target_key: Annotated[bytes, TARGET]
    """The initiator, whose introduction must be less than 30 seconds old."""
    box: Annotated[bytes, BOX]
    accepting: Annotated[bool, ACCEPTING] = False
    """Whether the tracker may tell the initiator this node's observed addresses."""


@frozen
class ListPeers(_Request):
    """Asks who is here that lets this peer know; answered by `Listed`."""

    method = LIST

    peer_key: Annotated[bytes, PEER_ID]
    token: Annotated[bytes, TOKEN]
    topic: Annotated[str, TOPIC] = ""
    """What the peers must have named; "" is all of them."""


# Responses of the tracker.


class _Success(TrackerMessage):
    __slots__ = ()

    message_class = MessageClass.SUCCESS


@frozen
class Registered(_Success):
    """The registration was made."""

    method = REGISTER

    token: Annotated[bytes, TOKEN]
    """To be shown from the address that it was given to; replaces the one before."""
    cookie: Annotated[bytes, COOKIE]
    """A fresh one, so that a later look-up, registration or its end takes one round trip."""
    lifetime: Annotated[int, LIFETIME]
    """Seconds for which the registration stays without another refresh."""
    mapped_address: Annotated[HostPort, XOR_MAPPED_ADDRESS]


@frozen
class Refreshed(Registered):
    """The answer to `Refresh`."""

    method = REFRESH


@frozen
class Unregistered(_Success):
    """The registration is gone, or there was none."""

    method = UNREGISTER


@frozen
class Presence(_Success):
    """A peer is there; its addresses are told by introductions alone."""

    method = LOOK_UP

    target_key: Annotated[bytes, TARGET]
    accepting: Annotated[bool, ACCEPTING] = False
    services: Annotated[tuple[str, ...], SERVICE_NAME, ...] = ()


@frozen
class Introduced(_Success):
    """The offer was handed over; and where the target was seen, when its policy says so.

    An address with port 0 tells only from which host a peer is registered over a stream.
    """

    method = INTRODUCE

    addresses: Annotated[tuple[HostPort, ...], XOR_PEER_ADDRESS, ...] = ()
    nat_facts: Annotated[bytes, NAT_FACTS] = b""


@frozen
class AnswerTaken(_Success):
    """The answer was handed over."""

    method = ANSWER


@frozen
class Listed(_Success):
    """Some of the peers that are here, drawn at random: asked again, others."""

    method = LIST

    in_all: Annotated[int, PEERS_IN_ALL] = 0
    """How many there are in all.  Of more than 96 peers that list the asking one, the rest counts
    whatever their topics are.
    """
    peers: Annotated[tuple[ListedPeer, ...], LISTED_PEER, ...] = ()
    """`MAXIMUM_LISTED` at most, the asking peer not among them."""


class _Error(OfAnyMethod):
    __slots__ = ()

    message_class = MessageClass.ERROR


@frozen
class Challenge(_Error):
    """No valid cookie came with the request; here is one, and where the request came from."""

    method: int
    error: Annotated[ErrorCode, ERROR_CODE]
    cookie: Annotated[bytes, COOKIE]
    mapped_address: Annotated[HostPort, XOR_MAPPED_ADDRESS]


@frozen
class Failure(_Error):
    """A request was refused."""

    method: int
    error: Annotated[ErrorCode, ERROR_CODE]
    retry_after_ms: Annotated[int, RETRY_AFTER] = 0
    """With `TOO_MANY` and `NO_CAPACITY`: milliseconds after which another try makes sense."""
    sequence: Annotated[int, SEQUENCE] = 0
    """With `STALE_SEQUENCE`: the highest that the tracker has seen."""
    unknown: Annotated[tuple[int, ...], UNKNOWN_ATTRIBUTES] = ()


# Indications, from the tracker or straight from the other peer.


@frozen
class _HandedOver(TrackerMessage):
    message_class = MessageClass.INDICATION

    peer_key: Annotated[bytes, PEER_ID]
    """Who boxed it; the box alone proves that."""
    box: Annotated[bytes, BOX]
    addresses: Annotated[tuple[HostPort, ...], XOR_PEER_ADDRESS, ...] = ()
    """Where the tracker sees that peer, as in `Introduced`; not believed from anybody else."""
    nat_facts: Annotated[bytes, NAT_FACTS] = b""


@frozen
class OfferHandedOver(_HandedOver):
    """A peer's boxed offer."""

    method = OFFER


@frozen
class AnswerHandedOver(_HandedOver):
    """A peer's boxed answer to an offer."""

    method = ANSWER


Request = Register | Refresh | Unregister | LookUp | Introduce | Answer | ListPeers
Success = Registered | Refreshed | Unregistered | Presence | Introduced | AnswerTaken | Listed
Response = Success | Challenge | Failure
Indication = OfferHandedOver | AnswerHandedOver

REQUESTS: dict[int, type[Request]] = {
    kind.method: kind
    for kind in (Register, Refresh, Unregister, LookUp, Introduce, Answer, ListPeers)
}
"""The class that reads a request, by method."""

_SUCCESSES: dict[int, type[Success]] = {
    kind.method: kind
    for kind in (Registered, Refreshed, Unregistered, Presence, Introduced, AnswerTaken, Listed)
}
_INDICATIONS: dict[int, type[Indication]] = {
    kind.method: kind for kind in (OfferHandedOver, AnswerHandedOver)
}


def read_response(message: STUNMessage) -> Response:
    """Return the response of a tracker; raises `MalformedMessage` when it is none."""
    if message.message_class is MessageClass.SUCCESS and message.method in _SUCCESSES:
        return _SUCCESSES[message.method].parse(message)
    if message.message_class is MessageClass.ERROR and message.method in REQUESTS:
        error = message.require(ERROR_CODE)
        return (Challenge if error.code == COOKIE_NEEDED else Failure).parse(message)
    raise MalformedMessage("this is no response of a tracker")


def read_indication(message: STUNMessage) -> Indication:
    """Return what a tracker, or a peer, hands over; raises `MalformedMessage` when it is none."""
    if message.message_class is MessageClass.INDICATION and message.method in _INDICATIONS:
        return _INDICATIONS[message.method].parse(message)
    raise MalformedMessage("this hands nothing over")
