"""The end of a simulated internet: everything on it is stopped, and nothing may be left."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from twisted.internet.defer import gatherResults, maybeDeferred

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.testing.internet import SimulatedInternet


class LeftOver(AssertionError):
    """Something still waits or listens on a simulated host after everything was stopped."""


def shut_down(internet: SimulatedInternet) -> None:
    """Stop the nodes on all hosts, then the servers, and see what is left.

    :raises LeftOver: when a delayed call or an open port is; the message names each.
    """
    hosts = internet.hosts.values()
    for lists in ([host.stop_at_end for host in hosts], [host.stop_last for host in hosts]):
        stopped = [maybeDeferred(stop) for stop in chain.from_iterable(lists)]
        for functions in lists:
            functions.clear()
        internet.run_until(gatherResults(stopped, consumeErrors=True))
    internet.run_for(0.0)
    left = "\n".join(leftovers(internet))
    if left:
        raise LeftOver(f"left over on simulated hosts:\n{left}\nat {internet.story()}")


def leftovers(internet: SimulatedInternet) -> list[str]:
    """Return a line for each delayed call and each open port or connection on any host."""
    return [
        f"{host.name}: {each}" for host in internet.hosts.values() for each in _leftovers_on(host)
    ]


def _leftovers_on(host: SimulatedHost) -> Iterator[object]:
    yield from host.reactor.getDelayedCalls()
    yield from host.open_ports()
    for socket in host.tcp.sockets.values():
        kind = "listening port" if socket.is_listening else "connection"
        address, port = socket.getsockname()[:2]
        yield f"<TCP {kind} at {HostPort(address, port)}>"
