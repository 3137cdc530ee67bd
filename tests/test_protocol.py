from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.scenarios.world import World
from twisted_p2p import (
    HostPort,
    Path,
    PeerAddress,
    PeerClientEndpoint,
    PeerFactory,
    PeerProtocol,
    PeerServerEndpoint,
)
from twisted_p2p.errors import PeerRefused
from twisted_p2p.interfaces import IPathObserver, IPeerFactory


class Noting(PeerProtocol):
    """Remembers its hooks; as the server it says whom it has met."""

    def __init__(self) -> None:
        self.met: list[PeerAddress] = []
        self.paths: list[Path | None] = []
        self.received = b""

    def peer_connected(self, address: PeerAddress) -> None:
        self.met.append(address)

    def path_changed(self, path: Path | None) -> None:
        self.paths.append(path)

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class Choosy(PeerFactory):
    protocol = Noting

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.decision: Any = True

    def may_connect(self, peer_id: str, service: str) -> bool | Deferred[bool]:
        self.asked.append((peer_id, service))
        decision: bool | Deferred[bool] = self.decision
        return decision

    def buildProtocol(self, addr: Any) -> Any:
        self.built = super().buildProtocol(addr)
        return self.built


class PeerProtocolTests(SynchronousTestCase):
    def test_they_are_what_their_interfaces_say(self) -> None:
        self.assertTrue(verifyObject(IProtocol, PeerProtocol()))
        self.assertTrue(verifyObject(IPathObserver, PeerProtocol()))
        self.assertTrue(verifyObject(IProtocolFactory, PeerFactory()))
        self.assertTrue(verifyObject(IPeerFactory, PeerFactory()))

    def test_a_factory_makes_peer_protocols_and_lets_everybody_in(self) -> None:
        factory = PeerFactory()
        self.assertIsInstance(factory.buildProtocol(None), PeerProtocol)
        self.assertIs(factory.may_connect("peer", "service"), True)

    def test_both_sides_know_their_peer_and_its_path(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            service = Choosy()
            world.until(PeerServerEndpoint(right, "chat").listen(service))
            endpoint = PeerClientEndpoint(left, right.peer_id, "chat")
            client = world.until(connectProtocol(endpoint, Noting()))

            self.assertEqual(service.asked, [(left.peer_id, "chat")])
            for protocol, peer in ((client, right), (service.built, left)):
                (address,) = protocol.met
                self.assertEqual((address.peer_id, address.service), (peer.peer_id, "chat"))
                self.assertEqual(address.path.remote.host, world.seen_at[peer])
                elsewhere = Path("punched", "udp", HostPort("10.0.0.1", 1), HostPort("11.0.0.1", 2))
                protocol.transport.path_changed(elsewhere)
                self.assertEqual(protocol.paths[-1], elsewhere)

    def test_a_factory_decides_in_its_own_time(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            service = Choosy()
            service.decision = Deferred()
            world.until(PeerServerEndpoint(right, "chat").listen(service))
            endpoint = PeerClientEndpoint(left, right.peer_id, "chat")
            connecting = connectProtocol(endpoint, Noting())
            world.run(40.0)
            self.assertNoResult(connecting)
            service.decision.callback(False)
            self.assertIsInstance(world.error_of(connecting), PeerRefused)
