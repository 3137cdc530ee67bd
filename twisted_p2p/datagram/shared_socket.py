"""One UDP socket for everything a node says in one address family."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from errno import EADDRINUSE, errorcode
from typing import Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IReactorSocket, IReactorUDP, ISystemHandle
from twisted.internet.protocol import DatagramProtocol

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.demultiplex import Kind, classify
from twisted_p2p.errors import PortInUse

Receiver = Callable[[bytes, DatagramPath], object]

_LARGEST_DATAGRAM = 8_192
_RECEIVE_BUFFER = 1 << 20
_REMEMBERED_PATHS = 4_096


class SharedSocket(DatagramProtocol):
    """A bound UDP port whose datagrams are handed on by kind, and which never fails to send.

    Assign `stun_received`, `quic_received` and `other_received`, functions of the datagram and
    its `DatagramPath`; until then datagrams of that kind are counted in `dropped`.  The ``local``
    of every path is `address`.
    """

    noisy = False

    def __init__(self, reactor: IReactorUDP, interface: str = "", port: int = 0) -> None:
        """Prepare a socket on ``interface``, an IP address; "" is every IPv4 address, "::" IPv6."""
        self.dropped: Counter[str] = Counter()
        """Received datagrams that nobody wanted, by kind."""
        self.unsent: Counter[str] = Counter()
        """Datagrams that the system refused to send, by the name of its error."""
        self._reactor = reactor
        self._interface = interface
        self._port = port
        self._listening: Any = None
        self._address: HostPort | None = None
        self._sendto: Callable[[bytes, HostPort], object] | None = None
        self._paths: dict[tuple[str, int], DatagramPath] = {}
        self.stun_received: Receiver = self._unwanted
        self.quic_received: Receiver = self._unwanted
        self.other_received: Receiver = self._unwanted

    @property
    def address(self) -> HostPort:
        """The address that the socket is bound to, since `start`; the host may be unspecified."""
        if self._address is None:
            raise RuntimeError("the socket has not been started")
        return self._address

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
        host = self._listening.getHost()
        self._address = HostPort(host.host, host.port)
        if ISystemHandle.providedBy(self._listening):
            # `write` of a real port checks the address four times before it calls this.
            handle: Any = self._listening.getHandle()
            # Room for what arrives while this process does not get its turn; a system that
            # allows less gives less.
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._sendto = handle.sendto
        else:
            self._sendto = self._listening.write

    def send(self, data: bytes, path: DatagramPath) -> None:
        """Send a datagram to the remote end of a path of this socket.

        UDP promises nothing, so neither does this: what the system refuses is counted in `unsent`
        (a full buffer, a datagram too long, no network, a port closed earlier, a closed socket).
        """
        if self._sendto is None:
            self.unsent["closed"] += 1
            return
        try:
            self._sendto(data, path.remote)
        except OSError as error:
            self.unsent[errorcode.get(error.errno or 0, type(error).__name__)] += 1
        except MessageLengthError:
            self.unsent["EMSGSIZE"] += 1
        except InvalidAddressError:
            self.unsent["EAFNOSUPPORT"] += 1

    def stop(self) -> Deferred[None]:
        """Close the socket; the Deferred fires when it is closed."""
        listening, self._listening, self._sendto = self._listening, None, None
        return maybeDeferred(listening.stopListening if listening else lambda: None)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Hand a datagram on to the receiver of its kind."""
        path = self._paths.get(addr) or self._remember(addr)
        kind = classify(datagram)
        if kind is Kind.QUIC:
            self.quic_received(datagram, path)
        elif kind is Kind.STUN:
            self.stun_received(datagram, path)
        else:
            self.other_received(datagram, path)

    def _remember(self, addr: tuple[str, int]) -> DatagramPath:
        """Return the path of a sender, made once and not for each datagram."""
        if len(self._paths) >= _REMEMBERED_PATHS:
            self._paths.clear()
        path = self._paths[addr] = DatagramPath(self.address, HostPort(*addr))
        return path

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


def local_address_towards(reactor: IReactorUDP, remote: HostPort) -> HostPort:
    """Return the local address from which this host would send to ``remote``; nothing is sent.

    The port is that of a socket already closed: only the host means something.

    :raises OSError: when there is no route, or no address of that family.
    """
    try:
        probe: Any = reactor.listenUDP(
            0, _SilentProtocol(), "::" if remote.is_ipv6 else "", _LARGEST_DATAGRAM
        )
    except CannotListenError as error:
        raise OSError(str(error)) from error
    try:
        probe.connect(*remote)
        host = probe.getHost()
        return HostPort(host.host, host.port)
    finally:
        probe.stopListening()


class _SilentProtocol(DatagramProtocol):
    noisy = False
