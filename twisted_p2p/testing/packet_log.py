"""The log of where every packet ended, and the count of all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import islice, zip_longest
from typing import NamedTuple

from attrs import define

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.packet import Packet
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment
from twisted_p2p.testing.traffic import Tally, Traffic, TrafficTable


class LoggedPacket(NamedTuple):
    """The whole life of one packet; times are seconds of virtual time."""

    time: float
    """When its fate was decided."""
    sent_at: float
    sender: str
    """The name of the host that sent it."""
    receiver: str
    """The name of the host that it was for; see `TrafficTable`.  An address that nobody has
    stands for itself."""
    protocol: str
    """``udp`` or ``tcp``."""
    source: HostPort
    """Whence its sender sent it."""
    destination: HostPort
    """Whither its sender sent it."""
    seen_source: HostPort
    """Its source at the end, after every NAT that it passed."""
    seen_destination: HostPort
    """Its destination at the end."""
    length: int
    """Bytes of payload."""
    fate: str
    """``delivered``, ``refused`` (no such port), ``unreachable`` (no such address) or ``unheard``
    (no member of the group); on a link ``lost``, ``queue full`` or ``too big``; at a host
    ``unplugged``, ``asleep`` or ``stale source`` (an address that it had before it moved); at a
    gateway ``filtered``, ``blocked``, ``out of ports``, ``out of state`` (TCP without a SYN),
    ``not hairpinned`` or ``rebooting``."""
    place: str
    """The name of the host or network where that was."""
    segment: TCPSegment | None = None
    """Its TCP header."""

    @property
    def comparable(self) -> tuple[float, HostPort, HostPort, str, int, str]:
        """What runs from one seed have in common: all but random numbers inside packets."""
        return (self.time, self.source, self.destination, self.protocol, self.length, self.fate)

    def __str__(self) -> str:
        """Return one line: time, hosts, addresses as sent, length, fate, addresses as seen."""
        return self.line(None)

    def line(self, previous: float | None) -> str:
        """Return one line, with the time since a previous moment if there is one."""
        since = "" if previous is None else f"  {self.time - previous:+.6f}"
        where = "" if self.place == self.receiver else f" at {self.place}"
        return (
            f"{self.time:12.6f}{since}  {self.sender} -> {self.receiver}  {self.protocol}"
            f"{_flags(self.segment)}  {self.source} -> {self.destination}  {self.length} bytes  "
            f"{self.fate}{where} after {(self.time - self.sent_at) * 1e3:.1f} ms{self._rewriting()}"
        )

    def _rewriting(self) -> str:
        if (self.source, self.destination) == (self.seen_source, self.seen_destination):
            return ""
        return f"  (as {self.seen_source} -> {self.seen_destination})"


@define(eq=False)
class _Count:
    """How much of what one host sent to one address ended so."""

    receiver: str
    packets: int = 0
    bytes: int = 0


class PacketLog:
    """What became of the packets of a simulated internet, in the order in which it did.

    Two runs from one seed give equal lists of entries.  It keeps the latest ones; `traffic`
    counts all.
    """

    def __init__(
        self,
        limit: int | None = 100_000,
        receiver_of: Callable[[str, str, str], str] = lambda sender, address, place: address,
    ) -> None:
        """Keep the ``limit`` latest entries.

        :param receiver_of: returns the name of the host that a packet was for; it is given its
            sender's name, the IP address that it was sent to, and where it ended.
        """
        self._entries: deque[LoggedPacket] = deque(maxlen=limit)
        self._counts: dict[tuple[str, str, str, str], _Count] = {}
        self._receiver_of = receiver_of

    def __iter__(self) -> Iterator[LoggedPacket]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def record(self, packet: Packet, now: float, fate: str, place: str) -> None:
        """Add the end of a packet; see `LoggedPacket` for the words."""
        sender, sent_to = packet.sender, packet.sent_to
        key = (sender, sent_to.host, fate, place)
        count = self._counts.get(key)
        if count is None:
            receiver = self._receiver_of(sender, sent_to.host, place)
            count = self._counts[key] = _Count(receiver)
        length = len(packet.data)
        count.packets += 1
        count.bytes += length
        # What the constructor of a named tuple does, at half its cost.
        entry = tuple.__new__(
            LoggedPacket,
            (
                now,
                packet.sent_at,
                sender,
                count.receiver,
                packet.protocol,
                packet.sent_from,
                sent_to,
                packet.source,
                packet.destination,
                length,
                fate,
                place,
                packet.segment,
            ),
        )
        self._entries.append(entry)

    @property
    def traffic(self) -> TrafficTable:
        """How much each host has sent to each other one so far, from the very beginning."""
        pairs: dict[tuple[str, str], dict[str, Tally]] = {}
        for (sender, _, fate, _), count in self._counts.items():
            fates = pairs.setdefault((sender, count.receiver), {})
            packets, length = fates.get(fate, Tally())
            fates[fate] = Tally(packets + count.packets, length + count.bytes)
        return TrafficTable({pair: Traffic(fates) for pair, fates in pairs.items()})

    def clear(self) -> None:
        """Forget all entries and counts."""
        self._entries.clear()
        self._counts.clear()

    # What to look at.

    def where(self, condition: Callable[[LoggedPacket], object]) -> PacketLog:
        """Return a log of those kept entries for which a condition holds; it counts them alone."""
        chosen = PacketLog(limit=None)
        chosen._extend(entry for entry in self._entries if condition(entry))
        return chosen

    def of(self, *hosts: str) -> PacketLog:
        """Return what was sent by or to any of these hosts, by their names."""
        return self.where(lambda entry: entry.sender in hosts or entry.receiver in hosts)

    def between(self, one: str, other: str) -> PacketLog:
        """Return what two hosts sent to each other."""
        ends = {(one, other), (other, one)}
        return self.where(lambda entry: (entry.sender, entry.receiver) in ends)

    def since(self, time: float) -> PacketLog:
        """Return what was sent at a moment or later."""
        return self.where(lambda entry: entry.sent_at >= time)

    def dump(self, last: int | None = None) -> str:
        """Return the log, or its ``last`` entries, as text of one line a packet.

        The second column has the seconds since the line before.
        """
        skipped = 0 if last is None else max(0, len(self._entries) - last)
        lines = [f"... {skipped} earlier packets"] if skipped else []
        previous = self._entries[skipped - 1].time if skipped else 0.0
        for entry in islice(self._entries, skipped, None):
            lines.append(entry.line(previous))
            previous = entry.time
        return "\n".join(lines)

    # Whether two runs are the same.

    def digest(self) -> str:
        """Return a hash of all that runs from one seed have in common; as hexadecimal digits.

        That is each kept packet's time, addresses, protocol, length and fate.
        """
        total = sha256()
        for entry in self._entries:
            total.update(repr(entry.comparable).encode())
        return total.hexdigest()

    def difference(self, other: Iterable[LoggedPacket]) -> str | None:
        """Return in words the first packet that differs between two runs, or None."""
        for number, (ours, theirs) in enumerate(zip_longest(self._entries, other)):
            if ours is None or theirs is None or ours.comparable != theirs.comparable:
                return f"packet {number}:\n{ours or 'none'}\n{theirs or 'none'}"
        return None

    def _extend(self, entries: Iterable[LoggedPacket]) -> None:
        for entry in entries:
            key = (entry.sender, entry.receiver, entry.fate, "")
            count = self._counts.setdefault(key, _Count(entry.receiver))
            count.packets += 1
            count.bytes += entry.length
            self._entries.append(entry)


def _flags(segment: TCPSegment | None) -> str:
    if segment is None:
        return ""
    return "".join(f" {flag.name}" for flag in TCPFlags if flag in segment.flags)
