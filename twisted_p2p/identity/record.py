"""Signed records: what a peer says of itself, for anybody to verify without a tracker.

A record is a run of STUN attributes that ends with a signature over all before it, so it can be
kept and passed on as it is.  It has no date: clocks differ.  Of two records the one with the
higher sequence holds, and a record is good for its lifetime from when its holder received it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from itertools import accumulate
from typing import Any

from attrs import evolve, frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import InvalidPeerID, InvalidSignature, MalformedMessage
from twisted_p2p.identity.attribute_run import AttributeRun, enum_attribute
from twisted_p2p.identity.keys import SIGNATURE_SIZE, IdentityKey, SignatureLabel, verify
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.stun.attributes import (
    LIFETIME,
    AttributeType,
    bytes_attribute,
    decode_attributes,
    encode_attributes,
    flag_attribute,
    text_attribute,
    uint64_attribute,
    xor_address_attribute,
)

MAXIMUM_RECORD = 1000
"""Bytes of the largest record, which leaves room in a datagram for the message around it."""

MAXIMUM_LIFETIME = 86_400
"""Seconds for which a record can be good at most: a day."""

RECORD_LIFETIME = 300
"""Seconds for which a record of ours is good; the tracker decides how often it is refreshed."""

_KEY_SIZE = 32


class AddressPolicy(IntEnum):
    """Who learns a peer's public addresses by an introduction; the numbers are on the wire."""

    ANYONE = 0
    LISTED = 1
    AFTER_ANSWER = 2


MOST_LISTED = 16
"""Peers that a record has room to list; with more, a peer tells its addresses by its answers."""


def address_policy(allowed: Collection[PeerID] | None) -> tuple[AddressPolicy, frozenset[PeerID]]:
    """Return the policy of a peer that lets these in, None being everybody, and whom it lists."""
    if allowed is None:
        return AddressPolicy.ANYONE, frozenset()
    if 0 < len(allowed) <= MOST_LISTED:
        return AddressPolicy.LISTED, frozenset(allowed)
    return AddressPolicy.AFTER_ANSWER, frozenset()


MOST_TOPICS = 8
"""Topics of one peer."""

MAXIMUM_TOPIC = 32
"""Bytes of UTF-8 of the longest topic; the shortest has one."""


def check_topics(topics: Iterable[str]) -> tuple[str, ...]:
    """Return the topics of a peer, each once.

    Raises `ValueError`, with a sentence for the user, unless they are `MOST_TOPICS` at most of 1
    to `MAXIMUM_TOPIC` bytes each.
    """
    checked = tuple(dict.fromkeys(topics))
    if len(checked) > MOST_TOPICS:
        raise ValueError(f"a peer has {MOST_TOPICS} topics at most, not {len(checked)}")
    for topic in checked:
        if not 1 <= len(topic.encode()) <= MAXIMUM_TOPIC:
            raise ValueError(f"a topic has 1 to {MAXIMUM_TOPIC} bytes, unlike {topic!r}")
    return checked


def _listed_attribute(code: int, name: str) -> AttributeType[tuple[bytes, ...]]:
    def encode(value: tuple[bytes, ...], _transaction_id: bytes) -> bytes:
        if any(len(key) != _KEY_SIZE for key in value):
            raise ValueError(f"{name} takes public keys of {_KEY_SIZE} bytes")
        return b"".join(value)

    def decode(data: bytes, _transaction_id: bytes) -> tuple[bytes, ...]:
        if len(data) % _KEY_SIZE:
            raise MalformedMessage(f"{name} has {len(data)} bytes")
        return tuple(data[at : at + _KEY_SIZE] for at in range(0, len(data), _KEY_SIZE))

    return AttributeType(code, name, encode, decode)


# Codes from 0x7420 (must be understood) and 0xF420 (may be ignored) are the records'.
_KEY = bytes_attribute(0x7420, "RECORD-KEY", _KEY_SIZE, _KEY_SIZE)
_SEQUENCE = uint64_attribute(0x7421, "RECORD-SEQUENCE")
_SERVICE = text_attribute(0x7422, "RECORD-SERVICE", maximum_characters=255, maximum_bytes=255)
_ACCEPTING = flag_attribute(0x7423, "RECORD-ACCEPTING")
_ADDRESS = xor_address_attribute(0x7424, "RECORD-ADDRESS")
_POLICY = enum_attribute(0x7425, "RECORD-ADDRESS-POLICY", AddressPolicy)
_LISTED = _listed_attribute(0x7426, "RECORD-LISTED")
_SIGNATURE = bytes_attribute(0x7427, "RECORD-SIGNATURE", SIGNATURE_SIZE, SIGNATURE_SIZE)
_NAT_FACTS = bytes_attribute(0xF420, "RECORD-NAT-FACTS", 1, 16)
_TOPIC = text_attribute(
    0xF421, "RECORD-TOPIC", maximum_characters=MAXIMUM_TOPIC, maximum_bytes=MAXIMUM_TOPIC
)

_SIGNATURE_FIELD = 4 + SIGNATURE_SIZE


