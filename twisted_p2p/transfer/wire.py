"""The messages of a transfer: a type (1 byte), the length of the body (3) and the body.

Numbers are big-endian.  No body but that of `Data` is longer than `LONGEST_BODY`; the length is
judged before anything of the body is kept, and a `Data` is handed on in pieces as they arrive.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import ClassVar, Final

from attrs import frozen

from twisted_p2p.errors import MalformedMessage

from .failures import Reason
from .manifest import Entry
from .names import checked_path

VERSION = 1
LONGEST_BODY = 5000
LONGEST_DATA = 1 << 20
LONGEST_HOLE = 64 << 20
MOST_OFFSETS = 16
LONGEST_SECRET = 64
LARGEST_FILE = (1 << 63) - 1
DIGEST_SIZE = 32

_HEADER_SIZE = 4
_FOLDER, _EXECUTABLE = 1, 2


class Message:
    """One message."""

    code: ClassVar[int]

    def encode_body(self) -> bytes:
        """Return the body."""
        return b""

    def encode(self) -> bytes:
        """Return the whole message."""
        return header(self.code, body := self.encode_body()) + body

    @classmethod
    def decode_body(cls, body: bytes) -> Message:
        """Return the message with this body.

        :raises MalformedMessage: when it is not one of this type.
        """
        if body:
            raise MalformedMessage(f"{cls.__name__} has no body")
        return cls()


def header(code: int, body: bytes) -> bytes:
    """Return what stands before a body."""
    return bytes((code,)) + len(body).to_bytes(3, "big")


def _numbers(layout: str, body: bytes) -> tuple[int, ...]:
    try:
        return struct.unpack(layout, body)
    except struct.error:
        raise MalformedMessage("the body has a wrong length") from None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedMessage("this text is not UTF-8") from None


@frozen
class Request(Message):
    """The receiver, first of all: the version and, of a ticket, the secret."""

    code = 1
    version: int = VERSION
    secret: bytes = b""

    def encode_body(self) -> bytes:
        """Return the body."""
        return bytes((self.version,)) + self.secret

    @classmethod
    def decode_body(cls, body: bytes) -> Request:
        """Return the message with this body."""
        if not 1 <= len(body) <= 1 + LONGEST_SECRET:
            raise MalformedMessage("a request has a version and a short secret")
        return cls(body[0], body[1:])


@frozen
class Offer(Message):
    """The sender: how many entries, how many bytes, and the first name."""

    code = 2
    entries: int
    size: int
    name: str
    version: int = VERSION

    def encode_body(self) -> bytes:
        """Return the body."""
        return struct.pack("!BIQ", self.version, self.entries, self.size) + self.name.encode()

    @classmethod
    def decode_body(cls, body: bytes) -> Offer:
        """Return the message with this body."""
        version, entries, size = _numbers("!BIQ", body[:13])
        return cls(entries, size, _text(body[13:]), version)


@frozen
class Accept(Message):
    """The receiver wants it."""

    code = 3


@frozen
class Listed(Message):
    """The sender: one entry; so many of them as the offer said, after the acceptance."""

    code = 4
    entry: Entry

    def encode_body(self) -> bytes:
        """Return the body."""
        entry = self.entry
        flags = _FOLDER * entry.is_folder + _EXECUTABLE * entry.executable
        return struct.pack("!BQQ", flags, entry.size, entry.modified) + entry.name.encode()

    @classmethod
    def decode_body(cls, body: bytes) -> Listed:
        """Return the message with this body.

        :raises TransferFailed: when the path is not one that a receiver takes.
        """
        flags, size, modified = _numbers("!BQQ", body[:17])
        is_folder = bool(flags & _FOLDER)
        if flags > _FOLDER + _EXECUTABLE or max(size, modified) > LARGEST_FILE:
            raise MalformedMessage("no file is like that")
        if is_folder and (size or flags & _EXECUTABLE):
            raise MalformedMessage("no folder is like that")
        path = checked_path(_text(body[17:]))
        return cls(Entry(path, is_folder, size, modified, bool(flags & _EXECUTABLE)))


@frozen
class Compare(Message):
    """The receiver asks for the digests of what comes before these offsets of a file, once."""

    code = 5
    index: int
    offsets: tuple[int, ...]

    def encode_body(self) -> bytes:
        """Return the body."""
        return struct.pack(f"!I{len(self.offsets)}Q", self.index, *self.offsets)

    @classmethod
    def decode_body(cls, body: bytes) -> Compare:
        """Return the message with this body."""
        count = (len(body) - 4) // 8
        if not 1 <= count <= MOST_OFFSETS:
            raise MalformedMessage(f"1 to {MOST_OFFSETS} offsets are compared at once")
        index, *offsets = _numbers(f"!I{count}Q", body)
        if sorted(set(offsets)) != offsets or offsets[0] == 0:
            raise MalformedMessage("offsets rise from above zero")
        return cls(index, tuple(offsets))


@frozen
class Digests(Message):
    """The sender's answer to a `Compare`: a SHA-256 for each offset."""

    code = 6
    index: int
    digests: tuple[bytes, ...]

    def encode_body(self) -> bytes:
        """Return the body."""
        return struct.pack("!I", self.index) + b"".join(self.digests)

    @classmethod
    def decode_body(cls, body: bytes) -> Digests:
        """Return the message with this body."""
        count, rest = divmod(len(body) - 4, DIGEST_SIZE)
        if rest or not 1 <= count <= MOST_OFFSETS:
            raise MalformedMessage("a digest has 32 bytes")
        (index,) = _numbers("!I", body[:4])
        starts = range(4, len(body), DIGEST_SIZE)
        return cls(index, tuple(body[start : start + DIGEST_SIZE] for start in starts))


