"""A UDP port that hears one group on one interface, beside other programs that do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable
from errno import ENOPROTOOPT
from ipaddress import ip_address
from struct import pack
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorMulticast, IReactorSocket
from twisted.logger import Logger

from twisted_p2p.addresses import DatagramPath, HostPort, NetworkInterface
from twisted_p2p.datagram.path_protocol import PathDatagramProtocol

_LARGEST_DATAGRAM = 9_000
_HOPS = 255

# Of Linux, and not in Python's socket module.
_IP_MULTICAST_ALL = 49


class MulticastSocket(PathDatagramProtocol):
    """Listens at the group's own address, so it takes nothing that is sent to this host alone.

    What is sent to a shared port of a host reaches one program of those that share it, and another
    one may wait for it.
    """

    _log = Logger()

    def __init__(
        self,
        group: HostPort,
        interface: NetworkInterface,
        local: Hashable,
        received: Callable[[bytes, DatagramPath], object],
    ) -> None:
        """Prepare a socket; what comes is handed to ``received`` with paths from ``local``."""
        super().__init__()
        self._group = group
        self._interface = interface
        self._local = local
        self._received = received
        self._listening: Any = None

    def start(self, reactor: Any) -> None:
        """Open the socket on a reactor, an `IReactorSocket` or else an `IReactorMulticast`.

        :raises CannotListenError: when the system does not let it, or the interface knows no
            groups.
        """
        if IReactorSocket.providedBy(reactor):
            self._adopt(reactor)
        else:
            self._listen(reactor)

    def stop(self) -> Deferred[None]:
        """Close the socket; the Deferred fires when it is closed."""
        listening, self._listening, self._sendto = self._listening, None, None
        return maybeDeferred(listening.stopListening if listening else lambda: None)

    def path_datagram_received(self, data: bytes, path: DatagramPath) -> None:
        """Hand a datagram on."""
        self._received(data, DatagramPath(self._local, path.remote))

    def _adopt(self, reactor: IReactorSocket) -> None:
        """Listen with a socket of one's own: `listenMulticast` cannot name an IPv6 interface."""
        family = socket.AF_INET6 if self._group.is_ipv6 else socket.AF_INET
        ours = socket.socket(family, socket.SOCK_DGRAM)
        with ours:
            try:
                ours.setblocking(False)
                self._set_up(ours)
            except OSError as error:
                raise CannotListenError(self._interface.name, self._group.port, error) from error
            adopt: Any = reactor.adoptDatagramPort
            self._listening = adopt(ours.fileno(), family, self, _LARGEST_DATAGRAM)

    def _set_up(self, ours: socket.socket) -> None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        group = ip_address(self._group.host).packed
        index = self._interface.index
        if self._group.is_ipv6:
            level = socket.IPPROTO_IPV6
            ours.setsockopt(level, socket.IPV6_V6ONLY, 1)
            ours.setsockopt(level, socket.IPV6_MULTICAST_IF, index)
            ours.setsockopt(level, socket.IPV6_MULTICAST_HOPS, _HOPS)
            ours.setsockopt(level, socket.IPV6_UNICAST_HOPS, _HOPS)
            # The scope binds the socket to the interface.
            ours.bind((*self._group, 0, index))
            ours.setsockopt(level, socket.IPV6_JOIN_GROUP, group + pack("@I", index))
            return
        own = ip_address(_ipv4_address(self._interface)).packed
        membership = group + own + pack("@i", index)
        ours.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
        ours.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _HOPS)
        ours.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _HOPS)
        ours.bind(self._group)
        _hear_own_groups_alone(ours)
        ours.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)

    def _listen(self, reactor: IReactorMulticast) -> None:
        host = self._group.host
        if self._group.is_ipv6:
            host += f"%{self._interface.name}"
        port: Any = reactor.listenMulticast(
            self._group.port, self, host, _LARGEST_DATAGRAM, listenMultiple=True
        )
        self._listening = port
        port.setTTL(_HOPS)
        own: str | int = self._interface.index
        if not self._group.is_ipv6:
            own = _ipv4_address(self._interface)
        for change in (port.setOutgoingInterface(own), port.joinGroup(self._group.host)):
            change.addErrback(
                lambda failure: self._log.failure("{group} is not heard", failure, group=host)
            )


def _ipv4_address(interface: NetworkInterface) -> str:
    return next(
        host
        for host, _, _ in (each.partition("/") for each in interface.addresses)
        if ":" not in host
    )


def _hear_own_groups_alone(ours: socket.socket) -> None:
    """Let a socket hear a group by the interface where it joined it, not wherever anyone did."""
    try:
        ours.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    except OSError as error:
        if error.errno != ENOPROTOOPT:  # a system on which that goes without saying
            raise
