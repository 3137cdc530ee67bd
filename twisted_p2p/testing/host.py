"""A simulated host: its addresses, its UDP ports and its reactor."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENETUNREACH
from random import Random

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.clock import HostClock
from twisted_p2p.testing.ip import (
    canonical_address,
    is_loopback,
    is_same_family,
    is_unspecified,
)
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.network import Attachment, Network
from twisted_p2p.testing.packet import ICMPError, Packet
from twisted_p2p.testing.reactor import SimulatedReactor
from twisted_p2p.testing.schedule import HostSchedule
from twisted_p2p.testing.tcp.descriptors import DescriptorTurns
from twisted_p2p.testing.tcp.stack import TCPStack
from twisted_p2p.testing.udp_port import SimulatedUDPPort

_LOOPBACK_DELAY = 0.000_01
_FIRST_EPHEMERAL_PORT = 32_768
_EPHEMERAL_PORT_COUNT = 28_232


class SimulatedHost:
    """A computer in a simulated internet; programs on it are given its `reactor`."""

    def __init__(
        self,
        name: str,
        addresses: tuple[str, ...],
        network: Network,
        link: Link,
        random: Callable[[str], Random],
    ) -> None:
        """Attach a host; ``random`` makes the random source of a given name."""
        self.name = name
        self.addresses = tuple(canonical_address(address) for address in addresses)
        self.attachment = Attachment(
            network, link, random(f"link of {name}"), self._receive, lambda address: name
        )
        self.random = random(f"host {name}")
        """A source for what runs here, so that it too repeats from the seed."""
        self.schedule = HostSchedule(network.schedule)
        """Where the host's system puts what is to happen here."""
        self.clock = HostClock(network.schedule)
        self.tcp = TCPStack(self, random(f"TCP of {name}"))
        """Its `TCPSettings` may be replaced."""
        self.tcp_descriptors = DescriptorTurns(self.tcp, self.schedule)
        self.reactor = SimulatedReactor(self, network.schedule)
        self.stop_at_end: list[Callable[[], object]] = []
        """Functions that stop what runs here; they may return Deferreds.  See `shut_down`."""
        self.stop_last: list[Callable[[], object]] = []
        """The same for what must outlive everything in `stop_at_end` of any host."""
        self._naps = 0
        self._ports: dict[int, list[SimulatedUDPPort]] = {}
        for address in self.addresses:
            network.attach(self.attachment, address)

    @property
    def network(self) -> Network:
        """The network that the host is in."""
        return self.attachment.network

    @property
    def link(self) -> Link:
        """What befalls packets between this host and the middle of its network; assignable."""
        return self.attachment.link

    @link.setter
    def link(self, link: Link) -> None:
        self.attachment.link = link

    @property
    def is_asleep(self) -> bool:
        """Whether nothing runs here."""
        return self.schedule.is_asleep

    def sleep(self, seconds: float | None = None) -> None:
        """Run nothing and take no packet, for so many seconds or until `wake`.

        The wall clock goes on, the monotonic one stands still.
        """
        if not self.is_asleep:
            self.schedule.is_asleep = True
            self.clock.pause()
        self._naps += 1
        if seconds is not None:
            schedule = self.network.schedule
            schedule.at(schedule.now + seconds, self._wake_from, self._naps)

    def wake(self) -> None:
        """Go on, at first with what was due in the meantime."""
        if self.is_asleep:
            self.clock.go_on()
            self.schedule.wake()
            self.reactor.time_changed()

    def _wake_from(self, nap: int) -> None:
        if nap == self._naps:
            self.wake()

    def bind(self, port: SimulatedUDPPort, wanted: HostPort) -> HostPort:
        """Give a port the address that it wants, or a free one for port 0, and return that.

        :raises OSError: when the address is another host's, or in use here.
        """
        if not self.is_local(wanted.host) and not is_unspecified(wanted.host):
            raise _system_error(EADDRNOTAVAIL)
        address = wanted if wanted.port else self._free_address(wanted.host)
        if not self._is_free(address):
            raise _system_error(EADDRINUSE)
        self._ports.setdefault(address.port, []).append(port)
        return address

    def unbind(self, port: SimulatedUDPPort) -> None:
        """Free the address of a port."""
        self._ports[port.bound.port].remove(port)

    def open_ports(self) -> list[SimulatedUDPPort]:
        """Return the ports that are open here."""
        return [port for ports in self._ports.values() for port in ports]

    def source_of(self, bound: HostPort, destination: str) -> HostPort:
        """Return the source that packets of a bound port to a destination have.

        :raises OSError: when the host has no address of that family, or the port only loopback.
        """
        if is_loopback(bound.host) and not self.is_local(destination):
            raise _system_error(EINVAL)
        if not is_unspecified(bound.host):
            return bound
        if self.is_local(destination):
            return HostPort(destination, bound.port)
        for address in self.addresses:
            if is_same_family(address, destination):
                return HostPort(address, bound.port)
        raise _system_error(ENETUNREACH)

    def send(self, packet: Packet) -> None:
        """Put a packet on its way."""
        if self.is_asleep:
            self.network.log.record(packet, self.schedule.now, "asleep", self.name)
        elif self.is_local(packet.destination.host):
            schedule = self.network.schedule
            schedule.at(schedule.now + _LOOPBACK_DELAY, self._receive, packet)
        else:
            self.attachment.send(packet)

    def _receive(self, packet: Packet) -> None:
        if self.schedule.is_asleep:
            self.network.log.record(packet, self.schedule.now, "asleep", self.name)
            return
        if packet.protocol == "tcp":
            self.tcp.receive(packet)
            return
        now = self.network.schedule.now
        for port in self._ports.get(packet.destination.port, ()):
            if port.accepts(packet):
                self.network.log.record(packet, now, "delivered", self.name)
                port.receive(packet)
                return
        self.network.log.record(packet, now, "refused", self.name)
        self.network.bounce(packet, ICMPError.PORT_UNREACHABLE)

    def is_local(self, host: str) -> bool:
        """Whether packets to an address stay here."""
        return host in self.addresses or is_loopback(host)

    def _is_free(self, address: HostPort) -> bool:
        return not any(port.overlaps(address) for port in self._ports.get(address.port, ()))

    def _free_address(self, host: str) -> HostPort:
        first = self.random.randrange(_EPHEMERAL_PORT_COUNT)
        for step in range(_EPHEMERAL_PORT_COUNT):
            port = _FIRST_EPHEMERAL_PORT + (first + step) % _EPHEMERAL_PORT_COUNT
            if self._is_free(HostPort(host, port)):
                return HostPort(host, port)
        raise _system_error(EADDRINUSE)


def _system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
