"""One node for all endpoints of a process that have the same identity."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from ..addresses import HostPort
from ..identity.keys import load_or_create_identity
from ..identity.peer_id import PeerID
from .service import P2PNode

_nodes: WeakKeyDictionary[Any, dict[PeerID, P2PNode]] = WeakKeyDictionary()


def shared_node(
    reactor: Any, identity_path: str | os.PathLike[str], trackers: Iterable[HostPort]
) -> P2PNode:
    """Return the running node of an identity, which uses these trackers beside those it has.

    It is started when it is first asked for and stopped with the reactor.

    :raises IdentityFileError: when the identity file cannot be used.
    """
    identity = load_or_create_identity(identity_path)
    nodes = _nodes.setdefault(reactor, {})
    node = nodes.get(identity.peer_id)
    if node is None:
        node = nodes[identity.peer_id] = P2PNode(reactor, identity)
        node.startService()
        reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    for tracker in trackers:
        node.add_tracker(tracker)
    return node
