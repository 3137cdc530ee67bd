"""What users subclass: protocols and factories that know their peers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from .addresses import Path, PeerAddress
from .interfaces import IPathObserver, IPeerFactory


@implementer(IPathObserver)
class PeerProtocol(Protocol):
    """A stream to a peer, beside Twisted's own hooks with two that know of peers and paths.

    It needs a transport of this package's endpoints, on either side.
    """

    def connectionMade(self) -> None:
        """Call `peer_connected`."""
        transport: Any = self.transport
        self.peer_connected(transport.getPeer())

    def peer_connected(self, address: PeerAddress) -> None:
        """Begin; ``address`` has the peer's verified ID, the service and the live path.

        Override this in place of ``connectionMade``.
        """

    def path_changed(self, path: Path | None) -> None:
        """Take the path that carries the stream from now on, or None while there is none."""


@implementer(IPeerFactory)
class PeerFactory(Factory):
    """Makes a protocol of each stream that a peer opens, if that peer may connect.

    Without a ``protocol`` of its own it makes `PeerProtocol`.
    """

    protocol = PeerProtocol

    def may_connect(self, peer_id: str, service: str) -> bool | Deferred[bool]:
        """Return whether a peer may connect, or a Deferred of that; see `IPeerFactory`."""
        return True
