"""Trackers, and peers behind NATs of one's choice, on the simulated internet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_p2p.addresses import HostPort
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.interfaces import IEarlyFactory
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import (
    INTERNET_LINK,
    Link,
    LoggedPacket,
    NATBehaviour,
    SimulatedHost,
    SimulatedInternet,
    SimulatedTracker,
    shut_down,
    simulated_node,
)
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits

T = TypeVar("T")

ROUGH_LINK = Link(delay=0.03, jitter=0.01, loss=0.03, duplication=0.02, reordering=0.05)
"""Of two such links, one at each end, some 6 % of all packets are lost and 10 % overtaken."""


class Recorder(Protocol):
    """Greets, keeps what it gets and, as ``echo``, sends it back."""

    def __init__(self, factory: Recorders) -> None:
        self.factory: Recorders = factory
        self.received = b""
        self.first_byte_at: float | None = None
        self.lost: Failure | None = None
        self.lost_at: float | None = None

    def connectionMade(self) -> None:
        self.factory.made += 1
        if self.factory.greeting:
            self.transport.write(self.factory.greeting)

    def dataReceived(self, data: bytes) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = self.factory.world.now
        self.received += data
        if self.factory.echoes:
            self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost, self.lost_at = reason, self.factory.world.now


@implementer(IEarlyFactory)
class Recorders(Factory):
    """Builds recorders, which begin as early as they may, and keeps them."""

    noisy = False

    def __init__(self, world: World, greeting: bytes = b"", *, echoes: bool = False) -> None:
        self.world = world
        self.greeting = greeting
        self.echoes = echoes
        self.made = 0
        """How often `connectionMade` was called."""
        self.built: list[Recorder] = []

    def buildProtocol(self, addr: object) -> Recorder:
        protocol = Recorder(self)
        self.built.append(protocol)
        return protocol


class World:
    """A simulated internet with trackers and nodes.

    It is used in a ``with`` statement, at whose end all nodes are stopped and nothing may be left
    of them.  An error that leaves it says the seed and the latest packets.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        trackers: int = 1,
        link: Link = INTERNET_LINK,
        limits: TrackerLimits = DEFAULT_LIMITS,
        tracker_class: type[SimulatedTracker] = SimulatedTracker,
    ) -> None:
        """Make a world whose hosts and NATs have this link to its middle."""
        self.net = SimulatedInternet(seed)
        self.link = link
        self.limits = limits
        self.tracker_class = tracker_class
        self.trackers = [self.add_tracker(number) for number in range(trackers)]
        self.nodes: list[P2PNode] = []
        self.hosts: dict[P2PNode, SimulatedHost] = {}
        self.seen_at: dict[P2PNode, str] = {}
        """The public IP address of each node."""
        self._is_abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            error.args = (f"{error}\nat {self.net.story(last=40)}",)
        elif not self._is_abandoned:
            shut_down(self.net)

    # What there is.

    @property
    def now(self) -> float:
        return self.net.now

    def add_tracker(self, number: int = 0) -> SimulatedTracker:
        host = self.net.add_host(f"tracker {number}", f"11.9.{number}.2", link=self.link)
        return self.tracker_class(host, limits=self.limits)

    def restart_tracker(self, number: int = 0) -> None:
        """Start a tracker that knows nobody where one was stopped."""
        self.run(0.0)
        self.trackers[number] = self.tracker_class(self.trackers[number].host, limits=self.limits)

    def add_node(
        self,
        nat: NATBehaviour | None = None,
        *,
        trackers: Collection[HostPort] | None = None,
        port: int = 0,
        link: Link | None = None,
        identity: IdentityKey | None = None,
        topics: Collection[str] = (),
    ) -> P2PNode:
        """Add a node behind a NAT of its own, or at a public address."""
        number = len(self.nodes) + 1
        host = self.add_host(number, nat, link or self.link)
        if trackers is None:
            trackers = [tracker.address for tracker in self.trackers]
        node = simulated_node(host, trackers, port=port, identity=identity, topics=topics)
        return self.keep(node, host)

    def add_host(self, number: int, nat: NATBehaviour | None, link: Link) -> SimulatedHost:
        """Add a host whose public address ``11.x.y.2`` has its number in the middle."""
        name = f"node {number}"
        address = f"11.{10 + number // 200}.{number % 200}.2"
        if nat is None:
            return self.net.add_host(name, address, link=link)
        network = self.net.add_network(f"home of {name}", address, nat, link=link)
        inside = f"192.168.{number % 250}.2"
        return self.net.add_host(name, inside, network=network)

    def keep(self, node: P2PNode, host: SimulatedHost) -> P2PNode:
        """Take a node in that was made elsewhere."""
        gateway = host.network.gateway
        self.nodes.append(node)
        self.hosts[node] = host
        self.seen_at[node] = gateway.table.address if gateway else host.addresses[0]
        return node

    def start(self, *nodes: P2PNode) -> None:
        """Start nodes, all of them unless told otherwise, and wait until they can be reached."""
        for node in nodes or self.nodes:
            node.startService()
        for node in nodes or self.nodes:
            self.until(node.when_ready())

    def stop(self, node: P2PNode) -> None:
        if node.running:
            self.until(node.stopService())

    def restart(self, node: P2PNode) -> P2PNode:
        """Let a node crash, and start another one with its identity on its host."""
        host = self.hosts[node]
        self.nodes.remove(node)
        self.crash(host)
        trackers = [tracker.address for tracker in self.trackers]
        fresh = self.keep(simulated_node(host, trackers, identity=node._identity), host)
        self.start(fresh)
        return fresh

    def crash(self, host: SimulatedHost) -> None:
        """Let whatever runs on a host be gone without a word."""
        for call in host.reactor.getDelayedCalls():
            call.cancel()
        for port in host.open_ports():
            host.unbind(port)
        host.reactor._network_watchers.clear()
        host.stop_at_end.clear()

    def rebind(self, host: SimulatedHost) -> None:
        """Let a host's NAT forget all its mappings."""
        assert host.network.gateway is not None
        host.network.gateway.rebind()

    def forget_packets(self) -> None:
        """Empty the log; it counts the packets of each pair of hosts that ever met."""
        self.net.log.clear()

    def vanish(self, node: P2PNode) -> None:
        """Let no packet reach a node or leave it any more."""
        self.hosts[node].link = evolve(self.hosts[node].link, loss=1.0)

    def return_from_nowhere(self, node: P2PNode) -> None:
        """Undo `vanish`."""
        self.hosts[node].link = evolve(self.hosts[node].link, loss=0.0)

    def abandon(self) -> None:
        """Stop nothing at the end."""
        self._is_abandoned = True

    # What happens.

    def run(self, seconds: float) -> None:
        self.net.run_for(seconds)

    def until(self, deferred: Deferred[T], limit: float = 60.0) -> T:
        return self.net.run_until(deferred, limit)

    def recorders(self, greeting: bytes = b"", *, echoes: bool = False) -> Recorders:
        return Recorders(self, greeting, echoes=echoes)

    def listen(
        self,
        node: P2PNode,
        service: str = "echo",
        *,
        greeting: bytes = b"",
        allow: Collection[str] | None = None,
    ) -> Recorders:
        """Let a node that has been started offer an echo, and wait until it can be reached."""
        factory = self.recorders(greeting, echoes=True)
        self.until(node.listen(service, factory, allow))
        return factory

    def dial(
        self, node: P2PNode, target: P2PNode, service: str = "echo", greeting: bytes = b""
    ) -> Recorder:
        """Connect a node to another one's service."""
        connected: Any = self.until(node.connect(target.peer_id, service, self.recorders(greeting)))
        return connected

    def error_of(self, deferred: Deferred[Any], limit: float = 60.0) -> Exception:
        """Return the exception with which a Deferred fails."""
        try:
            result = self.until(deferred, limit)
        except TimeoutError:
            raise
        except Exception as error:
            return error
        raise AssertionError(f"no error but {result!r}")

    # What was on the wire.

    def sent_by(self, node: P2PNode, *, since: float = 0.0) -> Iterator[LoggedPacket]:
        """Return the packets that a node's host has sent since a moment, whatever befell them."""
        name = self.hosts[node].name
        return (
            packet
            for packet in self.net.log
            if packet.sender == name and packet.sent_at >= since - 1e-9
        )

    def sent_between(
        self, node: P2PNode, target: P2PNode, *, since: float = 0.0
    ) -> list[LoggedPacket]:
        """Return the packets that a node has sent to another one's addresses since a moment."""
        theirs = {self.seen_at[target], *self.hosts[target].addresses}
        return [p for p in self.sent_by(node, since=since) if p.destination.host in theirs]
