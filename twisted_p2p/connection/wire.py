"""The few bytes of our own on a connection: how a stream begins, and the control messages.

A stream begins, from its opener, with a version byte, the length of the service name in one byte
and the name in UTF-8; from its accepter with one `Reply` byte, which a refusal follows with the
length of its reason and the reason.  Bare payload follows both, in both directions at once: the
opener need not wait.

The control stream holds messages of a type byte, a length byte and that many bytes of body.
Numbers in a body are QUIC's variable-length integers (RFC 9000, section 16).  Unknown types are
skipped, so that later versions can say more.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, unique
from typing import Any

from attrs import astuple, fields, frozen

from twisted_p2p.errors import MalformedMessage

STREAM_VERSION = 1
LONGEST_TEXT = 255
"""Bytes of the longest service name and of the longest reason."""


@unique
class Reply(IntEnum):
    """The first byte of a stream's accepter."""

    ACCEPTED = 0
    UNKNOWN_SERVICE = 1
    REFUSED = 2


def encode_opening(service: str) -> bytes:
    """Return what the opener of a stream for a service sends first.

    :raises ValueError: unless the name has 1 to 255 bytes.
    """
    name = service.encode()
    if not 1 <= len(name) <= LONGEST_TEXT:
        raise ValueError(f"a service name has 1 to {LONGEST_TEXT} bytes, not {len(name)}")
    return bytes((STREAM_VERSION, len(name))) + name


def decode_opening(data: bytes) -> tuple[str, int] | None:
    """Return the service and the length of the opening, or None while it is incomplete.

    :raises MalformedMessage: when these bytes begin no opening.
    """
    if data[:1] not in (b"", bytes((STREAM_VERSION,))):
        raise MalformedMessage(f"streams of version {data[0]} are unknown here")
    if data[1:2] == b"\0":
        raise MalformedMessage("a stream needs the name of a service")
    return _text(data, 1)


def encode_reply(reply: Reply, reason: str = "") -> bytes:
    """Return what the accepter of a stream sends first; a long reason is cut."""
    if reply is Reply.ACCEPTED:
        return bytes((reply,))
    text = reason.encode()[:LONGEST_TEXT].decode(errors="ignore").encode()
    return bytes((reply, len(text))) + text


def decode_reply(data: bytes) -> tuple[Reply, str, int] | None:
    """Return reply, reason and their length, or None while they are incomplete.

    :raises MalformedMessage: when these bytes begin no reply.
    """
    if not data:
        return None
    try:
        reply = Reply(data[0])
    except ValueError:
        raise MalformedMessage(f"nothing is known of the reply {data[0]}") from None
    if reply is Reply.ACCEPTED:
        return reply, "", 1
    reason = _text(data, 1)
    return reason and (reply, *reason)


def _text(data: bytes, offset: int) -> tuple[str, int] | None:
    """Return text preceded by its length in one byte, and where it ends."""
    if len(data) <= offset:
        return None
    end = offset + 1 + data[offset]
    if len(data) < end:
        return None
    try:
        return data[offset + 1 : end].decode(), end
    except UnicodeDecodeError:
        raise MalformedMessage("this text is not UTF-8") from None


@frozen
class Proof:
    """The initiator's proof; its first message, and nobody else's."""

    proof: bytes


@frozen
class Credit:
    """The receiver of a stream takes payload up to this many bytes in all."""

    stream_id: int
    limit: int


@frozen
class Delivered:
    """The receiver of a stream has all of it, up to its end."""

    stream_id: int


@frozen
class End:
    """The sender of a stream has sent all of it, so many bytes of payload.

    QUIC's own end of a stream follows only when the peer has everything: the library forgets to
    send it again when it was lost together with more than one packet of payload.
    """

    stream_id: int
    size: int


@frozen
class Goodbye:
    """The connection ends now.

    QUIC says the same by CONNECTION_CLOSE, but tells it to its user only after it has waited for
    stray packets.
    """

    close_code: int


@frozen
class Ping:
    """Asks for a `Pong` with the same number, at once.

    QUIC's own PING is acknowledged when its receiver finds it convenient.
    """

    number: int


@frozen
class Pong:
    """Answers a `Ping`."""

    number: int


ControlMessage = Proof | Credit | Delivered | Goodbye | Ping | Pong | End

_CODES: dict[type[ControlMessage], int] = {
    Proof: 0,
    Credit: 1,
    Delivered: 2,
    Goodbye: 3,
    Ping: 4,
    Pong: 5,
    End: 6,
}
_CLASSES = {code: message for message, code in _CODES.items()}


def encode_control(message: ControlMessage) -> bytes:
    """Return a message as it stands on the control stream."""
    if isinstance(message, Proof):
        body = message.proof
    else:
        body = b"".join(map(encode_integer, astuple(message)))
    return bytes((_CODES[type(message)], len(body))) + body


def _decode_control(code: int, body: bytes) -> ControlMessage | None:
    """Return the message with this type and body, or None for an unknown type."""
    kind = _CLASSES.get(code)
    if kind is None:
        return None
    parts: list[Any] = [body] if kind is Proof else _integers(body, len(fields(kind)))
    return kind(*parts)


class ControlReader:
    """Cuts one direction of the control stream into messages; holds at most 257 bytes."""

    def __init__(self) -> None:
        self._buffer = b""

    def messages(self, data: bytes) -> Iterator[ControlMessage]:
        """Take more of the stream and yield the messages that are complete with it.

        :raises MalformedMessage: when a message of a known type has another form.
        """
        buffer, offset = self._buffer + data, 0
        self._buffer = b""
        while len(buffer) - offset >= 2:
            code, length = buffer[offset], buffer[offset + 1]
            end = offset + 2 + length
            if end > len(buffer):
                break
            if (message := _decode_control(code, buffer[offset + 2 : end])) is not None:
                yield message
            offset = end
        self._buffer = buffer[offset:]


def encode_integer(value: int) -> bytes:
    """Return a number below 2**62 in 1, 2, 4 or 8 bytes (RFC 9000, section 16)."""
    for exponent in range(4):
        size = 1 << exponent
        if value < 1 << (8 * size - 2):
            return (value | exponent << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError("the number is too large")


def _integers(body: bytes, count: int) -> list[int]:
    """Return the numbers that a body consists of; further ones are a later version's."""
    numbers, offset = [], 0
    for _ in range(count):
        size = 1 << (body[offset] >> 6) if offset < len(body) else 1
        if offset + size > len(body):
            raise MalformedMessage("a control message is cut short")
        number = int.from_bytes(body[offset : offset + size], "big")
        numbers.append(number & ((1 << (8 * size - 2)) - 1))
        offset += size
    return numbers