@frozen
class PeerRecord:
    """What a peer says of itself."""

    peer_id: PeerID

    sequence: int
    """From 0 to 2**64 - 1, higher in every new record of the peer, and never read as a time."""

    lifetime: int
    """Seconds, 1 to `MAXIMUM_LIFETIME`, for which the record is good once it was received."""

    accepting: bool = False
    """Whether the peer accepts connections at all."""

    services: tuple[str, ...] = ()
    """The names of what the peer offers, each 255 bytes of UTF-8 at most."""

    addresses: tuple[HostPort, ...] = ()
    """Where the peer says that it was seen: a claim, to be checked before a packet is sent."""

    address_policy: AddressPolicy = AddressPolicy.AFTER_ANSWER

    listed_keys: tuple[bytes, ...] = ()
    """The public keys of the peers that the policy `AddressPolicy.LISTED` speaks of.

    They are raw, for comparing: to check that each is a point of the curve would cost its reader
    some milliseconds.
    """

    nat_facts: bytes = b""
    """What the peer knows of its NATs, opaque here, 16 bytes at most."""

    topics: tuple[str, ...] = ()
    """What the peer wants to be found by; see `check_topics`."""

    @property
    def size(self) -> int:
        """The number of bytes of the record, its signature among them."""
        return len(self._encode()) + _SIGNATURE_FIELD

    def sign(self, identity: IdentityKey) -> bytes:
        """Return the record's bytes, signed by the identity that it speaks of.

        Raises `ValueError` for another identity, for a value out of its range, and when the
        whole is longer than `MAXIMUM_RECORD` bytes.
        """
        if identity.peer_id != self.peer_id:
            raise ValueError("a record is signed by the peer that it speaks of")
        if not 1 <= self.lifetime <= MAXIMUM_LIFETIME:
            raise ValueError(f"a record's lifetime is from 1 to {MAXIMUM_LIFETIME} seconds")
        check_topics(self.topics)
        signed = self._encode()
        if len(signed) + _SIGNATURE_FIELD > MAXIMUM_RECORD:
            raise ValueError(f"a record has {MAXIMUM_RECORD} bytes at most")
        signature = identity.sign(SignatureLabel.RECORD, signed)
        return signed + encode_attributes([(_SIGNATURE, signature)])

    def _encode(self) -> bytes:
        """Return the attributes without the signature; what says nothing is left out."""
        optional: list[tuple[AttributeType[Any], Any]] = [
            (_ACCEPTING, self.accepting),
            (_LISTED, self.listed_keys),
            (_NAT_FACTS, self.nat_facts),
        ]
        return encode_attributes(
            [
                (_KEY, self.peer_id.public_key),
                (_SEQUENCE, self.sequence),
                (LIFETIME, self.lifetime),
                (_POLICY, self.address_policy),
                *((_SERVICE, service) for service in self.services),
                *((_ADDRESS, address) for address in self.addresses),
                *(pair for pair in optional if pair[1]),
                *((_TOPIC, topic) for topic in self.topics),
            ]
        )


def sign_own_record(
    identity: IdentityKey,
    sequence: int,
    mapped_address: HostPort,
    *,
    allowed: Collection[PeerID] | None,
    accepting: bool = True,
    services: Sequence[str] = (),
    topics: tuple[str, ...] = (),
) -> bytes:
    """Return the record by which a peer of ours is registered, signed.

    ``allowed`` are the peers that it lets in, None being everybody.  The services that the record
    has no room for are left out, the last ones first.
    """
    policy, listed = address_policy(allowed)
    record = PeerRecord(
        peer_id=identity.peer_id,
        sequence=sequence,
        lifetime=RECORD_LIFETIME,
        accepting=accepting,
        addresses=(mapped_address,),
        address_policy=policy,
        listed_keys=tuple(peer.public_key for peer in listed),
        topics=topics,
    )
    sizes = accumulate(len(encode_attributes([(_SERVICE, name)])) for name in services)
    fitting = bisect_right(list(sizes), MAXIMUM_RECORD - record.size)
    return evolve(record, services=tuple(services[:fitting])).sign(identity)


def decode_record(data: bytes) -> PeerRecord:
    """Return the record that these bytes are, once its signature is verified.

    Raises `InvalidSignature` when its key did not make the signature, `MalformedMessage` for
    anything else that is wrong, and nothing but these.
    """
    if len(data) > MAXIMUM_RECORD:
        raise MalformedMessage("the record is too long")
    pairs = decode_attributes(data)
    if not pairs or pairs[-1][0] != _SIGNATURE.code:
        raise MalformedMessage("the record does not end with a signature")
    signature = _SIGNATURE.decode(pairs[-1][1], b"")
    record = _read(AttributeRun(pairs[:-1]))
    if not verify(record.peer_id, SignatureLabel.RECORD, signature, data[:-_SIGNATURE_FIELD]):
        raise InvalidSignature
    return record


def _read(run: AttributeRun) -> PeerRecord:
    """Return what the attributes of a record say."""
    record = PeerRecord(
        peer_id=_peer_id(run.require(_KEY)),
        sequence=run.require(_SEQUENCE),
        lifetime=run.require(LIFETIME),
        accepting=run.take(_ACCEPTING, False),
        services=run.take_all(_SERVICE),
        addresses=run.take_all(_ADDRESS),
        address_policy=run.require(_POLICY),
        listed_keys=run.take(_LISTED, ()),
        nat_facts=run.take(_NAT_FACTS, b""),
        topics=_topics(run.take_all(_TOPIC)),
    )
    run.end()
    if not 1 <= record.lifetime <= MAXIMUM_LIFETIME:
        raise MalformedMessage("the record's lifetime is out of range")
    return record


def _topics(topics: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return check_topics(topics)
    except ValueError:
        raise MalformedMessage("the record's topics are too many, or too long") from None


def _peer_id(public_key: bytes) -> PeerID:
    try:
        return PeerID.from_public_key(public_key)
    except InvalidPeerID:
        raise MalformedMessage("the record's key is none") from None
