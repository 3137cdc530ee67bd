"""Twisted's own TCP transports, on simulated sockets: nothing but the socket is another."""

from __future__ import annotations

import socket as system
import sys
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp

if TYPE_CHECKING:
    from twisted_p2p.testing.tcp.stack import TCPStack


class _ClockedTLS:
    """Lets TLS that starts on a connection have its clock from the simulated reactor."""

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Begin to speak TLS."""
        transport: Any = super()
        transport.startTLS(ctx, normal)
        connection: Any = self
        connection.protocol._aggregator._clock = connection.reactor


class SimulatedServer(_ClockedTLS, tcp.Server):
    """The transport of a connection that was accepted here."""


class SimulatedPort(tcp.Port):
    """What `listenTCP` of a simulated reactor returns."""

    transport = SimulatedServer

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


class SimulatedClient(_ClockedTLS, tcp.Client):
    """The transport of a connection that began here."""

    connector: SimulatedConnector

    def createInternetSocket(self) -> Any:
        """Return a new socket."""
        return self.connector.stack.socket(self.addressFamily)


def use_clock_in_tls(factory: Any, clock: Any) -> None:
    """Let a TLS factory, which may be wrapped, have its clock from a simulated reactor.

    Twisted's endpoints give it none, and it would wait for the turns of the installed reactor.
    """
    tls: Any = sys.modules.get("twisted.protocols.tls")
    while tls is not None and factory is not None:
        if isinstance(factory, tls.TLSMemoryBIOFactory):
            factory._clock = clock
        inner = getattr(factory, "_wrappedFactory", None)
        factory = inner or getattr(factory, "wrappedFactory", None)
