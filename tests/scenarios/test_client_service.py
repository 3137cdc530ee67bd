"""Twisted's `ClientService` over endpoints of peers that do not take it, at first."""

from __future__ import annotations

from twisted.application.internet import ClientService
from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.endpoints import PeerClientEndpoint
from twisted_p2p.errors import PeerOffline, PeerRefused, UnknownService
from twisted_p2p.node.service import P2PNode
from twisted_p2p.protocol import PeerFactory
from twisted_p2p.testing import connected_pair, simulated_node


class Choosy(PeerFactory):
    protocol = Echo
    takes = False

    def may_connect(self, peer_id: str, service: str) -> bool:
        return self.takes


class ClientServiceTests(SynchronousTestCase):
    """It tries again until it is taken, and has nothing to complain of."""

    def setUp(self) -> None:
        self.pair = connected_pair()

    def follow(self, peer: P2PNode) -> ClientService:
        """Start the service, towards a peer."""
        service = ClientService(
            PeerClientEndpoint(self.pair.a, peer.peer_id, "echo"),
            Factory.forProtocol(Echo),
            retryPolicy=lambda attempts: 1.0,
            clock=self.pair.host_a.reactor,
        )
        service.startService()
        return service

    def fails(self, service: ClientService, error: type[Exception]) -> None:
        """Assert that two attempts fail by an error, and that nothing is logged."""
        for _ in range(2):
            attempt = service.whenConnected(failAfterFailures=1)
            with self.assertRaises(error):
                self.pair.until(attempt)
        self.assertEqual(self.flushLoggedErrors(), [])

    def connects(self, service: ClientService) -> None:
        """Assert that the service connects, and stops as it should."""
        self.assertIsInstance(self.pair.until(service.whenConnected()), Echo)
        self.pair.until(service.stopService())
        self.assertEqual(self.flushLoggedErrors(), [])
        self.pair.stop()

    def test_a_service_that_comes_later(self) -> None:
        self.pair.until(self.pair.b.listen("another", Factory.forProtocol(Echo)))
        service = self.follow(self.pair.b)
        self.fails(service, UnknownService)
        self.pair.until(self.pair.b.listen("echo", Factory.forProtocol(Echo)))
        self.connects(service)

    def test_a_peer_that_refuses_for_a_while(self) -> None:
        choosy = Choosy()
        self.pair.until(self.pair.b.listen("echo", choosy))
        service = self.follow(self.pair.b)
        self.fails(service, PeerRefused)
        choosy.takes = True
        self.connects(service)

    def test_a_peer_that_is_offline_for_a_while(self) -> None:
        host = self.pair.internet.add_host("later", "11.0.9.1")
        peer = simulated_node(host, [self.pair.tracker.address])
        service = self.follow(peer)
        self.fails(service, PeerOffline)
        peer.startService()
        self.pair.until(peer.listen("echo", Factory.forProtocol(Echo)))
        self.connects(service)
