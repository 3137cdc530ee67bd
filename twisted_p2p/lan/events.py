"""What `MulticastDNS` tells."""

from __future__ import annotations

from attrs import frozen

from twisted_p2p.lan.peer import LANPeer


@frozen
class PeerFound:
    """A peer is there that was not known."""

    peer: LANPeer


@frozen
class PeerUpdated:
    """Something else is known of a peer than before."""

    peer: LANPeer


@frozen
class PeerLost:
    """A peer has said goodbye, or was not heard of for too long."""

    peer: LANPeer
    """What was known last."""


@frozen
class NodeAnnounced:
    """The records of this node are announced on an interface."""

    instance: str
    interface: str


DiscoveryEvent = PeerFound | PeerUpdated | PeerLost | NodeAnnounced
