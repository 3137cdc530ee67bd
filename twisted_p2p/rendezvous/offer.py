"""Boxed offers and answers: what two peers tell each other so that both can punch at once.

Each is a run of STUN attributes, sealed from one identity key to the other, so that whoever
carries it can neither read nor alter it.  A box also opens where it was made, and a recorded one
opens again: so who speaks to whom, as what and in which order stands inside and is checked.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterable
from enum import IntEnum
from hashlib import blake2b
from typing import Any

from attrs import field, frozen

from twisted_p2p.errors import MalformedOffer
from twisted_p2p.ice.candidate import Candidate, decode_candidate, encode_candidate
from twisted_p2p.ice.credentials import ICECredentials
from twisted_p2p.identity.attribute_run import AttributeRun, enum_attribute
from twisted_p2p.identity.keys import BOX_OVERHEAD, IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.stun.attributes import (
    AttributeType,
    bytes_attribute,
    decode_attributes,
    encode_attribute,
    encode_attributes,
)
from twisted_p2p.tracker.attributes import (
    MAXIMUM_BOX,
    NAT_FACTS,
    PROTOCOL_VERSION,
    SEQUENCE,
    VERSION,
)

SECRET_SIZE = 32
"""Bytes of an offer's secret."""

SESSION_ID_SIZE = 16
"""Bytes of the number that tells one attempt to connect from all others."""


class _BoxKind(IntEnum):
    OFFER = 1
    ANSWER = 2


class Refusal(IntEnum):
    """Why a peer that is there does not take an offer; the numbers are on the wire."""

    NOT_ACCEPTING = 1
    """It accepts connections from nobody at the moment."""
    NOT_ALLOWED = 2
    """It accepts none from this sender."""
    STALE_SEQUENCE = 3
    """It has seen a higher sequence from this sender; `Answer.last_sequence` says which."""


# Codes from 0x7440 are those of what is in boxes.
_KIND = enum_attribute(0x7440, "BOX-KIND", _BoxKind)
_SENDER = bytes_attribute(0x7441, "SENDER", 32, 32)
_RECIPIENT = bytes_attribute(0x7442, "RECIPIENT", 32, 32)
_SESSION_ID = bytes_attribute(0x7443, "SESSION-ID", SESSION_ID_SIZE, SESSION_ID_SIZE)
_SECRET = bytes_attribute(0x7444, "SECRET", SECRET_SIZE, SECRET_SIZE)
_REFUSAL = enum_attribute(0x7445, "REFUSAL", Refusal)
_CANDIDATE: AttributeType[Candidate] = AttributeType(
    0x7446,
    "CANDIDATE",
    lambda candidate, _transaction_id: encode_candidate(candidate),
    lambda data, _transaction_id: decode_candidate(data),
)


@frozen
class Offer:
    """An initiator's wish to connect to a target, and all that the target needs for it."""

    sender: PeerID
    recipient: PeerID
    session_id: bytes
    """`SESSION_ID_SIZE` bytes."""
    sequence: int
    """From 0 to 2**64 - 1, higher in every new offer of the sender to this recipient."""
    secret: bytes = field(repr=False)
    """`SECRET_SIZE` random bytes, from which `ice_credentials` are made."""
    candidates: tuple[Candidate, ...] = ()

    def seal(self, identity: IdentityKey) -> bytes:
        """Return the box, `MAXIMUM_BOX` bytes at most: the last preferred candidates are left out.

        Raises `ValueError` for another identity than the sender's and for a value out of range.
        """
        return _seal(
            identity,
            _BoxKind.OFFER,
            self,
            [(SEQUENCE, self.sequence), (_SECRET, self.secret)],
        )


@frozen
class Answer:
    """A target's answer to an offer: accepted, unless it names a refusal."""

    sender: PeerID
    recipient: PeerID
    session_id: bytes
    """The offer's."""
    refusal: Refusal | None = None
    candidates: tuple[Candidate, ...] = ()
    nat_facts: bytes = b""
    """What the target knows of its NATs, opaque here, 16 bytes at most."""
    last_sequence: int = 0
    """With `Refusal.STALE_SEQUENCE`: the sequence to exceed, towards this peer alone, since a
    hostile one says the highest there is.
    """

    def seal(self, identity: IdentityKey) -> bytes:
        """Return the box; as `Offer.seal` does."""
        optional: list[tuple[AttributeType[Any], Any]] = [
            (_REFUSAL, self.refusal),
            (NAT_FACTS, self.nat_facts),
            (SEQUENCE, self.last_sequence),
        ]
        return _seal(identity, _BoxKind.ANSWER, self, [pair for pair in optional if pair[1]])


