"""A simulated reactor lives, ends and resolves names as Twisted's does."""

from __future__ import annotations

from twisted.internet.address import IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectionLost, DNSLookupError, ReactorNotRunning
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorCore,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
)
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, readBody
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from twisted_p2p.testing import SimulatedInternet


class Ears(DatagramProtocol):
    noisy = False
    stopped = 0

    def stopProtocol(self) -> None:
        self.stopped += 1


class Recorder(Protocol):
    lost: Failure | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class CoreTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.host = self.internet.add_host("host", "11.0.0.1", "2400::1")
        self.other = self.internet.add_host("other", "11.0.0.2", "2400::2")
        self.reactor = self.host.reactor
        self.called: list[object] = []

    def connect(self) -> tuple[Recorder, Recorder]:
        """Connect the host to the other one by TCP."""
        served = Recorder()
        factory = Factory.forProtocol(lambda: served)
        self.other.reactor.listenTCP(80, factory)
        endpoint = HostnameEndpoint(self.reactor, "11.0.0.2", 80)
        client: Recorder = self.internet.run_until(connectProtocol(endpoint, Recorder()))
        self.internet.run_for(0.5)
        return client, served


class LifeTests(CoreTestCase):
    def test_it_provides_what_it_says(self) -> None:
        for interface in (IReactorCore, IReactorFromThreads, IReactorPluggableNameResolver):
            verifyObject(interface, self.reactor)

    def test_it_provides_every_interface_that_it_says(self) -> None:
        interfaces = list(providedBy(self.reactor))
        self.assertGreater(len(interfaces), 8)
        for interface in interfaces:
            verifyObject(interface, self.reactor)

    def test_it_runs_once_time_passes(self) -> None:
        self.assertFalse(self.reactor.running)
        self.assertIsNotNone(self.reactor.callWhenRunning(self.called.append, "started"))
        self.assertEqual(self.called, [])
        self.internet.run_for(0.0)
        self.assertTrue(self.reactor.running)
        self.assertEqual(self.called, ["started"])
        self.assertIsNone(self.reactor.callWhenRunning(self.called.append, "at once"))
        self.assertEqual(self.called, ["started", "at once"])

    def test_no_program_drives_time(self) -> None:
        for drive in (self.reactor.run, self.reactor.iterate):
            with self.assertRaisesRegex(NotImplementedError, "run_until"):
                drive()

    def test_triggers_are_called_in_their_phases(self) -> None:
        add = self.reactor.addSystemEventTrigger
        waited: Deferred[None] = Deferred()
        for phase in ("after", "during", "before"):
            add(phase, "event", self.called.append, phase)
        add("before", "event", lambda: waited)
        removed = add("before", "event", self.fail)
        self.reactor.removeSystemEventTrigger(removed)
        self.reactor.fireSystemEvent("event")
        self.assertEqual(self.called, ["before"])
        waited.callback(None)
        self.assertEqual(self.called, ["before", "during", "after"])
        self.assertRaises(ValueError, self.reactor.removeSystemEventTrigger, removed)
        self.assertRaises(KeyError, add, "never", "event", self.fail)

    def test_a_call_from_a_thread_is_made_in_the_next_turn(self) -> None:
        self.reactor.callFromThread(self.called.append, "called")
        self.reactor.callFromThread(lambda key: {}[key], key="nothing")
        self.assertEqual(self.called, [])
        self.internet.run_for(0.0)
        self.assertEqual(self.called, ["called"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class EndTests(CoreTestCase):
    def test_what_does_not_run_cannot_be_stopped(self) -> None:
        self.assertRaises(ReactorNotRunning, self.reactor.stop)
        self.internet.run_for(0.0)
        self.reactor.stop()
        self.assertRaises(ReactorNotRunning, self.reactor.stop)

    def test_stopping_waits_for_what_shuts_down_and_tells_every_protocol(self) -> None:
        ears, waited = Ears(), Deferred[None]()
        stopping = self.reactor.listenUDP(10, Ears())
        self.reactor.listenUDP(9, ears)
        client, served = self.connect()
        self.reactor.addSystemEventTrigger("before", "shutdown", lambda: waited)
        self.reactor.callLater(3.0, self.called.append, "late")
        self.reactor.stop()
        self.internet.run_for(1.0)
        self.assertEqual((ears.stopped, client.lost), (0, None))
        self.assertTrue(self.reactor.running)
        stopped = stopping.stopListening()
        assert stopped is not None
        waited.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(ears.stopped, 1)
        assert client.lost is not None
        client.lost.trap(ConnectionLost)
        self.internet.run_for(5.0)
        self.assertFalse(self.reactor.running)
        self.assertIsNotNone(served.lost)
        self.assertEqual(self.called, [])
        self.assertEqual((self.host.open_ports(), self.host.tcp.sockets), ([], {}))

    def test_a_crash_tells_nobody_but_the_peer(self) -> None:
        ears = Ears()
        self.reactor.listenUDP(9, ears)
        client, served = self.connect()
        self.reactor.addSystemEventTrigger("before", "shutdown", self.fail)
        self.reactor.callFromThread(self.fail)
        self.reactor.crash()
        self.internet.run_for(1.0)
        self.assertEqual((ears.stopped, client.lost), (0, None))
        self.assertIsNotNone(served.lost)
        self.assertEqual((self.host.open_ports(), self.host.tcp.sockets), ([], {}))

    def test_a_host_whose_reactor_was_stopped_can_be_restarted(self) -> None:
        stopping = self.reactor.listenUDP(9, Ears())
        self.internet.run_for(0.0)
        stopped = stopping.stopListening()
        self.reactor.stop()
        self.internet.run_for(1.0)
        assert stopped is not None
        self.successResultOf(stopped)
        self.assertFalse(self.reactor.running)
        self.host.restart()
        self.internet.run_for(1.0)
        self.assertTrue(self.host.reactor.running)

    def test_a_restarted_host_has_a_new_reactor_and_free_ports(self) -> None:
        self.reactor.listenUDP(9, Ears())
        self.reactor.callLater(1.0, self.fail)
        _, served = self.connect()
        fresh = self.host.restart()
        self.assertIs(self.host.reactor, fresh)
        self.assertIsNot(fresh, self.reactor)
        fresh.listenUDP(9, Ears())
        fresh.listenTCP(80, Factory.forProtocol(Recorder))
        fresh.callLater(1.0, self.called.append, "later")
        self.host.clock.step(0.5)
        self.internet.run_for(2.0)
        self.assertEqual(self.called, ["later"])
        self.assertTrue(fresh.running)
        self.assertFalse(self.reactor.running)
        self.assertIsNotNone(served.lost)
        self.assertEqual(len(self.host.open_ports()), 1)


class Hello(Resource):
    isLeaf = True

    def render_GET(self, request: object) -> bytes:
        return b"hello"


class NameTests(CoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.internet.add_name("Service.example", "2400:0::2", "11.0.0.2", "11.0.0.9")

    def resolved(self, name: str, **arguments: object) -> list[object]:
        """Return what a receiver is told, and when the last of it was."""
        told: list[object] = []

        class Receiver:
            resolutionBegan = told.append

            def addressResolved(self, address: object) -> None:
                told.append((address.type, address.host, address.port))  # type: ignore[attr-defined]

            def resolutionComplete(self) -> None:
                told.append("complete")

        resolve = self.reactor.nameResolver.resolveHostName
        resolution = resolve(Receiver(), name, **arguments)
        verifyObject(IHostResolution, resolution)
        self.assertEqual(resolution.name, name)
        self.assertIs(told.pop(0), resolution)
        self.assertEqual(told, [])
        self.internet.run_for(10.0)
        return told

    def test_it_provides_what_it_says(self) -> None:
        verifyObject(IHostnameResolver, self.reactor.nameResolver)

    def test_a_name_stands_for_its_addresses_in_their_order(self) -> None:
        both = [("TCP", "2400::2", 7), ("TCP", "11.0.0.2", 7), ("TCP", "11.0.0.9", 7), "complete"]
        for name in ("service.example", "SERVICE.EXAMPLE."):
            self.assertEqual(self.resolved(name, portNumber=7), both)

    def test_only_addresses_of_the_wanted_kind_are_told(self) -> None:
        told = self.resolved(
            "service.example", addressTypes=[IPv6Address], transportSemantics="UDP"
        )
        self.assertEqual(told, [("UDP", "2400::2", 0), "complete"])

    def test_nobody_else_has_a_name(self) -> None:
        for name in ("other", "nowhere.example", ""):
            self.assertEqual(self.resolved(name), ["complete"])
        self.internet.add_name("service.example")
        self.assertEqual(self.resolved("service.example"), ["complete"])

    def test_addresses_and_localhost_need_no_network(self) -> None:
        self.host.disconnect()
        self.assertEqual(self.resolved("11.0.0.7"), [("TCP", "11.0.0.7", 0), "complete"])
        self.assertEqual(
            self.resolved("localhost"), [("TCP", "127.0.0.1", 0), ("TCP", "::1", 0), "complete"]
        )
        self.assertEqual(self.resolved("service.example"), ["complete"])

    def test_what_was_cancelled_is_not_told(self) -> None:
        answer = self.reactor.resolve("service.example")
        self.internet.run_for(0.01)
        self.assertNoResult(answer)
        told: list[object] = []

        class Receiver:
            resolutionBegan = addressResolved = told.append

            def resolutionComplete(self) -> None:
                told.append("complete")

        resolution = self.reactor.nameResolver.resolveHostName(Receiver(), "service.example")
        resolution.cancel()
        self.internet.run_for(1.0)
        self.assertEqual(told, [resolution])
        self.assertEqual(self.successResultOf(answer), "11.0.0.2")

    def test_resolve_gives_one_ipv4_address(self) -> None:
        resolve = self.reactor.resolve
        self.assertEqual(self.successResultOf(resolve("")), "0.0.0.0")
        self.assertEqual(self.successResultOf(resolve("11.0.0.7")), "11.0.0.7")
        with self.assertRaises(DNSLookupError):
            self.internet.run_until(resolve("nowhere.example"))

    def test_another_resolver_can_be_installed(self) -> None:
        theirs = self.other.reactor.nameResolver
        ours = self.reactor.installNameResolver(theirs)
        self.assertIsNot(ours, theirs)
        self.assertIs(self.reactor.nameResolver, theirs)

    def test_endpoints_connect_to_names(self) -> None:
        connected: list[object] = []
        self.other.reactor.listenTCP(
            80, Factory.forProtocol(lambda: connected.append(1) or Recorder())
        )
        endpoint = HostnameEndpoint(self.reactor, "service.example", 80)
        self.internet.run_until(connectProtocol(endpoint, Protocol()))
        self.internet.run_for(1.0)
        self.assertEqual(connected, [1])
        with self.assertRaises(DNSLookupError):
            self.internet.run_until(
                connectProtocol(HostnameEndpoint(self.reactor, "nowhere", 80), Protocol())
            )

    def test_web_pages_are_fetched_by_name(self) -> None:
        self.other.reactor.listenTCP(80, Site(Hello(), reactor=self.other.reactor))
        agent = Agent(self.reactor)
        response = self.internet.run_until(agent.request(b"GET", b"http://service.example/"))
        self.assertEqual(self.internet.run_until(readBody(response)), b"hello")
