"""Two connections joined by a simulated path, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from attrs import define, field

from twisted_p2p.connection.events import (
    ConnectionEvent,
    StreamDataReceived,
    StreamOpened,
    StreamWritable,
)
from twisted_p2p.connection.quic import QUICConnection
from twisted_p2p.connection.quic_library import QH3Connection
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID

INITIATOR = IdentityKey.from_seed(b"i" * 32)
RESPONDER = IdentityKey.from_seed(b"r" * 32)
STRANGER = IdentityKey.from_seed(b"s" * 32)


@define(eq=False)
class Side:
    """One connection and what it told; payload is gathered by stream instead."""

    machine: QUICConnection
    events: list[ConnectionEvent] = field(factory=list)
    received: dict[int, bytearray] = field(factory=dict)
    consuming: bool = True
    unread: dict[int, int] = field(factory=dict)
    pieces: int = 0
    seen: set[str] = field(factory=set)
    unsent: dict[int, tuple[Any, bool]] = field(factory=dict)

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def open(self, service: str = "service") -> int:
        stream_id = self.machine.streams.open(service)
        assert stream_id is not None
        return stream_id

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Send as much as goes, now and whenever more goes; then end the stream if told so."""
        waiting = self.unsent.get(stream_id, (b"", end))[0]
        self.unsent[stream_id] = (bytes(waiting) + data, end)
        self.flush(stream_id)

    def flush(self, stream_id: int) -> None:
        data, end = self.unsent.get(stream_id, (b"", False))
        data = memoryview(data)[self.machine.streams.send(stream_id, data) :]
        self.unsent[stream_id] = (data, end)
        if end and not data:
            self.machine.streams.end(stream_id)

    def read(self) -> None:
        """Consume what has arrived, and whatever arrives from now on."""
        self.consuming = True
        for stream_id, size in self.unread.items():
            self.machine.streams.consume(stream_id, size)
        self.unread.clear()

    def tell(self) -> bool:
        told = False
        while (event := self.machine.next_event()) is not None:
            told = True
            self.seen.add(type(event).__name__)
            if isinstance(event, StreamWritable):
                self.flush(event.stream_id)
            if not isinstance(event, StreamDataReceived):
                self.events.append(event)
            else:
                self.pieces += 1
                self.received.setdefault(event.stream_id, bytearray()).extend(event.data)
                self.unread[event.stream_id] = self.unread.get(event.stream_id, 0) + len(event.data)
                if self.consuming:
                    self.read()
        return told


def connection(
    is_client: bool,
    identity: IdentityKey,
    peer_id: PeerID,
    *,
    seed: int = 0,
    now: float = 0.0,
    library: Any = QH3Connection,
) -> QUICConnection:
    return QUICConnection(
        is_client=is_client,
        identity=identity,
        peer_id=peer_id,
        now=now,
        random_bytes=Random(seed).randbytes,
        library=library,
    )


class Link:
    """A path between two connections: ``delay`` seconds one way, with loss and reordering.

    ``drop`` sees every datagram (sender is the client?, bytes) and returns whether it is lost.
    """

    def __init__(
        self,
        client: QUICConnection | None = None,
        server: QUICConnection | None = None,
        *,
        delay: float = 0.02,
        loss: float = 0.0,
        reordering: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.client = Side(client or connection(True, INITIATOR, RESPONDER.peer_id))
        self.server = Side(server or connection(False, RESPONDER, INITIATOR.peer_id))
        self.now = 0.0
        self.delay = delay
        self.loss = loss
        self.reordering = reordering
        self.random = Random(seed)
        self.drop: Callable[[bool, bytes], bool] = lambda from_client, data: False
        self.accept: Callable[[Side, StreamOpened], None] = self._accept
        self.datagrams = 0
        self._queue: list[tuple[float, int, Side, bytes]] = []
        self._order = count()

    def _accept(self, side: Side, event: StreamOpened) -> None:
        side.machine.streams.accept(event.stream_id)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.client, self.server

    def pump(self) -> None:
        for side, other in (self.sides, self.sides[::-1]):
            busy = True
            while busy:
                before = len(side.events)
                side.tell()
                for event in side.events[before:]:
                    if isinstance(event, StreamOpened):
                        self.accept(side, event)
                for data, _ in side.machine.datagrams_to_send(self.now):
                    self._carry(side, other, data)
                busy = side.tell()

    def _carry(self, side: Side, other: Side, data: bytes) -> None:
        self.datagrams += 1
        if self.random.random() < self.loss or self.drop(side is self.client, data):
            return
        late = self.delay if self.random.random() < self.reordering else 0.0
        heappush(self._queue, (self.now + self.delay + late, next(self._order), other, data))

    def run(
        self, seconds: float = 1.0, until: Callable[[], bool] = lambda: False, step: Any = None
    ) -> bool:
        """Let time pass until the condition holds; return whether it did."""
        end = self.now + seconds
        while True:
            self.pump()
            if step is not None:
                step()
                self.pump()
            if until():
                return True
            timers = [t for side in self.sides if (t := side.machine.get_timer()) is not None]
            if self._queue:
                timers.append(self._queue[0][0])
            upcoming = min(timers, default=None)
            if upcoming is None or upcoming > end:
                self.now = end
                return until()
            self.now = max(self.now, upcoming)
            while self._queue and self._queue[0][0] <= self.now:
                _, _, side, data = heappop(self._queue)
                side.machine.receive_datagram(data, None, self.now)
            for side in self.sides:
                timer = side.machine.get_timer()
                if timer is not None and timer <= self.now:
                    side.machine.handle_timer(self.now)
