"""A STUN server on a simulated host."""

from __future__ import annotations

from collections import Counter

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.driver import MachineDriver, one_by_one
from twisted_p2p.datagram.shared_socket import SharedSocket
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.testing.stun_service import STUNService


class FakeSTUNServer:
    """A STUN server with NAT behaviour discovery (RFC 5780), on two UDP ports of a host.

    Of each address family it takes the host's first two addresses.  With one address alone it
    answers Binding requests, and refuses to answer from elsewhere, as most STUN servers do.
    """

    def __init__(
        self,
        host: SimulatedHost,
        *,
        port: int = 3478,
        alternate_port: int = 3479,
        mtu: int = 1_500,
    ) -> None:
        """Serve until `stop`.

        ``mtu`` is how many bytes of PADDING an answer has, when it is asked for.
        """
        self.services: list[STUNService] = []
        """The machine of each address family that the host has, of IPv4 first."""
        self._drivers: list[MachineDriver[None]] = []
        self._sockets: dict[HostPort, SharedSocket] = {}
        for is_ipv6 in (False, True):
            hosts = [address for address in host.addresses if (":" in address) == is_ipv6]
            if hosts:
                alternate = HostPort(hosts[1], alternate_port) if len(hosts) > 1 else None
                service = STUNService(HostPort(hosts[0], port), alternate, mtu=mtu)
                self.services.append(service)
                self._serve(host, service)
        host.stop_last.append(self.stop)

    @property
    def address(self) -> HostPort:
        """Where to ask first."""
        return self.services[0].primary

    @property
    def dropped(self) -> Counter[str]:
        """Datagrams without an answer, by reason."""
        return sum((service.dropped for service in self.services), Counter())

    def stop(self) -> None:
        """Fall silent."""
        for driver in self._drivers:
            driver.stop()
        for socket in self._sockets.values():
            socket.stop()
        self._sockets = {}

    def _serve(self, host: SimulatedHost, service: STUNService) -> None:
        driver: MachineDriver[None] = MachineDriver(
            host.reactor, service, one_by_one(self._send), lambda event: None
        )
        self._drivers.append(driver)
        for address in service.sockets:
            socket = SharedSocket(host.reactor, address.host, address.port)
            socket.stun_received = driver.datagram_received
            socket.start()
            self._sockets[address] = socket

    def _send(self, data: bytes, path: DatagramPath) -> None:
        assert isinstance(path.local, HostPort)
        self._sockets[path.local].send(data, path)
