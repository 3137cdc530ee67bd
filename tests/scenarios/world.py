"""A tracker, and two peers behind NATs of one's choice, on the simulated internet."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import NATBehaviour, SimulatedInternet
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker


class Echo(Protocol):
    """Sends back what it receives."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Recorder(Protocol):
    """Sends what it is told once connected, and keeps what it gets."""

    def __init__(self, greeting: bytes = b"") -> None:
        self.greeting = greeting
        self.received = b""
        self.made = 0
        self.lost: Failure | None = None
        self.first_byte_at: float | None = None
        self.now: Any = lambda: 0.0

    def connectionMade(self) -> None:
        self.made += 1
        if self.greeting:
            self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = self.now()
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Recorders(Factory):
    """Builds recorders and keeps them."""

    noisy = False

    def __init__(self, greeting: bytes = b"") -> None:
        self.greeting = greeting
        self.built: list[Recorder] = []

    def buildProtocol(self, addr: object) -> Recorder:
        protocol = Recorder(self.greeting)
        self.built.append(protocol)
        return protocol


class World:
    """``left`` and ``right`` are nodes; ``None`` for a NAT means a public address."""

    def __init__(
        self, left: NATBehaviour | None, right: NATBehaviour | None, *, seed: int = 1
    ) -> None:
        self.net = SimulatedInternet(seed)
        self.tracker = SimulatedTracker(self.net.add_host("tracker", "11.3.0.2"))
        self.left = self._node("left", left, 1)
        self.right = self._node("right", right, 2)

    def start(self) -> None:
        """Start both nodes and wait until both can be reached."""
        for node in (self.left, self.right):
            node.startService()
            self.net.run_until(node.when_ready())

    def stop(self) -> None:
        """Stop both nodes."""
        for node in (self.left, self.right):
            if node.running:
                self.net.run_until(node.stopService())

    def _node(self, name: str, nat: NATBehaviour | None, number: int) -> P2PNode:
        if nat is None:
            host = self.net.add_host(name, f"11.{number}.0.2")
        else:
            network = self.net.add_network(f"home of {name}", f"11.{number}.0.2", nat)
            host = self.net.add_host(name, f"192.168.{number}.2", network=network)
        return simulated_node(host, [self.tracker.address])
