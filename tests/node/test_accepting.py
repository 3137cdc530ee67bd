from __future__ import annotations

from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p.errors import InvalidPeerID, PeerRefused, ServiceInUse, UnknownService
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.node.accepting import Listeners, check_service
from twisted_p2p.rendezvous.offer import Refusal


def peer(number: int) -> PeerID:
    return IdentityKey.from_seed(bytes([number] * 32)).peer_id


class Counting(Factory):
    noisy = False
    started = 0

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1


class ListenersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.changes = 0
        self.listeners = Listeners(peer(0), self.changed)
        self.factory = Counting()

    def changed(self) -> None:
        self.changes += 1

    def test_a_listener_is_a_port_that_tells_whom_to_dial(self) -> None:
        port = self.listeners.add("echo", self.factory, None)
        verifyObject(IListeningPort, port)
        port.startListening()
        address = port.getHost()
        self.assertEqual((address.peer_id, address.service, address.path), (peer(0), "echo", None))
        self.assertEqual(self.factory.started, 1)

    def test_each_change_is_told_and_each_factory_started_and_stopped_once(self) -> None:
        port = self.listeners.add("echo", self.factory, None)
        self.assertEqual((self.changes, self.factory.started), (1, 1))
        for _ in range(2):
            self.assertIsNone(self.successResultOf(port.stopListening()))
            self.assertEqual((self.changes, self.factory.started), (2, 0))
        other = self.listeners.add("echo", self.factory, None)
        port.stopListening()  # is not the one that listens now
        self.assertIs(self.listeners.factory_for(peer(1), "echo"), self.factory)
        self.listeners.close()
        other.stopListening()
        self.assertEqual((self.changes, self.factory.started), (4, 0))
        self.assertTrue(self.listeners.is_empty)

    def test_a_service_in_use_or_a_list_of_no_peers_changes_nothing(self) -> None:
        self.listeners.add("echo", self.factory, None)
        self.assertRaises(ServiceInUse, self.listeners.add, "echo", self.factory, None)
        self.assertRaises(InvalidPeerID, self.listeners.add, "other", self.factory, ["nobody"])
        self.assertRaises(ValueError, self.listeners.add, "", self.factory, None)
        self.assertEqual((self.changes, self.factory.started), (1, 1))
        self.assertEqual(self.listeners.services, ("echo",))

    def test_who_may_have_a_service_gets_its_factory(self) -> None:
        self.listeners.add("all", self.factory, None)
        self.listeners.add("some", self.factory, [peer(1)])
        self.listeners.add("none", self.factory, [])
        for number, service in ((1, "all"), (2, "all"), (1, "some")):
            self.assertIs(self.listeners.factory_for(peer(number), service), self.factory)
        for number, service in ((2, "some"), (1, "none")):
            self.assertRaises(PeerRefused, self.listeners.factory_for, peer(number), service)
        self.assertRaises(UnknownService, self.listeners.factory_for, peer(1), "other")

    def test_an_offer_is_taken_from_whom_any_service_admits(self) -> None:
        self.assertIs(self.listeners.refusal_for(peer(1)), Refusal.NOT_ACCEPTING)
        self.listeners.add("some", self.factory, [peer(1)])
        self.assertIsNone(self.listeners.refusal_for(peer(1)))
        self.assertIs(self.listeners.refusal_for(peer(2)), Refusal.NOT_ALLOWED)
        self.listeners.add("all", self.factory, None)
        self.assertIsNone(self.listeners.refusal_for(peer(2)))

    def test_whom_any_service_admits_is_allowed(self) -> None:
        self.assertEqual(self.listeners.allowed, frozenset())
        self.listeners.add("one", self.factory, [peer(1)])
        self.listeners.add("two", self.factory, [peer(1), peer(2)])
        self.assertEqual(self.listeners.allowed, {peer(1), peer(2)})
        everybody = self.listeners.add("all", self.factory, None)
        self.assertIsNone(self.listeners.allowed)
        everybody.stopListening()
        self.assertEqual(self.listeners.allowed, {peer(1), peer(2)})
        self.assertEqual(self.listeners.services, ("one", "two"))


class ServiceNameTests(SynchronousTestCase):
    def test_a_name_has_1_to_255_bytes(self) -> None:
        for name in ("a", "a" * 255, "ä" * 127):
            check_service(name)
        for name in ("", "a" * 256, "ä" * 128, "\ud800"):
            self.assertRaises(ValueError, check_service, name)
