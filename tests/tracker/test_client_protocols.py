"""The classes that use a tracker, by themselves on simulated hosts."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p import (
    HostPort,
    IdentityKey,
    Introduction,
    PresentPeer,
    TrackerClientDatagramProtocol,
    TrackerClientFactory,
    TrackerClientProtocol,
)
from twisted_p2p.errors import InvalidPeerID, P2PError, PeerOffline, PeerRefused, TrackerUnreachable
from twisted_p2p.testing import PORT_RESTRICTED, SimulatedInternet
from twisted_p2p.testing.servers import SimulatedTracker
from twisted_p2p.tracker.client_events import HandedOver
from twisted_p2p.tracker.messages import OfferHandedOver
from twisted_p2p.tracker.watch import WATCH_INTERVAL

TRACKER = HostPort("11.9.0.2", 3478)


class Noting:
    """Remembers its hooks."""

    log: list[tuple[Any, ...]]

    def note(self, *words: Any) -> None:
        self.__dict__.setdefault("log", []).append(words)

    def registered(self, address: HostPort) -> None:
        self.note("registered", address.host)

    def registration_lost(self, error: P2PError) -> None:
        self.note("registration_lost", type(error))

    def introduced(self, introduction: Introduction) -> None:
        self.note("introduced", introduction)

    def peer_online(self, peer_id: str) -> None:
        self.note("peer_online", peer_id)

    def peer_offline(self, peer_id: str) -> None:
        self.note("peer_offline", peer_id)

    def other_datagram_received(self, data: bytes, address: HostPort) -> None:
        self.note("other", data, address)


class NotingDatagramProtocol(Noting, TrackerClientDatagramProtocol):
    pass


class NotingProtocol(Noting, TrackerClientProtocol):
    pass


class ClientTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = SimulatedInternet()
        self.tracker = SimulatedTracker(self.net.add_host("tracker", TRACKER.host))
        self.count = 0

    def add(self, **options: Any) -> Any:
        """Return a client behind a NAT that does not run yet, and its host."""
        self.count += 1
        home = self.net.add_network(f"home {self.count}", f"11.1.0.{self.count}", PORT_RESTRICTED)
        return self.net.add_host(f"client {self.count}", "192.168.0.2", network=home)

    def options(self, host: Any, **options: Any) -> dict[str, Any]:
        return {
            "random_bytes": host.random.randbytes,
            "wall_clock": host.reactor.seconds,
            **options,
        }

    def listen(self, *, kind: Any = NotingDatagramProtocol, **options: Any) -> Any:
        host = self.add()
        identity = IdentityKey.from_seed(host.random.randbytes(32))
        client = kind(host.reactor, identity, TRACKER, **self.options(host, **options))
        client.host, client.peer_id = host, identity.peer_id
        host.reactor.listenUDP(0, client)
        return client

    def connect(self, **options: Any) -> Any:
        host = self.add()
        identity = IdentityKey.from_seed(host.random.randbytes(32))
        factory = TrackerClientFactory(host.reactor, identity, **self.options(host, **options))
        factory.protocol = NotingProtocol
        client: Any = self.net.run_until(
            TCP4ClientEndpoint(host.reactor, *TRACKER).connect(factory)
        )
        client.host, client.peer_id = host, identity.peer_id
        return client

    def both(self) -> list[Any]:
        clients = [self.listen(), self.connect()]
        for client in clients:
            self.net.run_until(client.when_registered())
        return clients

    def error_of(self, waiting: Deferred[Any]) -> Exception:
        return self.assertRaises(P2PError, self.net.run_until, waiting)


class ClientProtocolTests(ClientTestCase):
    def test_they_are_what_their_interfaces_say(self) -> None:
        factory = TrackerClientFactory(self.add().reactor, IdentityKey.generate())
        self.assertTrue(verifyObject(IProtocolFactory, factory))
        self.assertTrue(verifyObject(IProtocol, factory.buildProtocol(None)))

    def test_they_register_and_learn_their_address(self) -> None:
        for number, client in enumerate(self.both(), 1):
            self.assertEqual(client.log, [("registered", f"11.1.0.{number}")])
        self.assertEqual(self.tracker.status()["nodes"], 2)

    def test_they_look_each_other_up(self) -> None:
        one, two = self.listen(services=("chat",), accepting=True), self.connect(accepting=False)
        for client in (one, two):
            self.net.run_until(client.when_registered())
        presence = self.net.run_until(two.look_up(one.peer_id))
        self.assertEqual((presence.accepting, presence.services), (True, ("chat",)))
        self.assertFalse(self.net.run_until(one.look_up(two.peer_id)).accepting)
        self.assertIsInstance(
            self.error_of(one.look_up(IdentityKey.generate().peer_id)), PeerOffline
        )

    def test_they_list_each_other(self) -> None:
        one = self.listen(services=("chat",), topics=["games"], accepting=False)
        two = self.connect(topics=["games"])
        for client in (one, two):
            self.net.run_until(client.when_registered())
        listing = self.net.run_until(two.list_peers("games"))
        self.assertEqual(listing.in_all, 1)
        self.assertEqual(listing.peers, (PresentPeer(one.peer_id, False, ("chat",), False),))
        [peer] = self.net.run_until(one.list_peers()).peers
        self.assertEqual((peer.peer_id, peer.accepting), (two.peer_id, True))
        self.assertEqual(self.net.run_until(one.list_peers("other")).peers, ())
        self.assertRaises(ValueError, one.list_peers, "t" * 33)

    def test_what_is_no_topic_is_refused(self) -> None:
        self.assertRaises(ValueError, self.listen, topics=["t" * 33])

    def test_an_introduction_carries_boxes_both_ways(self) -> None:
        for one, two in (self.both(), self.both()[::-1]):
            told = self.net.run_until(one.introduce(two.peer_id, b"offer"))
            self.net.run_for(1.0)
            [(_, offer)] = [words for words in two.log if words[0] == "introduced"]
            self.assertEqual((offer.peer_id, offer.box), (one.peer_id, b"offer"))
            self.assertFalse(offer.is_answer)
            self.assertEqual([a.host for a in offer.addresses], [one.log[0][1]])
            self.assertEqual([a.host for a in told.addresses], [two.log[0][1]])
            self.net.run_until(two.answer(one.peer_id, b"answer"))
            self.net.run_for(1.0)
            [(_, answer)] = [words for words in one.log if words[0] == "introduced"]
            self.assertEqual((answer.peer_id, answer.box), (two.peer_id, b"answer"))
            self.assertTrue(answer.is_answer)

    def test_who_is_not_allowed_is_not_introduced(self) -> None:
        one = self.listen()
        two = self.listen(allow=[IdentityKey.generate().peer_id])
        for client in (one, two):
            self.net.run_until(client.when_registered())
        self.assertIsInstance(self.error_of(one.introduce(two.peer_id, b"offer")), PeerRefused)
        self.assertRaises(InvalidPeerID, self.listen, allow=["nobody"])

    def test_the_trackers_restart_is_told_and_mended(self) -> None:
        client = self.listen()
        self.net.run_until(client.when_registered())
        self.tracker.stop()
        self.net.run_for(60.0)
        self.assertEqual(client.log[1], ("registration_lost", TrackerUnreachable))
        self.tracker.restart()
        self.net.run_for(60.0)
        self.assertEqual(client.log[-1][0], "registered")

    def test_a_stream_ends_with_its_tracker(self) -> None:
        client = self.connect()
        self.net.run_until(client.when_registered())
        waiting = client.look_up(IdentityKey.generate().peer_id)
        self.tracker.stop()
        self.net.run_for(1.0)
        self.failureResultOf(waiting)
        self.failureResultOf(client.when_registered())
        self.net.run_for(20.0)
        self.assertEqual(client.host.reactor.getDelayedCalls(), [])

    def test_a_silent_tracker_makes_the_stream_end(self) -> None:
        client = self.connect()
        self.net.run_until(client.when_registered())
        self.tracker.host.disconnect()
        self.net.run_for(120.0)
        self.assertTrue(client.transport.disconnecting or not client.transport.connected)
        self.assertIn(("registration_lost", TrackerUnreachable), client.log)

    def test_stop_unregisters_and_leaves_nothing(self) -> None:
        for client in self.both():
            client.watch(IdentityKey.generate().peer_id)
            self.net.run_until(client.stop())
            self.net.run_for(20.0)
            self.assertEqual(client.host.reactor.getDelayedCalls(), [])
        self.assertEqual(self.tracker.status()["nodes"], 0)

    def test_a_port_that_is_closed_beneath_it_leaves_nothing(self) -> None:
        client = self.listen()
        self.net.run_until(client.when_registered())
        client.watch(IdentityKey.generate().peer_id)
        self.net.run_until(client.transport.stopListening())
        self.assertEqual(client.host.reactor.getDelayedCalls(), [])

    def test_what_comes_from_elsewhere_is_the_users(self) -> None:
        client = self.listen()
        self.net.run_until(client.when_registered())
        stranger: Any = DatagramProtocol()
        self.net.add_host(
            "neighbour", "192.168.0.3", network=client.host.network
        ).reactor.listenUDP(9, stranger)
        stranger.transport.write(b"hello", ("192.168.0.2", client.address.port))
        self.net.run_for(1.0)
        self.assertEqual(client.log[-1], ("other", b"hello", ("192.168.0.3", 9)))

    def test_an_introduction_by_no_key_is_dropped(self) -> None:
        client = self.listen()
        self.net.run_until(client.when_registered())
        message = OfferHandedOver(b"\xff" * 32, b"box", (), b"")
        client._happened(client._client, HandedOver(message))
        self.assertEqual(len(client.log), 1)

    def test_a_hook_that_fails_is_logged(self) -> None:
        class Failing(TrackerClientDatagramProtocol):
            def registered(self, address: HostPort) -> None:
                raise ValueError("no idea")

        self.net.run_until(self.listen(kind=Failing).when_registered())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class WatchTests(ClientTestCase):
    def seen(self, client: Any) -> list[str]:
        return [words[0] for words in client.log if words[0].startswith("peer")]

    def test_it_tells_who_is_there_and_who_comes_and_goes(self) -> None:
        for make in (self.listen, self.connect):
            watcher, peer = make(), self.listen()
            self.net.run_until(watcher.when_registered())
            self.net.run_until(peer.when_registered())
            watcher.watch(peer.peer_id)
            watcher.watch(peer.peer_id)
            self.net.run_for(1.0)
            self.assertEqual(self.seen(watcher), ["peer_online"])
            self.net.run_until(peer.stop())
            self.net.run_for(2 * WATCH_INTERVAL)
            self.assertEqual(self.seen(watcher), ["peer_online", "peer_offline"])
            peer.host.reactor.listenUDP(0, peer)
            self.net.run_for(2 * WATCH_INTERVAL)
            self.assertEqual(self.seen(watcher)[2:], ["peer_online"])

    def test_a_silent_tracker_tells_nothing_of_peers(self) -> None:
        watcher, peer = self.listen(), self.listen()
        self.net.run_until(watcher.when_registered())
        self.net.run_until(peer.when_registered())
        watcher.watch(peer.peer_id)
        self.net.run_for(1.0)
        self.tracker.stop()
        self.net.run_for(100.0)
        self.assertEqual(self.seen(watcher), ["peer_online"])

    def test_who_is_watched_no_more_is_not_told_of(self) -> None:
        watcher = self.listen()
        self.net.run_until(watcher.when_registered())
        peer_id = IdentityKey.generate().peer_id
        watcher.watch(peer_id)
        watcher.unwatch(peer_id)
        watcher.unwatch(peer_id)
        self.net.run_for(60.0)
        self.assertEqual(self.seen(watcher), [])
        self.assertRaises(InvalidPeerID, watcher.watch, "nobody")
