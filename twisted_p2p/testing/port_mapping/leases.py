"""What a router has lent by any of its three protocols, and how it misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol, cast

from attrs import define, frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import PortTaken

TransportName = Literal["udp", "tcp"]

LOWEST_PORT = 1_024
_PORT_COUNT = 65_536 - LOWEST_PORT


@frozen
class RouterManners:
    """How a router deals with requests; as it stands, as it should."""

    nat_pmp_error: int = 0
    """The result code with which NAT-PMP refuses everything, 1 to 5."""
    pcp_error: int = 0
    """The result code with which PCP refuses everything, 1 to 13."""
    upnp_error: int = 0
    """The error code with which every action of UPnP fails, such as 501 or 606."""
    only_permanent: bool = False
    """Whether UPnP refuses leases that end (725), and those that it lends never do."""
    gives_other_port: bool = False
    """Whether nobody gets the public port that was asked for where the protocol allows that."""
    claimed_address: str | None = None
    """The public address that it tells instead of its own."""
    longest_lifetime: int = 86_400
    """The most seconds that NAT-PMP and PCP lend a port for."""


class PortForwarder(Protocol):
    """What really maps: the part of a NAT that its router's services command."""

    @property
    def public_address(self) -> str:
        """The IPv4 address outside."""

    def forward(
        self, protocol: TransportName, internal: HostPort, port: int, expires_at: float | None
    ) -> None:
        """Let anyone in from a public port, which may be this internal endpoint's already.

        :raises PortTaken: when the public port is somebody else's.
        """

    def stop_forwarding(self, protocol: TransportName, port: int) -> None:
        """Undo that; it may have ended already."""

    def keep_open(
        self, protocol: TransportName, internal: HostPort, remote: HostPort
    ) -> HostPort | None:
        """Map, or keep mapped, traffic with one remote endpoint; None when no port is free."""


@define(eq=False)
class Lease:
    """A public port lent to an internal endpoint."""

    protocol: TransportName
    internal: HostPort
    port: int
    expires_at: float | None
    """None for one that lasts."""
    description: str = ""
    """What UPnP's clients say that it is for."""
    nonce: bytes | None = None
    """What PCP's clients prove by that it is theirs."""

    def remaining(self, now: float) -> int:
        """Return the whole seconds that are left; 0 for one that lasts."""
        return 0 if self.expires_at is None else max(0, int(self.expires_at - now))


class PortLeases:
    """The leases of one router, whichever protocol they were asked for by.

    All times are seconds of the caller's clock.
    """

    def __init__(
        self, forwarder: PortForwarder, now: float, manners: RouterManners | None = None
    ) -> None:
        self.forwarder = forwarder
        self.manners = manners or RouterManners()
        """May be replaced at any time."""
        self._began_at = now
        self._leases: list[Lease] = []

    @property
    def claimed_address(self) -> str:
        """The public address that clients are told."""
        return self.manners.claimed_address or self.forwarder.public_address

    def epoch(self, now: float) -> int:
        """Return for how many seconds the router has known its leases."""
        return int(now - self._began_at)

    def current(self, now: float) -> list[Lease]:
        """Return the leases that have not ended, oldest first."""
        self._leases = [
            lease for lease in self._leases if lease.expires_at is None or now < lease.expires_at
        ]
        return self._leases

    def of(self, protocol: TransportName, internal: HostPort, now: float) -> Lease | None:
        """Return the lease of an internal endpoint."""
        for lease in self.current(now):
            if (lease.protocol, lease.internal) == (protocol, internal):
                return lease
        return None

    def at(self, protocol: TransportName, port: int, now: float) -> Lease | None:
        """Return the lease of a public port."""
        for lease in self.current(now):
            if (lease.protocol, lease.port) == (protocol, port):
                return lease
        return None

    def lend(
        self,
        protocol: TransportName,
        internal: HostPort,
        port: int,
        until: float | None,
        now: float,
    ) -> Lease:
        """Lend a public port to an internal endpoint, or lend it for another time.

        :raises PortTaken: when the port is somebody else's.
        """
        lease = self.at(protocol, port, now)
        if lease is not None and lease.internal != internal:
            raise PortTaken
        self.forwarder.forward(protocol, internal, port, until)
        if lease is None:
            lease = Lease(protocol, internal, port, until)
            self._leases.append(lease)
        lease.expires_at = until
        return lease

    def lend_any(
        self,
        protocol: TransportName,
        internal: HostPort,
        wanted: int,
        until: float | None,
        now: float,
    ) -> Lease:
        """Lend the port that an endpoint has, else the one that it wants, else another one.

        :raises PortTaken: when all ports are.
        """
        lease = self.of(protocol, internal, now)
        if lease is not None:
            return self.lend(protocol, internal, lease.port, until, now)
        for port in self._ports_from(wanted or internal.port):
            try:
                return self.lend(protocol, internal, port, until, now)
            except PortTaken:
                continue
        raise PortTaken

    def end(self, lease: Lease) -> None:
        """Take a port back."""
        self._leases.remove(lease)
        self.forwarder.stop_forwarding(lease.protocol, lease.port)

    def forget(self, now: float) -> None:
        """Forget all leases, as a router does that restarts; the epoch begins again."""
        for lease in tuple(self._leases):
            self.end(lease)
        self._began_at = now

    def _ports_from(self, wanted: int) -> Iterator[int]:
        """Return all ports, beginning with the best one to lend."""
        first = int(self.manners.gives_other_port)
        for step in range(first, _PORT_COUNT):
            yield LOWEST_PORT + (wanted - LOWEST_PORT + step) % _PORT_COUNT


def transport_name(text: str) -> TransportName | None:
    """Return the protocol of this name in any case, if it is one that a router maps."""
    name = text.lower()
    return cast("TransportName", name) if name in ("udp", "tcp") else None
