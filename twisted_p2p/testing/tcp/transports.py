"""Twisted's own TCP transports, on simulated sockets: nothing but the socket is another."""

from __future__ import annotations

import socket as system
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp

if TYPE_CHECKING:
    from twisted_p2p.testing.tcp.stack import TCPStack


class SimulatedPort(tcp.Port):
    """What `listenTCP` of a simulated reactor returns."""

    def __init__(self, stack: TCPStack, *arguments: Any) -> None:
        self._stack = stack
        super().__init__(*arguments)

    def createInternetSocket(self) -> Any:
        """Return a new socket with the options of the binding."""
        socket = self._stack.socket(self.addressFamily)
        binding: Any = self
        socket.setsockopt(system.SOL_SOCKET, system.SO_REUSEADDR, binding._reuseAddress)
        socket.setsockopt(system.SOL_SOCKET, system.SO_REUSEPORT, binding._reusePort)
        return socket


class SimulatedConnector(tcp.Connector):
    """What `connectTCP` of a simulated reactor returns."""

    def __init__(self, stack: TCPStack, *arguments: Any) -> None:
        self.stack = stack
        super().__init__(*arguments)

    def _makeTransport(self) -> SimulatedClient:
        make: Any = SimulatedClient
        transport: SimulatedClient = make(
            self.host, self.port, self.bindAddress, self, self.reactor
        )
        return transport


class SimulatedClient(tcp.Client):
    """The transport of a connection that began here."""

    connector: SimulatedConnector

    def createInternetSocket(self) -> Any:
        """Return a new socket."""
        return self.connector.stack.socket(self.addressFamily)
