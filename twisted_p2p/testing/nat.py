"""Network address translators in the words of RFC 4787, as pure tables."""

from __future__ import annotations

from enum import Enum, auto
from random import Random

from attrs import Factory, define, evolve, frozen

from twisted_p2p.addresses import HostPort

_FIRST_PORT = 1_024
_LAST_PORT = 65_535
_PORT_COUNT = _LAST_PORT - _FIRST_PORT + 1


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
    """The next free port after the last one picked; the first is random."""
    RANDOM = auto()


class Unsolicited(Enum):
    """What an inbound packet does that no mapping or filter lets in."""

    DROPPED = auto()
    TAKES_PORT = auto()
    """It occupies the port towards its sender, as on Linux when the NAT accepts input: a later
    outbound packet from that port to that sender leaves from another port."""


@frozen
class NATBehaviour:
    """How one NAT treats UDP; the defaults are what most home routers do."""

    mapping: Dependence = Dependence.ENDPOINT_INDEPENDENT
    filtering: Dependence = Dependence.ADDRESS_AND_PORT_DEPENDENT
    allocation: PortAllocation = PortAllocation.PRESERVING
    unsolicited: Unsolicited = Unsolicited.DROPPED
    timeout: float = 120.0
    """Seconds without an outbound packet after which a mapping, or a filter's pass for one remote
    endpoint, is forgotten (RFC 4787, section 4.3)."""
    hairpinning: bool = True
    """Whether two hosts inside reach each other by their public endpoints (section 6)."""


PORT_RESTRICTED = NATBehaviour()
"""Maps independently of the destination, keeps the port, lets in only who was written to."""

FULL_CONE = NATBehaviour(filtering=Dependence.ENDPOINT_INDEPENDENT)
"""Maps independently of the destination and lets in anyone."""

RANDOM_SYMMETRIC = NATBehaviour(
    mapping=Dependence.ADDRESS_AND_PORT_DEPENDENT, allocation=PortAllocation.RANDOM
)
"""Takes a random port for each destination, and lets in only who was written to."""

PORT_TAKING = evolve(PORT_RESTRICTED, unsolicited=Unsolicited.TAKES_PORT)
"""Like `PORT_RESTRICTED`, but a peer's early packet spoils the mapping towards that peer."""


@define(eq=False)
class _Mapping:
    """A public endpoint lent to an internal one."""

    key: object
    internal: HostPort
    public: HostPort
    used_at: float
    passes: dict[HostPort | str | None, float] = Factory(dict)
    """Who may send in, as far as the filtering looks, and when they were last written to."""


class NATTable:
    """The mappings and filters of one protocol on one NAT with one public address."""

    def __init__(self, behaviour: NATBehaviour, address: str, random: Random) -> None:
        self.behaviour = behaviour
        self.address = address
        """The public IP address."""
        self._random = random
        self._by_key: dict[object, _Mapping] = {}
        self._by_port: dict[int, _Mapping] = {}
        self._taken: dict[tuple[int, HostPort], float] = {}
        self._last_port = _FIRST_PORT + random.randrange(_PORT_COUNT)

    def outbound(self, internal: HostPort, remote: HostPort, now: float) -> HostPort | None:
        """Return the public endpoint from which a packet leaves; None when no port is free."""
        mapping = self._mapping(internal, remote, now)
        if mapping is None:
            return None
        mapping.used_at = mapping.passes[self.behaviour.filtering.of(remote)] = now
        return mapping.public

    def inbound(self, remote: HostPort, port: int, now: float) -> HostPort | None:
        """Return the internal endpoint that a packet to a public port is for; None if nobody's.

        A packet does not keep a mapping alive by coming in (RFC 4787, REQ-6: it may, or not).
        """
        mapping = self._by_port.get(port)
        if mapping is not None and self._is_live(mapping.used_at, now):
            passed_at = mapping.passes.get(self.behaviour.filtering.of(remote))
            taken = self._is_taken(port, remote, now)
            if passed_at is not None and self._is_live(passed_at, now) and not taken:
                return mapping.internal
        if self.behaviour.unsolicited is Unsolicited.TAKES_PORT:
            self._taken[port, remote] = now
        return None

    def _mapping(self, internal: HostPort, remote: HostPort, now: float) -> _Mapping | None:
        key: object = (internal, self.behaviour.mapping.of(remote))
        mapping = self._live_mapping(key, now)
        if mapping is None:
            mapping = self._new_mapping(key, internal, now)
        if mapping is not None and self._is_taken(mapping.public.port, remote, now):
            # This remote endpoint alone sees another port; everyone else the usual one.
            key = (internal, remote, Unsolicited.TAKES_PORT)
            mapping = self._live_mapping(key, now) or self._new_mapping(key, internal, now)
        return mapping

    def _live_mapping(self, key: object, now: float) -> _Mapping | None:
        mapping = self._by_key.get(key)
        if mapping is not None and not self._is_live(mapping.used_at, now):
            self._forget(mapping)
            return None
        return mapping

    def _new_mapping(self, key: object, internal: HostPort, now: float) -> _Mapping | None:
        port = self._free_port(internal.port, now)
        if port is None:
            return None
        mapping = _Mapping(key, internal, HostPort(self.address, port), now)
        self._by_key[key] = self._by_port[port] = mapping
        return mapping

    def _free_port(self, internal_port: int, now: float) -> int | None:
        allocation = self.behaviour.allocation
        if allocation is PortAllocation.PRESERVING and self._is_free(internal_port, now):
            return internal_port
        if allocation is not PortAllocation.SEQUENTIAL:
            self._last_port = self._random.randrange(_FIRST_PORT, _LAST_PORT + 1)
        for step in range(1, _PORT_COUNT + 1):
            port = _FIRST_PORT + (self._last_port - _FIRST_PORT + step) % _PORT_COUNT
            if self._is_free(port, now):
                self._last_port = port
                return port
        return None

    def _is_free(self, port: int, now: float) -> bool:
        mapping = self._by_port.get(port)
        if mapping is not None and not self._is_live(mapping.used_at, now):
            self._forget(mapping)
            return True
        return mapping is None

    def _is_taken(self, port: int, remote: HostPort, now: float) -> bool:
        taken_at = self._taken.get((port, remote))
        return taken_at is not None and self._is_live(taken_at, now)

    def _is_live(self, used_at: float, now: float) -> bool:
        return now - used_at < self.behaviour.timeout

    def _forget(self, mapping: _Mapping) -> None:
        del self._by_key[mapping.key]
        del self._by_port[mapping.public.port]
