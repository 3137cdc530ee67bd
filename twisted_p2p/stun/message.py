"""STUN messages (RFC 8489, sections 5, 6 and 14): built, written, read and checked.

A message is its method, class, transaction ID and raw attributes.  Values are decoded when they
are asked for, so that a message whose fate is decided by its header costs no more than that.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterator
from enum import Flag, IntEnum
from struct import Struct
from typing import Any, TypeVar
from zlib import crc32

from attrs import field, frozen

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    FINGERPRINT,
    MAGIC_COOKIE,
    MAXIMUM_LENGTH,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    AttributeType,
    ErrorCode,
    decode_attributes,
    encode_attribute,
    is_comprehension_required,
)

T = TypeVar("T")

BINDING = 0x001
"""The method that asks for one's own address (RFC 8489, section 18.2)."""

HEADER_SIZE = 20
"""The bytes before the attributes."""

_HEADER = Struct("!HHI12s")
_LENGTH = Struct("!H")
_ATTRIBUTE_HEADER = Struct("!HH")
_COOKIE_BYTES = MAGIC_COOKIE.to_bytes(4, "big")
_STREAM_PREFIX = 4  # a message's type and length
_FINGERPRINT_MASK = 0x5354554E
_FINGERPRINT_SIZE = 8

# What may follow what at the end of a message: only a higher rank.
_FINGERPRINT_RANK = 3
_TRAILER_RANKS = {
    MESSAGE_INTEGRITY.code: 1,
    MESSAGE_INTEGRITY_SHA256.code: 2,
    FINGERPRINT.code: _FINGERPRINT_RANK,
}


class MessageClass(IntEnum):
    """What a message is to its method (RFC 8489, section 5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Integrity(Flag):
    """Which integrity attributes to write; both where the other side's choice is unknown."""

    SHA1 = 1
    SHA256 = 2
    BOTH = 3


_CLASSES = tuple(MessageClass)


