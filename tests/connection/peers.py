"""Two peer connections on one virtual clock, and protocols that remember what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.connection.link import INITIATOR, RESPONDER
from twisted_p2p.addresses import HostPort, Path
from twisted_p2p.connection.quic_connection import PeerConnection
from twisted_p2p.connection.quic_library import QH3Connection
from twisted_p2p.errors import UnknownService
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.interfaces import IEarlyFactory

PATH = Path("punched", "udp", HostPort("10.0.0.1", 1000), HostPort("11.0.0.2", 2000))


class Recorder(Protocol):
    """Remembers what its transport told it."""

    def __init__(self) -> None:
        self._received = bytearray()
        self.log: list[str] = []
        self.reason: Any = None

    def connectionMade(self) -> None:
        self.log.append("made")

    def dataReceived(self, data: bytes) -> None:
        self._received += data

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.log.append(f"lost {type(reason.value).__name__}")
        self.reason = reason.value

    @property
    def received(self) -> bytes:
        return bytes(self._received)

    @property
    def size(self) -> int:
        return len(self._received)

    @property
    def stream(self) -> Any:
        return self.transport


class Aborting(Recorder):
    """Wants nothing of whoever has come."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.stream.abortConnection()


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    def readConnectionLost(self) -> None:
        self.log.append("read lost")

    def writeConnectionLost(self) -> None:
        self.log.append("write lost")


class Made(Factory):
    """Builds protocols of one kind, keeps them, and counts its starts and stops."""

    noisy = False

    def __init__(self, kind: Callable[[], Any] = Recorder) -> None:
        self.kind = kind
        self.made: list[Any] = []
        self.addresses: list[Any] = []
        self.running = 0

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Any:
        self.addresses.append(addr)
        protocol = self.kind()
        self.made.append(protocol)
        return protocol

    @property
    def one(self) -> Any:
        (protocol,) = self.made
        return protocol


@implementer(IEarlyFactory)
class EarlyMade(Made):
    """The same, and they begin before the peer has accepted."""


@define(eq=False, slots=False)
class Owner:
    """Owns one of the connections; hands out the factories of `services`."""

    peers: Peers
    services: dict[str, Any] = field(factory=dict)
    log: list[str] = field(factory=list)
    connection_ids: set[bytes] = field(factory=set)
    reason: Any = None
    connection: Any = None
    other: Any = None
    _flight: tuple[float, list[bytes]] | None = None

    def send_datagrams(self, connection: PeerConnection, datagrams: Sequence[bytes]) -> None:
        for data in datagrams:
            self._send(data)

    def _send(self, data: bytes) -> None:
        self.peers.sent.append((self, data))
        if self.peers.drop(self, data):
            return
        # One call for all datagrams of a moment: a Clock sorts its calls at every new one.
        if self._flight is None or self._flight[0] != self.peers.clock.seconds():
            self._flight = (self.peers.clock.seconds(), [])
            self.peers.clock.callLater(self.peers.delay, self._arrive, self._flight[1])
        self._flight[1].append(data)

    def _arrive(self, flight: list[bytes]) -> None:
        self.other.connection.datagrams_received(flight)

    def connection_id_issued(self, connection: PeerConnection, connection_id: bytes) -> None:
        self.connection_ids.add(connection_id)

    def connection_id_retired(self, connection: PeerConnection, connection_id: bytes) -> None:
        self.connection_ids.remove(connection_id)

    def connection_authenticated(self, connection: PeerConnection) -> None:
        self.log.append("authenticated")

    def stream_requested(self, connection: PeerConnection, service: str) -> Any:
        if service not in self.services:
            raise UnknownService
        if isinstance(self.services[service], Exception):
            raise self.services[service]
        return self.services[service]

    def connection_lost(self, connection: PeerConnection, reason: Failure) -> None:
        self.log.append("lost")
        self.reason = reason.value

    def connection_forgotten(self, connection: PeerConnection) -> None:
        self.log.append("forgotten")


class Peers:
    """A client and a server, ``delay`` seconds apart, not yet joined."""

    def __init__(
        self,
        *,
        delay: float = 0.04,
        client_key: IdentityKey = INITIATOR,
        server_key: IdentityKey = RESPONDER,
        client_expects: IdentityKey = RESPONDER,
        server_expects: IdentityKey = INITIATOR,
        library: Any = QH3Connection,
    ) -> None:
        self.clock = Clock()
        self.delay = delay
        self.drop: Callable[[Owner, bytes], bool] = lambda owner, data: False
        self.sent: list[tuple[Owner, bytes]] = []
        self.client, self.server = Owner(self), Owner(self)
        self.client.other, self.server.other = self.server, self.client
        for owner, key, expected in (
            (self.client, client_key, client_expects),
            (self.server, server_key, server_expects),
        ):
            owner.connection = PeerConnection(
                self.clock,
                is_client=owner is self.client,
                identity=key,
                peer_id=expected.peer_id,
                owner=owner,
                library=library,
            )

    def run(self, seconds: float = 1.0, until: Callable[[], object] = lambda: False) -> bool:
        """Step from deadline to deadline, as a reactor would; return whether ``until`` held."""
        end = self.clock.seconds() + seconds
        while not until():
            deadlines = [call.getTime() for call in self.clock.getDelayedCalls()]
            upcoming = min(deadlines, default=end)
            if upcoming > end:
                self.clock.advance(end - self.clock.seconds())
                return bool(until())
            self.clock.advance(max(0.0, upcoming - self.clock.seconds()))
            if not deadlines:
                return bool(until())
        return True

    def join(
        self, client_kind: Callable[[], Any] = Recorder, server_kind: Callable[[], Any] = Recorder
    ) -> tuple[Any, Any]:
        """Open a stream from client to server and return both protocols."""
        self.server.services["service"] = factory = Made(server_kind)
        ours = Made(client_kind)
        opened = self.client.connection.open_stream("service", ours)
        opened.addErrback(lambda failure: None)
        assert self.run(5, until=lambda: opened.called)
        return ours.one, factory.one
