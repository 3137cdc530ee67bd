"""Ways to run Twisted's tests on a pair of simulated nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.protocols.wire import Discard
from zope.interface import implementer

from tests.interop.nodes import TwoNodes
from tests.interop.tcp import TCPOverPeers, Told
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.pair import ConnectedPair, connected_pair

NEAR = Link(delay=0.001)
"""What tests expect that wait for some hundredths of a second."""


@implementer(IReactorFDSet)
class PairReactor(TCPOverPeers):
    """A reactor that a test can run, on the host of one node of a pair."""

    def __init__(self) -> None:
        self.pair = connected_pair(None, None, link=NEAR)
        self._nodes_of_pair = TwoNodes(self.pair.b, self.pair.a)
        super().__init__(self, self.two_nodes)
        self._calls: list[Any] = []
        self._over: Deferred[None] = Deferred()

    def two_nodes(self) -> TwoNodes:
        return self._nodes_of_pair

    def callLater(self, delay: float, function: Callable[..., Any], *arguments: Any) -> Any:
        call = self.pair.host_a.reactor.callLater(delay, function, *arguments)
        self._calls.append(call)
        return call

    def getDelayedCalls(self) -> list[Any]:
        return [call for call in self._calls if call.active()]

    def callWhenRunning(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.callLater(0, function, *arguments)

    def run(self) -> None:
        self.pair.until(self._over, limit=600.0)

    def stop(self) -> None:
        self._over.callback(None)

    def close(self) -> None:
        for call in self.getDelayedCalls():
            call.cancel()
        self.pair.stop()

    def getReaders(self) -> list[Any]:
        return []

    getWriters = removeAll = getReaders


class StreamPump:
    """Moves what has been written, as `twisted.test.iosim.IOPump` does."""

    def __init__(self, pair: ConnectedPair, clock: Clock | None) -> None:
        self._pair = pair
        self._clock = clock

    def pump(self) -> None:
        self._pair.run_for(0.1)

    def flush(self, debug: bool = False, advanceClock: bool = True) -> None:  # noqa: N803
        for _ in range(10):
            self.pump()
            if advanceClock and self._clock is not None:
                self._clock.advance(0.01)


class OnPair:
    """Takes the place of Twisted's in-memory connections in a test case."""

    def new_pair(self) -> ConnectedPair:
        """Return a pair that is connected already, so that a new stream is made at once."""
        pair = connected_pair(None, None, link=NEAR)
        pair.connect(Discard(), Factory.forProtocol(Discard)).transport.loseConnection()
        case: Any = self
        case.addCleanup(pair.stop)
        return pair

    def connect(self, pair: ConnectedPair, server: Any, client: Any) -> None:
        """Begin to connect; the client is connected when this returns."""
        nodes = TwoNodes(pair.b, pair.a)
        service = nodes.new_service()
        for begun in (
            nodes.server_endpoint(service).listen(_factory_of(server)),
            nodes.client_endpoint(service).connect(_factory_of(client)),
        ):
            begun.addErrback(lambda _: None)  # the test may be over before

        def let_go() -> None:
            # Connections in memory do not end with the test either.
            server.connectionLost = client.connectionLost = lambda reason: None

        case: Any = self
        case.addCleanup(let_go)

    def connected_server_and_client(
        self,
        server_class: Callable[[], Any],
        client_class: Callable[[], Any],
        *transports: Any,
        greet: bool = True,
        clock: Clock | None = None,
    ) -> tuple[Any, Any, StreamPump]:
        """Do what `twisted.test.iosim.connectedServerAndClient` does."""
        client, server = client_class(), server_class()
        pair = self.new_pair()
        self.connect(pair, server, client)
        pump = StreamPump(pair, clock)
        if greet:
            pump.flush()
        return client, server, pump

    def loopback(self, server: Any, client: Any, *policy: Any) -> Deferred[None]:
        """Do what `twisted.protocols.loopback.loopbackAsync` does."""
        from twisted.internet import reactor as global_reactor  # noqa: PLC0415

        reactor: Any = global_reactor
        pair = self.new_pair()
        lost: list[Any] = []
        is_over = False
        over: Deferred[None] = Deferred()
        self.connect(pair, Told(server, lost.append), Told(client, lost.append))
        pair.run_for(0.005)  # some look at both transports at once

        def step() -> None:
            nonlocal call
            pair.run_for(0.05)
            if is_over:
                return
            if len(lost) == 2:
                over.callback(None)
            else:
                call = reactor.callLater(0, step)

        call = reactor.callLater(0, step)

        def stop() -> None:
            nonlocal is_over
            is_over = True
            if call.active():
                call.cancel()

        case: Any = self
        case.addCleanup(stop)
        return over


def _factory_of(protocol: Any) -> Any:
    factory: Any = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda _: protocol
    return factory