@frozen
class Start(Message):
    """The receiver wants a file from an offset on: 0 or one that was compared."""

    code = 7
    index: int
    offset: int

    def encode_body(self) -> bytes:
        """Return the body."""
        return struct.pack("!IQ", self.index, self.offset)

    @classmethod
    def decode_body(cls, body: bytes) -> Start:
        """Return the message with this body."""
        return cls(*_numbers("!IQ", body))


@frozen
class Begin(Message):
    """The receiver has said all that it wants; the files follow in the order of the `Start`."""

    code = 8


@frozen
class Data(Message):
    """The next bytes of the file."""

    code = 9
    data: bytes

    def encode_body(self) -> bytes:
        """Return the body."""
        return self.data


@frozen
class Hole(Message):
    """So many zero bytes are next in the file."""

    code = 10
    size: int

    def encode_body(self) -> bytes:
        """Return the body."""
        return struct.pack("!Q", self.size)

    @classmethod
    def decode_body(cls, body: bytes) -> Hole:
        """Return the message with this body."""
        (size,) = _numbers("!Q", body)
        if not 1 <= size <= LONGEST_HOLE:
            raise MalformedMessage(f"a hole has 1 to {LONGEST_HOLE} bytes")
        return cls(size)


@frozen
class _Digest(Message):
    digest: bytes

    def encode_body(self) -> bytes:
        """Return the body."""
        return self.digest

    @classmethod
    def decode_body(cls, body: bytes) -> _Digest:
        """Return the message with this body."""
        if len(body) != DIGEST_SIZE:
            raise MalformedMessage("a digest has 32 bytes")
        return cls(body)


@frozen
class FileEnd(_Digest):
    """The file is over; the SHA-256 of all of it, from its first byte."""

    code = 11


@frozen
class Finished(_Digest):
    """The sender has sent everything; the digest over all (`manifest.overall_digest`)."""

    code = 12


@frozen
class Confirmed(_Digest):
    """The receiver has everything in its place, and the same digest over all."""

    code = 13


@frozen
class Failed(Message):
    """Either side gives up: why, and which entry is concerned."""

    code = 14
    reason: Reason
    name: str = ""

    def encode_body(self) -> bytes:
        """Return the body; a long name is cut."""
        name = self.name.encode(errors="replace")[: LONGEST_BODY - 1]
        return bytes((self.reason,)) + name.decode(errors="ignore").encode()

    @classmethod
    def decode_body(cls, body: bytes) -> Failed:
        """Return the message with this body."""
        try:
            return cls(Reason(body[0]), _text(body[1:]))
        except (ValueError, IndexError):
            raise MalformedMessage("nothing is known of this reason") from None


_KINDS: Final[dict[int, type[Message]]] = {
    kind.code: kind
    for kind in (
        *(Request, Offer, Accept, Listed, Compare, Digests, Start, Begin),
        *(Hole, FileEnd, Finished, Confirmed, Failed),
    )
}


class MessageReader:
    """Finds the messages in a stream of bytes."""

    def __init__(self) -> None:
        self._waiting = b""
        self._data_left = 0

    def messages(self, data: bytes) -> Iterator[Message]:
        """Return the messages that these bytes complete; a `Data` comes in pieces.

        :raises MalformedMessage: when the bytes break the rules; nothing is to be read then.
        :raises TransferFailed: when they list a path that a receiver does not take.
        """
        position = 0
        while position < len(data):
            if self._data_left:
                end = position + self._data_left
                piece = data[position:end]
                self._data_left -= len(piece)
                position += len(piece)
                yield Data(piece)
                continue
            position = self._fill(data, position, _HEADER_SIZE)
            if len(self._waiting) < _HEADER_SIZE:
                return
            size = int.from_bytes(self._waiting[1:_HEADER_SIZE], "big")
            if self._waiting[0] == Data.code:
                self._begin_data(size)
                continue
            self._check(self._waiting[0], size)
            position = self._fill(data, position, _HEADER_SIZE + size)
            if len(self._waiting) < _HEADER_SIZE + size:
                return
            whole, self._waiting = self._waiting, b""
            yield _KINDS[whole[0]].decode_body(whole[_HEADER_SIZE:])

    def _fill(self, data: bytes, position: int, size: int) -> int:
        """Keep bytes until so many are waiting; return the place of the next one."""
        end = position + max(0, size - len(self._waiting))
        self._waiting += data[position:end]
        return min(end, len(data))

    def _begin_data(self, size: int) -> None:
        if not 1 <= size <= LONGEST_DATA:
            raise MalformedMessage(f"data have 1 to {LONGEST_DATA} bytes")
        self._data_left = size
        self._waiting = b""

    def _check(self, code: int, size: int) -> None:
        if code not in _KINDS or size > LONGEST_BODY:
            raise MalformedMessage(f"no message is of type {code} with {size} bytes")
