"""How NATs and firewalls behave, as values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import inf
from typing import Self

from attrs import evolve, frozen

from twisted_p2p.testing.nat.words import (
    Dependence,
    HairpinSource,
    Pooling,
    PortAllocation,
    Unsolicited,
)


@frozen(kw_only=True)
class TCPBehaviour:
    """How one NAT or firewall treats TCP, where that is not how it treats UDP (RFC 5382)."""

    mapping: Dependence | None = None
    """None for that of UDP; a firewall has none."""
    filtering: Dependence | None = None
    """None for that of UDP."""
    unsolicited: Unsolicited | None = None
    """None for that of UDP."""
    established_timeout: float = 7_440.0
    """Seconds without a packet either way after which an open connection is forgotten, also one
    that is half closed (REQ-5)."""
    transitory_timeout: float = 240.0
    """The same for a connection that is being opened (REQ-5; RFC 7857, section 2.1)."""
    closing_timeout: float = 240.0
    """Seconds after both FINs, or after a RST, until a connection is forgotten; another packet
    after a RST takes the RST back (RFC 7857, sections 2.1 and 2.2)."""
    syn_hold: float = 0.0
    """Seconds before an unsolicited SYN is answered, if at all; an outbound SYN of the same
    connection in the meantime is all the answer (REQ-4, which asks for 6)."""
    simultaneous_open: bool = True
    """Whether a bare SYN may answer a SYN (REQ-2)."""
    picks_up: bool = False
    """Whether any packet from inside makes a mapping, not a SYN alone; so Linux does."""


@frozen(kw_only=True)
class FilterBehaviour:
    """What NATs and firewalls have in common: whom they let in, and how long."""

    filtering: Dependence = Dependence.ADDRESS_AND_PORT_DEPENDENT
    unsolicited: Unsolicited = Unsolicited.DROPPED
    timeout: float = 120.0
    """Seconds without an outbound UDP packet after which a mapping, or a filter's pass for one
    remote endpoint, is forgotten (RFC 4787, section 4.3)."""
    inbound_refresh: bool = False
    """Whether inbound UDP packets keep them as well (RFC 4787, REQ-6; RFC 7857, section 7)."""
    lifetime: float = inf
    """Seconds after which a mapping is forgotten, whatever came and went."""
    blacklist_time: float = 60.0
    """Seconds that `Unsolicited.BLACKLISTS` shuts a remote address out."""
    icmp_errors: bool = True
    """Whether ICMP errors reach the inside (RFC 4787, REQ-10; RFC 5508, REQ-4)."""
    udp_destination_ports: Collection[int] | None = None
    """The only remote UDP ports that may be talked to; None for all, ``()`` for none."""
    tcp_destination_ports: Collection[int] | None = None
    """The only remote TCP ports that may be talked to; None for all, ``()`` for none."""
    tcp: TCPBehaviour = TCPBehaviour()

    def for_tcp(self) -> Self:
        """Return the behaviour with what is different for TCP in its place."""
        tcp = self.tcp
        return evolve(
            self,
            filtering=tcp.filtering or self.filtering,
            unsolicited=tcp.unsolicited or self.unsolicited,
        )


@frozen(kw_only=True)
class Firewall(FilterBehaviour):
    """A stateful firewall that translates nothing, for either family (RFC 6092)."""


@frozen(kw_only=True)
class NATBehaviour(FilterBehaviour):
    """How one NAT behaves; the defaults are what most home routers do."""

    mapping: Dependence = Dependence.ENDPOINT_INDEPENDENT
    """When a new destination makes a new mapping (RFC 4787, REQ-1; RFC 5382, REQ-1)."""
    allocation: PortAllocation = PortAllocation.PRESERVING
    port_step: int = 1
    """From one port to the next with `PortAllocation.SEQUENTIAL`; negative for downwards."""
    port_set: Sequence[int] | None = None
    """The only public ports that there are, for example a range; None for those from 1,024 up, and
    lower ones where they are preserved (RFC 4787, REQ-3)."""
    port_parity: bool = False
    """Whether an even port stays even, and an odd one odd (RFC 4787, REQ-4)."""
    port_quota: int | None = None
    """The most mappings of one internal address at a time; a carrier's is some hundreds or
    thousands (RFC 6888, REQ-4)."""
    other_traffic: float = 0.0
    """Ports a second that others behind the same NAT take, at random moments, each for `timeout`
    seconds."""
    pooling: Pooling = Pooling.PAIRED
    hairpinning: bool = True
    """Whether two hosts inside reach each other by their public endpoints, if the filters agree
    (RFC 4787, section 6; RFC 5382, REQ-8)."""
    hairpin_source: HairpinSource = HairpinSource.EXTERNAL

    def for_tcp(self) -> Self:
        """Return the behaviour with what is different for TCP in its place."""
        return evolve(super().for_tcp(), mapping=self.tcp.mapping or self.mapping)
