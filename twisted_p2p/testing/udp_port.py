"""A UDP port of a simulated host, with the manners of Twisted's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from zope.interface import implementer

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.ip import (
    UNSPECIFIED_IPV4,
    canonical_address,
    is_multicast,
    is_same_family,
    is_unspecified,
)
from twisted_p2p.testing.packet import ICMPError, Packet

if TYPE_CHECKING:
    from twisted_p2p.testing.host import SimulatedHost

_LONGEST_PAYLOAD = 65_507
_MOST_ROUTES = 10_000

_Route: TypeAlias = tuple[HostPort, HostPort, bool]
"""Destination and source of a packet, and whether the destination is a group."""


@implementer(IListeningPort, IUDPTransport)
class SimulatedUDPPort:
    """What `listenUDP` of a simulated reactor returns, and the transport of its protocol."""

    _log = Logger()

    def __init__(
        self,
        host: SimulatedHost,
        port: int,
        protocol: DatagramProtocol,
        interface: str,
        max_packet_size: int,
    ) -> None:
        self.bound = HostPort(canonical_address(interface or UNSPECIFIED_IPV4), port)
        """The local address; an unspecified host stands for all of one family."""
        self.shares = False
        """Whether others that share too may have the same address."""
        self.groups: set[str] = set()
        self.loops = True
        """Whether packets to groups come to this host too."""
        self.ttl = 1
        self._interface = interface
        self._host = host
        self._protocol = protocol
        self._max_packet_size = max_packet_size
        self._remote: HostPort | None = None
        self._routes: dict[tuple[str, int] | None, _Route] = {}
        self._is_bound = False
        self._is_reading = False
        self._stopped: Deferred[None] | None = None

    def __repr__(self) -> str:
        return f"<UDP port {self.bound} of {self._protocol!r}>"

    def startListening(self) -> None:
        """Bind the port and start its protocol."""
        try:
            self.bound = self._host.bind(self, self.bound)
        except OSError as error:
            raise CannotListenError(self._interface, self.bound.port, error) from error
        self._is_bound = self._is_reading = True
        self._protocol.makeConnection(self)

    def stopListening(self) -> Deferred[None] | None:
        """Stop reading now; the port is free when the Deferred fires, in the reactor's next turn.

        Returns None when it is free already.
        """
        if not self._is_bound:
            return None
        self._is_reading = False
        if self._stopped is None:
            self._stopped = Deferred()
            self._host.reactor.callLater(0, self.close)
        return self._stopped

    def getHost(self) -> IPv4Address | IPv6Address:
        """Return the local address; that of a connected port is specified."""
        make = IPv6Address if ":" in self.bound.host else IPv4Address
        return make("UDP", *self.bound)

    def connect(self, host: str, port: int) -> None:
        """Talk to one remote port alone, and hear when it is not there."""
        if self._remote is not None:
            raise RuntimeError("already connected, reconnecting is not currently supported")
        remote = self._checked(host, port)
        self.bound = self._host.source_of(self.bound, remote.host)
        self._remote = remote
        self.forget_routes()

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send a datagram.

        :raises MessageLengthError: when it is longer than UDP allows.
        :raises InvalidAddressError: when the address is none of this port's family.
        :raises OSError: when there is no route, or the port is closed.
        """
        remote, source, is_group = self._routes.get(addr) or self._route(addr)
        if len(packet) > _LONGEST_PAYLOAD:
            raise MessageLengthError("message too long")
        if not self._is_bound:
            raise OSError("the port is closed")
        to_send = Packet(
            protocol="udp",
            data=bytes(packet),
            source=source,
            destination=remote,
            sender=self._host.name,
            sent_at=self._host.schedule.now,
            sent_from=source,
            sent_to=remote,
            icmp_error=self._hear_error if self._remote is not None else None,
        )
        if is_group:
            self._host.send_to_group(to_send, loops=self.loops, leaves=self.ttl > 0)
        else:
            self._host.send(to_send)

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Not simulated."""
        raise NotImplementedError("the simulated internet has no broadcast")

    def getBroadcastAllowed(self) -> bool:
        """Return False."""
        return False

    def overlaps(self, address: HostPort) -> bool:
        """Whether both cannot be bound at once."""
        return (
            self.bound.port == address.port
            and is_same_family(self.bound.host, address.host)
            and (
                self.bound.host == address.host
                or is_unspecified(self.bound.host)
                or is_unspecified(address.host)
            )
        )

    def accepts(self, packet: Packet) -> bool:
        """Whether a packet that reached the host is for this port."""
        return self.overlaps(packet.destination) and self._remote in (None, packet.source)

    def hears(self, packet: Packet) -> bool:
        """Whether a packet to a group is for this port too."""
        group = packet.destination.host
        return (
            group in self.groups
            and (is_unspecified(self.bound.host) or self.bound.host == group)
            and self._remote in (None, packet.source)
        )

    @property
    def precision(self) -> tuple[bool, bool]:
        """How closely packets must fit; of several ports the most precise one gets them."""
        return self._remote is not None, not is_unspecified(self.bound.host)

    def receive(self, packet: Packet) -> None:
        """Hand a packet to the protocol."""
        source = (packet.source.host, packet.source.port)
        self._tell(self._protocol.datagramReceived, packet.data[: self._max_packet_size], source)

    def forget_routes(self) -> None:
        """Find out anew where packets come from: the host has other addresses."""
        self._routes.clear()

    def _route(self, addr: tuple[str, int] | None) -> _Route:
        """Return whither and whence packets to an address go, and remember it."""
        if self._remote is None:
            assert addr is not None, "a port that is not connected wants an address"
            remote = self._checked(*addr)
        else:
            assert addr is None or self._checked(*addr) == self._remote, "connected elsewhere"
            remote = self._remote
        route = remote, self._source(remote), is_multicast(remote.host)
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        self._routes[addr] = route
        return route

    def _checked(self, host: str, port: int) -> HostPort:
        address = canonical_address(host)
        if ":" in address:
            address = self._host.unscoped(address, bound_to=self.bound.host)
        if not is_same_family(self.bound.host, address):
            raise InvalidAddressError(host, "the port is of the other address family")
        return HostPort(address, port)

    def _source(self, remote: HostPort) -> HostPort:
        return self._host.source_of(self.bound, remote.host)

    def _hear_error(self, error: ICMPError) -> None:
        # Of the errors that a socket tells, this is the only one that Twisted passes on.
        if error is ICMPError.PORT_UNREACHABLE:
            self._tell(self._protocol.connectionRefused)

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._is_reading or self._host.is_asleep:
            return
        try:
            function(*arguments)
        except Exception:
            self._log.failure("Unhandled error in {protocol!r}", protocol=self._protocol)

    def close(self) -> None:
        """Free the address now, and tell the protocol."""
        if not self._is_bound:
            return
        self.unbind()
        self._protocol.doStop()
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)

    def unbind(self) -> None:
        """Free the address, and tell nobody."""
        self._is_bound = self._is_reading = False
        for group in sorted(self.groups):
            self._host.leave(group)
        self.groups.clear()
        self._host.unbind(self)
