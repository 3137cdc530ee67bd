"""The words in which RFC 4787, RFC 5382 and RFC 7857 describe NATs."""

from __future__ import annotations

from enum import Enum, auto

from twisted_p2p.addresses import HostPort


class Dependence(Enum):
    """What of the other endpoint a NAT looks at (RFC 4787, sections 4.1 and 5)."""

    ENDPOINT_INDEPENDENT = auto()
    ADDRESS_DEPENDENT = auto()
    ADDRESS_AND_PORT_DEPENDENT = auto()

    def of(self, remote: HostPort) -> HostPort | str | None:
        """Return the part of a remote endpoint that makes a difference."""
        if self is Dependence.ENDPOINT_INDEPENDENT:
            return None
        return remote.host if self is Dependence.ADDRESS_DEPENDENT else remote


class PortAllocation(Enum):
    """How a NAT picks the public port of a new mapping (RFC 4787, section 4.2)."""

    PRESERVING = auto()
    """The internal port when it is free, else a random one."""
    SEQUENTIAL = auto()
    """The next free port after the last one picked, `NATBehaviour.port_step` on; the first is
    random."""
    RANDOM = auto()


class Pooling(Enum):
    """Which of several public addresses a new mapping gets (RFC 4787, REQ-2; RFC 7857, 4)."""

    PAIRED = auto()
    """The one of the internal address's other mappings; without any, a random one."""
    ARBITRARY = auto()
    """A random one."""


class HairpinSource(Enum):
    """Where a hairpinned packet comes from, in the eyes of its receiver (RFC 4787, REQ-9)."""

    EXTERNAL = auto()
    """The sender's public endpoint, as it must be."""
    INTERNAL = auto()
    """The sender's endpoint inside, to which an answer goes past the NAT."""


class Unsolicited(Enum):
    """What an inbound packet does that no mapping or filter lets in."""

    DROPPED = auto()
    TAKES_PORT = auto()
    """It occupies the port towards its sender, as on Linux when the NAT accepts input: a later
    outbound packet from that port to that sender leaves from another port."""
    RESET = auto()
    """Its sender is told by a TCP RST (which RFC 5382, REQ-4 advises against); UDP is dropped."""
    ICMP_ERROR = auto()
    """Its sender is told by an ICMP error (RFC 5382, REQ-4)."""
    BLACKLISTS = auto()
    """Its sender's address is shut out for `FilterBehaviour.blacklist_time` seconds."""
