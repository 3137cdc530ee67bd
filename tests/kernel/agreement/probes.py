"""UDP sockets on the machines of a lab, or on those of its twin in the simulation."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.protocol import DatagramProtocol

from tests.kernel.agreement.pairs import SIMULATED, Pair
from tests.kernel.udp_probe import PATIENCE, Endpoint, NothingArrived, UDPProbe
from tests.requirements import require_delay, require_namespaces
from twisted_p2p.network_namespaces.lab import LEFT, RIGHT, TRACKER, Lab, Side
from twisted_p2p.network_namespaces.nat_rules import NATFlavour
from twisted_p2p.testing import Link, SimulatedHost, SimulatedInternet


class Probe(Protocol):
    """What `UDPProbe` and `SimulatedProbe` do alike."""

    host: str

    def send(self, port: int, destination: Endpoint, text: str) -> None: ...

    def receive(self, port: int) -> tuple[str, Endpoint]: ...


class ProbedWorld(Protocol):
    """Two peers and a tracker, on which sockets are opened.

    ``delay`` is the time in seconds between each peer and the middle, where the tracker is.
    """

    def __init__(self, pair: Pair, delay: float = 0.0) -> None: ...

    def probe_left(self, *ports: int) -> Probe: ...

    def probe_right(self, *ports: int) -> Probe: ...

    def probe_tracker(self, *ports: int) -> Probe: ...

    def close(self) -> None: ...


class KernelWorld:
    """A lab."""

    def __init__(self, pair: Pair, delay: float = 0.0) -> None:
        if delay:
            require_delay()
        require_namespaces()
        self._lab = Lab(*pair, delay=delay)

    def close(self) -> None:
        """Remove the lab."""
        self._lab.close()

    def probe_left(self, *ports: int) -> Probe:
        return UDPProbe(self._lab.left, *ports)

    def probe_right(self, *ports: int) -> Probe:
        return UDPProbe(self._lab.right, *ports)

    def probe_tracker(self, *ports: int) -> Probe:
        return UDPProbe(self._lab.tracker, *ports)


class SimulatedWorld:
    """The same machines at the same addresses, simulated."""

    def __init__(self, pair: Pair, delay: float = 0.0) -> None:
        self._net = SimulatedInternet(1)
        self._link = Link(delay=delay)
        self._tracker = self._net.add_host("tracker", TRACKER.address, link=Link())
        self._left = self._peer(LEFT, pair.left)
        self._right = self._peer(RIGHT, pair.right)

    def probe_left(self, *ports: int) -> Probe:
        return SimulatedProbe(self._net, self._left, ports)

    def probe_right(self, *ports: int) -> Probe:
        return SimulatedProbe(self._net, self._right, ports)

    def probe_tracker(self, *ports: int) -> Probe:
        return SimulatedProbe(self._net, self._tracker, ports)

    def close(self) -> None:
        """Nothing is left of it."""

    def _peer(self, side: Side, flavour: NATFlavour | None) -> SimulatedHost:
        nat = SIMULATED[flavour]
        if nat is None:
            return self._net.add_host(side.name, side.outside.address, link=self._link)
        home = self._net.add_network(
            f"home of {side.name}", side.outside.address, nat, link=self._link
        )
        return self._net.add_host(side.name, side.home.address, network=home, link=Link())


class SimulatedProbe:
    """Sends and receives on UDP sockets of one simulated host, as `UDPProbe` does."""

    def __init__(self, net: SimulatedInternet, host: SimulatedHost, ports: tuple[int, ...]) -> None:
        self.host = host.addresses[0]
        self._net = net
        self._sockets = {port: _Socket() for port in ports}
        for port, socket in self._sockets.items():
            host.reactor.listenUDP(port, socket)

    def send(self, port: int, destination: Endpoint, text: str) -> None:
        """Send a datagram from a port, and let arrive what needs no time to arrive."""
        transport = self._sockets[port].transport
        assert transport is not None
        transport.write(text.encode(), destination)
        self._net.run_for(0.0)

    def receive(self, port: int) -> tuple[str, Endpoint]:
        """Return the next datagram that arrives at a port, and its source."""
        arrived = self._sockets[port].arrived
        until = self._net.now + PATIENCE
        while not arrived:
            if self._net.now >= until:
                raise NothingArrived(f"nothing came to port {port} of {self.host}")
            self._net.run_for(0.01)
        return arrived.popleft()


class _Socket(DatagramProtocol):
    noisy = False

    def __init__(self) -> None:
        self.arrived: deque[tuple[str, Endpoint]] = deque()

    def datagramReceived(self, datagram: bytes, addr: Endpoint) -> None:
        self.arrived.append((datagram.decode(), addr))
