"""A `MulticastDNS` machine on one link, in virtual time; the test is the rest of the link."""

from __future__ import annotations

from random import Random

from attrs import evolve, frozen

from twisted_p2p.addresses import DatagramPath, HostPort, NetworkInterface
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.lan.events import DiscoveryEvent
from twisted_p2p.lan.link import Link
from twisted_p2p.lan.multicast_dns import MulticastDNS
from twisted_p2p.lan.records import (
    HostAddress,
    Location,
    Message,
    Name,
    Pointer,
    Question,
    Record,
    RecordType,
    Text,
)
from twisted_p2p.lan.service_records import (
    SERVICE_TYPE,
    Announcement,
    NodeNames,
    instance_name,
    node_records,
)
from twisted_p2p.lan.wire import decode_message, encode_message


def peer_id(number: int) -> str:
    """Return the ID of one of some peers."""
    return str(IdentityKey.from_seed(bytes([number]) * 32).peer_id)


ME, OTHER = peer_id(1), peer_id(2)
NEIGHBOUR = HostPort("192.168.1.9", 5353)
EVERYBODY = HostPort("224.0.0.251", 5353)
BROWSE = Question(SERVICE_TYPE, RecordType.PTR)
ANNOUNCEMENT = Announcement(ME, 4711, ("chat",), accepting=True)
OTHER_NAMES = NodeNames(OTHER, "other", bytes(8))
OTHER_RECORDS = node_records(
    Announcement(OTHER, 4712, ("file",), accepting=True), OTHER_NAMES, ["192.168.1.9"]
)


@frozen
class Sent:
    time: float
    message: Message
    to: HostPort


class DNSHost:
    """A host at 192.168.1.2, or with the addresses given, on the link eth0."""

    def __init__(self, *addresses: str, seed: int = 0, is_ipv6: bool = False) -> None:
        self.now = 0.0
        self.sent: list[Sent] = []
        self.events: list[DiscoveryEvent] = []
        self.machine = MulticastDNS(Random(seed).randbytes)
        interface = NetworkInterface("eth0", 2, addresses or ("192.168.1.2/24",))
        self.link = Link(interface, is_ipv6)
        self.machine.links_changed([self.link], self.now)

    def run(self, seconds: float) -> list[Sent]:
        """Let time pass; return what was sent meanwhile."""
        before, end = len(self.sent), self.now + seconds
        self._collect()
        while (timer := self.machine.get_timer()) is not None and timer <= end:
            self.now = max(self.now, timer)
            self.machine.handle_timer(self.now)
            self._collect()
        self.now = end
        return self.sent[before:]

    def receive(self, message: Message | bytes, source: HostPort = NEIGHBOUR) -> None:
        """Let something arrive."""
        data = message if isinstance(message, bytes) else encode_message(message)
        self.machine.receive_datagram(data, DatagramPath(self.link.id, source), self.now)

    def ask(self, *questions: Question, source: HostPort = NEIGHBOUR) -> None:
        """Let somebody ask."""
        self.receive(Message(questions=questions), source)

    def tell(self, *records: Record, source: HostPort = NEIGHBOUR) -> None:
        """Let somebody respond."""
        self.receive(Message(is_response=True, answers=records), source)

    def announce(self, announcement: Announcement = ANNOUNCEMENT) -> None:
        """Begin to announce this host's node."""
        self.machine.announce(announcement, self.now)

    def be_announced(self, announcement: Announcement = ANNOUNCEMENT) -> None:
        """Announce it, and wait until that is long over and anything may be told again."""
        self.announce(announcement)
        self.run(10.0)

    def browse(self) -> None:
        self.machine.browse(self.now)

    @property
    def source(self) -> HostPort:
        """Where this host's datagrams come from."""
        return HostPort(self.link.own_addresses[0], 5353)

    @property
    def instance(self) -> Name:
        name = self.machine.instance
        assert name is not None
        return instance_name(name)

    def _collect(self) -> None:
        while (event := self.machine.next_event()) is not None:
            self.events.append(event)
        for data, addr in self.machine.datagrams_to_send(self.now):
            assert isinstance(addr, DatagramPath)
            self.sent.append(Sent(self.now, decode_message(data), addr.remote))


def responses(sent: list[Sent]) -> list[Message]:
    return [each.message for each in sent if each.message.is_response]


def queries(sent: list[Sent]) -> list[Message]:
    return [each.message for each in sent if not each.message.is_response]


def own_record(host: DNSHost, kind: RecordType) -> Record:
    """Return the last record of a type that a host has sent of its own."""
    return next(
        record
        for each in reversed(host.sent)
        for record in (*each.message.answers, *each.message.additional)
        if record.data.type == kind and each.message.is_response
    )


def other_instance(port: int = 9) -> Record:
    """Return somebody else's location of this host's instance."""
    return Record(instance_name(ME), Location(port, b"somebody.local"), 120, is_unique=True)


def goodbye(record: Record) -> Record:
    return evolve(record, ttl=0)


def pointer(instance: str, ttl: int = 4_500) -> Record:
    return Record(SERVICE_TYPE, Pointer(instance_name(instance)), ttl)


def address(host: str, name: Name = b"other.local", ttl: int = 120) -> Record:
    return Record(name, HostAddress(host), ttl, is_unique=True)


def text(*strings: bytes, name: str = OTHER) -> Record:
    return Record(instance_name(name), Text(strings), 4_500, is_unique=True)
