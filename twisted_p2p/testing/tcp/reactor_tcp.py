"""The part of a simulated reactor that has to do with TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IConnector,
    IListeningPort,
    IOpenSSLContextFactory,
    IProtocolFactory,
    IReactorSSL,
    IReactorTCP,
)
from twisted.internet.protocol import ClientFactory
from zope.interface import implementer

from twisted_p2p.testing.tcp.descriptors import Descriptor
from twisted_p2p.testing.tcp.transports import (
    SimulatedConnector,
    SimulatedPort,
    use_clock_in_tls,
)

if TYPE_CHECKING:
    from twisted_p2p.testing.host import SimulatedHost


@implementer(IReactorTCP, IReactorSSL)
class SimulatedTCPReactor:
    """TCP and TLS as a program on a simulated host sees them."""

    _host: SimulatedHost

    def listenTCP(
        self,
        port: Any,
        factory: IProtocolFactory,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """Listen; the arguments are those of Twisted's `IReactorTCP`."""
        use_clock_in_tls(factory, self)
        listening = SimulatedPort(self._host.tcp, port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30.0,
        bindAddress: Any = None,  # noqa: N803  (as the interface has it)
    ) -> IConnector:
        """Connect; the arguments are those of Twisted's `IReactorTCP`."""
        use_clock_in_tls(factory, self)
        connector = SimulatedConnector(
            self._host.tcp, host, port, factory, timeout, bindAddress, self
        )
        connector.connect()
        return connector

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: IOpenSSLContextFactory,  # noqa: N803  (as the interface has it)
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """Listen with TLS; the arguments are those of Twisted's `IReactorSSL`."""
        in_tls = _in_tls(contextFactory, False, factory)
        return self.listenTCP(port, in_tls, backlog, interface)

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        contextFactory: IOpenSSLContextFactory,  # noqa: N803  (as the interface has it)
        timeout: float = 30.0,
        bindAddress: Any = None,  # noqa: N803  (as the interface has it)
    ) -> IConnector:
        """Connect with TLS; the arguments are those of Twisted's `IReactorSSL`."""
        return self.connectTCP(
            host, port, _in_tls(contextFactory, True, factory), timeout, bindAddress
        )

    # What Twisted's transports ask of their reactor; others than those have nothing to add here.

    def addReader(self, reader: Descriptor) -> None:
        """Call ``doRead`` of a transport whenever its socket is readable."""
        self._host.tcp_descriptors.add_reader(reader)

    def addWriter(self, writer: Descriptor) -> None:
        """Call ``doWrite`` of a transport whenever its socket is writable."""
        self._host.tcp_descriptors.add_writer(writer)

    def removeReader(self, reader: Descriptor) -> None:
        """Call ``doRead`` no more."""
        self._host.tcp_descriptors.removeReader(reader)

    def removeWriter(self, writer: Descriptor) -> None:
        """Call ``doWrite`` no more."""
        self._host.tcp_descriptors.removeWriter(writer)

    def getReaders(self) -> list[Descriptor]:
        """Return the transports that read."""
        return self._host.tcp_descriptors.readers()

    def getWriters(self) -> list[Descriptor]:
        """Return the transports that write."""
        return self._host.tcp_descriptors.writers()


def _in_tls(context: IOpenSSLContextFactory, is_client: bool, factory: Any) -> Any:
    from twisted.protocols.tls import TLSMemoryBIOFactory  # noqa: PLC0415  (OpenSSL loads slowly)

    return TLSMemoryBIOFactory(context, is_client, factory)
