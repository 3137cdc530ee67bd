"""The TCP of one host: its ports and its connections."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from errno import EADDRINUSE, EADDRNOTAVAIL
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.ip import is_same_family, is_unspecified
from twisted_p2p.testing.packet import ICMPError, Packet
from twisted_p2p.testing.port_table import PortTable
from twisted_p2p.testing.tcp.connection import TCPConnection
from twisted_p2p.testing.tcp.host_connection import HostConnection
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment, refusal
from twisted_p2p.testing.tcp.settings import TCPSettings
from twisted_p2p.testing.tcp.socket import SimulatedSocket
from twisted_p2p.testing.tcp.state import TCPState

if TYPE_CHECKING:
    from twisted_p2p.testing.host import SimulatedHost

_FIRST_EPHEMERAL_PORT = 32_768
_EPHEMERAL_PORT_COUNT = 28_232
_FIRST_DESCRIPTOR = 1_000_000
_ETHERNET_MTU = 1_500
_LOOPBACK_MTU = 65_536


class TCPStack:
    """Sockets are made here; packets come from the host and go to it."""

    def __init__(self, host: SimulatedHost, random: Random) -> None:
        self.settings = TCPSettings()
        """What new connections go by; assignable."""
        self.socket_changed: Callable[[SimulatedSocket], None] = lambda socket: None
        """Called when a socket may have become readable or writable."""
        self.sockets: dict[int, SimulatedSocket] = {}
        """The open ones, by their numbers."""
        self._host = host
        self._random = random
        self._descriptors = count(_FIRST_DESCRIPTOR)
        self._bound: PortTable[SimulatedSocket] = PortTable()
        self._connections: dict[tuple[HostPort, HostPort], HostConnection] = {}
        self._connections_of_port: PortTable[HostConnection] = PortTable()

    @property
    def now(self) -> float:
        """The virtual time."""
        return self._host.schedule.now

    def at(self, time: float, function: Callable[[float], None]) -> None:
        """Have a function called with a time, then."""
        self._host.schedule.at(time, function, time)

    def socket(self, family: int) -> SimulatedSocket:
        """Return a new socket, with a number that no descriptor of the system has."""
        socket = SimulatedSocket(self, family, next(self._descriptors))
        self.sockets[socket.fileno()] = socket
        return socket

    # Ports

    def bind(self, socket: SimulatedSocket, wanted: HostPort) -> HostPort:
        """Give a socket the address that it wants, or a free one for port 0, and return that.

        :raises OSError: when the address is another host's, or in use here.
        """
        if not self._host.is_local(wanted.host) and not is_unspecified(wanted.host):
            raise system_error(EADDRNOTAVAIL)
        local = wanted if wanted.port else self._free_address(wanted.host)
        self.check_conflicts(socket, local)
        self._bound.add(local.port, socket)
        return local

    def check_conflicts(self, socket: SimulatedSocket, local: HostPort) -> None:
        """Check that a socket may have an address, as Linux does it.

        :raises OSError: when another has it.
        """
        for holder in self._holders(local):
            is_listening = isinstance(holder, SimulatedSocket) and holder.is_listening
            shares = socket.reuses_address and holder.reuses_address and not is_listening
            shares = shares or (socket.reuses_port and holder.reuses_port)
            if holder is not socket and not shares:
                raise system_error(EADDRINUSE)

    def release(self, socket: SimulatedSocket) -> None:
        """Forget a socket that is closed."""
        del self.sockets[socket.fileno()]
        if socket.local.port:
            self._bound.remove(socket.local.port, socket)

    def _holders(self, local: HostPort) -> Iterator[SimulatedSocket | HostConnection]:
        """Yield what has an address, or one that cannot be told from it."""
        holders: list[SimulatedSocket | HostConnection] = [*self._bound[local.port]]
        holders += self._connections_of_port[local.port]
        for holder in holders:
            if _overlap(holder.local.host, local.host):
                yield holder

    def _free_address(self, host: str) -> HostPort:
        first = self._random.randrange(_EPHEMERAL_PORT_COUNT)
        for step in range(_EPHEMERAL_PORT_COUNT):
            port = _FIRST_EPHEMERAL_PORT + (first + step) % _EPHEMERAL_PORT_COUNT
            if not any(self._holders(HostPort(host, port))):
                return HostPort(host, port)
        raise system_error(EADDRINUSE)

    # Connections

    def connect(self, socket: SimulatedSocket, remote: HostPort) -> HostConnection:
        """Begin to connect a bound socket.

        :raises OSError: when there is no route, or such a connection already.
        """
        local = self._host.source_of(socket.local, remote.host)
        if (local, remote) in self._connections:
            raise system_error(EADDRNOTAVAIL)
        connection = self._add(local, remote, socket)
        connection.machine.connect(self.now)
        return connection

    def receive(self, packet: Packet) -> None:
        """Take a packet that has come to the host."""
        assert packet.segment is not None
        connection = self._connections.get((packet.destination, packet.source))
        is_opening = packet.segment.flags is TCPFlags.SYN
        if connection is not None and is_opening and _can_be_replaced(connection, packet):
            self.forget(connection)
            connection = None
        listener = None
        if connection is None and is_opening:
            listener = self._listener(packet.destination)
        if connection is not None:
            self._log(packet, "delivered")
            connection.receive(packet)
        elif listener is None:
            self._refuse(packet, packet.segment)
        elif listener.has_full_backlog:
            self._log(packet, "backlog full")
        else:
            self._log(packet, "delivered")
            self._accept(listener, packet, packet.segment)

    def send(
        self,
        local: HostPort,
        remote: HostPort,
        segment: TCPSegment,
        data: bytes,
        icmp_error: Callable[[ICMPError], None] | None,
    ) -> None:
        """Send a segment in a packet."""
        self._host.send(
            Packet(
                protocol="tcp",
                data=data,
                source=local,
                destination=remote,
                sender=self._host.name,
                sent_at=self.now,
                sent_from=local,
                sent_to=remote,
                icmp_error=icmp_error,
                segment=segment,
            )
        )

    def forget(self, connection: HostConnection) -> None:
        """Forget a connection that is over."""
        key = (connection.local, connection.remote)
        if self._connections.get(key) is connection:
            del self._connections[key]
            self._connections_of_port.remove(connection.local.port, connection)

    def _add(self, local: HostPort, remote: HostPort, socket: SimulatedSocket) -> HostConnection:
        machine = TCPConnection(
            initial_sequence=self._random.getrandbits(32),
            segment_size=self._segment_size(remote.host),
            settings=socket.settings,
        )
        connection = HostConnection(self, machine, local, remote, socket.connection_changed)
        connection.reuses_address = socket.reuses_address
        connection.reuses_port = socket.reuses_port
        self._connections[local, remote] = connection
        self._connections_of_port.add(local.port, connection)
        return connection

    def _segment_size(self, remote: str) -> int:
        """Return what fits into a packet on the host's own link."""
        own_mtu = self._host.link.mtu or _ETHERNET_MTU
        mtu = _LOOPBACK_MTU if self._host.is_local(remote) else own_mtu
        return mtu - (60 if ":" in remote else 40)

    def _listener(self, destination: HostPort) -> SimulatedSocket | None:
        """Return the socket that listens there; one with that very address goes first."""
        listeners = [
            socket
            for socket in self._bound[destination.port]
            if socket.is_listening and _overlap(socket.local.host, destination.host)
        ]
        exact = [socket for socket in listeners if socket.local == destination]
        return next(iter(exact or listeners), None)

    def _accept(self, listener: SimulatedSocket, packet: Packet, segment: TCPSegment) -> None:
        connection = self._add(packet.destination, packet.source, listener)
        listener.add_half_open(connection)
        connection.machine.accept(segment, self.now)
        connection.flush()

    def _refuse(self, packet: Packet, segment: TCPSegment) -> None:
        """Reset a stranger (RFC 9293, section 3.10.7.1)."""
        self._log(packet, "refused")
        reset = refusal(segment, len(packet.data))
        if reset is not None:
            self.send(packet.destination, packet.source, reset, b"", None)

    def _log(self, packet: Packet, fate: str) -> None:
        self._host.network.log.record(packet, self.now, fate, self._host.name)


def system_error(number: int) -> OSError:
    """Return the error that a system call raises."""
    return OSError(number, os.strerror(number))


def _overlap(host: str, other: str) -> bool:
    is_either_unspecified = is_unspecified(host) or is_unspecified(other)
    return host == other or (is_either_unspecified and is_same_family(host, other))


def _can_be_replaced(connection: HostConnection, packet: Packet) -> bool:
    """Whether a SYN may begin a connection anew (RFC 9293, section 3.6.1)."""
    assert packet.segment is not None
    return connection.machine.state is TCPState.TIME_WAIT
