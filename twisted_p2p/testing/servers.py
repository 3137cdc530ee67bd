"""Servers on the simulated internet: the real machines, on simulated hosts."""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.interfaces import IDelayedCall, IListeningPort

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.driver import MachineDriver, monotonic_clock
from twisted_p2p.datagram.shared_socket import SharedSocket
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.tracker.directory import ForeignServerAddress, StreamSocket
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.service import TrackerService
from twisted_p2p.tracker.streams import StreamServer

TRACKER_PORT = 3478


class SimulatedTracker:
    """The tracker that `twistd p2ptracker` runs, on port 3478 of a host's addresses.

    Nodes reach it by UDP, and over TCP streams as well.
    """

    def __init__(
        self,
        host: SimulatedHost,
        *,
        limits: TrackerLimits = DEFAULT_LIMITS,
        public_hosts: Collection[str] = (),
    ) -> None:
        self.host = host
        self._limits = limits
        self._public_hosts = public_hosts
        self._sockets: dict[HostPort, SharedSocket] = {}
        self._ports: list[IListeningPort] = []
        self._restart: IDelayedCall | None = None
        self._start()
        host.stop_last.append(self.stop)

    @property
    def address(self) -> HostPort:
        """The first address at which it serves."""
        return HostPort(self.host.addresses[0], TRACKER_PORT)

    def status(self) -> dict[str, object]:
        """Return the numbers of ``/status.json``."""
        return {**self.machine.status(self._driver.now()), "streams": len(self._streams)}

    def stop(self) -> None:
        """Fall silent, as a tracker does that was killed: only streams hear of it."""
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        self._driver.stop()
        self._streams.abort_all()
        for socket in self._sockets.values():
            socket.stop()
        self._sockets = {}
        for port in self._ports:
            port.stopListening()
        self._ports = []

    def restart(self, seconds: float = 0.0) -> None:
        """Stop, and come back after some seconds with other secrets, knowing nobody."""
        self.stop()
        self._restart = self.host.reactor.callLater(seconds, self._start_again)

    def _start_again(self) -> None:
        self._restart = None
        self._start()

    def _start(self) -> None:
        reactor = self.host.reactor
        self.machine = TrackerService(
            random_bytes=self.host.random.randbytes,
            store=MemoryPeerStore(),
            now=monotonic_clock(reactor)(),
            limits=self._limits,
            public_hosts=self._public_hosts,
        )
        self._driver: MachineDriver[ForeignServerAddress] = MachineDriver(
            reactor, self.machine, self._send, lambda event: None
        )
        self._streams = StreamServer(
            reactor, self._driver.datagram_received, self.machine.stream_lost
        )
        for address in self.host.addresses:
            socket = SharedSocket(reactor, address, TRACKER_PORT)
            socket.stun_received = self._driver.datagram_received
            socket.start()
            self._sockets[socket.address] = socket
            self._ports.append(reactor.listenTCP(TRACKER_PORT, self._streams, interface=address))

    def _send(self, data: bytes, path: DatagramPath) -> None:
        if isinstance(path.local, StreamSocket):
            self._streams.send(data, path)
            return
        assert isinstance(path.local, HostPort)
        socket = self._sockets.get(path.local)
        if socket is not None:
            socket.send(data, path)
