"""Streams of a simulated pair in place of Twisted's connections in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.protocols.wire import Discard

from tests.interop.nodes import TwoNodes
from tests.interop.simulated import NEAR
from tests.interop.tcp import EarlyFactory, Told
from twisted_p2p.testing.pair import ConnectedPair, connected_pair

reactor: Any = global_reactor


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
            nodes.server_endpoint(service).listen(EarlyFactory(lambda _: server)),
            nodes.client_endpoint(service).connect(EarlyFactory(lambda _: client)),
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
