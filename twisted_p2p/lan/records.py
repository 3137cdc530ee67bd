"""What multicast DNS messages are made of, without their bytes, which are `wire`'s.

A name is its labels in ASCII or UTF-8, joined by dots, without a dot at the end; dots and
backslashes within a label are written behind a backslash (RFC 1035, section 5.1).  Names are
equal whatever the case of their ASCII letters (RFC 6762, section 16).
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from attrs import field, frozen


class RecordType(IntEnum):
    """The types of records that are understood here, by their number with IANA."""

    A = 1
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    NSEC = 47
    ANY = 255
    """In a question: all of them."""


Name = bytes

_Key = tuple[bytes, int]


@frozen
class HostAddress:
    """An IP address of a host: a record A or AAAA."""

    host: str

    @property
    def type(self) -> int:
        """The type of the record."""
        return RecordType.AAAA if ":" in self.host else RecordType.A


@frozen
class Pointer:
    """A name that another name leads to, one of several: a record PTR."""

    type: ClassVar[int] = RecordType.PTR

    target: Name = field(eq=bytes.lower)


@frozen
class Location:
    """Where a service is: a record SRV."""

    type: ClassVar[int] = RecordType.SRV

    port: int
    target: Name = field(eq=bytes.lower)
    priority: int = 0
    weight: int = 0


@frozen
class Text:
    """What a service tells of itself, in strings of up to 255 bytes: a record TXT."""

    type: ClassVar[int] = RecordType.TXT

    strings: tuple[bytes, ...]


@frozen
class ExistingTypes:
    """Which types of records a name has, and so that it has no others: a record NSEC.

    RFC 6762, section 6.1, restricts it to types below 256 and to the name itself.
    """

    type: ClassVar[int] = RecordType.NSEC

    name: Name = field(eq=bytes.lower)
    types: tuple[int, ...]
    """In rising order."""


@frozen
class OtherData:
    """The data of a record of a type that is not understood."""

    type: int
    data: bytes


Data = HostAddress | Pointer | Location | Text | ExistingTypes | OtherData


@frozen
class Record:
    """A record of class IN."""

    name: Name = field(eq=bytes.lower)
    data: Data
    ttl: int
    """Seconds for which it may be remembered; 0 says goodbye (section 10.1)."""
    is_unique: bool = False
    """Whether there are no others of its name and type but those in the same message: the
    cache-flush bit (section 10.2)."""

    @property
    def key(self) -> _Key:
        """What all records of one set have in common: the name, in lower case, and the type."""
        return self.name.lower(), self.data.type

    def says_the_same(self, other: Record) -> bool:
        """Whether both differ in their lifetimes and flags at most."""
        return self.data == other.data and self.name.lower() == other.name.lower()


@frozen
class Question:
    """What a query wants to know: all records of a name and a type."""

    name: Name = field(eq=bytes.lower)
    type: int
    wants_unicast: bool = False
    """Whether the answer may be sent to the asker alone (section 5.4)."""

    @property
    def key(self) -> _Key:
        """As that of the records that answer it."""
        return self.name.lower(), self.type

    def is_answered_by(self, record: Record) -> bool:
        """Whether a record is among what is asked for."""
        return self.type in (record.data.type, RecordType.ANY) and (
            self.name.lower() == record.name.lower()
        )


@frozen
class Message:
    """A query or a response."""

    is_response: bool = False
    id: int = 0
    """0 but for what is asked and answered by unicast DNS (section 18.1)."""
    is_truncated: bool = False
    """In a query: that more known answers follow (section 7.2)."""
    questions: tuple[Question, ...] = ()
    answers: tuple[Record, ...] = ()
    """In a query: what is known already (section 7.1)."""
    authority: tuple[Record, ...] = ()
    """In a query: what is about to be claimed (section 8.2)."""
    additional: tuple[Record, ...] = ()
