from __future__ import annotations

from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p.errors import InvalidPeerID, PeerRefused, ServiceInUse, UnknownService
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
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

    def test_addresses_are_told_to_whom_a_service_admits(self) -> None:
        policy = self.listeners.address_policy
        self.assertEqual(policy(), (AddressPolicy.AFTER_ANSWER, frozenset()))
        self.listeners.add("one", self.factory, [peer(1)])
        self.listeners.add("two", self.factory, [peer(1), peer(2)])
        self.assertEqual(policy(), (AddressPolicy.LISTED, {peer(1), peer(2)}))
        many = self.listeners.add("many", self.factory, [peer(number) for number in range(17)])
        self.assertEqual(policy(), (AddressPolicy.AFTER_ANSWER, frozenset()))
        self.listeners.add("all", self.factory, None)
        self.assertEqual(policy(), (AddressPolicy.ANYONE, frozenset()))
        many.stopListening()
        self.assertEqual(policy(), (AddressPolicy.ANYONE, frozenset()))

    def test_what_is_listed_fits_into_a_record_whatever_it_is(self) -> None:
        for number in range(40):
            self.listeners.add(f"{number:02}{'ä' * 60}", self.factory, [peer(number % 16)])
        policy, listed = self.listeners.address_policy()
        identity = IdentityKey.from_seed(bytes(32))
        services = self.listeners.services
        record = PeerRecord(
            peer_id=identity.peer_id,
            sequence=2**64 - 1,
            lifetime=300,
            accepting=True,
            services=services,
            address_policy=policy,
            listed_keys=tuple(one.public_key for one in listed),
            nat_facts=bytes(16),
        )
        self.assertEqual(len(listed), 16)
        self.assertEqual(len(services), 1)
        self.assertLess(len(record.sign(identity)), 1000)

    def test_as_many_services_are_listed_as_there_is_room_for(self) -> None:
        for number in range(30):
            self.listeners.add(f"service{number:03}", self.factory, None)
        expected = tuple(f"service{number:03}" for number in range(14))
        self.assertEqual(self.listeners.services, expected)


class ServiceNameTests(SynchronousTestCase):
    def test_a_name_has_1_to_255_bytes(self) -> None:
        for name in ("a", "a" * 255, "ä" * 127):
            check_service(name)
        for name in ("", "a" * 256, "ä" * 128, "\ud800"):
            self.assertRaises(ValueError, check_service, name)
