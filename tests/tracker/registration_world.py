"""Node machines and a tracker machine in virtual time, on a network that does what a test says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, TypeVar

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.stun.message import STUNMessage
from twisted_p2p.tracker.client_events import PathWanted, TrackerEvent
from twisted_p2p.tracker.directory import StreamSocket
from twisted_p2p.tracker.enrolment import State
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.registration import TrackerRegistration
from twisted_p2p.tracker.service import TrackerService
from twisted_p2p.tracker.wire import TrackerMessage, read_message

TRACKER = HostPort("11.0.0.1", 3478)
ONE_WAY = 0.04

EventT = TypeVar("EventT")

Fate = Callable[[Random], list[float]]


def delivered(_random: Random) -> list[float]:
    """Deliver each datagram once, after `ONE_WAY`."""
    return [ONE_WAY]


def lost(_random: Random) -> list[float]:
    """Deliver nothing."""
    return []


def rough(random: Random) -> list[float]:
    """Lose one in eight, repeat one in twenty, delay by up to 300 ms more so that order is lost."""
    copies = 0 if random.random() < 0.12 else 2 if random.random() < 0.05 else 1
    return [ONE_WAY + random.random() * 0.3 for _ in range(copies)]


class Node:
    """A node: its machine, and what it was told."""

    def __init__(
        self, world: World, address: HostPort, *, seed: bytes, on_a_stream: bool, **record: Any
    ) -> None:
        self.identity = IdentityKey.from_seed(seed)
        self.address = address
        self.record: dict[str, Any] = {"lifetime": 3600, "accepting": True, **record}
        self.events: list[TrackerEvent] = []
        self.sequence = 0
        self.path: DatagramPath | None = DatagramPath("socket", TRACKER)
        self.on_a_stream = on_a_stream
        self.records: list[PeerRecord] = []
        self._world = world
        self.machine = TrackerRegistration(
            self.identity,
            self._describe,
            next_sequence=self._next_sequence,
            random_bytes=world.random.randbytes,
            on_a_stream=on_a_stream,
        )

    @property
    def peer_id(self) -> PeerID:
        return self.identity.peer_id

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def tracker_path(self) -> DatagramPath:
        """The path by which the tracker's machine knows this node."""
        local = StreamSocket(TRACKER, 1) if self.on_a_stream else TRACKER
        return DatagramPath(local, self.address)

    def _describe(self, sequence: int, mapped_address: HostPort) -> bytes:
        record = PeerRecord(
            peer_id=self.peer_id, sequence=sequence, addresses=(mapped_address,), **self.record
        )
        self.records.append(record)
        return record.sign(self.identity)

    def _next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def do(self, command: Callable[..., EventT], *arguments: Any) -> EventT:
        """Give the machine a command, and let what follows happen."""
        result = command(*arguments, self._world.now)
        self._world.pump(self)
        return result

    def told(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]


class World:
    """A tracker and the nodes that were added, in virtual time."""

    def __init__(
        self, random: Random | None = None, limits: TrackerLimits = DEFAULT_LIMITS
    ) -> None:
        self.random = random or Random(0)
        self.now = 100_000.0
        self.fate: Fate = delivered
        self.nodes: dict[HostPort, Node] = {}
        self.sent: list[tuple[float, HostPort, bytes]] = []
        """Every datagram to the tracker: when, from where, and what."""
        self.registrations: Counter[int] = Counter()
        """How many nodes were registered anew, by the second."""
        self.is_tracker_up = True
        self._limits = limits
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = count()
        self.restart_tracker()

    def restart_tracker(self) -> None:
        """Put a tracker that knows nothing in the place of the one there was."""
        self.tracker = TrackerService(
            random_bytes=self.random.randbytes,
            store=MemoryPeerStore(),
            now=self.now,
            limits=self._limits,
        )

    def add(
        self,
        host: str = "11.0.0.2",
        port: int = 4000,
        *,
        seed: bytes | None = None,
        on_a_stream: bool = False,
        **record: Any,
    ) -> Node:
        """Add a node, not started, at an address that the tracker sees."""
        address = HostPort(host, port)
        seed = seed or self.random.randbytes(32)
        record.setdefault("address_policy", AddressPolicy.ANYONE)
        node = Node(self, address, seed=seed, on_a_stream=on_a_stream, **record)
        self.nodes[address] = node
        return node

    def started(self, *arguments: Any, **record: Any) -> Node:
        """Add a node, and run until it is registered."""
        node = self.add(*arguments, **record)
        node.do(node.machine.start)
        self.run(1.0)
        assert node.state is State.REGISTERED, node.state
        node.events.clear()
        return node

    def move(self, node: Node, host: str, port: int) -> None:
        """Let the tracker see a node elsewhere, as when its NAT forgets or its network changes."""
        del self.nodes[node.address]
        node.address = HostPort(host, port)
        self.nodes[node.address] = node

    def pump(self, node: Node) -> None:
        """Take a node's events, send its datagrams and look at its timer."""
        while True:
            while (event := node.machine.next_event()) is not None:
                node.events.append(event)
                if isinstance(event, PathWanted):
                    if node.path is None:
                        node.machine.path_lost(TrackerUnreachable(), self.now)
                    else:
                        node.machine.path_found(node.path, self.now)
            datagrams = node.machine.datagrams_to_send(self.now)
            if not datagrams:
                break
            for data, addr in datagrams:
                if addr != node.path:
                    continue  # nothing is there any more
                self.sent.append((self.now, node.address, data))
                source = node.tracker_path
                self._transmit(lambda data=data, source=source: self._to_tracker(data, source))
        deadline = node.machine.get_timer()
        if deadline is not None:
            self.at(deadline, lambda: self._timer(node))

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heappush(self._queue, (max(time, self.now), next(self._count), action))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heappop(self._queue)
            action()
        self.now = end

    def inject(self, node: Node, data: bytes, addr: DatagramPath | None = None) -> None:
        """Hand a datagram to a node, by default along its path to the tracker."""
        node.machine.receive_datagram(data, addr or node.path, self.now)
        self.pump(node)

    def asked(self, node: Node) -> list[STUNMessage]:
        """Return what a node has sent, oldest first, also what did not arrive."""
        return [read_message(data) for _, address, data in self.sent if address == node.address]

    def reply(self, node: Node, response: TrackerMessage) -> None:
        """Answer the last request of a node, as a tracker may that means ill."""
        self.inject(node, response.encode(self.asked(node)[-1].transaction_id))

    def _transmit(self, arrive: Callable[[], None]) -> None:
        for delay in self.fate(self.random):
            self.at(self.now + delay, arrive)

    def _timer(self, node: Node) -> None:
        deadline = node.machine.get_timer()
        if deadline is not None and deadline <= self.now:
            node.machine.handle_timer(self.now)
            self.pump(node)

    def _to_tracker(self, data: bytes, source: DatagramPath) -> None:
        if not self.is_tracker_up:
            return
        before = self.tracker.status(self.now)["registrations_total"]
        self.tracker.receive_datagram(data, source, self.now)
        after = self.tracker.status(self.now)["registrations_total"]
        self.registrations[int(self.now)] += after - before  # type: ignore[operator]
        for answer, path in self.tracker.datagrams_to_send(self.now):
            self._transmit(lambda answer=answer, path=path: self._to_node(answer, path))

    def _to_node(self, data: bytes, path: DatagramPath) -> None:
        node = self.nodes.get(path.remote)
        if node is not None and node.path is not None:
            self.inject(node, data)
