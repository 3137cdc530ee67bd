"""A home behind a gateway, and a host outside, for tests of gateways."""

from __future__ import annotations

from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing import (
    PORT_RESTRICTED,
    Gateway,
    NATBehaviour,
    Network,
    SimulatedHost,
    SimulatedInternet,
)
from twisted_p2p.testing.packet import ICMPError, Packet
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment

SYN, ACK, RST = TCPFlags.SYN, TCPFlags.ACK, TCPFlags.RST
PUBLIC = "11.0.1.1"


class Endpoint(DatagramProtocol):
    """A UDP port that keeps what arrives, and a source of bare TCP packets."""

    noisy = False

    def __init__(self, host: SimulatedHost, port: int = 9, interface: str = "") -> None:
        self.host = host
        self.heard: list[tuple[bytes, tuple[str, int]]] = []
        self.segments: list[tuple[TCPFlags, HostPort]] = []
        self.errors: list[tuple[float, ICMPError]] = []
        host.reactor.listenUDP(port, self, interface)
        self.address = HostPort(host.addresses[0], port)
        self._receive = host.attachment.receive
        host.attachment.receive = self._take

    def _take(self, packet: Packet) -> None:
        if packet.segment is None:
            self._receive(packet)
        else:
            self.segments.append((packet.segment.flags, packet.source))

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.heard.append((datagram, addr))

    def send(self, data: bytes, to: HostPort) -> None:
        self.transport.write(data, to)

    def send_segment(self, flags: TCPFlags, to: HostPort) -> None:
        now, source = self.host.network.schedule.now, self.address
        self.host.send(
            Packet(
                "tcp",
                b"",
                source,
                to,
                self.host.name,
                now,
                source,
                to,
                lambda error: self.errors.append((self.host.network.schedule.now, error)),
                TCPSegment(flags, 100),
            )
        )


class GatewayTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet(1)
        self.remote = Endpoint(self.internet.add_host("remote", "11.0.0.1"))

    def home(self, nat: NATBehaviour | None = PORT_RESTRICTED) -> Gateway:
        self.network = self.internet.add_network("home", PUBLIC, nat)
        self.inside = self.add_inside("inside", "192.168.1.2")
        return gateway_of(self.network)

    def add_inside(self, name: str, address: str, port: int = 9) -> Endpoint:
        return Endpoint(self.internet.add_host(name, address, network=self.network), port)

    def run_for(self, seconds: float = 1.0) -> None:
        self.internet.run_for(seconds)

    def fates(self) -> list[str]:
        return [entry.fate for entry in self.internet.log]


def gateway_of(network: Network) -> Gateway:
    assert network.gateway is not None
    return network.gateway
