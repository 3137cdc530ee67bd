"""Endpoint strings as Twisted finds them, with a real tracker on real sockets of loopback."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from twisted.application.strports import service as service_of_string
from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from twisted_p2p import endpoint_strings
from twisted_p2p.addresses import HostPort
from twisted_p2p.endpoint_strings import parse_client, parse_server
from twisted_p2p.endpoints import PeerClientEndpoint, PeerServerEndpoint
from twisted_p2p.errors import IdentityFileError, InvalidPeerID, PeerRefused, PortInUse
from twisted_p2p.identity.keys import IdentityKey, load_identity
from twisted_p2p.interfaces import IPeerDiscovery
from twisted_p2p.node import sharing
from twisted_p2p.node.service import P2PNode
from twisted_p2p.node.sharing import shared_node, stop_shared_nodes
from twisted_p2p.testing import SimulatedInternet, SimulatedReactor
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.server import StreamListener, TrackerServer, UDPListener

reactor: Any = real_reactor
PEER = IdentityKey.from_seed(bytes([1] * 32)).peer_id


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Reader(Protocol):
    """Says something and collects what comes back until the other side ends."""

    def __init__(self, words: bytes) -> None:
        self.words = words
        self.received = b""
        self.waiting: list[tuple[int, Deferred[bytes]]] = []
        self.ended: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self.words)

    def read(self, size: int) -> Deferred[bytes]:
        """Return a Deferred of what was received, once it is this long."""
        result: Deferred[bytes] = Deferred()
        self.waiting.append((size, result))
        self._tell()
        return result

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._tell()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.received)

    def _tell(self) -> None:
        for size, result in list(self.waiting):
            if len(self.received) >= size:
                self.waiting.remove((size, result))
                result.callback(self.received)


class Page(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return f"hello {request.transport.getPeer().peer_id}".encode()


class StringTests(TestCase):
    """Programs that know nothing but strings."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(mode=0o700)
        web = "tcp:0:interface=127.0.0.1"
        tracker = TrackerServer(
            reactor,
            udp=[UDPListener(0, "127.0.0.1")],
            streams=[],
            web=StreamListener(web, serverFromString(reactor, web)),
            store=MemoryPeerStore(),
        )
        tracker.startService()
        self.addCleanup(tracker.stopService)
        self.tracker = tracker.addresses()[0].removeprefix("udp ").replace(":", "\\:")
        self.addCleanup(stop_shared_nodes, reactor)

    def string(self, first: str, identity: str, *more: str) -> str:
        options = (f"tracker={self.tracker}", f"identity={self.folder / identity}", "lan=no", *more)
        return ":".join(("p2p", first, *options))

    async def listen(self, identity: str, *more: str) -> Any:
        server = serverFromString(reactor, self.string("echo", identity, *more))
        return await server.listen(Factory.forProtocol(Echo))

    async def test_a_client_string_reaches_a_server_string(self) -> None:
        port = await self.listen("server.pem")
        peer = port.getHost().peer_id
        client = clientFromString(reactor, self.string(peer, "client.pem", "service=echo"))
        verifyObject(IStreamClientEndpoint, client)
        reader: Any = await connectProtocol(client, Reader(b"hello"))
        self.assertEqual(await reader.read(5), b"hello")
        address = reader.transport.getPeer()
        self.assertEqual((address.peer_id, address.service), (peer, "echo"))
        self.assertEqual((address.path.kind, address.path.protocol), ("lan", "udp"))
        self.assertEqual(address.path.remote.port, self.node("server.pem").udp_port)
        reader.transport.loseConnection()
        await reader.ended

    def node(self, identity: str) -> P2PNode:
        return shared_node(reactor, self.folder / identity, [], lan=False)

    async def test_the_identity_file_is_made_and_is_the_peers(self) -> None:
        port = await self.listen("new/server.pem")
        file = self.folder / "new" / "server.pem"
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertEqual(port.getHost().peer_id, load_identity(file).peer_id)

    async def test_a_peer_that_is_not_allowed_is_refused(self) -> None:
        friend = self.node("friend.pem").peer_id
        port = await self.listen("server.pem", f"allow={PEER},{friend}")
        peer = port.getHost().peer_id
        for identity in ("stranger.pem", "friend.pem"):
            string = self.string(peer, identity, "service=echo")
            reader = Reader(b"hello")
            connected = connectProtocol(clientFromString(reactor, string), reader)
            if identity == "stranger.pem":
                await self.assertFailure(connected, PeerRefused)
            else:
                await connected
                self.assertEqual(await reader.read(5), b"hello")

    async def test_a_web_server_is_reached_by_its_key(self) -> None:
        """As ``twist web --listen=p2p:...`` makes it."""
        service: Any = service_of_string(self.string("web", "server.pem"), Site(Page()))
        service.privilegedStartService()
        service.startService()
        port = await service._waitingForPort
        # Not by `stopService`, which would have it stop twice.
        self.addCleanup(service.stopService)
        string = self.string(self.node("server.pem").peer_id, "client.pem", "service=web")
        reader: Any = await connectProtocol(
            clientFromString(reactor, string), Reader(b"GET / HTTP/1.0\r\n\r\n")
        )
        answer = await reader.ended
        client = load_identity(self.folder / "client.pem").peer_id
        self.assertTrue(answer.endswith(b"\r\n\r\nhello " + client.encode()), answer)
        self.assertIsNotNone(port)


