"""The classes that serve a tracker, by themselves on a simulated host, and real nodes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p import HostPort, TrackerServerDatagramProtocol, TrackerServerFactory
from twisted_p2p.errors import P2PError, PeerRefused, TrackerUnreachable
from twisted_p2p.interfaces import ITrackerPolicy
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import SimulatedInternet
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.tracker.streams import TrackerServerProtocol


class Noting:
    """Remembers its hooks, and decides by `permits`."""

    permits: Any = True

    def note(self, *words: Any) -> None:
        self.__dict__.setdefault("log", []).append(words)

    def may_register(self, peer_id: str, address: HostPort) -> Any:
        self.note("may_register", peer_id, address.host)
        if isinstance(self.permits, Exception):
            raise self.permits
        return self.permits

    def may_introduce(self, initiator: str, target: str) -> Any:
        self.note("may_introduce", initiator, target)
        return self.permits

    def may_list(self, peer_id: str, topic: str) -> Any:
        self.note("may_list", peer_id, topic)
        return self.permits

    def registered(self, peer_id: str, address: HostPort) -> None:
        self.note("registered", peer_id, address.host)

    def introduced(self, initiator: str, target: str) -> None:
        self.note("introduced", initiator, target)

    def peer_online(self, peer_id: str) -> None:
        self.note("peer_online", peer_id)

    def peer_offline(self, peer_id: str) -> None:
        self.note("peer_offline", peer_id)


class NotingDatagramProtocol(Noting, TrackerServerDatagramProtocol):
    pass


class NotingFactory(Noting, TrackerServerFactory):
    pass


class ServerProtocolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = SimulatedInternet()
        self.host = self.net.add_host("tracker", "11.9.0.2")
        self.count = 0

    def node(self, *, stream: bool = False) -> P2PNode:
        self.count += 1
        host = self.net.add_host(f"node {self.count}", f"11.1.0.{self.count}")
        node = simulated_node(host, [])
        remote = HostPort("11.9.0.2", 3478)
        endpoint = TCP4ClientEndpoint(host.reactor, *remote) if stream else None
        node.add_tracker(remote, endpoint)
        node.startService()
        return node

    def serve(self, kind: type[Any] = NotingDatagramProtocol, interface: str = "11.9.0.2") -> Any:
        protocol = kind(self.host.reactor, interfaces=lambda: self.host.addresses)
        self.host.reactor.listenUDP(3478, protocol, interface)
        return protocol

    def error_of(self, waiting: Deferred[Any]) -> BaseException:
        return self.assertRaises(P2PError, self.net.run_until, waiting)

    def test_they_are_what_their_interfaces_say(self) -> None:
        protocol = TrackerServerDatagramProtocol(self.host.reactor)
        factory = TrackerServerFactory(self.host.reactor)
        for one in (protocol, factory):
            self.assertTrue(verifyObject(ITrackerPolicy, one))
        self.assertTrue(verifyObject(IProtocolFactory, factory))
        self.assertTrue(verifyObject(IProtocol, TrackerServerProtocol(HostPort("", 0), b"")))

    def test_by_themselves_they_let_everybody_in(self) -> None:
        for interface in ("11.9.0.2", ""):
            self.setUp()
            tracker = self.serve(TrackerServerDatagramProtocol, interface).tracker
            one, two = self.node(), self.node()
            self.net.run_until(one.when_ready())
            self.net.run_until(two.listen("echo", Factory.forProtocol(Protocol)))
            self.net.run_until(one.connect(two.peer_id, "echo", Factory.forProtocol(Protocol)))
            self.assertEqual(len(self.net.run_until(one.peers())), 1)
            status = tracker.status()
            self.assertEqual((status["nodes"], status["introductions_total"]), (2, 1))

    def test_hooks_tell_the_whole_story(self) -> None:
        protocol = self.serve()
        one, two = self.node(), self.node()
        self.net.run_until(one.when_ready())
        self.net.run_until(two.listen("echo", Factory.forProtocol(Protocol)))
        self.net.run_until(one.connect(two.peer_id, "echo", Factory.forProtocol(Protocol)))
        self.net.run_until(one.stopService())
        a, b = one.peer_id, two.peer_id
        story = list(dict.fromkeys(protocol.log))
        self.assertEqual(
            [words for words in story if b not in words or a in words],
            [
                ("may_register", a, "11.1.0.1"),
                ("peer_online", a),
                ("registered", a, "11.1.0.1"),
                ("may_introduce", a, b),
                ("introduced", a, b),
                ("peer_offline", a),
            ],
        )

    def test_nobody_needs_to_be_let_in(self) -> None:
        protocol = self.serve()
        protocol.permits = False
        self.assertIsInstance(self.error_of(self.node().when_ready()), P2PError)
        self.assertEqual(protocol.tracker.status()["nodes"], 0)

    def test_it_takes_its_time_to_decide(self) -> None:
        protocol = self.serve()
        protocol.permits = Deferred()
        ready = self.node().when_ready()
        self.net.run_for(3.0)
        self.assertNoResult(ready)
        protocol.permits.callback(True)
        self.net.run_until(ready)

    def test_an_introduction_can_be_forbidden(self) -> None:
        protocol = self.serve()
        one, two = self.node(), self.node()
        self.net.run_until(one.when_ready())
        self.net.run_until(two.listen("echo", Factory.forProtocol(Protocol)))
        protocol.permits = False
        dialled = one.connect(two.peer_id, "echo", Factory.forProtocol(Protocol))
        self.assertIsInstance(self.error_of(dialled), PeerRefused)

    def test_a_listing_can_be_forbidden(self) -> None:
        protocol = self.serve()
        node = self.node()
        self.net.run_until(node.when_ready())
        self.assertEqual(self.net.run_until(node.peers("chat")), [])
        protocol.permits = False
        self.assertIsInstance(self.error_of(node.peers()), TrackerUnreachable)
        asked = [words for words in protocol.log if words[0] == "may_list"]
        self.assertEqual(asked, [("may_list", node.peer_id, topic) for topic in ("chat", "")])

    def test_a_policy_that_fails_forbids(self) -> None:
        protocol = self.serve()
        protocol.permits = ValueError("no idea")
        self.error_of(self.node().when_ready())
        self.assertGreater(len(self.flushLoggedErrors(ValueError)), 0)
        self.assertEqual(protocol.tracker.status()["nodes"], 0)

    def test_a_stream_server_has_hooks_too(self) -> None:
        factory = NotingFactory(self.host.reactor)
        self.host.reactor.listenTCP(3478, factory)
        node = self.node(stream=True)
        self.net.run_until(node.when_ready())
        self.net.run_until(node.stopService())
        self.assertEqual(
            [words[0] for words in factory.log],
            ["may_register", "peer_online", "registered", "peer_offline"],
        )

    def test_ports_and_streams_may_serve_one_tracker(self) -> None:
        protocol = self.serve()
        factory = NotingFactory(self.host.reactor, protocol.tracker)
        self.host.reactor.listenTCP(3478, factory)
        for stream in (False, True):
            self.net.run_until(self.node(stream=stream).when_ready())
        self.assertEqual(protocol.tracker.status()["nodes"], 2)
        self.assertEqual([words[0] for words in protocol.log].count("registered"), 2)
        self.assertNotIn("log", factory.__dict__)

    def test_after_the_port_is_closed_nobody_is_answered(self) -> None:
        protocol = self.serve()
        self.net.run_until(protocol.transport.stopListening())
        self.assertIsInstance(self.error_of(self.node().when_ready()), TrackerUnreachable)
        protocol.tracker.close()
        self.assertEqual(self.host.reactor.getDelayedCalls(), [])