def open_offer(identity: IdentityKey, sender: PeerID, box: bytes) -> Offer:
    """Return the offer that this sender sealed for this identity.

    Raises `MalformedMessage`: `UndecipherableBox` when that sender did not seal it for us,
    `MalformedOffer` when what is in it is of another version, of another kind, from oneself or
    between other peers.  Whether its sequence is new is for `OfferSequences` to say.
    """
    run = _open(identity, sender, box, _BoxKind.OFFER)
    offer = Offer(
        sender=sender,
        recipient=identity.peer_id,
        session_id=run.require(_SESSION_ID),
        sequence=run.require(SEQUENCE),
        secret=run.require(_SECRET),
        candidates=run.take_all(_CANDIDATE),
    )
    run.end()
    return offer


def open_answer(identity: IdentityKey, sender: PeerID, box: bytes) -> Answer:
    """Return the answer that this sender sealed for this identity; raises as `open_offer` does.

    Whether the session is one that this node offered to that sender is for the caller to check.
    """
    run = _open(identity, sender, box, _BoxKind.ANSWER)
    answer = Answer(
        sender=sender,
        recipient=identity.peer_id,
        session_id=run.require(_SESSION_ID),
        refusal=run.take(_REFUSAL, None),
        candidates=run.take_all(_CANDIDATE),
        nat_facts=run.take(NAT_FACTS, b""),
        last_sequence=run.take(SEQUENCE, 0),
    )
    run.end()
    return answer


def _seal(
    identity: IdentityKey,
    kind: _BoxKind,
    content: Offer | Answer,
    own: Iterable[tuple[AttributeType[Any], Any]],
) -> bytes:
    if identity.peer_id != content.sender:
        raise ValueError("an offer or answer is sealed by its sender")
    plain = encode_attributes(
        [
            (PROTOCOL_VERSION, VERSION),
            (_KIND, kind),
            (_SENDER, content.sender.public_key),
            (_RECIPIENT, content.recipient.public_key),
            (_SESSION_ID, content.session_id),
            *own,
        ]
    )
    room = MAXIMUM_BOX - BOX_OVERHEAD - len(plain)
    return identity.box_with(content.recipient).seal(plain + _fitting(content.candidates, room))


def _fitting(candidates: Iterable[Candidate], room: int) -> bytes:
    """Return the candidates, most preferred first, as far as they fit into so many bytes."""
    fitting = b""
    for candidate in sorted(candidates, key=lambda candidate: -candidate.priority):
        more = fitting + encode_attribute(_CANDIDATE.code, encode_candidate(candidate))
        if len(more) > room:
            break
        fitting = more
    return fitting


def _open(identity: IdentityKey, sender: PeerID, box: bytes, kind: _BoxKind) -> AttributeRun:
    if len(box) > MAXIMUM_BOX:
        raise MalformedOffer("a box is too long")
    if sender == identity.peer_id:
        raise MalformedOffer("a box claims to be from this very node")
    run = AttributeRun(decode_attributes(identity.box_with(sender).open(box)))
    # First, as another version may write all the rest otherwise.
    if run.require(PROTOCOL_VERSION) != VERSION:
        raise MalformedOffer("a box is of another version of the protocol")
    parties = (run.require(_SENDER), run.require(_RECIPIENT))
    if parties != (sender.public_key, identity.peer_id.public_key):
        raise MalformedOffer("a box is not between these peers")
    if run.require(_KIND) != kind:
        raise MalformedOffer("a box is an answer in the place of an offer, or the reverse")
    return run


def ice_credentials(secret: bytes) -> tuple[ICECredentials, ICECredentials]:
    """Return the ICE credentials of the initiator and of the responder for an offer's secret.

    Both sides have them as soon as they have the offer, so no answer need carry any.
    """
    return _credentials(secret, b"p2p initiator"), _credentials(secret, b"p2p responder")


def _credentials(secret: bytes, role: bytes) -> ICECredentials:
    # The alphabet of base64 is that of ICE, and 30 bytes are 40 characters of it: 48 bits for
    # the fragment and 192 for the password, where RFC 8445 section 5.3 asks for 24 and 128.
    text = b64encode(blake2b(key=secret, digest_size=30, person=role).digest()).decode()
    return ICECredentials(text[:8], text[8:])


class OfferSequences:
    """The highest sequence that each sender has used, so that an offer is taken once.

    Only so many senders are remembered, those heard from last.  Another one's old offer would be
    taken again, and lead nowhere: its secret is of use to nobody without the sender's key.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._highest: OrderedDict[PeerID, int] = OrderedDict()

    def accept(self, offer: Offer) -> bool:
        """Return whether the offer's sequence is above all before from its sender; remember it."""
        sender = offer.sender
        highest = self._highest.get(sender, -1)
        self._highest[sender] = max(highest, offer.sequence)
        self._highest.move_to_end(sender)
        if len(self._highest) > self._limit:
            self._highest.popitem(last=False)
        return offer.sequence > highest

    def highest(self, sender: PeerID) -> int | None:
        """Return the highest sequence of a sender, for a `Refusal.STALE_SEQUENCE`; or None."""
        return self._highest.get(sender)
