"""Two nodes that reach each other, in one line."""

from __future__ import annotations

from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IProtocolFactory

from twisted_p2p.endpoints import PeerClientEndpoint, PeerServerEndpoint
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.testing.internet import INTERNET_LINK, LAN_LINK, SimulatedInternet
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.nat import PORT_RESTRICTED, NATBehaviour
from twisted_p2p.testing.packet_log import PacketLog
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker
from twisted_p2p.testing.shutdown import shut_down

T = TypeVar("T")
ProtocolT = TypeVar("ProtocolT")


@frozen(eq=False)
class ConnectedPair:
    """Two nodes, ``a`` and ``b``, that are registered with a tracker on a simulated internet.

    As a context manager it stops them at the end, and raises `LeftOver` when they leave anything.
    """

    internet: SimulatedInternet
    tracker: SimulatedTracker
    a: P2PNode
    b: P2PNode
    host_a: SimulatedHost
    """Where ``a`` runs; its name is ``a``, in the packet log too."""
    host_b: SimulatedHost
    _numbers: count[int] = field(factory=lambda: count(1), init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:
            error.add_note(f"at {self.internet.story()}")

    @property
    def log(self) -> PacketLog:
        """What became of every packet."""
        return self.internet.log

    def connect(
        self, protocol: ProtocolT, factory: IProtocolFactory, service: str | None = None
    ) -> ProtocolT:
        """Let ``b`` offer a service and ``a`` connect to it; return ``a``'s protocol.

        Both have `connectionMade` called as they would on the internet.

        :param protocol: talks at ``a``.
        :param factory: builds what answers at ``b``.
        :param service: its name; a new one each time unless it is given.
        :raises NoPath: when no way leads through the two NATs; see `P2PNode.connect` for more.
        """
        name = service or f"test {next(self._numbers)}"
        self.until(PeerServerEndpoint(self.b, name).listen(factory))
        endpoint = PeerClientEndpoint(self.a, self.b.peer_id, name)
        connected: Any = connectProtocol(endpoint, protocol)
        self.until(connected)
        return protocol

    def until(self, deferred: Deferred[T], limit: float = 60.0) -> T:
        """Let time pass until a Deferred has a result; see `SimulatedInternet.run_until`."""
        return self.internet.run_until(deferred, limit)

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.internet.run_for(seconds)

    def stop(self) -> None:
        """Stop both nodes and the tracker.

        :raises LeftOver: when something still waits or listens on one of the hosts.
        """
        shut_down(self.internet)


def connected_pair(
    nat_a: NATBehaviour | None = PORT_RESTRICTED,
    nat_b: NATBehaviour | None = PORT_RESTRICTED,
    *,
    seed: int = 0,
    link: Link = INTERNET_LINK,
) -> ConnectedPair:
    """Return two running nodes, each behind a NAT of its own, that a tracker introduces.

    :param nat_a: how the NAT of ``a`` behaves; None is a public address.
    :param nat_b: the same for ``b``.
    :param seed: everything random comes from it.
    :param link: what befalls packets between each NAT, or public host, and the middle of the
        internet.
    """
    return add_pair(SimulatedInternet(seed), nat_a, nat_b, link)


def connected_pair_on_lan(
    nat: NATBehaviour = PORT_RESTRICTED,
    *,
    seed: int = 0,
    link: Link = INTERNET_LINK,
    lan_link: Link = LAN_LINK,
) -> ConnectedPair:
    """Return two running nodes in one private network; the tracker is beyond its NAT.

    :param link: what befalls packets between the NAT and the middle of the internet.
    :param lan_link: what befalls packets between each host and the middle of the network.
    """
    return add_pair_on_lan(SimulatedInternet(seed), nat, link, lan_link)


def add_pair(
    internet: SimulatedInternet, nat_a: NATBehaviour | None, nat_b: NATBehaviour | None, link: Link
) -> ConnectedPair:
    """Add a tracker and two nodes to an empty internet."""
    tracker = _add_tracker(internet)
    hosts = [
        _add_host(internet, name, number, nat, link)
        for name, number, nat in (("a", 1, nat_a), ("b", 2, nat_b))
    ]
    return _pair(internet, tracker, *hosts)


def add_pair_on_lan(
    internet: SimulatedInternet, nat: NATBehaviour, link: Link, lan_link: Link
) -> ConnectedPair:
    """Add a tracker, and a network with two nodes, to an empty internet."""
    tracker = _add_tracker(internet)
    home = internet.add_network("home", "11.0.1.1", nat, link=link)
    hosts = [
        internet.add_host(name, f"192.168.1.{number}", network=home, link=lan_link)
        for name, number in (("a", 2), ("b", 3))
    ]
    return _pair(internet, tracker, *hosts)


def _add_tracker(internet: SimulatedInternet) -> SimulatedTracker:
    return SimulatedTracker(internet.add_host("tracker", "11.0.0.1"))


def _add_host(
    internet: SimulatedInternet, name: str, number: int, nat: NATBehaviour | None, link: Link
) -> SimulatedHost:
    public = f"11.0.{number}.1"
    if nat is None:
        return internet.add_host(name, public, link=link)
    home = internet.add_network(f"home of {name}", public, nat, link=link)
    return internet.add_host(name, f"192.168.{number}.2", network=home)


def _pair(
    internet: SimulatedInternet,
    tracker: SimulatedTracker,
    host_a: SimulatedHost,
    host_b: SimulatedHost,
) -> ConnectedPair:
    a, b = (simulated_node(host, [tracker.address]) for host in (host_a, host_b))
    for node in (a, b):
        node.startService()
    for node in (a, b):
        internet.run_until(node.when_ready())
    return ConnectedPair(internet, tracker, a, b, host_a, host_b)
