"""A reactor for Twisted's tests on a pair of simulated nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from zope.interface import implementer

from tests.interop.nodes import TwoNodes
from tests.interop.tcp import TCPOverPeers
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.pair import connected_pair

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
