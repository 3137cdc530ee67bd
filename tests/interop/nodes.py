"""Two nodes and a tracker on a reactor's loopback, or on simulated hosts."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from twisted_p2p.addresses import HostPort
from twisted_p2p.endpoints import PeerClientEndpoint, PeerServerEndpoint
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.node.service import P2PNode
from twisted_p2p.tracker.datagrams import TrackerServerDatagramProtocol

LOOPBACK = "127.0.0.1"


class TwoNodes:
    """One node that listens and one that dials."""

    def __init__(self, server: P2PNode, client: P2PNode) -> None:
        self.server = server
        self.client = client
        self._services = 0

    def new_service(self) -> str:
        """Return the name of a service that nobody offers."""
        self._services += 1
        return str(self._services)

    def server_endpoint(self, service: str) -> PeerServerEndpoint:
        return PeerServerEndpoint(self.server, service)

    def client_endpoint(self, service: str) -> PeerClientEndpoint:
        return PeerClientEndpoint(self.client, self.server.peer_id, service)

    def stop(self) -> Deferred[Any]:
        return gatherResults([node.stopService() for node in (self.server, self.client)])


class LoopbackNodes(TwoNodes):
    """Nodes on the real reactor, with a tracker of their own."""

    def __init__(self, reactor: Any) -> None:
        protocol = TrackerServerDatagramProtocol(reactor)
        self._tracker = protocol.tracker
        self._port = reactor.listenUDP(0, protocol, LOOPBACK)
        address = HostPort(LOOPBACK, self._port.getHost().port)
        super().__init__(*(self._node(reactor, address) for _ in range(2)))

    @staticmethod
    def _node(reactor: Any, tracker: HostPort) -> P2PNode:
        node = P2PNode(
            reactor,
            IdentityKey.generate(),
            trackers=[tracker],
            lan=False,
        )
        node.startService()
        return node

    def stop(self) -> Deferred[Any]:
        return super().stop().addCallback(lambda _: self._stop_tracker())

    def _stop_tracker(self) -> Deferred[Any]:
        self._tracker.close()
        return maybeDeferred(self._port.stopListening)
