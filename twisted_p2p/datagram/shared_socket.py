"""One UDP socket for everything a node says in one address family."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from errno import EADDRINUSE
from typing import Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorSocket, IReactorUDP

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.demultiplex import Kind, classify
from twisted_p2p.datagram.path_protocol import PathDatagramProtocol
from twisted_p2p.errors import PortInUse

Receiver = Callable[[bytes, DatagramPath], object]

_LARGEST_DATAGRAM = 8_192


class SharedSocket(PathDatagramProtocol):
    """A UDP port that it opens itself, and whose datagrams are handed on by kind.

    Assign `stun_received`, `quic_received` and `other_received`, functions of the datagram and
    its `DatagramPath`; until then datagrams of that kind are counted in `dropped`.
    """

    def __init__(self, reactor: IReactorUDP, interface: str = "", port: int = 0) -> None:
        """Prepare a socket on ``interface``, an IP address; "" is every IPv4 address, "::" IPv6."""
        super().__init__()
        self.dropped: Counter[str] = Counter()
        """Received datagrams that nobody wanted, by kind."""
        self._reactor = reactor
        self._interface = interface
        self._port = port
        self._listening: Any = None
        self.stun_received: Receiver = self._unwanted
        self.quic_received: Receiver = self._unwanted
        self.other_received: Receiver = self._unwanted

    def start(self) -> None:
        """Bind the socket.

        :raises PortInUse: when another socket has the port.
        :raises CannotListenError: when the address cannot be bound for another reason.
        """
        try:
            self._listening = self._listen()
        except CannotListenError as error:
            if getattr(error.socketError, "errno", None) == EADDRINUSE:
                raise PortInUse() from error
            raise

    def stop(self) -> Deferred[None]:
        """Close the socket; the Deferred fires when it is closed."""
        listening, self._listening, self._sendto = self._listening, None, None
        return maybeDeferred(listening.stopListening if listening else lambda: None)

    def path_datagram_received(self, data: bytes, path: DatagramPath) -> None:
        """Hand a datagram on to the receiver of its kind."""
        kind = classify(data)
        if kind is Kind.QUIC:
            self.quic_received(data, path)
        elif kind is Kind.STUN:
            self.stun_received(data, path)
        else:
            self.other_received(data, path)

    def _unwanted(self, data: bytes, path: DatagramPath) -> None:
        self.dropped[classify(data).name.lower()] += 1

    def _listen(self) -> Any:
        if isIPv6Address(self._interface) and IReactorSocket.providedBy(self._reactor):
            return self._adopt_ipv6_socket(self._reactor)
        return self._reactor.listenUDP(self._port, self, self._interface, _LARGEST_DATAGRAM)

    def _adopt_ipv6_socket(self, reactor: IReactorSocket) -> Any:
        """Listen with a socket for IPv6 alone, which `listenUDP` cannot make.

        Where a system lets "::" take IPv4 too, the IPv4 socket could not have the same port.
        """
        try:
            ours = _bound_ipv6_socket(self._interface, self._port)
        except OSError as error:
            raise CannotListenError(self._interface, self._port, error) from error
        with ours:
            return reactor.adoptDatagramPort(
                ours.fileno(), socket.AF_INET6, self, _LARGEST_DATAGRAM
            )


def _bound_ipv6_socket(interface: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((interface, port))
    except OSError:
        bound.close()
        raise
    return bound
