"""`listenTCP` and `connectTCP` over streams of peers, for tests that know no endpoints.

A port number is the name of a service of the listening node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.base import BaseConnector
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import _WrappingProtocol
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.interop.nodes import TwoNodes
from twisted_p2p.interfaces import IEarlyFactory


class Told(_WrappingProtocol):
    """A protocol, and somebody who is told after it that it is lost; both have the stream."""

    def __init__(self, protocol: Any, on_lost: Callable[[Failure], object]) -> None:
        super().__init__(Deferred(), protocol)
        self._on_lost = on_lost

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        super().connectionLost(reason)
        self._on_lost(reason)


@implementer(IEarlyFactory)
class EarlyFactory(Factory):
    """Connects as TCP does, which lets nobody ask the listening program first."""

    noisy = False

    def __init__(self, build: Callable[[Any], Any]) -> None:
        self._build = build

    def buildProtocol(self, addr: Any) -> Any:
        return self._build(addr)


@implementer(IAddress)
@frozen
class ServiceAddress:
    """A service of a peer in the words of TCP."""

    host: str
    port: int


@implementer(IListeningPort)
@define(eq=False)
class ServicePort:
    """A service that is offered at once."""

    nodes: TwoNodes
    number: int
    factory: IProtocolFactory
    connected: bool = False
    _listening: Deferred[Any] = field(factory=Deferred, init=False)

    @property
    def disconnected(self) -> bool:
        return not self.connected

    def startListening(self) -> None:
        self._listening = self.nodes.server_endpoint(str(self.number)).listen(self.factory)
        self.connected = True

    def stopListening(self) -> Deferred[None]:
        self.connected = False
        listening, self._listening = self._listening, Deferred()
        listening.addCallbacks(
            lambda port: port.stopListening(), lambda reason: reason.trap(CancelledError) and None
        )
        listening.cancel()
        return listening

    def getHost(self) -> ServiceAddress:  # type: ignore[override]
        return ServiceAddress("127.0.0.1", self.number)


class Attempt:
    """One try of a connector, in place of a TCP client's socket."""

    def __init__(self, connector: ServiceConnector) -> None:
        self._stream: Any = None
        self._connector = connector
        connector.endpoint.connect(EarlyFactory(self._build)).addErrback(self._failed)

    def _build(self, address: Any) -> Any:
        protocol = self._connector.buildProtocol(address)
        self._stream = Told(protocol, self._connector.connectionLost)
        return self._stream

    def _failed(self, reason: Failure) -> None:
        if self._stream is None:
            self._connector.connectionFailed(reason)

    def loseConnection(self) -> None:
        self._stream.transport.loseConnection()


class ServiceConnector(BaseConnector):
    """Dials a service."""

    def __init__(self, endpoint: Any, factory: Any, reactor: Any) -> None:
        self.endpoint = endpoint
        super().__init__(factory, None, reactor)

    def _makeTransport(self) -> Any:
        return Attempt(self)


class TCPOverPeers:
    """What a reactor lends to tests in place of TCP."""

    def __init__(self, reactor: Any, nodes: Callable[[], TwoNodes]) -> None:
        """Take what makes the nodes, which is called when they are first needed."""
        self._reactor = reactor
        self._nodes = nodes

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> ServicePort:
        nodes = self._nodes()
        listening = ServicePort(nodes, port or int(nodes.new_service()), factory)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,  # noqa: N803
    ) -> ServiceConnector:
        endpoint = self._nodes().client_endpoint(str(port))
        connector = ServiceConnector(endpoint, factory, self._reactor)
        connector.connect()  # type: ignore[no-untyped-call]
        return connector
