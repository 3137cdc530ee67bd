"""How a value of named fields becomes a STUN message, and a STUN message such a value."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, NamedTuple, Self, get_origin, get_type_hints

from attrs import NOTHING, evolve, fields

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import PADDING, AttributeType
from twisted_p2p.stun.message import (
    MessageClass,
    STUNMessage,
    check_fingerprint,
    decode_message,
)
from twisted_p2p.tracker.attributes import MAXIMUM_SIZE, PROTOCOL_VERSION, VERSION


def read_message(data: bytes) -> STUNMessage:
    """Return the message that a datagram, or a frame of a stream, is.

    Raises `MalformedMessage` when it is too long, is not STUN, or does not end with FINGERPRINT.
    """
    if len(data) > MAXIMUM_SIZE:
        raise MalformedMessage("the message is too long")
    message = decode_message(data)
    if not check_fingerprint(message):
        raise MalformedMessage("the fingerprint is missing or wrong")
    return message


class _Carrier(NamedTuple):
    """How one field of a message travels."""

    name: str
    kind: AttributeType[Any]
    repeated: bool
    default: Any
    """What the field is without the attribute; `NOTHING` when the attribute must be there."""


def _find_carriers(message_type: Any) -> tuple[_Carrier, ...]:
    hints = get_type_hints(message_type, include_extras=True)
    carriers = []
    for field in fields(message_type):
        hint = hints[field.name]
        if get_origin(hint) is Annotated:
            repeated = get_origin(hint.__origin__) is tuple and hint.__metadata__[1:] == (...,)
            carriers.append(_Carrier(field.name, hint.__metadata__[0], repeated, field.default))
    return tuple(carriers)


_carriers: Callable[[Any], tuple[_Carrier, ...]] = cache(_find_carriers)


class TrackerMessage:
    """A message whose fields say, by their annotation, which attribute carries them.

    A field that is equal to its default is left out of the message; one marked ``...`` is a
    tuple of values, each in an attribute of its own.
    """

    __slots__ = ()

    method: int
    message_class: MessageClass
    minimum_size = 0

    def encode(self, transaction_id: bytes) -> bytes:
        """Return the message; raises `ValueError` when a value does not fit into it."""
        pairs: list[tuple[AttributeType[Any], Any]] = [(PROTOCOL_VERSION, VERSION)]
        for name, kind, repeated, default in _carriers(type(self)):
            value = getattr(self, name)
            if repeated:
                pairs += [(kind, item) for item in value]
            elif value != default:
                pairs.append((kind, value))
        message = STUNMessage.build(self.method, self.message_class, transaction_id, *pairs)
        data = message.encode(fingerprint=True)
        if len(data) < self.minimum_size:
            padding = bytes(max(0, self.minimum_size - len(data) - 4))
            padded = (*message.attributes, (PADDING.code, padding))
            data = evolve(message, attributes=padded).encode(fingerprint=True)
        if len(data) > MAXIMUM_SIZE:
            raise ValueError(f"a message has {MAXIMUM_SIZE} bytes at most, not {len(data)}")
        return data

    @classmethod
    def parse(cls, message: STUNMessage) -> Self:
        """Read a message of this method and class; raises `MalformedMessage`."""
        return cls(**cls._values(message))

    @classmethod
    def _values(cls, message: STUNMessage) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, kind, repeated, default in _carriers(cls):
            if repeated:
                values[name] = message.get_all(kind)
            elif default is NOTHING:
                values[name] = message.require(kind)
            else:
                value = message.get(kind)
                values[name] = default if value is None else value
        return values


class OfAnyMethod(TrackerMessage):
    """A message with the method of the request that it answers, or stands in for."""

    __slots__ = ()

    @classmethod
    def _values(cls, message: STUNMessage) -> dict[str, Any]:
        return {"method": message.method, **super()._values(message)}
