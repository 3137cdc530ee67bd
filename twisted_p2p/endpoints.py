"""A node's peers as ordinary Twisted endpoints."""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from .addresses import PeerAddress
from .identity.peer_id import PeerID
from .interfaces import IPeerNode


class ConnectionCancelled(ConnectingCancelledError, CancelledError):
    """The attempt to connect was cancelled, in the words of endpoints and of Deferreds."""

    def __init__(self, address: PeerAddress) -> None:
        super().__init__(address)  # type: ignore[no-untyped-call]


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
        connecting = self.node.connect(self.peer_id, self.service, protocolFactory)
        return connecting.addErrback(self._failed)

    def _failed(self, reason: Failure) -> Failure:
        if reason.check(CancelledError) is None:
            return reason
        return Failure(ConnectionCancelled(PeerAddress(self.peer_id, self.service, lambda: None)))


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
