"""Servers on the simulated internet: the real machines, on simulated hosts."""

from __future__ import annotations

from collections.abc import Collection

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.driver import MachineDriver
from twisted_p2p.datagram.shared_socket import SharedSocket
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.tracker.directory import ForeignServerAddress
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.service import TrackerService

TRACKER_PORT = 3478


class SimulatedTracker:
    """The tracker that `twistd p2ptracker` runs, on UDP port 3478 of a host's addresses."""

    def __init__(
        self,
        host: SimulatedHost,
        *,
        limits: TrackerLimits = DEFAULT_LIMITS,
        public_hosts: Collection[str] = (),
    ) -> None:
        self.host = host
        reactor = host.reactor
        self.machine = TrackerService(
            random_bytes=host.random.randbytes,
            store=MemoryPeerStore(),
            now=reactor.seconds(),
            limits=limits,
            public_hosts=public_hosts,
        )
        self._sockets: dict[HostPort, SharedSocket] = {}
        self._driver: MachineDriver[ForeignServerAddress] = MachineDriver(
            reactor, self.machine, self._send, lambda event: None
        )
        for address in host.addresses:
            socket = SharedSocket(reactor, address, TRACKER_PORT)
            socket.stun_received = self._driver.datagram_received
            socket.start()
            self._sockets[socket.address] = socket
        host.stop_at_end.append(self.stop)

    @property
    def address(self) -> HostPort:
        """The first address at which it serves."""
        return next(iter(self._sockets))

    def status(self) -> dict[str, object]:
        """Return the numbers of ``/status.json``."""
        return self.machine.status(self.host.reactor.seconds())

    def stop(self) -> None:
        """Fall silent, as a tracker does that was killed: nobody is told."""
        self._driver.stop()
        for socket in self._sockets.values():
            socket.stop()
        self._sockets = {}

    def _send(self, data: bytes, path: DatagramPath) -> None:
        assert isinstance(path.local, HostPort)
        socket = self._sockets.get(path.local)
        if socket is not None:
            socket.send(data, path)
