from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_p2p.endpoints import PeerClientEndpoint, PeerServerEndpoint
from twisted_p2p.errors import InvalidPeerID, PeerOffline
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.interfaces import IPeerNode

PEER = IdentityKey.from_seed(bytes(32)).peer_id
FACTORY = Factory.forProtocol(Protocol)


@implementer(IPeerNode)
class FakeNode:
    """Remembers what it was asked for."""

    peer_id = str(PEER)

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def connect(self, peer_id: str, service: str, factory: Any) -> Deferred[Any]:
        self.asked.append((peer_id, service, factory))
        return succeed("a protocol")

    def listen(self, service: str, factory: Any, allow: Any = None) -> Deferred[Any]:
        self.asked.append((service, factory, allow))
        return succeed("a port")

    def connection_with(self, peer_id: str) -> None:
        return None


class EndpointTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = FakeNode()
        verifyObject(IPeerNode, self.node)

    def test_a_client_endpoint_connects_to_its_service_of_its_peer(self) -> None:
        endpoint = PeerClientEndpoint(self.node, PEER, "echo")
        verifyObject(IStreamClientEndpoint, endpoint)
        for _ in range(2):
            self.assertEqual(self.successResultOf(endpoint.connect(FACTORY)), "a protocol")
        self.assertEqual(self.node.asked, [(PEER, "echo", FACTORY)] * 2)

    def test_a_client_endpoint_is_of_a_peer(self) -> None:
        for text in ("", "nobody", PEER.upper(), f"{PEER} "):
            self.assertRaises(InvalidPeerID, PeerClientEndpoint, self.node, text, "echo")

    def test_an_attempt_that_is_cancelled_fails_as_those_of_other_endpoints(self) -> None:
        for cause in (ConnectingCancelledError, CancelledError):
            self.patch(self.node, "connect", lambda *_: Deferred())
            connecting = PeerClientEndpoint(self.node, PEER, "echo").connect(FACTORY)
            connecting.cancel()
            error = self.failureResultOf(connecting, cause).value
            self.assertEqual((error.address.peer_id, error.address.service), (PEER, "echo"))
            self.assertIsNone(error.address.path)

    def test_another_failure_of_an_attempt_stays_what_it_is(self) -> None:
        self.patch(self.node, "connect", lambda *_: fail(PeerOffline()))
        endpoint = PeerClientEndpoint(self.node, PEER, "echo")
        self.failureResultOf(endpoint.connect(FACTORY), PeerOffline)

    def test_a_server_endpoint_listens_for_its_service(self) -> None:
        for allow in (None, {PEER}):
            endpoint = PeerServerEndpoint(self.node, "echo", allow)
            verifyObject(IStreamServerEndpoint, endpoint)
            self.assertEqual(self.successResultOf(endpoint.listen(FACTORY)), "a port")
            self.assertEqual(self.node.asked.pop(), ("echo", FACTORY, allow))