@frozen
class STUNMessage:
    """One message; equal to another when all four parts are."""

    method: int
    """From 0 to 255: larger ones are reserved, as their first byte is other protocols'."""

    message_class: MessageClass

    transaction_id: bytes
    """12 bytes; a response has its request's."""

    attributes: tuple[tuple[int, bytes], ...]
    """Codes and raw values in order.  A message that was read has its integrity and fingerprint
    here as well, and lacks what followed them in breach of RFC 8489, sections 14.5 and 14.6.
    """

    _wire: bytes = field(default=b"", eq=False, repr=False)
    _integrity_offset: int = field(default=0, eq=False, repr=False)

    @classmethod
    def build(
        cls,
        method: int,
        message_class: MessageClass,
        transaction_id: bytes,
        *attributes: tuple[AttributeType[Any], Any],
    ) -> STUNMessage:
        """Return a new message from pairs of attribute type and value.

        Raises `ValueError` for what does not fit the format.
        """
        if not 0 <= method <= 0xFF:
            raise ValueError("a STUN method is a number from 0 to 255")
        if len(transaction_id) != 12:
            raise ValueError("a transaction ID has 12 bytes")
        pairs = tuple((kind.code, kind.encode(value, transaction_id)) for kind, value in attributes)
        return cls(method, message_class, transaction_id, pairs)

    def success_response(self, *attributes: tuple[AttributeType[Any], Any]) -> STUNMessage:
        """Return the success response to this request."""
        return self.build(self.method, MessageClass.SUCCESS, self.transaction_id, *attributes)

    def error_response(
        self, code: int, reason: str = "", *attributes: tuple[AttributeType[Any], Any]
    ) -> STUNMessage:
        """Return the error response to this request, ERROR-CODE first."""
        error = (ERROR_CODE, ErrorCode(code, reason))
        return self.build(self.method, MessageClass.ERROR, self.transaction_id, error, *attributes)

    def get(self, kind: AttributeType[T]) -> T | None:
        """Return the value of the first attribute of this type, or None.

        Raises `MalformedMessage` when the value is there and cannot be read.
        """
        code = kind.code
        for number, data in self.attributes:
            if number == code:
                return kind.decode(data, self.transaction_id)
        return None

    def get_all(self, kind: AttributeType[T]) -> tuple[T, ...]:
        """Return the values of all attributes of this type; raises as `get` does."""
        return tuple(
            kind.decode(data, self.transaction_id)
            for number, data in self.attributes
            if number == kind.code
        )

    def require(self, kind: AttributeType[T]) -> T:
        """Return what `get` does; raises `MalformedMessage` also when there is none."""
        value = self.get(kind)
        if value is None:
            raise MalformedMessage(f"{kind.name} is missing")
        return value

    def unknown_required(self, known: Collection[int]) -> tuple[int, ...]:
        """Return the codes, each once, that must be understood and are not among ``known``.

        The integrity attributes are always known (RFC 8489, section 6.3).
        """
        return tuple(
            dict.fromkeys(
                code
                for code, _ in self.attributes
                if is_comprehension_required(code)
                and code not in known
                and code not in _TRAILER_RANKS
            )
        )

    def encode(
        self,
        *,
        integrity_key: bytes | None = None,
        integrity: Integrity = Integrity.SHA1,
        fingerprint: bool = False,
    ) -> bytes:
        """Return the bytes to send, with integrity (given a key) and fingerprint appended.

        Raises `ValueError` when the attributes take more than the 16-bit length can say.
        """
        method, message_class = self.method, self.message_class
        # RFC 8489, section 5: the class bits lie between those of the method.
        kind = (
            (method & 0x80) << 2
            | (method & 0x70) << 1
            | method & 0x0F
            | (message_class & 2) << 7
            | (message_class & 1) << 4
        )
        body = b"".join([encode_attribute(code, value) for code, value in self.attributes])
        data = _HEADER.pack(kind, 0, MAGIC_COOKIE, self.transaction_id) + body
        if integrity_key is not None and Integrity.SHA1 in integrity:
            mac = _integrity(data, "sha1", 20, integrity_key)
            data += encode_attribute(MESSAGE_INTEGRITY.code, mac)
        if integrity_key is not None and Integrity.SHA256 in integrity:
            mac = _integrity(data, "sha256", 32, integrity_key)
            data += encode_attribute(MESSAGE_INTEGRITY_SHA256.code, mac)
        if not fingerprint:
            return _with_length(data, len(data))
        data = _with_length(data, len(data) + _FINGERPRINT_SIZE)
        return data + encode_attribute(FINGERPRINT.code, _fingerprint(data))


def _with_length(data: bytes, size: int) -> bytes:
    """Return the message with the length field that a message of ``size`` bytes has."""
    length = size - HEADER_SIZE
    if length > MAXIMUM_LENGTH:
        raise ValueError(f"a STUN message has {MAXIMUM_LENGTH} bytes of attributes at most")
    return data[:2] + _LENGTH.pack(length) + data[4:]


def _integrity(data: bytes, digest: str, size: int, key: bytes) -> bytes:
    """Return the HMAC over what precedes the attribute, its length counting the attribute in."""
    return hmac.digest(key, _with_length(data, len(data) + 4 + size), digest)


def _fingerprint(data: bytes) -> bytes:
    return (crc32(data) ^ _FINGERPRINT_MASK).to_bytes(4, "big")


def is_stun(data: bytes) -> bool:
    """Return whether these bytes begin as a STUN message does: 0 to 3, and the magic cookie."""
    return len(data) >= HEADER_SIZE and data[0] <= 3 and data[4:8] == _COOKIE_BYTES


def decode_message(data: bytes) -> STUNMessage:
    """Return the message that these bytes are, whole; raises `MalformedMessage` and no other.

    Integrity and fingerprint are not checked here: see `check_integrity`, `check_fingerprint`.
    """
    if not is_stun(data):
        raise MalformedMessage("this is not a STUN message")
    kind, length, _, transaction_id = _HEADER.unpack_from(data)
    if length != len(data) - HEADER_SIZE:
        raise MalformedMessage("the length does not fit the message")
    attributes, integrity_offset = _cut_after_trailer(decode_attributes(data, HEADER_SIZE))
    return STUNMessage(
        (kind & 0x200) >> 2 | (kind & 0xE0) >> 1 | kind & 0x0F,
        _CLASSES[(kind & 0x100) >> 7 | (kind & 0x10) >> 4],
        transaction_id,
        attributes,
        data,
        integrity_offset,
    )


