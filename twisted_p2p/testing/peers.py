"""Nodes on simulated hosts."""

from __future__ import annotations

from collections.abc import Iterable

from twisted_p2p.addresses import HostPort
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.interfaces import IPeerDiscovery
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing.host import SimulatedHost


def simulated_node(
    host: SimulatedHost,
    trackers: Iterable[HostPort],
    *,
    port: int = 0,
    lan: bool | IPeerDiscovery = False,
    identity: IdentityKey | None = None,
    topics: Iterable[str] = (),
) -> P2PNode:
    """Return a node, not yet started, that runs on a host and repeats from the host's seed.

    Unless it is given an identity, it gets a new one.  Unless told otherwise it leaves the local
    network alone.  `shut_down` stops it, if need be.
    """
    node = P2PNode(
        host.reactor,
        identity or IdentityKey.from_seed(host.random.randbytes(32)),
        trackers=trackers,
        port=port,
        topics=topics,
        lan=lan,
        random_bytes=host.random.randbytes,
        wall_clock=host.reactor.seconds,
    )
    host.stop_at_end.append(lambda: node.stopService() if node.running else None)
    return node