class ProcessReactor:
    """The reactor of a simulated host, with the events of a process's life."""

    def __init__(self, reactor: SimulatedReactor) -> None:
        self._reactor = reactor
        self.triggers: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def addSystemEventTrigger(self, phase: str, event: str, function: Any, *arguments: Any) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(lambda: function(*arguments))


class ParserTests(SynchronousTestCase):
    """What strings mean, and what is done about those that mean nothing."""

    def setUp(self) -> None:
        self.net = SimulatedInternet()
        self.host = self.net.add_host("host", "11.1.0.2")
        self.reactor = ProcessReactor(self.host.reactor)
        self.folder = Path(self.mktemp())
        self.folder.mkdir(mode=0o700)
        self.identity = str(self.folder / "identity.pem")
        self.patch(os, "environ", {**os.environ, "P2P_TRACKER": "11.9.0.1,11.9.0.2:99"})

        def stop() -> None:
            self.net.run_until(stop_shared_nodes(self.reactor))
            del sharing._nodes[self.reactor]

        self.addCleanup(stop)

    def trackers(self, node: Any) -> set[HostPort]:
        return set(node._trackers._trackers)

    def test_a_client_string(self) -> None:
        endpoint: Any = parse_client(
            self.reactor,
            PEER,
            service="echo",
            tracker="11.9.0.3:5,11.9.0.4",
            identity=self.identity,
        )
        self.assertIsInstance(endpoint, PeerClientEndpoint)
        self.assertEqual((endpoint.peer_id, endpoint.service), (PEER, "echo"))
        self.assertEqual(endpoint.node.peer_id, load_identity(self.identity).peer_id)
        expected = {HostPort("11.9.0.3", 5), HostPort("11.9.0.4", 3478)}
        self.assertEqual(self.trackers(endpoint.node), expected)

    def test_a_server_string(self) -> None:
        endpoint: Any = parse_server(self.reactor, "echo", identity=self.identity)
        verifyObject(IStreamServerEndpoint, endpoint)
        self.assertIsInstance(endpoint, PeerServerEndpoint)
        self.assertEqual((endpoint.service, endpoint.allow), ("echo", None))
        expected = {HostPort("11.9.0.1", 3478), HostPort("11.9.0.2", 99)}
        self.assertEqual(self.trackers(endpoint.node), expected)
        allowing: Any = parse_server(
            self.reactor, "other", identity=self.identity, allow=f"{PEER},{endpoint.node.peer_id}"
        )
        self.assertEqual(allowing.allow, {PEER, endpoint.node.peer_id})

    def test_without_an_identity_it_is_the_users_own(self) -> None:
        self.patch(endpoint_strings, "default_identity_path", lambda: Path(self.identity))
        endpoint: Any = parse_server(self.reactor, "echo")
        self.assertEqual(endpoint.node.peer_id, load_identity(self.identity).peer_id)

    def test_endpoints_of_one_identity_share_a_node_and_all_their_trackers(self) -> None:
        one: Any = parse_server(self.reactor, "one", identity=self.identity, tracker="11.9.0.3")
        other: Any = parse_client(
            self.reactor, PEER, service="x", identity=self.identity, tracker="11.9.0.4,11.9.0.3"
        )
        self.assertIs(one.node, other.node)
        expected = {HostPort("11.9.0.3", 3478), HostPort("11.9.0.4", 3478)}
        self.assertEqual(self.trackers(one.node), expected)
        second = str(self.folder / "second.pem")
        another: Any = parse_server(self.reactor, "one", identity=second)
        self.assertNotEqual(another.node.peer_id, one.node.peer_id)

    def test_the_local_network_is_used_unless_every_endpoint_says_no(self) -> None:
        one: Any = parse_server(self.reactor, "one", identity=self.identity, lan="no")
        self.assertIsNone(one.node.lan)
        other: Any = parse_client(self.reactor, PEER, service="x", identity=self.identity, lan="no")
        self.assertIsNone(other.node.lan)
        last: Any = parse_server(self.reactor, "last", identity=self.identity)
        self.assertIs(last.node, one.node)
        verifyObject(IPeerDiscovery, last.node.lan)

    def test_the_environment_says_whether_the_local_network_is_used_otherwise(self) -> None:
        self.patch(os, "environ", {**os.environ, "P2P_LAN": "no"})
        one: Any = parse_server(self.reactor, "one", identity=self.identity)
        self.assertIsNone(one.node.lan)
        other: Any = parse_server(self.reactor, "two", identity=self.identity, lan="yes")
        verifyObject(IPeerDiscovery, other.node.lan)

    def test_the_node_runs_from_the_first_string_until_the_reactor_stops(self) -> None:
        endpoint: Any = parse_server(self.reactor, "echo", identity=self.identity)
        parse_server(self.reactor, "other", identity=self.identity)
        self.assertTrue(endpoint.node.running)
        [trigger] = self.reactor.triggers
        self.net.run_until(trigger())
        self.assertFalse(endpoint.node.running)
        self.assertEqual(self.host.reactor.getDelayedCalls(), [])
        again: Any = parse_server(self.reactor, "echo", identity=self.identity)
        self.assertIsNot(again.node, endpoint.node)
        self.assertEqual(len(self.reactor.triggers), 1)

    def test_stopping_where_nothing_was_shared(self) -> None:
        stopped = stop_shared_nodes(object())
        self.assertIsNone(self.successResultOf(stopped))
        parse_server(self.reactor, "echo", identity=self.identity)

    def test_a_node_that_cannot_start_is_not_kept(self) -> None:
        error = PortInUse()

        def fail(node: P2PNode) -> None:
            raise error

        self.patch(P2PNode, "startService", fail)
        for _ in range(2):
            self.assertRaises(PortInUse, parse_server, self.reactor, "a", identity=self.identity)
        self.assertEqual(len(self.reactor.triggers), 1)

    def test_what_means_nothing_is_refused_and_starts_nothing(self) -> None:
        parse_server(self.reactor, "echo", identity=self.identity)
        other = str(self.folder / "other.pem")
        for error, parse, arguments, options in (
            (InvalidPeerID, parse_client, ["nobody"], {"service": "echo"}),
            (ValueError, parse_client, [PEER], {"service": ""}),
            (ValueError, parse_client, [PEER], {"service": "echo", "tracker": "host:port"}),
            (ValueError, parse_client, [PEER, "3478"], {"service": "echo"}),
            (ValueError, parse_server, ["echo"], {"service": "echo"}),
            (ValueError, parse_server, [""], {}),
            (ValueError, parse_server, ["x" * 256], {}),
            (InvalidPeerID, parse_server, ["echo"], {"allow": f"{PEER},somebody"}),
            (InvalidPeerID, parse_server, ["echo"], {"allow": f"{PEER},"}),
            (ValueError, parse_server, ["echo"], {"tracker": "[::1"}),
            (ValueError, parse_server, ["echo"], {"lan": "maybe"}),
        ):
            self.assertRaises(
                error, parse, self.reactor, *arguments, **{"identity": other, **options}
            )
        self.assertFalse(Path(other).exists())

    def test_an_identity_file_that_others_may_read_is_refused(self) -> None:
        parse_server(self.reactor, "echo", identity=self.identity)
        Path(self.identity).chmod(0o644)
        with self.assertRaises(IdentityFileError) as caught:
            parse_server(self.reactor, "echo", identity=self.identity)
        self.assertIn("chmod 600", str(caught.exception))
