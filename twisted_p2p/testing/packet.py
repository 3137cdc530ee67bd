"""A packet on its way, and the log of where every packet ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import islice
from typing import NamedTuple

from attrs import define

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.tcp.segment import TCPSegment


class ICMPError(Enum):
    """Why a packet came to nothing, as its sender may be told (RFC 792, RFC 4443)."""

    PORT_UNREACHABLE = "port unreachable"
    HOST_UNREACHABLE = "host unreachable"
    PROHIBITED = "administratively prohibited"
    PACKET_TOO_BIG = "packet too big"


@define(eq=False)
class Packet:
    """One packet; a NAT on its way changes `source` and `destination`, and nothing the rest."""

    protocol: str
    data: bytes
    source: HostPort
    destination: HostPort
    sender: str
    sent_at: float
    sent_from: HostPort
    sent_to: HostPort
    icmp_error: Callable[[ICMPError], None] | None = None
    """What the sender wants called when an ICMP error for this packet comes back."""
    segment: TCPSegment | None = None
    """The TCP header of a packet whose protocol is ``tcp``."""

    def copy(self) -> Packet:
        """Return the twin that a duplicating link makes."""
        return Packet(
            self.protocol,
            self.data,
            self.source,
            self.destination,
            self.sender,
            self.sent_at,
            self.sent_from,
            self.sent_to,
            self.icmp_error,
            self.segment,
        )


class LoggedPacket(NamedTuple):
    """The whole life of one packet; times are seconds of virtual time."""

    time: float
    """When its fate was decided."""
    sent_at: float
    sender: str
    """The name of the host that sent it."""
    protocol: str
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
    """``delivered``, ``lost`` on a link, ``refused`` (no such port) or ``unreachable`` (no such
    address); at a NAT ``filtered``, ``not hairpinned`` or ``out of ports``."""
    place: str
    """The name of the host or network where that was."""

    def __str__(self) -> str:
        """Return one line: time, sender, addresses as sent, length, fate, addresses as seen."""
        seen = ""
        if (self.source, self.destination) != (self.seen_source, self.seen_destination):
            seen = f"  (as {self.seen_source} -> {self.seen_destination})"
        return (
            f"{self.time:12.6f}  {self.sender}  {self.protocol}  "
            f"{self.source} -> {self.destination}  {self.length} bytes  "
            f"{self.fate} at {self.place}{seen}"
        )


class PacketLog:
    """What became of the packets of a simulated internet, in the order in which it did.

    Two runs from one seed give equal lists of entries.
    """

    def __init__(self, limit: int = 100_000) -> None:
        """Keep the ``limit`` latest entries."""
        self._entries: deque[LoggedPacket] = deque(maxlen=limit)

    def __iter__(self) -> Iterator[LoggedPacket]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def record(self, packet: Packet, now: float, fate: str, place: str) -> None:
        """Add the end of a packet; see `LoggedPacket` for the words."""
        self._entries.append(
            LoggedPacket(
                now,
                packet.sent_at,
                packet.sender,
                packet.protocol,
                packet.sent_from,
                packet.sent_to,
                packet.source,
                packet.destination,
                len(packet.data),
                fate,
                place,
            )
        )

    def dump(self, last: int | None = None) -> str:
        """Return the log, or its ``last`` entries, as text of one line a packet."""
        skipped = 0 if last is None else max(0, len(self._entries) - last)
        lines = [str(entry) for entry in islice(self._entries, skipped, None)]
        if skipped:
            lines.insert(0, f"... {skipped} earlier packets")
        return "\n".join(lines)
