"""Two TCP machines, and a bad channel between them."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

from attrs import define, field

from twisted_p2p.testing.tcp.connection import TCPConnection
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment
from twisted_p2p.testing.tcp.settings import TCPSettings


@define
class BadChannel:
    """What befalls segments; times are seconds, the others are shares from 0 to 1."""

    random: Random
    delay: float = 0.02
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0

    def arrivals(self, now: float) -> list[float]:
        times = []
        for _ in range(1 + (self.random.random() < self.duplication)):
            if self.random.random() >= self.loss:
                held_back = self.random.random() if self.random.random() < self.reordering else 0
                times.append(now + self.delay + held_back * 2 * self.delay)
        return times


@define
class Pair:
    """A client, a server, and what is on the way between them."""

    channel: BadChannel
    settings: TCPSettings = field(factory=TCPSettings)
    client_sequence: int = 2**32 - 5_000
    server_sequence: int = 77
    now: float = 0.0
    segments: int = 0
    log: list[tuple[float, str, TCPSegment, int]] = field(factory=list)
    ends: list[TCPConnection | None] = field(factory=lambda: [None, None])
    _under_way: list[tuple[float, int, int, TCPSegment, bytes]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.ends[0] = TCPConnection(initial_sequence=self.client_sequence, settings=self.settings)

    @property
    def client(self) -> TCPConnection:
        assert self.ends[0] is not None
        return self.ends[0]

    @property
    def server(self) -> TCPConnection:
        assert self.ends[1] is not None
        return self.ends[1]

    def open(self) -> None:
        self.client.connect(self.now)
        self.flush()

    def open_at_once(self) -> None:
        self.ends[1] = TCPConnection(initial_sequence=self.server_sequence, settings=self.settings)
        self.server.connect(self.now)
        self.open()

    def flush(self) -> None:
        for index, end in enumerate(self.ends):
            if end is None:
                continue
            for segment, data in end.segments_to_send(self.now):
                self.log.append((self.now, "CS"[index], segment, len(data)))
                for arrival in self.channel.arrivals(self.now):
                    self.segments += 1
                    heappush(self._under_way, (arrival, self.segments, 1 - index, segment, data))

    def next_time(self) -> float | None:
        times = [end.get_timer() for end in self.ends if end is not None]
        known = [time for time in times if time is not None]
        if self._under_way:
            known.append(self._under_way[0][0])
        return min(known, default=None)

    def step(self) -> bool:
        """Let the next thing happen; False when nothing is to come."""
        time = self.next_time()
        if time is None:
            return False
        self.now = max(self.now, time)
        if self._under_way and self._under_way[0][0] <= self.now:
            _, _, index, segment, data = heappop(self._under_way)
            self._deliver(index, segment, data)
        else:
            for end in self.ends:
                if end is not None:
                    end.handle_timer(self.now)
        self.flush()
        return True

    def run_for(self, seconds: float) -> None:
        until = self.now + seconds
        while (time := self.next_time()) is not None and time <= until:
            self.step()
        self.now = until

    def _deliver(self, index: int, segment: TCPSegment, data: bytes) -> None:
        end = self.ends[index]
        if end is not None:
            end.receive(segment, data, self.now)
        elif segment.flags is TCPFlags.SYN:
            end = TCPConnection(initial_sequence=self.server_sequence, settings=self.settings)
            end.accept(segment, self.now)
            self.ends[index] = end
