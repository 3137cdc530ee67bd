"""Any two places in the internet, what befalls them, and how a world is made of that."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import evolve, frozen

from tests.scenarios.nats import can_meet
from tests.scenarios.world import World
from twisted_p2p.addresses import HostPort
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import (
    LAN_LINK,
    PORT_TAKING,
    Link,
    NATBehaviour,
    Network,
    SimulatedHost,
)
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker

TRACKER, TRACKER_IPV6 = "11.9.0.2", "2a00:9::2"


@frozen
class Place:
    """Where one peer is."""

    nat: NATBehaviour | None
    carrier: NATBehaviour | None
    """A second NAT, before the first one."""
    has_ipv6: bool
    link: Link


@frozen
class Topology:
    """Two peers and a tracker."""

    seed: int
    left: Place
    right: Place
    is_one_network: bool
    """Whether the right peer is in the left one's network instead of its own place."""

    @property
    def can_meet(self) -> bool | None:
        """Whether there is a path while nothing happens; None when the words do not tell."""
        if self.is_one_network or (self.left.has_ipv6 and self.right.has_ipv6):
            return True
        if self.left.carrier or self.right.carrier:
            return None
        if self.left.nat == self.right.nat == PORT_TAKING:
            # Who is checked before its own offer came has lost the port that it was known by.
            return None
        return can_meet(self.left.nat, self.right.nat)


@frozen
class Fault:
    """Something that befalls ``left``, ``right`` or the ``tracker`` some seconds after a dial."""

    what: str
    who: str
    at: float
    seconds: float


class Scene:
    """A world of one topology, and its two nodes."""

    def __init__(self, topology: Topology) -> None:
        self.world = World(seed=topology.seed, trackers=0)
        host = self.world.net.add_host("tracker", TRACKER, TRACKER_IPV6)
        self.world.trackers.append(SimulatedTracker(host))
        self._random = Random(f"{topology.seed} faults")
        self._topology = topology
        self.left = self._add_node(1, topology.left)
        self.right = self._add_node(2, topology.right)

    def _add_node(self, number: int, place: Place) -> P2PNode:
        network: Network | None = None
        link = place.link
        if number == 2 and self._topology.is_one_network:
            place, network = self._topology.left, self.world.hosts[self.left].network
            own = f"192.168.1.{number}"
            if network is self.world.net.public:
                own = f"11.{number}.0.2"
        elif place.nat is None:
            own = f"11.{number}.0.2"
        else:
            network, own = self._add_home(number, place, place.nat), f"192.168.1.{number}"
        is_private = network is not None and network is not self.world.net.public
        addresses = [own, f"2a00:{number}::2"] if place.has_ipv6 else [own]
        trackers = [HostPort(TRACKER, 3478), HostPort(TRACKER_IPV6, 3478)]
        host = self.world.net.add_host(
            f"node {number}", *addresses, network=network, link=LAN_LINK if is_private else link
        )
        return self.world.keep(simulated_node(host, trackers[: len(addresses)]), host)

    def _add_home(self, number: int, place: Place, nat: NATBehaviour) -> Network:
        net = self.world.net
        if place.carrier is None:
            return net.add_network(f"home {number}", f"11.{number}.0.2", nat, link=place.link)
        carrier = net.add_network(
            f"carrier {number}", f"11.{number}.0.2", place.carrier, link=place.link
        )
        return net.add_network(f"home {number}", f"100.64.0.{number}", nat, behind=carrier)

    # Faults.

    def plan(self, faults: list[Fault]) -> None:
        """Let faults happen, counted from now."""
        reactor = self.world.net.add_host("fate", "11.8.0.2").reactor
        for fault in faults:
            happen = getattr(self, f"_{fault.what}")
            reactor.callLater(fault.at, happen, fault, reactor.callLater)

    def _host(self, fault: Fault) -> SimulatedHost:
        nodes = {"left": self.left, "right": self.right}
        node = nodes.get(fault.who)
        return self.world.hosts[node] if node else self.world.trackers[0].host

    def _silence(self, fault: Fault, later: Callable[..., object]) -> None:
        """Lose everything for a while."""
        host = self._host(fault)
        before = host.link
        if before.loss < 1:
            host.link = evolve(before, loss=1.0, burst=None)
            later(fault.seconds, setattr, host, "link", before)

    def _unplug(self, fault: Fault, later: Callable[..., object]) -> None:
        host = self._host(fault)
        host.disconnect()
        later(fault.seconds, host.reconnect)

    def _sleep(self, fault: Fault, later: Callable[..., object]) -> None:
        self._host(fault).sleep(fault.seconds)

    def _set_clock(self, fault: Fault, later: Callable[..., object]) -> None:
        # Not back: that holds up a reactor's delayed calls, as it does Twisted's own.
        years = self._random.choice((1, 10))
        self._host(fault).clock.step(years * 31_557_600 * fault.seconds)

    def _rebind(self, fault: Fault, later: Callable[..., object]) -> None:
        gateway = self._host(fault).network.gateway
        if gateway is not None and gateway.tables:
            gateway.rebind()

    def _reboot(self, fault: Fault, later: Callable[..., object]) -> None:
        gateway = self._host(fault).network.gateway
        if gateway is not None and gateway.tables:
            gateway.reboot(seconds=fault.seconds)

    def _restart(self, fault: Fault, later: Callable[..., object]) -> None:
        """Let the tracker forget everything, whomever the fault is about."""
        old = self.world.trackers[0]
        if old.host.open_ports():
            old.stop()
            later(fault.seconds + 0.01, self._start_tracker)

    def _start_tracker(self) -> None:
        if self.world.trackers[0].host.open_ports():
            return
        self.world.trackers[0] = SimulatedTracker(self.world.trackers[0].host)


FAULTS = ("silence", "unplug", "sleep", "set_clock", "rebind", "reboot", "restart")
