"""The UDP sockets of a node: one for each address family, with one port number if possible."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError

from ..addresses import DatagramPath, HostPort
from ..datagram.local_addresses import LocalAddresses
from ..datagram.shared_socket import BatchReceiver, Receiver, SharedSocket
from ..errors import PortInUse


class NodeSockets:
    """An IPv4 socket and, where the host has it, an IPv6 one."""

    def __init__(self, reactor: Any, port: int) -> None:
        """Prepare sockets with this port, 0 for any that is free."""
        self._reactor = reactor
        self._port = port
        self._sockets: dict[Hashable, SharedSocket] = {}
        local_addresses = LocalAddresses(reactor)
        self.local_address = local_addresses.of
        """Returns the address from which packets of a path leave."""
        self.network_changed = local_addresses.forget
        """To be called when they may leave from others."""

    @property
    def addresses(self) -> list[HostPort]:
        """The addresses that the sockets are bound to, IPv4 first; none before `start`."""
        return [socket.address for socket in self._sockets.values()]

    def start(self, *, stun: Receiver, quic: BatchReceiver) -> None:
        """Open the sockets; their datagrams go to ``stun`` and ``quic``.

        :raises PortInUse: when another program has the port.
        """
        port = self._open("", self._port, stun, quic)
        try:
            self._open("::", port, stun, quic)
        except (CannotListenError, PortInUse):
            # No IPv6 here, or the free port of one family is taken in the other.
            if self._port:
                return
            self._open_any_ipv6(stun, quic)

    def _open_any_ipv6(self, stun: Receiver, quic: BatchReceiver) -> None:
        try:
            self._open("::", 0, stun, quic)
        except CannotListenError:
            return

    def _open(self, interface: str, port: int, stun: Receiver, quic: BatchReceiver) -> int:
        socket = SharedSocket(self._reactor, interface, port)
        socket.stun_received, socket.quic_received = stun, quic
        socket.start()
        self._sockets[socket.address] = socket
        return socket.address.port

    def send(self, data: bytes, path: DatagramPath) -> None:
        """Send a datagram along a path; lost when its socket is closed."""
        socket = self._sockets.get(path.local)
        if socket is not None:
            socket.send(data, path)

    def send_all(self, datagrams: Sequence[bytes], path: DatagramPath) -> None:
        """Send datagrams along one path, in order."""
        socket = self._sockets.get(path.local)
        if socket is not None:
            socket.send_all(datagrams, path)

    def stop(self) -> Deferred[list[None]]:
        """Close the sockets; the Deferred fires when they are closed."""
        sockets, self._sockets = self._sockets, {}
        return gatherResults([socket.stop() for socket in sockets.values()])
