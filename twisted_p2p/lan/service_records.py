"""A node as an instance of the service ``_p2p._udp`` (RFC 6763): its records, and their reading.

The text record has these keys: ``txtvers`` is 1; ``id`` is the peer ID; ``services`` are the names
of what is offered, with commas between them; ``accepting`` is 1 or 0.

A node that is not to be recognised has random names for its instance and its host, and instead of
``id`` and ``services`` a ``tag``: a salt of 8 random bytes and a hash of it and the peer ID, 16
bytes, in hexadecimal.  A peer ID is too long to be guessed, so only who knows it already can tell
whose tag it is, and a new salt makes another tag.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2s

from attrs import evolve, frozen

from twisted_p2p.errors import InvalidPeerID
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.lan.chance import Chance
from twisted_p2p.lan.records import (
    ExistingTypes,
    HostAddress,
    Location,
    Name,
    Pointer,
    Record,
    RecordType,
    Text,
)

DOMAIN = b"local"
SERVICE_TYPE: Name = b"_p2p._udp.local"
ALL_SERVICE_TYPES: Name = b"_services._dns-sd._udp.local"
"""Leads to every type of service that there is on a link (RFC 6763, section 9)."""

HOST_LIFETIME = 120
"""Seconds for records that name a host or its addresses (RFC 6762, section 10)."""
OTHER_LIFETIME = 4_500
"""Seconds for all others."""

_LONGEST_STRING = 255
_SALT_SIZE = 8
_HASH_SIZE = 16
_VERSION = b"1"


@frozen
class Announcement:
    """What a node tells of itself."""

    peer_id: str
    port: int
    """Its UDP port."""
    services: tuple[str, ...]
    accepting: bool
    unlinkable_name: bool = False


@frozen
class NodeNames:
    """The names under which a node is announced."""

    instance: str
    host: str
    salt: bytes
    """What the tag is made with, if the node is not to be recognised."""
    attempt: int = 1
    """How many names of the kind were tried, this one too."""

    @property
    def instance_name(self) -> Name:
        """The whole name of the instance."""
        return instance_name(self.instance)

    @property
    def host_name(self) -> Name:
        """The whole name of the host."""
        return self.host.encode() + b"." + DOMAIN


def choose_names(
    announcement: Announcement, chance: Chance, taken: NodeNames | None = None
) -> NodeNames:
    """Return names to announce a node under, others than those that are ``taken``.

    The host gets a name of its own, so that no other program here has to agree on its addresses.
    """
    attempt = taken.attempt + 1 if taken else 1
    if announcement.unlinkable_name:
        instance = chance.random_bytes(8).hex()
    else:
        instance = announcement.peer_id + (f"-{attempt}" if attempt > 1 else "")
    host = f"p2p-{chance.random_bytes(8).hex()}"
    return NodeNames(instance, host, chance.random_bytes(_SALT_SIZE), attempt)


def instance_name(instance: str) -> Name:
    """Return the whole name of an instance of the service."""
    return instance.encode() + b"." + SERVICE_TYPE


def instance_of(name: Name) -> str | None:
    """Return the instance that a whole name is that of, or None.

    Names that `twisted.names` cannot write, with a dot or a backslash in a label, are left out.
    """
    label, dot, rest = name.partition(b".")
    if not dot or not label or rest.lower() != SERVICE_TYPE or b"\\" in label:
        return None
    try:
        return label.decode()
    except UnicodeDecodeError:
        return None


@frozen
class NodeRecords:
    """The records of a node on one link."""

    unique: tuple[Record, ...]
    """Those that nobody else may have: they are probed for, announced and defended."""
    shared: tuple[Record, ...]
    """Those that are announced beside."""
    unannounced: tuple[Record, ...]
    """Those that are only told when asked for."""

    @property
    def announced(self) -> tuple[Record, ...]:
        """Those that are announced, and said goodbye to."""
        return self.shared + self.unique

    @property
    def all(self) -> tuple[Record, ...]:
        """Every record but those of type NSEC, which `existing_types` makes."""
        return self.announced + self.unannounced

    def existing_types(self, name: Name) -> Record | None:
        """Return the record that says what there is of a name of this node's own, or None."""
        own = [record for record in self.unique if record.name.lower() == name.lower()]
        if not own:
            return None
        types = tuple(sorted({int(record.data.type) for record in own}))
        lifetime = min(record.ttl for record in own)
        return Record(own[0].name, ExistingTypes(own[0].name, types), lifetime, is_unique=True)


