"""Tests of TCP as programs on simulated hosts use it."""

from __future__ import annotations

import gc
from errno import EHOSTUNREACH
from hashlib import sha256
from random import Random
from typing import Any
from weakref import ref

from OpenSSL import crypto
from twisted.internet import error
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectionDone,
    ConnectionLost,
    NoRouteError,
    TCPTimedOutError,
    UserError,
)
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorSSL, IReactorTCP
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.ssl import CertificateOptions, KeyPair
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, readBody
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_p2p.testing import Link, SimulatedHost, SimulatedInternet
from twisted_p2p.testing.packet import ICMPError
from twisted_p2p.testing.tcp.settings import TCPSettings

PORT = 80


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.read_ended = self.write_ended = False
        self.lost: Deferred[None] = Deferred()
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def readConnectionLost(self) -> None:
        self.read_ended = True

    def writeConnectionLost(self) -> None:
        self.write_ended = True

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reason = reason
        self.lost.callback(None)


class FullRecorder(Protocol):
    """Keeps what it hears, and knows no half-closed connections."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: Deferred[None] = Deferred()
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reason = reason
        self.lost.callback(None)


class Keeper(ClientFactory):
    """Builds one kind of protocols, and keeps them and why connecting failed."""

    def __init__(self, build: Any = Recorder) -> None:
        self.build = build
        self.built: list[Any] = []
        self.failed: Deferred[Any] = Deferred()

    def buildProtocol(self, addr: object) -> Any:
        self.built.append(self.build())
        return self.built[-1]

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.failed.errback(reason)


class PushProducer:
    def __init__(self, transport: Any, count: int) -> None:
        self.transport, self.left, self.paused, self.pauses = transport, count, False, 0

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(bytes(10_000))
        if not self.left:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.paused = True
        self.pauses += 1

    def stopProducing(self) -> None:
        self.left = 0


class PullProducer(PushProducer):
    def resumeProducing(self) -> None:
        self.left -= 1
        self.transport.write(bytes(10_000))
        if not self.left:
            self.transport.unregisterProducer()


class TCPTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet(seed=1)
        self.a = self.internet.add_host("a", "11.0.0.1", "2a00::1")
        self.b = self.internet.add_host("b", "11.0.0.2", "2a00::2")

    def connected(self, build: Any = Recorder, client: Any = None) -> tuple[Any, Any]:
        """Return the protocols of a connection from a to b."""
        factory = Keeper(build)
        self.b.reactor.listenTCP(PORT, factory)
        endpoint = TCP4ClientEndpoint(self.a.reactor, "11.0.0.2", PORT)
        protocol = self.internet.run_until(connectProtocol(endpoint, client or build()))
        self.internet.run_for(0.1)
        return protocol, factory.built[0]

    def failure_of(self, host: SimulatedHost, address: str, limit: float = 300, **kw: Any) -> Any:
        factory = Keeper()
        host.reactor.connectTCP(address, PORT, factory, **kw)
        try:
            self.internet.run_until(factory.failed, limit)
        except Exception as failure:
            return failure
        return None


class ConnectionTests(TCPTestCase):
    def test_the_reactor_provides_what_it_says(self) -> None:
        verifyObject(IReactorTCP, self.a.reactor)
        verifyObject(IReactorSSL, self.a.reactor)

    def test_bytes_go_both_ways_after_a_handshake(self) -> None:
        client, server = self.connected()
        client.transport.write(b"ping")
        server.transport.write(b"pong")
        self.internet.run_for(0.1)
        self.assertEqual((client.data, server.data), (b"pong", b"ping"))
        self.assertEqual(client.transport.getPeer().host, "11.0.0.2")
        self.assertEqual(server.transport.getPeer(), client.transport.getHost())

    def test_each_half_is_closed_by_itself(self) -> None:
        client, server = self.connected()
        client.transport.write(b"last")
        client.transport.loseWriteConnection()
        self.internet.run_for(0.2)
        self.assertEqual((client.write_ended, server.read_ended), (True, True))
        self.assertEqual(server.data, b"last")
        server.transport.write(b"still here")
        self.internet.run_for(0.2)
        self.assertEqual(client.data, b"still here")
        server.transport.loseConnection()
        self.internet.run_for(0.2)
        self.assertTrue(client.read_ended)
        client.transport.loseConnection()
        self.internet.run_until(client.lost)
        self.assertTrue(server.reason.check(ConnectionDone))

    def test_lose_connection_flushes(self) -> None:
        client, server = self.connected(FullRecorder)
        client.transport.write(bytes(3_000_000))
        client.transport.loseConnection()
        self.internet.run_until(client.lost)
        self.internet.run_until(server.lost)
        self.assertTrue(server.reason.check(ConnectionDone))
        self.assertEqual(len(server.data), 3_000_000)

    def test_abort_resets_the_peer(self) -> None:
        client, server = self.connected()
        client.transport.write(bytes(3_000_000))
        client.transport.abortConnection()
        self.internet.run_until(server.lost)
        self.assertTrue(server.reason.check(ConnectionLost))
        self.assertAlmostEqual(self.internet.now, 0.08 + 0.1 + 0.04, 3)

    def test_ipv6(self) -> None:
        factory = Keeper()
        self.b.reactor.listenTCP(PORT, factory, interface="::")
        endpoint = TCP6ClientEndpoint(self.a.reactor, "2a00::2", PORT)
        client = self.internet.run_until(connectProtocol(endpoint, Recorder()))
        client.transport.write(b"six")
        self.internet.run_for(0.1)
        self.assertEqual(factory.built[0].data, b"six")
        self.assertEqual(factory.built[0].transport.getPeer().host, "2a00::1")

    def test_a_megabyte_arrives_through_five_percent_of_loss(self) -> None:
        self.a.link = Link(delay=0.02, loss=0.05, duplication=0.02, reordering=0.05, jitter=0.005)
        client, server = self.connected(FullRecorder)
        data = Random(1).randbytes(1_000_000)
        client.transport.write(data)
        client.transport.loseConnection()
        self.internet.run_until(server.lost, 120)
        self.assertEqual(sha256(server.data).digest(), sha256(data).digest())

    def test_the_rate_of_a_link_is_used_and_not_exceeded(self) -> None:
        self.a.link = Link(delay=0.02, rate=250_000)
        client, server = self.connected(FullRecorder)
        begin = self.internet.now
        client.transport.write(bytes(2_500_000))
        client.transport.loseConnection()
        self.internet.run_until(server.lost, 120)
        seconds = self.internet.now - begin
        self.assertGreater(seconds, 10.0)
        self.assertLess(seconds, 20.0)

    def test_segments_fit_into_the_packets_of_both_links(self) -> None:
        self.b.link = Link(delay=0.02, mtu=1_300)
        client, server = self.connected(FullRecorder)
        client.transport.write(bytes(100_000))
        self.internet.run_for(5)
        self.assertEqual(len(server.data), 100_000)
        self.assertEqual(max(entry.length for entry in self.internet.log), 1_260)

    def test_segments_that_are_too_long_are_cut_when_a_router_says_so(self) -> None:
        network = self.internet.add_network(
            "home", "11.0.0.9", link=Link(delay=0.01, mtu=1_400, tells_too_big=True)
        )
        inside = self.internet.add_host("inside", "192.168.1.2", network=network)
        factory = Keeper(FullRecorder)
        self.b.reactor.listenTCP(PORT, factory)
        endpoint = TCP4ClientEndpoint(inside.reactor, "11.0.0.2", PORT)
        client = self.internet.run_until(connectProtocol(endpoint, Recorder()))
        client.transport.write(bytes(100_000))
        self.internet.run_for(10)
        self.assertEqual(len(factory.built[0].data), 100_000)

    def test_time_wait_holds_the_port_of_who_closed_first(self) -> None:
        client, server = self.connected(FullRecorder)
        port = client.transport.getHost().port
        client.transport.loseConnection()
        self.internet.run_until(server.lost)
        self.internet.run_for(1)
        bind = {"bindAddress": ("", port)}
        self.assertIsInstance(self.failure_of(self.a, "11.0.0.2", **bind), ConnectBindError)
        self.internet.run_for(61)
        endpoint = TCP4ClientEndpoint(self.a.reactor, "11.0.0.2", PORT, **bind)
        self.internet.run_until(connectProtocol(endpoint, Recorder()))


class BackPressureTests(TCPTestCase):
    def stall(self, producer_class: Any, streaming: bool) -> Any:
        client, server = self.connected(FullRecorder)
        server.transport.pauseProducing()
        producer = producer_class(client.transport, 1_000)
        client.transport.registerProducer(producer, streaming)
        if streaming:
            producer.resumeProducing()
        self.internet.run_for(100)
        # Both buffers are full; nothing more is asked of the producer.
        self.assertGreater(1_000 - producer.left, 170)
        self.assertLess(1_000 - producer.left, 215)
        server.transport.resumeProducing()
        self.internet.run_for(100)
        self.assertEqual(len(server.data), 10_000_000)
        return producer

    def test_a_stalled_reader_pauses_a_push_producer(self) -> None:
        self.assertGreater(self.stall(PushProducer, True).pauses, 1)

    def test_a_stalled_reader_stops_a_pull_producer(self) -> None:
        self.stall(PullProducer, False)


class FailureTests(TCPTestCase):
    def test_nobody_listens(self) -> None:
        self.assertIsInstance(self.failure_of(self.a, "11.0.0.2"), error.ConnectionRefusedError)
        self.assertEqual(self.internet.now, 0.08)

    def test_a_black_hole(self) -> None:
        self.assertIsInstance(self.failure_of(self.a, "11.0.0.77"), error.TimeoutError)
        self.assertEqual(self.internet.now, 30.0)
        failure = self.failure_of(self.a, "11.0.0.77", timeout=1_000)
        self.assertIsInstance(failure, TCPTimedOutError)

    def test_no_address_of_the_family(self) -> None:
        host = self.internet.add_host("four", "11.0.0.4")
        self.assertIsInstance(self.failure_of(host, "2a00::2"), NoRouteError)

    def test_a_connection_attempt_is_cancelled(self) -> None:
        factory = Keeper()
        self.a.reactor.connectTCP("11.0.0.77", PORT, factory).stopConnecting()
        self.assertIsInstance(self.failureResultOf(factory.failed).value, UserError)
        connecting = TCP4ClientEndpoint(self.a.reactor, "11.0.0.77", PORT).connect(factory)
        self.internet.run_for(1)
        connecting.cancel()
        self.failureResultOf(connecting)
        self.assertEqual(self.a.tcp.sockets, {})
        self.assertEqual(self.a.reactor.getDelayedCalls(), [])

    def test_icmp_errors_end_attempts_and_nothing_else(self) -> None:
        client, server = self.connected()
        self.tell_all(self.a, ICMPError.HOST_UNREACHABLE)
        client.transport.write(b"alive")
        self.internet.run_for(0.2)
        self.assertEqual(server.data, b"alive")
        factory = Keeper()
        self.a.reactor.connectTCP("11.0.0.77", PORT, factory)
        self.internet.run_for(0.1)
        self.tell_all(self.a, ICMPError.HOST_UNREACHABLE)
        self.internet.run_for(0.1)
        self.assertEqual(self.failureResultOf(factory.failed).value.osError, EHOSTUNREACH)

    def tell_all(self, host: SimulatedHost, error: ICMPError) -> None:
        for connection in list(host.tcp._connections.values()):
            connection._take_error(error)


class PortTests(TCPTestCase):
    def test_a_port_that_is_listened_on_is_in_use(self) -> None:
        port = self.b.reactor.listenTCP(PORT, Keeper())
        with self.assertRaises(CannotListenError):
            self.b.reactor.listenTCP(PORT, Keeper(), interface="11.0.0.2")
        self.b.reactor.listenTCP(PORT, Keeper(), interface="::")
        stopped = port.stopListening()
        self.internet.run_until(stopped)
        self.b.reactor.listenTCP(PORT, Keeper())

    def test_another_hosts_address_cannot_be_bound(self) -> None:
        with self.assertRaises(CannotListenError):
            self.b.reactor.listenTCP(PORT, Keeper(), interface="11.0.0.1")

    def test_a_server_can_be_started_again_at_once(self) -> None:
        server = self.connected()[1]
        server.transport.loseConnection()
        self.internet.run_for(1)
        [port] = [each for each in self.b.reactor.getReaders() if hasattr(each, "factory")]
        self.internet.run_until(port.stopListening())
        self.internet.run_until(TCP4ServerEndpoint(self.b.reactor, PORT).listen(Keeper()))

    def test_after_stop_listening_connections_are_refused_and_old_ones_live_on(self) -> None:
        client, server = self.connected()
        [port] = [each for each in self.b.reactor.getReaders() if hasattr(each, "factory")]
        self.internet.run_until(port.stopListening())
        self.assertIsInstance(self.failure_of(self.a, "11.0.0.2"), error.ConnectionRefusedError)
        client.transport.write(b"alive")
        self.internet.run_for(0.1)
        self.assertEqual(server.data, b"alive")

    def test_a_full_backlog_takes_no_more(self) -> None:
        port: Any = self.b.reactor.listenTCP(PORT, Keeper(), backlog=2)
        port.stopReading()
        connected = []
        for _ in range(5):
            endpoint = TCP4ClientEndpoint(self.a.reactor, "11.0.0.2", PORT)
            connectProtocol(endpoint, Recorder()).addCallback(connected.append)
        self.internet.run_for(0.5)
        self.assertEqual(len(connected), 3)
        port.startReading()
        self.internet.run_for(5)
        self.assertEqual(len(connected), 5)

    def test_buffers_have_the_sizes_that_are_set(self) -> None:
        self.a.tcp.settings = TCPSettings(send_buffer=1_000)
        client, server = self.connected()
        server.transport.pauseProducing()
        self.assertEqual(client.transport.socket.send(bytes(5_000)), 1_000)

    def test_a_port_that_was_closed_is_forgotten(self) -> None:
        host = SimulatedInternet().add_host("alone", "11.0.0.1")
        port = host.reactor.listenTCP(PORT, ClientFactory())
        host.network.schedule.run_to(1.0)
        closed = port.stopListening()
        host.network.schedule.run_to(2.0)
        self.successResultOf(closed)
        gone = ref(port)
        del port, closed
        gc.collect()
        self.assertIsNone(gone())


class SimultaneousOpenTests(SynchronousTestCase):
    def test_two_peers_behind_nats_open_one_connection_at_once(self) -> None:
        internet = SimulatedInternet(seed=2)
        factories = []
        for name, own, other in (("a", "11.0.1.1", "11.0.1.2"), ("b", "11.0.1.2", "11.0.1.1")):
            network = internet.add_network(f"home of {name}", own)
            host = internet.add_host(name, "192.168.1.2", network=network)
            factory = Keeper()
            host.reactor.connectTCP(other, 4_000, factory, bindAddress=("", 4_000))
            factories.append(factory)
        internet.run_for(3)
        a, b = (factory.built[0] for factory in factories)
        a.transport.write(b"from a")
        b.transport.write(b"from b")
        internet.run_for(1)
        self.assertEqual((a.data, b.data), (b"from b", b"from a"))


class Page(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"hello " + bytes(request.path)


class ProgramTests(TCPTestCase):
    def test_twisted_web(self) -> None:
        self.b.reactor.listenTCP(PORT, Site(Page(), reactor=self.b.reactor))
        agent: Any = Agent(self.a.reactor)
        body = agent.request(b"GET", b"http://11.0.0.2/world").addCallback(readBody)
        self.assertEqual(self.internet.run_until(body), b"hello /world")

    def test_tls(self) -> None:
        key = KeyPair.generate(kind=crypto.TYPE_RSA, size=2_048)
        certificate = key.selfSignedCert(1, CN="b.example")
        factory = Keeper()
        self.b.reactor.listenSSL(443, factory, certificate.options())
        client = Keeper()
        self.a.reactor.connectSSL("11.0.0.2", 443, client, CertificateOptions())
        self.internet.run_for(1)
        client.built[0].transport.write(b"secret")
        self.internet.run_for(1)
        self.assertEqual(factory.built[0].data, b"secret")

    def test_tls_by_endpoints(self) -> None:
        key = KeyPair.generate(kind=crypto.TYPE_RSA, size=2_048)
        server = Keeper()
        options = key.selfSignedCert(1, CN="b.example").options()
        self.internet.run_until(SSL4ServerEndpoint(self.b.reactor, 443, options).listen(server))
        endpoint = TCP4ClientEndpoint(self.a.reactor, "11.0.0.2", 443)
        wrapped: Any = wrapClientTLS(CertificateOptions(), endpoint)
        client = self.internet.run_until(connectProtocol(wrapped, Recorder()))
        client.transport.write(b"secret")
        self.internet.run_for(1)
        self.assertEqual(server.built[0].data, b"secret")

    def test_start_tls(self) -> None:
        client, server = self.connected()
        key = KeyPair.generate(kind=crypto.TYPE_RSA, size=2_048)
        server.transport.startTLS(key.selfSignedCert(1, CN="b.example").options())
        client.transport.startTLS(CertificateOptions())
        client.transport.write(b"secret")
        server.transport.write(b"answer")
        self.internet.run_for(1)
        self.assertEqual((server.data, client.data), (b"secret", b"answer"))

    def test_what_has_no_simulated_socket_is_not_watched(self) -> None:
        with self.assertRaises(NotImplementedError):
            self.a.reactor.addReader(FileDescriptor(self.a.reactor))
