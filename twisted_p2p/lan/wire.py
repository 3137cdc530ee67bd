"""The bytes of multicast DNS messages (RFC 1035, section 4, and RFC 6762, section 18).

`twisted.names.dns` writes and reads them.  What it leaves out is here: a bound on the work that a
message can cause, the record NSEC, and the two flags of multicast DNS in the class.  It is also
told not to cut messages at 512 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address
from typing import IO, Any

from twisted.names import dns
from zope.interface import implementer

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.lan.records import (
    Data,
    ExistingTypes,
    HostAddress,
    Location,
    Message,
    Name,
    OtherData,
    Pointer,
    Question,
    Record,
    RecordType,
    Text,
)

LARGEST = 9_000 - 40 - 8
"""The most bytes of a message: a jumbo frame less the headers (section 17)."""

LARGEST_PACKET = 1_500 - 40 - 8
"""The most bytes of a message of several records: what an Ethernet packet takes."""

LARGEST_UNICAST = 512
"""The most bytes of an answer by unicast DNS (RFC 1035, section 2.3.4)."""

_TOP_BIT = 0x8000
_POINTER = 0xC0
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
_LONGEST_CHAIN = 16
_SRV_HEAD = struct.Struct("!HHH")


@lru_cache(maxsize=64)  # the same message comes over IPv4 and IPv6, and by several interfaces
def decode_message(data: bytes) -> Message:
    """Return the message that these bytes are; raises `MalformedMessage` and nothing else.

    Records of other classes than IN are left out.
    """
    if len(data) > LARGEST:
        raise MalformedMessage(f"a multicast DNS message of {len(data)} bytes")
    reader = _Reader(data)
    try:
        return _read_message(reader)
    except (EOFError, ValueError, struct.error) as error:
        raise MalformedMessage(str(error) or "a multicast DNS message is cut off") from error


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message, however many."""
    encoder = dns.Message(
        id=message.id,
        answer=message.is_response,
        auth=message.is_response,
        trunc=message.is_truncated,
        maxSize=0,
    )
    encoder.queries = [
        dns.Query(each.name, each.type, dns.IN | (_TOP_BIT if each.wants_unicast else 0))
        for each in message.questions
    ]
    encoder.answers = [_header(record) for record in message.answers]
    encoder.authority = [_header(record) for record in message.authority]
    encoder.additional = [_header(record) for record in message.additional]
    return encoder.toStr()


def encode_data(data: Data) -> bytes:
    """Return the bytes of a record's data without compression, as they are compared (8.2)."""
    written = BytesIO()
    _payload(data).encode(written, None)
    return written.getvalue()