def _cut_after_trailer(
    attributes: tuple[tuple[int, bytes], ...],
) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """Return the attributes without those to ignore, and where the last integrity attribute is.

    RFC 8489, sections 14.5 to 14.7: after MESSAGE-INTEGRITY come only the one with SHA-256 and
    FINGERPRINT, after that with SHA-256 only FINGERPRINT, and after FINGERPRINT nothing.
    """
    kept = []
    offset = HEADER_SIZE
    integrity_offset = lowest = 0
    for attribute in attributes:
        code, value = attribute
        rank = _TRAILER_RANKS.get(code, 0)
        if lowest > _FINGERPRINT_RANK:
            raise MalformedMessage("FINGERPRINT is not the last attribute")
        if rank >= lowest:
            kept.append(attribute)
            if rank:
                lowest = rank + 1
                if rank < _FINGERPRINT_RANK:
                    integrity_offset = offset
        offset += 4 + len(value) + (-len(value) & 3)
    return tuple(kept), integrity_offset


def check_integrity(message: STUNMessage, key: bytes) -> bool:
    """Return whether a message that was read carries an integrity attribute made with this key.

    Of two, the one with SHA-256 counts.  That one is taken at full length only, since no usage
    here allows the truncation of RFC 8489, section 14.6.  The comparison takes constant time.
    """
    offset = message._integrity_offset
    if not offset:
        return False
    wire = message._wire
    code, size = _ATTRIBUTE_HEADER.unpack_from(wire, offset)
    digest, full = ("sha1", 20) if code == MESSAGE_INTEGRITY.code else ("sha256", 32)
    if size != full:
        return False
    expected = _integrity(wire[:offset], digest, full, key)
    return hmac.compare_digest(expected, wire[offset + 4 : offset + 4 + full])


def check_fingerprint(message: STUNMessage) -> bool:
    """Return whether a message that was read ends with the right FINGERPRINT."""
    if not message.attributes or message.attributes[-1][0] != FINGERPRINT.code:
        return False
    expected = _fingerprint(message._wire[:-_FINGERPRINT_SIZE])
    return hmac.compare_digest(expected, message.attributes[-1][1])


class StreamFramer:
    """Cuts a stream into STUN messages by the length that each one claims.

    Between two calls it holds less than ``limit`` bytes: a message that claims more than
    ``limit`` in all, or bytes that begin no STUN message, are refused as soon as they are seen.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._refusal = ""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what arrived, and return an iterator over the messages that are whole now.

        After the last good message the iterator raises `MalformedMessage` when the stream goes
        on with something else; so does every later one, as there is no way back into step.
        """
        self._buffer += data
        return self._messages()

    def _messages(self) -> Iterator[bytes]:
        while size := self._next_size():
            message = bytes(self._buffer[:size])
            del self._buffer[:size]
            yield message

    def _next_size(self) -> int:
        """Return the size of the next message, or 0 when it is not whole yet."""
        self._refusal = self._refusal or self._reason_to_refuse()
        if self._refusal:
            self._buffer.clear()
            raise MalformedMessage(self._refusal)
        size = self._claimed_size()
        return size if len(self._buffer) >= size else 0

    def _reason_to_refuse(self) -> str:
        start = self._buffer
        if start[:1] > b"\3" or not _COOKIE_BYTES.startswith(start[4:8]):
            return "the stream carries something else than STUN"
        if self._claimed_size() > self._limit:
            return f"a message on a stream has {self._limit} bytes at most"
        return ""

    def _claimed_size(self) -> int:
        """Return the size that the next message claims; a header's until it is known."""
        if len(self._buffer) < _STREAM_PREFIX:
            return HEADER_SIZE
        length: int = _LENGTH.unpack_from(self._buffer, 2)[0]
        return HEADER_SIZE + length
