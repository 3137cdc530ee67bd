"""A UDP port of a reactor with descriptors that takes many datagrams by one system call."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorFDSet,
    IReadDescriptor,
    ISystemHandle,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_LARGEST_READ = 65_535
_BYTES_PER_TURN = 1 << 20
_HEADERS_SIZE = 28
_UDP_GRO = 104
_ANCILLARY_SIZE = socket.CMSG_SPACE(4)


class BatchProtocol(Protocol):
    """What a port hands its datagrams to; a `DatagramProtocol` with one method more."""

    def makeConnection(self, transport: Any) -> None:
        """Take the port, which is bound."""

    def doStop(self) -> None:
        """Take it that the port is closed."""

    def datagrams_received(self, datagrams: list[bytes], addr: tuple[str, int]) -> None:
        """Take datagrams of one sender, in the order in which they came."""


@implementer(IListeningPort, IReadDescriptor, ISystemHandle)
class BatchPort:
    """Reads until nothing is left, or others have to have their turn.

    Where the kernel can (Linux 5.0, UDP_GRO) it is asked to hand over runs of datagrams of one
    sender as one.  A wildcard IPv6 port takes no IPv4, so that another one may have its number.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorFDSet, protocol: BatchProtocol, interface: str, port: int
    ) -> None:
        """Prepare a port of an IP address; "" is every IPv4 address, "::" every IPv6 one."""
        self._reactor = reactor
        self._protocol = protocol
        self._interface = interface
        self._port = port
        self._is_ipv6 = isIPv6Address(interface)
        self._socket: socket.socket
        self._is_listening = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self._protocol!r}>"

    def startListening(self) -> None:
        """Bind the port.

        :raises CannotListenError: when the system does not let it.
        """
        try:
            self._socket = _bound_socket(self._interface, self._port, self._is_ipv6)
        except OSError as error:
            raise CannotListenError(self._interface, self._port, error) from error
        self._is_listening = True
        self._protocol.makeConnection(self)
        self._reactor.addReader(self)

    def stopListening(self) -> Deferred[None]:
        """Close the port, at once."""
        if self._is_listening:
            self._is_listening = False
            self._reactor.removeReader(self)
            self._protocol.doStop()
            self._socket.close()
        return succeed(None)

    def getHost(self) -> IPv4Address | IPv6Address:
        """Return the address that it is bound to."""
        host, port = self._socket.getsockname()[:2]
        return (IPv6Address if self._is_ipv6 else IPv4Address)("UDP", host, port)

    def getHandle(self) -> socket.socket:
        """Return the socket."""
        return self._socket

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Return whose lines these are."""
        return f"{type(self._protocol).__name__} (UDP)"

    def doRead(self) -> None:
        """Hand over what has arrived."""
        budget = _BYTES_PER_TURN
        while budget > 0 and self._is_listening:
            try:
                data, ancillary, _, addr = self._socket.recvmsg(_LARGEST_READ, _ANCILLARY_SIZE)
            except OSError:
                # Nothing is left, or the system tells what became of a datagram sent earlier.
                return
            # Headers count too, lest a flood of empty datagrams should never end.
            budget -= len(data) + _HEADERS_SIZE
            try:
                self._protocol.datagrams_received(_split(data, ancillary), _source(addr))
            except Exception:
                self._log.failure("{protocol} failed", protocol=self._protocol)

    def connectionLost(self, reason: Failure) -> None:
        """Close the port, since the reactor gives it up."""
        self.stopListening()


def _bound_socket(interface: str, port: int, is_ipv6: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        if is_ipv6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((interface, port))
    except OSError:
        bound.close()
        raise
    if sys.platform == "linux":
        with suppress(OSError):
            bound.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    return bound


def _source(addr: tuple[Any, ...]) -> tuple[str, int]:
    """Return a sender's host and port; a link-local host with the scope by which it is answered."""
    host, port, *more = addr
    if more and more[1]:
        with suppress(OSError):  # the interface may be gone
            return f"{host}%{socket.if_indextoname(more[1])}", port
    return host, port


def _split(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> list[bytes]:
    """Return the datagrams of one reading; all but the last are equally long."""
    for level, kind, value in ancillary:
        if (level, kind) == (socket.IPPROTO_UDP, _UDP_GRO):
            size = int.from_bytes(value[:4], sys.byteorder)
            return [data[start : start + size] for start in range(0, len(data), size)]
    return [data]
