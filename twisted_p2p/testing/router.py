"""A router on a simulated network: it maps ports for programs that ask it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import DatagramProtocol
from twisted.protocols.policies import WrappingFactory

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.portmap.nat_pmp import ANNOUNCEMENTS, PORT
from twisted_p2p.portmap.ssdp import (
    GROUP,
    Advertisement,
    SearchRequest,
    SearchResponse,
    decode_message,
)
from twisted_p2p.testing.internet import SimulatedInternet
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.network import Network
from twisted_p2p.testing.port_mapping.actions import WANIPConnection
from twisted_p2p.testing.port_mapping.description import DESCRIPTION_PATH, SERVER, matches
from twisted_p2p.testing.port_mapping.forwarder import GatewayForwarder
from twisted_p2p.testing.port_mapping.leases import Lease, PortLeases, RouterManners
from twisted_p2p.testing.port_mapping.nat_pmp import NATPMPService
from twisted_p2p.testing.port_mapping.pcp import PCPService

WEB_PORT = 5000

_ANNOUNCEMENT_COUNT = 10
_FIRST_PAUSE = 0.25


class FakeInternetGateway:
    """The router of a private network, with NAT-PMP, PCP and UPnP (IGD:2) for its hosts.

    It is a host inside; what it maps, the network's NAT lets in.  IPv4 alone is mapped.
    """

    def __init__(
        self,
        internet: SimulatedInternet,
        network: Network,
        address: str = "192.168.1.1",
        *,
        upnp: bool = True,
        nat_pmp: bool = True,
        pcp: bool = True,
        manners: RouterManners | None = None,
    ) -> None:
        """Add the router to a network and make it the default gateway of the hosts there.

        :raises ValueError: when the network has no NAT, or the address is taken.
        """
        if network.gateway is None or not network.gateway.tables:
            raise ValueError(f"the network {network.name!r} has no NAT")
        self.host = internet.add_host(
            f"router of {network.name}", address, network=network, link=Link()
        )
        network.router = self.host.addresses[0]
        self._gateway = network.gateway
        self._schedule = network.schedule
        self._leases = PortLeases(GatewayForwarder(self._gateway, self._now), self._now(), manners)
        self._nat_pmp = NATPMPService(self._leases) if nat_pmp else None
        self._pcp = PCPService(self._leases) if pcp else None
        self._has_upnp = upnp
        self._uuid = f"uuid:{UUID(bytes=self.host.random.randbytes(16), version=4)}"
        self._ports: list[IListeningPort] = []
        self._calls: dict[IDelayedCall, None] = {}
        self._is_keeping_open = False
        self._gateway.when_up.append(self._came_up)
        self._start()
        self.host.stop_last.append(self.stop)

    @property
    def address(self) -> str:
        """Its address inside."""
        return self.host.addresses[0]

    @property
    def location(self) -> str:
        """The URL of its description, as UPnP's searches find it."""
        return f"http://{self.address}:{WEB_PORT}{DESCRIPTION_PATH}"

    @property
    def manners(self) -> RouterManners:
        """How it deals with requests from now on; assignable."""
        return self._leases.manners

    @manners.setter
    def manners(self, manners: RouterManners) -> None:
        self._leases.manners = manners

    @property
    def epoch(self) -> int:
        """For how many seconds it has known its mappings."""
        return self._leases.epoch(self._now())

    def leases(self) -> tuple[Lease, ...]:
        """Return what it has lent, oldest first."""
        return tuple(self._leases.current(self._now()))

    def restart(self, new_address: str | None = None, *, seconds: float = 0.0) -> None:
        """Lose all mappings, be gone for a time, and come back with another epoch, saying so.

        ``new_address`` is the public address from then on.  `Gateway.reboot` of the network does
        the same, but for a router that would answer meanwhile.
        """
        self._fall_silent()
        self._gateway.reboot(new_address, seconds)

    def stop(self) -> None:
        """Serve nobody from now on; what is mapped stays so."""
        if self._came_up in self._gateway.when_up:
            self._gateway.when_up.remove(self._came_up)
        self._fall_silent()

    def _fall_silent(self) -> None:
        for call in tuple(self._calls):
            call.cancel()
        self._calls.clear()
        self._is_keeping_open = False
        for port in self._ports:
            port.stopListening()
        self._ports.clear()
        for connection in tuple(self._web.protocols) if self._has_upnp else ():
            connection.abortConnection()

    def _came_up(self) -> None:
        """Go on in the next turn of the reactor: in this one the ports are not free yet."""
        self._fall_silent()
        self._leases.forget(self._now())
        if self._pcp is not None:
            self._pcp.forget()
        self._later(0.0, self._go_on)

    def _go_on(self) -> None:
        self._start()
        self._announce(_ANNOUNCEMENT_COUNT, _FIRST_PAUSE)
        for target, usn in matches("ssdp:all", self._uuid) if self._has_upnp else ():
            alive = Advertisement("ssdp:alive", target, usn, self.location, SERVER)
            self._ssdp.transport.write(alive.encode(), GROUP)

    def _start(self) -> None:
        reactor: Any = self.host.reactor
        self._mapping = _Datagrams(self._asked_to_map)
        self._ssdp = _Datagrams(self._searched, GROUP.host, self.address)
        if self._nat_pmp or self._pcp:
            self._ports.append(reactor.listenUDP(PORT, self._mapping, self.address))
        if self._has_upnp:
            self._web = self._site()
            self._ports.append(reactor.listenTCP(WEB_PORT, self._web, interface=self.address))
            self._ports.append(reactor.listenMulticast(GROUP.port, self._ssdp, listenMultiple=True))

    def _site(self) -> WrappingFactory:
        """Return the web server, which knows its connections."""
        from twisted_p2p.testing.port_mapping.web import (  # noqa: PLC0415  (it loads slowly)
            router_site,
        )

        service = WANIPConnection(self._leases)
        site = router_site(service, self._uuid, self.host.reactor, self._now)
        factory = WrappingFactory(site)
        factory.noisy = False
        return factory

    def _now(self) -> float:
        # Not the clock of the router, which tests may step: the NAT's.
        return self._schedule.now

    def _later(self, delay: float, function: Callable[..., object], *arguments: object) -> None:
        def run() -> None:
            del self._calls[call]
            function(*arguments)

        call = self.host.reactor.callLater(delay, run)
        self._calls[call] = None

    def _asked_to_map(self, data: bytes, source: HostPort) -> None:
        """Answer in the protocol that the first byte names, or else in the one that there is."""
        now = self._now()
        if self._nat_pmp and (self._pcp is None or data[:1] == b"\0"):
            answer = self._nat_pmp.answer(data, source, now)
        else:
            assert self._pcp is not None
            answer = self._pcp.answer(data, source, now)
            if not self._is_keeping_open:
                self._keep_open()
        if answer is not None:
            self._mapping.transport.write(answer, source)

    def _keep_open(self) -> None:
        assert self._pcp is not None
        again_at = self._pcp.keep_open(self._now())
        self._is_keeping_open = again_at is not None
        if again_at is not None:
            self._later(again_at - self._now(), self._keep_open)

    def _announce(self, count: int, pause: float) -> None:
        """Tell that the router is new, ever more rarely (RFC 6886, 3.2.1; RFC 6887, 14.1.2)."""
        for service in (self._nat_pmp, self._pcp):
            if service is not None:
                self._mapping.transport.write(service.announcement(self._now()), ANNOUNCEMENTS)
        if count > 1 and (self._nat_pmp or self._pcp):
            self._later(pause, self._announce, count - 1, 2 * pause)

    def _searched(self, data: bytes, source: HostPort) -> None:
        try:
            request = decode_message(data)
        except MalformedMessage:
            return
        if not isinstance(request, SearchRequest):
            return
        for target, usn in matches(request.target, self._uuid):
            response = SearchResponse(target, usn, self.location, SERVER).encode()
            delay = self.host.random.uniform(0, request.seconds)
            self._later(delay, self._ssdp.transport.write, response, source)


class _Datagrams(DatagramProtocol):
    """Hands datagrams on, of a multicast group too."""

    noisy = False
    transport: Any

    def __init__(
        self,
        received: Callable[[bytes, HostPort], None],
        group: str | None = None,
        interface: str = "",
    ) -> None:
        self._received = received
        self._group = group
        self._interface = interface

    def startProtocol(self) -> None:
        if self._group is not None:
            self.transport.joinGroup(self._group, self._interface)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self._received(datagram, HostPort(*addr))
