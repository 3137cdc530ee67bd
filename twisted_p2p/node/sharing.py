"""One node for all endpoints of a process that have the same identity."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from ..addresses import HostPort
from ..identity.keys import load_or_create_identity
from ..identity.peer_id import PeerID
from .service import P2PNode

_nodes: dict[Any, dict[PeerID, P2PNode]] = {}
"""The running nodes, by reactor."""


def shared_node(
    reactor: Any,
    identity_path: str | os.PathLike[str],
    trackers: Iterable[HostPort],
    *,
    lan: bool,
) -> P2PNode:
    """Return the running node of an identity, which uses these trackers beside those it has.

    With ``lan`` it uses the local network from now on, if it did not.

    It is started when it is first asked for and stopped with the reactor.

    :raises IdentityFileError: when the identity file cannot be used.
    """
    identity = load_or_create_identity(identity_path)
    if reactor not in _nodes:
        _nodes[reactor] = {}
        reactor.addSystemEventTrigger("before", "shutdown", stop_shared_nodes, reactor)
    nodes = _nodes[reactor]
    node = nodes.get(identity.peer_id)
    if node is None:
        node = P2PNode(reactor, identity, lan=False)
        node.startService()
        nodes[identity.peer_id] = node
    for tracker in trackers:
        node.add_tracker(tracker)
    if lan:
        node.use_lan()
    return node


def stop_shared_nodes(reactor: Any) -> Deferred[None]:
    """Stop the nodes of a reactor; whoever asks for one again gets another one.

    Nobody need call it but tests that use endpoint strings on a reactor that goes on.
    """
    nodes = _nodes.get(reactor, {})
    stopped = gatherResults([node.stopService() for node in nodes.values()])
    nodes.clear()
    return stopped.addCallback(lambda _: None)
