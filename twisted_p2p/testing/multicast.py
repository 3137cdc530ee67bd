"""UDP ports of a simulated host that hear groups."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENODEV
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, execute
from twisted.internet.error import MulticastJoinError
from twisted.internet.interfaces import IMulticastTransport
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.ip import (
    UNSPECIFIED_IPV4,
    canonical_address,
    is_multicast,
    is_same_family,
    is_unspecified,
)
from twisted_p2p.testing.udp_port import SimulatedUDPPort

if TYPE_CHECKING:
    from twisted_p2p.testing.host import SimulatedHost

INTERFACE_INDEX = 2
"""The number of the only interface of a host; that of loopback is 1, as on Linux."""

_MOST_HOPS = 255


@implementer(IMulticastTransport)
class SimulatedMulticastPort(SimulatedUDPPort):
    """What `listenMulticast` of a simulated reactor returns.

    It hears the groups that it has joined itself, and no others that its host is in.
    """

    def __init__(
        self,
        host: SimulatedHost,
        port: int,
        protocol: DatagramProtocol,
        interface: str,
        max_packet_size: int,
        *,
        listen_multiple: bool,
    ) -> None:
        super().__init__(host, port, protocol, interface, max_packet_size)
        self.shares = listen_multiple
        self._outgoing = UNSPECIFIED_IPV4
        self._outgoing_index = 0

    def joinGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        """Hear what is sent to a group; fails with `MulticastJoinError`."""
        return self._change_membership(self._join, addr, interface)

    def leaveGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        """Hear that no more; fails with `MulticastJoinError` when it was not heard."""
        return self._change_membership(self._leave, addr, interface)

    def getLoopbackMode(self) -> bool:
        """Return whether the ports of this host hear what this one sends to a group."""
        return self.loops

    def setLoopbackMode(self, mode: bool) -> None:
        """Set whether they do."""
        self.loops = bool(mode)

    def getTTL(self) -> int:
        """Return the time to live of packets to groups."""
        return self.ttl

    def setTTL(self, ttl: int) -> None:
        """Set that, from 0 for this host to 255; groups do not reach beyond the network anyway."""
        if not 0 <= ttl <= _MOST_HOPS:
            raise ValueError(f"a time to live of {ttl} is not from 0 to {_MOST_HOPS}")
        self.ttl = ttl

    def getOutgoingInterface(self) -> str | int:
        """Return the address, or for IPv6 the index, of the interface that was set."""
        return self._outgoing_index if ":" in self.bound.host else self._outgoing

    def setOutgoingInterface(self, addr: str | int) -> Deferred[int]:
        """Set it by its address, or for IPv6 by its index."""
        return execute(self._set_outgoing_interface, addr)

    def _set_outgoing_interface(self, interface: str | int) -> int:
        if ":" in self.bound.host:
            assert isinstance(interface, int), "IPv6 interfaces are specified as integers"
            if interface not in (0, INTERFACE_INDEX):
                raise OSError(ENODEV, os.strerror(ENODEV))
            self._outgoing_index = interface
        else:
            assert isinstance(interface, str), "IPv4 interfaces are specified as addresses"
            self._outgoing = self._interface_address(interface)
            self.forget_routes()
        return 1

    def _source(self, remote: HostPort) -> HostPort:
        source = super()._source(remote)
        if is_unspecified(self._outgoing) or not is_multicast(remote.host):
            return source
        return HostPort(self._outgoing, source.port)

    def _change_membership(
        self, change: Callable[[str], None], group: str, interface: str
    ) -> Deferred[None]:
        def checked() -> None:
            try:
                address = canonical_address(group)
                if not is_same_family(self.bound.host, address) or not is_multicast(address):
                    raise OSError(EINVAL, os.strerror(EINVAL))
                if interface:
                    self._interface_address(interface)
                change(address)
            except (OSError, ValueError) as error:
                raise MulticastJoinError(group, interface, *error.args) from error

        return execute(checked)

    def _interface_address(self, interface: str) -> str:
        address = canonical_address(interface)
        if not is_unspecified(address) and not self._host.is_local(address):
            raise OSError(ENODEV, os.strerror(ENODEV))
        return address

    def _join(self, group: str) -> None:
        if group in self.groups:
            raise OSError(EADDRINUSE, os.strerror(EADDRINUSE))
        self.groups.add(group)
        self._host.join(group)

    def _leave(self, group: str) -> None:
        if group not in self.groups:
            raise OSError(EADDRNOTAVAIL, os.strerror(EADDRNOTAVAIL))
        self.groups.remove(group)
        self._host.leave(group)
