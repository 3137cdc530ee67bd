"""Twisted's own tests of stream transports, over the streams of two nodes.

They are run as they are, with endpoints of ours in place of TCP's, on real reactors and on a
simulated pair.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.test import test_tcp, test_tls
from twisted.internet.test.connectionmixins import (
    ConnectionTestsMixin,
    EndpointCreator,
    StreamClientTestsMixin,
)
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.interop.judging import judge
from tests.interop.nodes import LoopbackNodes
from tests.interop.simulated import PairReactor
from tests.interop.tcp import TCPOverPeers
from twisted_p2p.connection import stream
from twisted_p2p.connection.stream import PeerStream

REAL = "two nodes on the select, epoll and asyncio reactors"
ONE = "two nodes on the select reactor"
WHERE = f"{REAL}; a simulated pair"


class PeerCreator(EndpointCreator):
    """Our endpoints."""

    interface = "127.0.0.1"

    def server(self, reactor: Any) -> Any:
        nodes = reactor.two_nodes()
        return nodes.server_endpoint(nodes.new_service())

    def client(self, reactor: Any, serverAddress: Any) -> Any:  # noqa: N803
        return reactor.two_nodes().client_endpoint(serverAddress.service)


class TLSEndpoint:
    """TLS within streams, on either side."""

    def __init__(self, endpoint: Any, context: Any, reactor: Any) -> None:
        self._endpoint = endpoint
        self._context = context
        self._reactor = reactor

    def listen(self, factory: Any) -> Any:
        return self._endpoint.listen(
            TLSMemoryBIOFactory(self._context, False, factory, clock=self._reactor)
        )

    def connect(self, factory: Any) -> Any:
        connecting = self._endpoint.connect(
            TLSMemoryBIOFactory(self._context, True, factory, clock=self._reactor)
        )
        return connecting.addCallback(lambda tls: tls.wrappedProtocol)


class TLSCreator(PeerCreator, test_tls.ContextGeneratingMixin):
    """TLS within our streams."""

    def server(self, reactor: Any) -> Any:
        return TLSEndpoint(super().server(reactor), self.getServerContext(), reactor)

    def client(self, reactor: Any, serverAddress: Any) -> Any:  # noqa: N803
        return TLSEndpoint(super().client(reactor, serverAddress), self.getClientContext(), reactor)


def assert_reading(case: Any, reactor: Any, transport: Any) -> None:
    case.assertTrue(transport._reading)


def assert_not_reading(case: Any, reactor: Any, transport: Any) -> None:
    case.assertFalse(transport._reading)


class OverPeers(ReactorBuilder):
    """Gives each reactor two nodes, once a test needs them."""

    timeout = 10
    _reactors = [  # noqa: RUF012  (Twisted's own name)
        "twisted.internet.selectreactor.SelectReactor",
        "twisted.internet.test.reactormixins.AsyncioSelectorReactor",
        "twisted.internet.epollreactor.EPollReactor",
    ]

    def setUp(self) -> None:
        super().setUp()
        case: Any = self
        # These stand for TCP where the tests leave no choice.
        case.patch(test_tcp, "TCPCreator", PeerCreator)
        case.patch(test_tcp, "assertReading", assert_reading)
        case.patch(test_tcp, "assertNotReading", assert_not_reading)
        # Two names of a file descriptor's for what every transport has.
        PeerStream.stopReading = PeerStream.pauseProducing  # type: ignore[attr-defined]
        PeerStream.startReading = PeerStream.resumeProducing  # type: ignore[attr-defined]
        # Ours is a constant.
        case.patch(stream, "BUFFER_SIZE", stream.BUFFER_SIZE)

    def tearDown(self) -> None:
        del PeerStream.stopReading, PeerStream.startReading  # type: ignore[attr-defined]
        super().tearDown()

    def setWriteBufferSize(self, transport: Any, value: int) -> None:  # noqa: N802
        stream.BUFFER_SIZE = value

    def buildReactor(self) -> Any:
        reactor: Any = super().buildReactor()
        nodes: list[LoopbackNodes] = []

        def two_nodes() -> LoopbackNodes:
            if not nodes:
                nodes.append(LoopbackNodes(reactor))
                reactor.addSystemEventTrigger("before", "shutdown", nodes[0].stop)
            return nodes[0]

        tcp = TCPOverPeers(reactor, two_nodes)
        reactor.two_nodes = two_nodes
        reactor.listenTCP, reactor.connectTCP = tcp.listenTCP, tcp.connectTCP
        return reactor


class Simulated:
    """Lets a builder's tests run on a simulated pair."""

    def buildReactor(self) -> PairReactor:
        reactor = PairReactor()
        case: Any = self
        case.addCleanup(reactor.close)
        return reactor


@judge(ConnectionTestsMixin, WHERE)
class Connection(OverPeers, ConnectionTestsMixin):
    endpoints = PeerCreator()


@judge(ConnectionTestsMixin, f"TLS within streams: {ONE}; a simulated pair")
class TLSConnection(OverPeers, ConnectionTestsMixin):
    _reactors = OverPeers._reactors[:1]
    endpoints = TLSCreator()


@judge(
    StreamClientTestsMixin,
    WHERE,
    test_interface="connectors are of connectTCP; a Deferred can be cancelled instead",
    test_clientConnectionFailedStopsReactor="connectors are of connectTCP",
)
class StreamClient(OverPeers, StreamClientTestsMixin):
    def listen(self, reactor: Any, factory: Any) -> Any:
        self.port = reactor.listenTCP(0, factory)
        return self.port

    def connect(self, reactor: Any, factory: Any) -> Any:
        return reactor.connectTCP("127.0.0.1", self.port.getHost().port, factory)


@judge(
    test_tcp.TCPConnectionTestsBuilder,
    WHERE,
    test_resumeProducingWhileDisconnected="it calls a method that file descriptors alone have",
)
class TCPConnection(OverPeers, test_tcp.TCPConnectionTestsBuilder):
    pass


@judge(
    test_tcp.TCPTransportTestsBuilder,
    WHERE,
    test_serverAddressTCP4="it is about the addresses of TCP",
    test_serverAddressTCP6="it is about the addresses of TCP",
)
class TCPTransport(OverPeers, test_tcp.TCPTransportTestsBuilder):
    pass


# On a busy machine the client may abort before the server has its protocol, which these tests,
# made for TCP, do not expect; in virtual time it never does.
@judge(test_tcp.AbortConnectionMixin, "a simulated pair")
class Abort(OverPeers, test_tcp.AbortConnectionMixin):
    _reactors: list[str] = []  # noqa: RUF012  (as Twisted has it)
    endpoints = PeerCreator()


BUILDERS = (Connection, TLSConnection, StreamClient, TCPConnection, TCPTransport, Abort)
for builder in BUILDERS:
    globals().update(builder.makeTestCaseClasses())
    name = f"{builder.__name__}_SimulatedTests"
    bases = (Simulated, builder, SynchronousTestCase)
    globals()[name] = type(name, bases, {"__module__": __name__})
