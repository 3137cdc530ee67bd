"""A home with a router, a laptop in it, and a stranger outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import fromstring

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.testing.port_mapping.test_upnp import SERVICE, soap
from twisted_p2p.addresses import HostPort
from twisted_p2p.testing import PORT_RESTRICTED, NATBehaviour, SimulatedHost, SimulatedInternet
from twisted_p2p.testing.port_mapping.actions import Arguments
from twisted_p2p.testing.router import FakeInternetGateway

PUBLIC = "11.0.1.1"


class Recorder(DatagramProtocol):
    noisy = False

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.received.append(datagram)


class Exchange(Protocol):
    """Sends something and keeps all that comes back."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.received = b""
        self.ended: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.data)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.received)


class Home:
    def __init__(
        self,
        nat: NATBehaviour = PORT_RESTRICTED,
        more_addresses: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.net = SimulatedInternet(seed=1)
        self.network = self.net.add_network("home", PUBLIC, nat, more_addresses=more_addresses)
        self.router = FakeInternetGateway(self.net, self.network, **options)
        self.laptop = self.add_host(2)
        self.stranger = self.net.add_host("stranger", "11.0.9.9")

    def add_host(self, number: int) -> SimulatedHost:
        return self.net.add_host(f"host {number}", f"192.168.1.{number}", network=self.network)

    def ask(self, data: bytes, host: SimulatedHost | None = None) -> bytes | None:
        """Ask by NAT-PMP or PCP, and return the answer if there is one."""
        client = Recorder()
        port = (host or self.laptop).reactor.listenUDP(0, client)
        port.write(data, (self.router.address, 5351))
        self.net.run_for(0.1)
        port.stopListening()
        assert len(client.received) <= 1
        return client.received[0] if client.received else None

    def fetch(self, request: bytes) -> tuple[int, bytes]:
        """Do one exchange of HTTP; return the status and the body."""
        endpoint = TCP4ClientEndpoint(self.laptop.reactor, self.router.address, 5000)
        head = request.replace(b"\r\n", b"\r\nHost: router\r\nConnection: close\r\n", 1)
        exchange = self.net.run_until(connectProtocol(endpoint, Exchange(head)))
        answer = self.net.run_until(exchange.ended)
        return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]

    def call(self, action: str, arguments: Arguments) -> dict[str, str] | int:
        """Call an action of UPnP; return its results or its error."""
        body = soap(action, arguments)
        head = (
            f"POST /control HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
            f'SOAPAction: "{SERVICE}#{action}"\r\n\r\n'
        )
        status, answer = self.fetch(head.encode() + body)
        root = fromstring(answer)
        if status == 200:
            return {child.tag: child.text or "" for child in root[0][0]}
        return int(root.findtext(".//{urn:schemas-upnp-org:control-1-0}errorCode") or 0)

    def lets_in(self, protocol: str, public: int, internal: int = 5_000) -> bool:
        """Whether a stranger reaches the laptop by a public port."""
        reaches = self._lets_udp_in if protocol == "udp" else self._lets_tcp_in
        return reaches(HostPort(self.network.gateway.public_address, public), internal)  # type: ignore[union-attr]

    def _lets_udp_in(self, target: HostPort, internal: int) -> bool:
        inside = Recorder()
        port = self.laptop.reactor.listenUDP(internal, inside)
        outside = self.stranger.reactor.listenUDP(0, Recorder())
        outside.write(b"hello", target)
        self.net.run_for(0.5)
        port.stopListening()
        outside.stopListening()
        self.net.run_for(0)
        return inside.received == [b"hello"]

    def _lets_tcp_in(self, target: HostPort, internal: int) -> bool:
        factory = Factory.forProtocol(Exchange)
        port = self.laptop.reactor.listenTCP(internal, factory)
        endpoint = TCP4ClientEndpoint(self.stranger.reactor, *target, timeout=2)
        try:
            exchange = self.net.run_until(connectProtocol(endpoint, Exchange()))
        except ConnectError:
            return False
        else:
            exchange.transport.abortConnection()  # type: ignore[union-attr]
            return True
        finally:
            port.stopListening()
            self.net.run_for(0.5)
