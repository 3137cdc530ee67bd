"""A simulated host: its addresses, its UDP ports and its reactor."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENETUNREACH, ENODEV
from random import Random
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from twisted_p2p.addresses import HostPort, NetworkInterface
from twisted_p2p.testing.clock import HostClock
from twisted_p2p.testing.ip import (
    bare_address,
    canonical_address,
    is_link_local,
    is_loopback,
    is_multicast,
    is_same_family,
    is_unspecified,
)
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.multicast import INTERFACE_INDEX
from twisted_p2p.testing.names import NameTable
from twisted_p2p.testing.network import Attachment, Network
from twisted_p2p.testing.packet import ICMPError, Packet
from twisted_p2p.testing.port_table import PortTable
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
        names: NameTable,
    ) -> None:
        """Attach a host; ``random`` makes the random source of a given name."""
        self.name = name
        self.addresses: tuple[str, ...] = ()
        """Its IP addresses; link-local ones of IPv6 may have a scope: ``fe80::1%eth0``."""
        self.interface = "eth0"
        """The name of its interface."""
        self._bare_addresses: tuple[str, ...] = ()
        self._local: frozenset[str] = frozenset()
        self.attachment = self._attachment(network, link, random(f"link of {name}"))
        self.random = random(f"host {name}")
        """A source for what runs here, so that it too repeats from the seed."""
        self.schedule = HostSchedule(network.schedule)
        """Where the host's system puts what is to happen here."""
        self.clock = HostClock(network.schedule)
        """Its wall clock and its monotonic one."""
        self.tcp = TCPStack(self, random(f"TCP of {name}"))
        """Its `TCPSettings` may be replaced."""
        self.tcp_descriptors = DescriptorTurns(self.tcp, self.schedule)
        self.reactor = SimulatedReactor(self, network.schedule, names)
        self._names = names
        self.stop_at_end: list[Callable[[], object]] = []
        """Functions that stop what runs here; they may return Deferreds.  See `shut_down`."""
        self.stop_last: list[Callable[[], object]] = []
        """The same for what must outlive everything in `stop_at_end` of any host."""
        self._naps = 0
        self._groups: Counter[str] = Counter()
        self._ports: PortTable[SimulatedUDPPort] = PortTable()
        self._take_addresses(addresses)

    @property
    def network(self) -> Network:
        """The network that the host is in."""
        return self.attachment.network

    def network_interfaces(self) -> list[NetworkInterface]:
        """Return its only interface, as a system tells it; IPv4 networks are taken for /24s."""
        addresses = (f"{each}/{64 if ':' in each else 24}" for each in self._bare_addresses)
        return [NetworkInterface(self.interface, INTERFACE_INDEX, tuple(addresses))]

    @property
    def default_gateway(self) -> str | None:
        """The address of the router of its network, as its routing table has it."""
        return self.network.router

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

    def move_to(self, network: Network, *addresses: str, link: Link | None = None) -> None:
        """Unplug here and plug in there, with other addresses, or none at all.

        Old addresses vanish at once.  Ports bound to one of them hear nothing any more and cannot
        send; those that are bound to all addresses live on.  The link stays as it is unless told
        otherwise.

        :raises ValueError: when an address is taken.
        """
        before = self.attachment
        before.is_plugged = False
        for address in self._bare_addresses:
            before.network.detach(address)
        self.attachment = self._attachment(network, link or before.link, before.random)
        for port in self.open_ports():
            for group in sorted(port.groups):
                before.network.leave(before, group)
                network.join(self.attachment, group)
        self._take_addresses(addresses)
        self.reactor.tell_network_changed(link_came_up=True)

    def disconnect(self) -> None:
        """Pull the cable: no packet comes or goes, and programs that watch the network notice."""
        self.attachment.is_plugged = False
        self.reactor.tell_network_changed(link_came_up=False)

    def reconnect(self) -> None:
        """Put the cable in again."""
        self.attachment.is_plugged = True
        self.reactor.tell_network_changed(link_came_up=True)

    @property
    def is_connected(self) -> bool:
        """Whether the cable is in, and the host has an address."""
        return self.attachment.is_plugged and bool(self.addresses)

    def restart(self) -> SimulatedReactor:
        """Kill what runs here, and return a new reactor, which is `reactor` from now on.

        No program hears of it, and its sockets are closed as a system does that.
        """
        if not self.reactor.is_over:
            self.reactor.crash()
        self.close_all()
        self.tcp_descriptors = DescriptorTurns(self.tcp, self.schedule)
        self.reactor = SimulatedReactor(self, self.network.schedule, self._names)
        return self.reactor

    def disconnect_programs(self) -> None:
        """Tell the protocols of all sockets that they have lost them."""
        for port in self.open_ports():
            port.close()
        descriptors: list[Any] = [*self.reactor.getReaders(), *self.reactor.getWriters()]
        for descriptor in dict.fromkeys(descriptors):
            self.reactor.removeReader(descriptor)
            self.reactor.removeWriter(descriptor)
            descriptor.connectionLost(Failure(ConnectionLost()))

    def close_all(self) -> None:
        """Close all sockets and tell nobody here."""
        for port in self.open_ports():
            port.unbind()
        for socket in list(self.tcp.sockets.values()):
            socket.close()

    def _attachment(self, network: Network, link: Link, random: Random) -> Attachment:
        return Attachment(network, link, random, self._receive, lambda address: self.name)

    def _take_addresses(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(canonical_address(address) for address in addresses)
        self._bare_addresses = tuple(bare_address(address) for address in self.addresses)
        self._local = frozenset({*self._bare_addresses, "::1"})
        for port in self.open_ports():
            port.forget_routes()
        scopes = [address.partition("%")[2] for address in self.addresses if "%" in address]
        self.interface = next(iter(scopes), self.interface)
        for address in self._bare_addresses:
            self.network.attach(self.attachment, address)

    def bind(self, port: SimulatedUDPPort, wanted: HostPort) -> HostPort:
        """Give a port the address that it wants, or a free one for port 0, and return that.

        :raises OSError: when the address is another host's, or in use here.
        """
        wanted = HostPort(self.unscoped(wanted.host), wanted.port)
        if not (
            self.is_local(wanted.host) or is_unspecified(wanted.host) or is_multicast(wanted.host)
        ):
            raise _system_error(EADDRNOTAVAIL)
        address = wanted if wanted.port else self._free_address(wanted.host)
        if not self._is_free(address, shares=port.shares):
            raise _system_error(EADDRINUSE)
        self._ports.add(address.port, port)
        return address

    def unbind(self, port: SimulatedUDPPort) -> None:
        """Free the address of a port."""
        self._ports.remove(port.bound.port, port)

    def open_ports(self) -> list[SimulatedUDPPort]:
        """Return the ports that are open here."""
        return list(self._ports)

    def source_of(self, bound: HostPort, destination: str) -> HostPort:
        """Return the source that packets of a bound port to a destination have.

        :raises OSError: when the host has no address for that, or the port only loopback, or one
            that is no longer the host's.
        """
        if is_loopback(bound.host) and not self.is_local(destination):
            raise _system_error(EINVAL)
        if not is_unspecified(bound.host) and not is_multicast(bound.host):
            if not self.is_local(bound.host):
                raise _system_error(EINVAL)
            return bound
        return HostPort(self._source_towards(destination), bound.port)

    def _source_towards(self, destination: str) -> str:
        if self.is_local(destination):
            return destination
        own = [each for each in self._bare_addresses if is_same_family(each, destination)]
        near = is_link_local(destination)
        fitting = [address for address in own if is_link_local(address) == near]
        if not fitting and (is_multicast(destination) or ":" not in destination):
            fitting = own
        if not fitting:
            raise _system_error(ENETUNREACH)
        return fitting[0]

    def unscoped(self, address: str, *, bound_to: str = "::") -> str:
        """Return an address without its scope, which must be there if it is link-local.

        A port that is itself bound to a link-local address needs none.

        :raises OSError: when the scope is missing, or is no interface of this host.
        """
        bare, _, scope = address.partition("%")
        if scope and scope not in (self.interface, str(INTERFACE_INDEX)):
            raise _system_error(ENODEV)
        is_scoped = scope or is_link_local(bound_to) or is_multicast(bare) or ":" not in bare
        if not is_scoped and is_link_local(bare):
            raise _system_error(EINVAL)
        return bare

    def send(self, packet: Packet) -> None:
        """Put a packet on its way."""
        if self.schedule.is_asleep:
            self.network.log.record(packet, self.schedule.now, "asleep", self.name)
        elif self.is_local(packet.destination.host):
            schedule = self.network.schedule
            schedule.at(schedule.now + _LOOPBACK_DELAY, self._receive, packet)
        elif packet.source.host in self._local:
            self.attachment.send(packet)
        else:
            self.network.log.record(packet, self.schedule.now, "stale source", self.name)

    def send_to_group(self, packet: Packet, *, loops: bool, leaves: bool) -> None:
        """Put a packet to a group on its way: to this host, to the network, or to both."""
        if loops and packet.destination.host in self._groups:
            schedule = self.network.schedule
            schedule.at(schedule.now + _LOOPBACK_DELAY, self._receive, packet.copy())
        if leaves:
            self.send(packet)

    def join(self, group: str) -> None:
        """Take packets to a group from the network, until `leave` was called as often."""
        self._groups[group] += 1
        self.network.join(self.attachment, group)

    def leave(self, group: str) -> None:
        """Undo `join` once."""
        self._groups[group] -= 1
        if not self._groups[group]:
            del self._groups[group]
        self.network.leave(self.attachment, group)

    def _receive(self, packet: Packet) -> None:
        network = self.attachment.network
        now = network.schedule.now
        if self.schedule.is_asleep:
            network.log.record(packet, now, "asleep", self.name)
        elif packet.protocol == "tcp":
            self.tcp.receive(packet)
        elif packet.destination.host not in self._local and is_multicast(packet.destination.host):
            self._receive_as_group(packet)
        elif (port := self._port_for(packet)) is not None:
            network.log.record(packet, now, "delivered", self.name)
            port.receive(packet)
        else:
            network.log.record(packet, now, "refused", self.name)
            network.bounce(packet, ICMPError.PORT_UNREACHABLE)

    def _port_for(self, packet: Packet) -> SimulatedUDPPort | None:
        """Return the port that a packet is for; of equal ones the latest.

        Linux would choose by the source.
        """
        found = None
        for port in self._ports[packet.destination.port]:
            if port.accepts(packet) and (found is None or port.precision >= found.precision):
                found = port
        return found

    def _receive_as_group(self, packet: Packet) -> None:
        hearing = [p for p in self._ports[packet.destination.port] if p.hears(packet)]
        fate = "delivered" if hearing else "unheard"
        self.network.log.record(packet, self.schedule.now, fate, self.name)
        for port in hearing:
            port.receive(packet)

    def is_local(self, host: str) -> bool:
        """Whether packets to an address stay here."""
        return host in self._local or host.startswith("127.")

    def _is_free(self, address: HostPort, *, shares: bool = False) -> bool:
        return not any(
            port.overlaps(address) and not (shares and port.shares)
            for port in self._ports[address.port]
        )

    def _free_address(self, host: str) -> HostPort:
        first = self.random.randrange(_EPHEMERAL_PORT_COUNT)
        for step in range(_EPHEMERAL_PORT_COUNT):
            port = _FIRST_EPHEMERAL_PORT + (first + step) % _EPHEMERAL_PORT_COUNT
            if self._is_free(HostPort(host, port)):
                return HostPort(host, port)
        raise _system_error(EADDRINUSE)


def _system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
