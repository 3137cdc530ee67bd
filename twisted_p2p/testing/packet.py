"""A packet on its way."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import define

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.tcp.segment import TCPSegment

_HEADER_LENGTHS = {"udp": 8, "tcp": 20}


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

    @property
    def size(self) -> int:
        """Bytes with the headers of IP and UDP or TCP, neither of which has options."""
        ip_header = 40 if ":" in self.destination.host else 20
        return ip_header + _HEADER_LENGTHS[self.protocol] + len(self.data)

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
