"""A node's peers as ordinary Twisted endpoints."""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from .identity.peer_id import PeerID
from .interfaces import IPeerNode


@implementer(IStreamClientEndpoint)
@frozen
class PeerClientEndpoint:
    """Connects to one service of one peer; every connection is a stream of its own.

    :raises InvalidPeerID: when ``peer_id`` is none.
    """

    node: IPeerNode
    peer_id: str
    service: str

    def __attrs_post_init__(self) -> None:
        PeerID(self.peer_id)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a stream; see `IPeerNode.connect` for when it fires and how it fails."""
        return self.node.connect(self.peer_id, self.service, protocolFactory)


@implementer(IStreamServerEndpoint)
@frozen
class PeerServerEndpoint:
    """Accepts streams for one service of a node, from ``allow`` or from every peer (None)."""

    node: IPeerNode
    service: str
    allow: Collection[str] | None = None

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen; fires once the node can be reached, see `IPeerNode.listen`."""
        return self.node.listen(self.service, protocolFactory, self.allow)
