"""Reading a bare run of attributes strictly, where no later reader makes up for a gap.

A STUN message may repeat attributes, and its receiver answers which ones it does not know.  What
was signed or sealed has no such second chance: it means one thing to everybody, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TypeVar

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import AttributeType, is_comprehension_required

T = TypeVar("T")
DefaultT = TypeVar("DefaultT")
EnumT = TypeVar("EnumT", bound=IntEnum)


class AttributeRun:
    """Hands out the values of a run, each once; every method raises `MalformedMessage`."""

    def __init__(self, pairs: Iterable[tuple[int, bytes]]) -> None:
        self._values: dict[int, list[bytes]] = {}
        for code, value in pairs:
            self._values.setdefault(code, []).append(value)

    def take_all(self, kind: AttributeType[T]) -> tuple[T, ...]:
        """Return the values of all attributes of this type, in order."""
        return tuple(kind.decode(value, bytes(12)) for value in self._values.pop(kind.code, ()))

    def take(self, kind: AttributeType[T], default: DefaultT) -> T | DefaultT:
        """Return the value of the only attribute of this type, or the default."""
        return self.require(kind) if kind.code in self._values else default

    def require(self, kind: AttributeType[T]) -> T:
        """Return the value of the only attribute of this type, which must be there."""
        values = self.take_all(kind)
        if len(values) != 1:
            raise MalformedMessage(f"{kind.name} is there {len(values)} times, not once")
        return values[0]

    def end(self) -> None:
        """Refuse what was not taken, unless it may be ignored."""
        if any(map(is_comprehension_required, self._values)):
            raise MalformedMessage("an attribute is not known here")


def enum_attribute(code: int, name: str, enum: type[EnumT]) -> AttributeType[EnumT]:
    """Return the type of one of a few named numbers, in one byte."""

    def encode(value: EnumT, _transaction_id: bytes) -> bytes:
        return bytes((value,))

    def decode(data: bytes, _transaction_id: bytes) -> EnumT:
        try:
            (number,) = data
            return enum(number)
        except ValueError:
            raise MalformedMessage(f"{name} is none of those known here") from None

    return AttributeType(code, name, encode, decode)
