"""Peer-to-peer networking for Twisted programs.

Name a peer by its public key and get an ordinary Twisted transport to it: encrypted, mutually
authenticated and direct, through NATs on both sides.  The first program, which dials an echo
service::

    import sys

    from twisted.internet.endpoints import connectProtocol
    from twisted.internet.task import react
    from twisted_p2p import P2PNode, PeerClientEndpoint, load_or_create_identity

    async def main(reactor, peer_id):
        identity = load_or_create_identity("identity.pem")
        node = P2PNode(reactor, identity, trackers=[("tracker.example", 3478)])
        node.startService()
        await connectProtocol(PeerClientEndpoint(node, peer_id, "echo"), MyProtocol())
        ...

    react(main, sys.argv[1:])

The names below are loaded when they are first used, so importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .addresses import HostPort as HostPort
    from .addresses import Path as Path
    from .addresses import PeerAddress as PeerAddress
    from .addresses import PeerPath as PeerPath
    from .endpoints import PeerClientEndpoint as PeerClientEndpoint
    from .endpoints import PeerServerEndpoint as PeerServerEndpoint
    from .errors import P2PError as P2PError
    from .identity.keys import IdentityKey as IdentityKey
    from .identity.keys import load_identity as load_identity
    from .identity.keys import load_or_create_identity as load_or_create_identity
    from .identity.peer_id import PeerID as PeerID
    from .lan.discovery import LANDiscovery as LANDiscovery
    from .lan.peer import LANPeer as LANPeer
    from .node.service import P2PNode as P2PNode
    from .protocol import HolePunchProtocol as HolePunchProtocol
    from .protocol import PeerFactory as PeerFactory
    from .protocol import PeerProtocol as PeerProtocol
    from .tracker.client_protocols import Introduction as Introduction
    from .tracker.client_protocols import (
        TrackerClientDatagramProtocol as TrackerClientDatagramProtocol,
    )
    from .tracker.client_protocols import TrackerClientFactory as TrackerClientFactory
    from .tracker.client_protocols import TrackerClientProtocol as TrackerClientProtocol
    from .tracker.datagrams import (
        TrackerServerDatagramProtocol as TrackerServerDatagramProtocol,
    )
    from .tracker.present_peers import PresentPeer as PresentPeer
    from .tracker.streams import TrackerServerFactory as TrackerServerFactory
    from .tracker.streams import TrackerServerProtocol as TrackerServerProtocol
    from .tracker.tracker import Tracker as Tracker

_MODULES = {
    "HolePunchProtocol": "protocol",
    "HostPort": "addresses",
    "IdentityKey": "identity.keys",
    "Introduction": "tracker.client_protocols",
    "LANDiscovery": "lan.discovery",
    "LANPeer": "lan.peer",
    "P2PError": "errors",
    "P2PNode": "node.service",
    "Path": "addresses",
    "PeerAddress": "addresses",
    "PeerClientEndpoint": "endpoints",
    "PeerFactory": "protocol",
    "PeerID": "identity.peer_id",
    "PeerPath": "addresses",
    "PeerProtocol": "protocol",
    "PresentPeer": "tracker.present_peers",
    "PeerServerEndpoint": "endpoints",
    "Tracker": "tracker.tracker",
    "TrackerClientDatagramProtocol": "tracker.client_protocols",
    "TrackerClientFactory": "tracker.client_protocols",
    "TrackerClientProtocol": "tracker.client_protocols",
    "TrackerServerDatagramProtocol": "tracker.datagrams",
    "TrackerServerFactory": "tracker.streams",
    "TrackerServerProtocol": "tracker.streams",
    "load_identity": "identity.keys",
    "load_or_create_identity": "identity.keys",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    """Load a public name (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(_MODULES)