def node_records(announcement: Announcement, names: NodeNames, hosts: Iterable[str]) -> NodeRecords:
    """Return the records of a node on a link where it has these IP addresses."""
    instance, host = names.instance_name, names.host_name
    location = Location(announcement.port, host)
    addresses = [Record(host, HostAddress(each), HOST_LIFETIME, is_unique=True) for each in hosts]
    return NodeRecords(
        unique=(
            Record(instance, location, HOST_LIFETIME, is_unique=True),
            Record(instance, _text(announcement, names.salt), OTHER_LIFETIME, is_unique=True),
            *addresses,
        ),
        shared=(Record(SERVICE_TYPE, Pointer(instance), OTHER_LIFETIME),),
        unannounced=(Record(ALL_SERVICE_TYPES, Pointer(SERVICE_TYPE), OTHER_LIFETIME),),
    )


def further_records(records: NodeRecords, answers: Iterable[Record]) -> list[Record]:
    """Return what whoever gets these answers will ask for next (RFC 6763, section 12)."""
    wanted: list[Record] = []
    for answer in answers:
        if isinstance(answer.data, Pointer | Location):
            target = answer.data.target.lower()
            own = [record for record in records.unique if record.name.lower() == target]
            wanted += [*own, *further_records(records, own)]
        elif isinstance(answer.data, HostAddress):
            wanted += [each for each in records.unique if each.name == answer.name]
            wanted += filter(None, [records.existing_types(answer.name)])
    return wanted


@frozen
class Description:
    """What a text record tells."""

    peer_id: str | None
    """None when the peer does not want to be recognised."""
    tag: bytes
    """Empty unless there is no peer ID."""
    services: tuple[str, ...]
    accepting: bool

    def is_of(self, peer_id: str) -> bool:
        """Whether this may be a peer's own description."""
        if self.peer_id is not None:
            return self.peer_id == peer_id
        return self.tag == _tag(self.tag[:_SALT_SIZE], peer_id)


@lru_cache(maxsize=1_024)  # the same is heard again and again, and keys are dear to check
def read_text(text: Text) -> Description | None:
    """Return what a text record tells, or None if it is none of a peer's that we understand."""
    values: dict[bytes, bytes] = {}
    for string in text.strings:
        key, _, value = string.partition(b"=")
        values.setdefault(key.lower(), value)  # the first one counts (RFC 6763, section 6.4)
    if values.get(b"txtvers", _VERSION) != _VERSION:
        return None
    try:
        peer_id = PeerID(values[b"id"].decode()) if b"id" in values else None
        tag = b"" if peer_id else bytes.fromhex(values.get(b"tag", b"").decode())
        services = tuple(filter(None, values.get(b"services", b"").decode().split(",")))
    except (InvalidPeerID, ValueError):
        return None
    if peer_id is None and len(tag) != _SALT_SIZE + _HASH_SIZE:
        return None
    return Description(peer_id, tag, services, values.get(b"accepting") == b"1")


def _text(announcement: Announcement, salt: bytes) -> Text:
    accepting = b"accepting=%d" % announcement.accepting
    version = b"txtvers=" + _VERSION
    if announcement.unlinkable_name:
        tag = _tag(salt, announcement.peer_id)
        return Text((version, b"tag=" + tag.hex().encode(), accepting))
    peer_id = b"id=" + announcement.peer_id.encode()
    return Text((version, peer_id, b"services=" + _joined(announcement.services), accepting))


def _joined(services: Iterable[str]) -> bytes:
    """Return names with commas between them, as many as a string of a text record takes."""
    told: list[bytes] = []
    room = _LONGEST_STRING - len(b"services=")
    for service in services:
        name = service.encode()
        if b"," not in name and len(name) + 1 <= room:
            told.append(name)
            room -= len(name) + 1
    return b",".join(told)


def _tag(salt: bytes, peer_id: str) -> bytes:
    return (
        salt
        + blake2s(peer_id.encode(), digest_size=_HASH_SIZE, salt=salt, person=b"p2p-lan").digest()
    )


def with_lifetime(record: Record, seconds: int) -> Record:
    """Return a record that may be remembered for so long; for 0 it says goodbye."""
    return evolve(record, ttl=seconds)


def is_service_pointer(record: Record) -> bool:
    """Whether a record leads from the service's type to one of its instances."""
    return record.key == (SERVICE_TYPE, RecordType.PTR)
