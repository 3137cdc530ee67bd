"""Two agents, each perhaps behind a NAT, and a wire between them in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import TypeVar

from attrs import Factory, define, evolve, frozen

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.agent import ICEAgent
from twisted_p2p.ice.candidate import Candidate, decode_candidate, encode_candidate
from twisted_p2p.ice.credentials import ICECredentials
from twisted_p2p.ice.events import ICEEvent
from twisted_p2p.ice.settings import ICESettings
from twisted_p2p.testing.nat import NATBehaviour, NATTable, PortAllocation

TRACKER = HostPort("11.0.0.1", 3478)
INITIATOR = ICECredentials("initiatr", "initiator/password+0123456789012")
RESPONDER = ICECredentials("responde", "responder/password+0123456789012")

EventT = TypeVar("EventT", bound=ICEEvent)


def transaction_ids(random: Random) -> Callable[[], bytes]:
    return lambda: random.randbytes(12)


def make_agent(
    *, controlling: bool, seed: int = 1, tie_breaker: int = 1, settings: ICESettings | None = None
) -> ICEAgent:
    """An agent of the session between `INITIATOR`, who controls, and `RESPONDER`."""
    random = Random(seed)
    return ICEAgent(
        controlling=controlling,
        local=INITIATOR if controlling else RESPONDER,
        remote=RESPONDER if controlling else INITIATOR,
        tie_breaker=tie_breaker,
        new_transaction_id=transaction_ids(random),
        random=random.random,
        settings=settings or ICESettings(),
    )


@frozen
class Sent:
    """A line of the log: what left a NAT, or a host without one."""

    time: float
    source: HostPort
    remote: HostPort
    data: bytes


@define(eq=False)
class Side:
    """A host with one socket and one agent."""

    agent: ICEAgent
    base: HostPort
    nat: NATTable | None = None
    lan: str = ""
    """Hosts with the same non-empty name reach each other by their own addresses."""
    events: list[tuple[float, ICEEvent]] = Factory(list)
    sent: list[Sent] = Factory(list)

    def public(self, remote: HostPort, now: float) -> HostPort:
        if self.nat is None:
            return self.base
        public = self.nat.outbound(self.base, remote, now)
        assert public is not None
        return public

    def candidates(self, now: float) -> list[Candidate]:
        """The host candidate and, behind a NAT, what the tracker sees."""
        host = Candidate.host(self.base, base=self.base)
        if self.nat is None:
            return [host]
        return [
            host,
            Candidate.server_reflexive(
                self.public(TRACKER, now),
                base=self.base,
                related_address=self.base,
                server_host=TRACKER.host,
            ),
        ]

    def told(self, kind: type[EventT]) -> list[EventT]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def time_of(self, kind: type[ICEEvent]) -> float:
        """When the first event of this kind was told."""
        return next(time for time, event in self.events if isinstance(event, kind))

    def rebind(self, random: Random) -> None:
        """Make the NAT forget everything; from now on it gives another port."""
        assert self.nat is not None
        behaviour = evolve(self.nat.behaviour, allocation=PortAllocation.RANDOM)
        self.nat = NATTable(behaviour, self.nat.address, random)


@define
class Link:
    """What the wire does to packets; all chances from 0 to 1, all times in seconds."""

    delay: float = 0.04
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0


class World:
    """Virtual time, a wire, and the sides at its ends."""

    def __init__(self, seed: int = 1, link: Link | None = None) -> None:
        self.now = 0.0
        self.link = link or Link()
        self.random = Random(seed)
        self.sides: list[Side] = []
        self._order = count()
        self._wire: list[tuple[float, int, bytes, HostPort, HostPort, str]] = []

    def add(
        self,
        agent: ICEAgent,
        base: HostPort,
        *,
        behaviour: NATBehaviour | None = None,
        public_host: str = "",
        lan: str = "",
    ) -> Side:
        nat = NATTable(behaviour, public_host, self.random) if behaviour else None
        side = Side(agent, base, nat, lan)
        self.sides.append(side)
        for candidate in side.candidates(self.now):
            agent.add_local_candidate(candidate)
        return side

    def introduce(self, side: Side, to: Side, *, with_hosts: bool = False) -> None:
        """Give an agent the other one's candidates, as an offer does after the filter."""
        candidates = to.candidates(self.now)
        for candidate in candidates if with_hosts or to.nat is None else candidates[1:]:
            wired = decode_candidate(encode_candidate(candidate))
            side.agent.add_remote_candidate(wired, self.now)
        self.pump(side)

    def pump(self, side: Side) -> None:
        for data, path in side.agent.datagrams_to_send(self.now):
            assert isinstance(path, DatagramPath)
            self._send(side, data, path.remote)
        while (event := side.agent.next_event()) is not None:
            side.events.append((self.now, event))

    def inject(
        self,
        data: bytes,
        source: HostPort,
        destination: HostPort,
        lan: str = "",
        *,
        delay: float | None = None,
    ) -> None:
        """Put a packet on the wire, which neither loses nor duplicates it."""
        arrival = self.now + (self.link.delay if delay is None else delay)
        packet = (arrival, next(self._order), data, source, destination, lan)
        heapq.heappush(self._wire, packet)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while (step := min(self._deadlines(), default=end)) < end:
            self._step(max(step, self.now))
        self._step(end)

    def _step(self, now: float) -> None:
        self.now = now
        while self._wire and self._wire[0][0] <= now:
            _, _, data, source, destination, lan = heapq.heappop(self._wire)
            self._deliver(data, source, destination, lan)
        for side in self.sides:
            side.agent.handle_timer(now)
            self.pump(side)

    def _deadlines(self) -> Iterator[float]:
        if self._wire:
            yield self._wire[0][0]
        for side in self.sides:
            if (timer := side.agent.get_timer()) is not None:
                yield timer

    def _send(self, side: Side, data: bytes, remote: HostPort) -> None:
        on_lan = side.lan and any(s.lan == side.lan and s.base == remote for s in self.sides)
        source = side.base if on_lan else side.public(remote, self.now)
        side.sent.append(Sent(self.now, source, remote, data))
        lan = side.lan if on_lan else ""
        for _ in range(1 + (self.random.random() < self.link.duplication)):
            if self.random.random() >= self.link.loss:
                delay = self.link.delay + self.random.random() * self.link.jitter
                self.inject(data, source, remote, lan, delay=delay)

    def _deliver(self, data: bytes, source: HostPort, destination: HostPort, lan: str) -> None:
        for side in self.sides:
            if lan or side.nat is None:
                inside = side.base if side.lan == lan and side.base == destination else None
            elif side.nat.address == destination.host:
                inside = side.nat.inbound(source, destination.port, self.now)
            else:
                inside = None
            if inside is not None:
                side.agent.receive_datagram(data, DatagramPath(side.base, source), self.now)
                self.pump(side)
