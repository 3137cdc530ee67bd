"""Trackers and nodes as programs on the hosts of a simulated internet."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.driver import MachineDriver, one_by_one
from twisted_p2p.datagram.shared_socket import SharedSocket
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.identity.sequence import RisingSequence
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.tracker.client import Trackers
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.messages import Indication
from twisted_p2p.tracker.service import TrackerService


class TrackerProgram:
    """A tracker on a host, at all its addresses."""

    def __init__(self, host: SimulatedHost) -> None:
        self.host = host
        self.start()

    @property
    def address(self) -> HostPort:
        return HostPort(self.host.addresses[0], 3478)

    @property
    def status(self) -> dict[str, Any]:
        return self.machine.status(self.host.reactor.seconds())

    def start(self, limits: TrackerLimits = DEFAULT_LIMITS) -> None:
        """Start a tracker that knows nobody."""
        self.machine = TrackerService(
            random_bytes=self.host.random.randbytes,
            store=MemoryPeerStore(),
            now=self.host.reactor.seconds(),
            limits=limits,
        )
        self.sockets = {
            HostPort(host, 3478): SharedSocket(self.host.reactor, host, 3478)
            for host in self.host.addresses
        }
        self.driver: Any = MachineDriver(
            self.host.reactor, self.machine, one_by_one(self._send), lambda event: None
        )
        for socket in self.sockets.values():
            socket.stun_received = self.driver.datagram_received
            socket.start()

    def stop(self) -> None:
        """Fall silent."""
        self.driver.stop()
        for socket in self.sockets.values():
            socket.stop()

    def _send(self, data: bytes, path: DatagramPath) -> None:
        assert isinstance(path.local, HostPort)
        self.sockets[path.local].send(data, path)


class NodeProgram:
    """A node on a host: one socket for each family that the host has, and its trackers."""

    def __init__(
        self, host: SimulatedHost, *trackers: HostPort, reactor: Any = None, clock: Any = None
    ) -> None:
        self.host = host
        self.identity = IdentityKey.from_seed(host.random.randbytes(32))
        self.handed_over: list[Indication] = []
        self.observed: list[tuple[str, Any, HostPort]] = []
        self.strangers: list[bytes] = []
        self.services: tuple[str, ...] = ()
        self.topics: tuple[str, ...] = ()
        self.sockets: dict[HostPort, SharedSocket] = {}
        for interface in ["::" if ":" in address else "" for address in host.addresses]:
            socket = SharedSocket(host.reactor, interface)
            socket.stun_received = self._received
            socket.start()
            self.sockets[socket.address] = socket
        self.trackers = Trackers(
            reactor or host.reactor,
            self.identity,
            send=self._send,
            sockets=lambda: list(self.sockets),
            describe=self._describe,
            next_sequence=RisingSequence(clock or host.reactor.seconds).next,
            random_bytes=host.random.randbytes,
        )
        self.trackers.handed_over = self.handed_over.append
        self.trackers.observed = lambda *observed: self.observed.append(observed)
        for tracker in trackers:
            self.trackers.add(tracker)

    @property
    def peer_id(self) -> PeerID:
        return self.identity.peer_id

    def start(self) -> Deferred[None]:
        """Start, and return what fires when a tracker knows the node."""
        self.trackers.start()
        return self.trackers.when_registered()

    def _received(self, data: bytes, path: DatagramPath) -> None:
        if not self.trackers.datagram_received(data, path):
            self.strangers.append(data)

    def _send(self, data: bytes, path: DatagramPath) -> None:
        assert isinstance(path.local, HostPort)
        self.sockets[path.local].send(data, path)

    def _describe(self, sequence: int, mapped_address: HostPort) -> bytes:
        record = PeerRecord(
            peer_id=self.peer_id,
            sequence=sequence,
            lifetime=300,
            accepting=bool(self.services),
            services=self.services,
            addresses=(mapped_address,),
            address_policy=AddressPolicy.ANYONE,
            topics=self.topics,
        )
        return record.sign(self.identity)


def stranger(seed: int) -> PeerID:
    """Return a peer that is nowhere."""
    return IdentityKey.from_seed(Random(seed).randbytes(32)).peer_id
