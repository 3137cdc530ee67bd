"""One UDP socket for everything a node says in one address family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from errno import EADDRINUSE
from itertools import groupby
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorFDSet, IReactorUDP

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.batch_port import BatchPort
from twisted_p2p.datagram.demultiplex import Kind, classify
from twisted_p2p.datagram.path_protocol import PathDatagramProtocol
from twisted_p2p.errors import PortInUse

Receiver = Callable[[bytes, DatagramPath], object]
BatchReceiver = Callable[[list[bytes], DatagramPath], object]

_LARGEST_DATAGRAM = 8_192


class SharedSocket(PathDatagramProtocol):
    """A UDP port that it opens itself, and whose datagrams are handed on by kind.

    Assign `stun_received` and `other_received`, functions of the datagram and its `DatagramPath`,
    and `quic_received`, which gets a list of those that came together; until then datagrams of
    that kind are counted in `dropped`.
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
        self.quic_received: BatchReceiver = self._unwanted_batch
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
        self._hand_on([data], path)

    def datagrams_received(self, datagrams: list[bytes], addr: tuple[str, int]) -> None:
        """Hand datagrams of one sender on to the receivers of their kinds."""
        self._hand_on(datagrams, self._path_of(addr))

    def _hand_on(self, datagrams: list[bytes], path: DatagramPath) -> None:
        for kind, batch in groupby(datagrams, classify):
            if kind is Kind.QUIC:
                self.quic_received(list(batch), path)
                continue
            receive = self.stun_received if kind is Kind.STUN else self.other_received
            for data in batch:
                receive(data, path)

    def _unwanted_batch(self, datagrams: list[bytes], path: DatagramPath) -> None:
        for data in datagrams:
            self._unwanted(data, path)

    def _unwanted(self, data: bytes, path: DatagramPath) -> None:
        self.dropped[classify(data).name.lower()] += 1

    def _listen(self) -> Any:
        if IReactorFDSet.providedBy(self._reactor):
            port = BatchPort(self._reactor, self, self._interface, self._port)
            port.startListening()
            return port
        return self._reactor.listenUDP(self._port, self, self._interface, _LARGEST_DATAGRAM)
