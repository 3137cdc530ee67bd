"""A peer in a tracker's listing: in one attribute, and with as many of its services as fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Self

from attrs import frozen

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import AttributeType

_KEY_SIZE = 32
_HEADER = 4
_ACCEPTING = 1
_MORE_SERVICES = 2


@frozen
class ListedPeer:
    """A peer that is here, by its raw public key; where it is, no listing tells."""

    peer_key: bytes
    accepting: bool = False
    services: tuple[str, ...] = ()
    """The names of services that it offers, each 255 bytes of UTF-8 at most."""
    has_more_services: bool = False
    """Whether it offers others too, for which there was no room; a look-up tells them all."""

    @classmethod
    def within(cls, room: int, peer_key: bytes, accepting: bool, services: Sequence[str]) -> Self:
        """Return a peer whose attribute takes so many bytes at most, with its first services."""
        value_room = room // 4 * 4 - _HEADER - _KEY_SIZE - 1
        sizes = accumulate(1 + len(name.encode()) for name in services)
        fitting = sum(size <= value_room for size in sizes)
        return cls(peer_key, accepting, tuple(services[:fitting]), fitting < len(services))


def listed_peer_attribute(code: int, name: str) -> AttributeType[ListedPeer]:
    """Return the type of a listed peer: its key, a byte of flags, and its services, each name
    behind its length in one byte.
    """

    def encode(value: ListedPeer, _transaction_id: bytes) -> bytes:
        names = [service.encode() for service in value.services]
        if len(value.peer_key) != _KEY_SIZE or any(len(each) > 255 for each in names):
            raise ValueError(f"{name} takes a key of {_KEY_SIZE} bytes and names of 255")
        flags = _ACCEPTING * value.accepting | _MORE_SERVICES * value.has_more_services
        framed = b"".join(bytes((len(each),)) + each for each in names)
        return value.peer_key + bytes((flags,)) + framed

    def decode(data: bytes, _transaction_id: bytes) -> ListedPeer:
        if len(data) <= _KEY_SIZE:
            raise MalformedMessage(f"{name} has {len(data)} bytes")
        flags = data[_KEY_SIZE]
        return ListedPeer(
            data[:_KEY_SIZE],
            bool(flags & _ACCEPTING),
            _decode_names(name, data[_KEY_SIZE + 1 :]),
            bool(flags & _MORE_SERVICES),
        )

    return AttributeType(code, name, encode, decode)


def _decode_names(name: str, data: bytes) -> tuple[str, ...]:
    names = []
    while data:
        end = 1 + data[0]
        if end > len(data):
            raise MalformedMessage(f"{name} ends within a service")
        try:
            names.append(data[1:end].decode())
        except UnicodeDecodeError:
            raise MalformedMessage(f"{name} is not UTF-8") from None
        data = data[end:]
    return tuple(names)