class _Reader(BytesIO):
    """The bytes of a message, and the names that were read from them so far."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data
        self._names: dict[int, Name] = {}

    def read_name(self) -> Name:
        """Read a name; no place is read twice, and so the work is in proportion to the bytes."""
        name, end = self._name_at(self.tell(), 0)
        self.seek(end)
        return name

    def _name_at(self, start: int, depth: int) -> tuple[Name, int]:
        labels: list[tuple[int, bytes]] = []
        place = start
        while (length := self._byte(place)) and length < _POINTER:
            if length > _LONGEST_LABEL:
                raise MalformedMessage("a label is too long")
            labels.append((place, self.data[place + 1 : place + 1 + length]))
            place += 1 + length
        name = b""
        if length:
            target = (length & ~_POINTER) << 8 | self._byte(place + 1)
            name = self._name_before(start, target, depth)
            place += 1
        for where, label in reversed(labels):
            escaped = label.replace(b"\\", b"\\\\").replace(b".", b"\\.")
            name = escaped + b"." + name if name else escaped
            if len(name) > _LONGEST_NAME:
                raise MalformedMessage("a name is too long")
            self._names[where] = name
        return name, place + 1

    def _name_before(self, start: int, target: int, depth: int) -> Name:
        if target >= start or depth >= _LONGEST_CHAIN:
            raise MalformedMessage("a pointer does not lead back, or by too many others")
        name = self._names.get(target)
        return self._name_at(target, depth + 1)[0] if name is None else name

    def _byte(self, place: int) -> int:
        if place >= len(self.data):
            raise MalformedMessage("a name is cut off")
        return self.data[place]


class _Name(dns.Name):
    """A name that is read from a `_Reader`."""

    def decode(self, strio: Any, length: int | None = None) -> None:
        self.name = strio.read_name()


class _PointerPayload(dns.Record_PTR):
    def decode(self, strio: Any, length: int | None = None) -> None:
        self.name = _Name()
        self.name.decode(strio)


class _LocationPayload(dns.Record_SRV):
    def decode(self, strio: Any, length: int | None = None) -> None:
        self.priority, self.weight, self.port = _SRV_HEAD.unpack(strio.read(_SRV_HEAD.size))
        self.target = _Name()
        self.target.decode(strio)


@implementer(dns.IEncodableRecord)
class _ExistingTypesPayload:
    """The record NSEC (RFC 4034, section 4), as far as RFC 6762, section 6.1, has it."""

    TYPE = int(RecordType.NSEC)

    def __init__(self, name: Name = b"", types: tuple[int, ...] = ()) -> None:
        self.name: dns.Name = _Name(name)
        self.types = types

    def encode(self, strio: IO[bytes], compDict: Any = None) -> None:  # noqa: N803 (Twisted's)
        self.name.encode(strio, compDict)
        bits = bytearray(max(self.types, default=0) // 8 + 1)
        for each in self.types:
            bits[each // 8] |= 0x80 >> each % 8
        strio.write(bytes((0, len(bits))) + bits)

    def decode(self, strio: Any, length: Any = None) -> None:
        end = strio.tell() + length
        self.name.decode(strio)
        bitmaps = strio.read(max(0, end - strio.tell()))
        while bitmaps:
            window, size, *_ = bitmaps.ljust(2, b"\0")
            bits, bitmaps = bitmaps[2 : 2 + size], bitmaps[2 + size :]
            if len(bits) != size or not 1 <= size <= 32:
                raise MalformedMessage("a record NSEC has bitmaps of 1 to 32 bytes")
            if window == 0:  # types above 255 are none of ours
                self.types = tuple(n for n in range(8 * size) if bits[n // 8] & 0x80 >> n % 8)


_READ: dict[int, tuple[Any, Callable[[Any], Data]]] = {
    RecordType.A: (dns.Record_A, lambda read: HostAddress(str(IPv4Address(read.address)))),
    RecordType.AAAA: (dns.Record_AAAA, lambda read: HostAddress(str(IPv6Address(read.address)))),
    RecordType.PTR: (_PointerPayload, lambda read: Pointer(read.name.name)),
    RecordType.SRV: (
        _LocationPayload,
        lambda read: Location(read.port, read.target.name, read.priority, read.weight),
    ),
    # Not by `dns.Record_TXT`, which warns in the log of what is malformed.
    RecordType.TXT: (dns.UnknownRecord, lambda read: Text(_strings(read.data))),
    RecordType.NSEC: (
        _ExistingTypesPayload,
        lambda read: ExistingTypes(read.name.name, read.types),
    ),
}
"""By the type of a record: what reads its data, and what makes of that what it is here."""


def _read_message(reader: _Reader) -> Message:
    head, counts = dns.Message(), struct.unpack("!4H", reader.data[4:12])
    head.decode(BytesIO(reader.data[:4] + bytes(8)))
    # Other operations and failures are to be ignored (sections 18.3 and 18.11).
    if head.opCode or head.rCode:
        raise MalformedMessage("this is neither a query nor an answer to one")
    reader.seek(dns.Message.headerSize)
    questions = [_read_question(reader) for _ in range(counts[0])]
    sections = [[_read_record(reader) for _ in range(count)] for count in counts[1:]]
    return Message(
        bool(head.answer),
        head.id,
        bool(head.trunc),
        tuple(question for question in questions if question),
        *(tuple(record for record in section if record) for section in sections),
    )


def _read_question(reader: _Reader) -> Question | None:
    query = dns.Query()
    query.name = _Name()
    query.decode(reader)
    if query.cls & ~_TOP_BIT not in (dns.IN, dns.ANY):
        return None
    return Question(query.name.name, query.type, bool(query.cls & _TOP_BIT))


def _read_record(reader: _Reader) -> Record | None:
    header = dns.RRHeader()
    header.name = _Name()
    header.decode(reader)
    size: Any = header.rdlength
    end = reader.tell() + size
    payload_class, interpret = _READ.get(header.type) or (
        dns.UnknownRecord,
        lambda read: OtherData(header.type, read.data),
    )
    payload = payload_class()
    payload.decode(reader, size)
    if reader.tell() != end:
        raise MalformedMessage("the data of a record has another length")
    if header.cls & ~_TOP_BIT != dns.IN:
        return None
    is_unique = bool(header.cls & _TOP_BIT)
    return Record(header.name.name, interpret(payload), header.ttl, is_unique)


def _strings(data: bytes) -> tuple[bytes, ...]:
    strings = []
    while data:
        size = 1 + data[0]
        if size > len(data):
            raise MalformedMessage("a string of a record TXT is cut off")
        strings.append(data[1:size])
        data = data[size:]
    return tuple(strings)


def _header(record: Record) -> dns.RRHeader:
    flag = _TOP_BIT if record.is_unique else 0
    payload = _payload(record.data)
    return dns.RRHeader(record.name, record.data.type, dns.IN | flag, record.ttl, payload)


def _payload(data: Data) -> Any:
    match data:
        case HostAddress(host):
            return dns.Record_AAAA(host) if ":" in host else dns.Record_A(host)
        case Pointer(target):
            return dns.Record_PTR(target)
        case Location():
            return dns.Record_SRV(data.priority, data.weight, data.port, data.target)
        case Text(strings):
            # An empty one has one empty string (RFC 6763, section 6.1).
            return dns.Record_TXT(*(strings or (b"",)))
        case ExistingTypes(name, types):
            return _ExistingTypesPayload(name, types)
    return dns.UnknownRecord(data.data)
