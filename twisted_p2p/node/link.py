"""One peer's session and the connection over it, from the first packet to the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from zope.interface import implementer

from ..addresses import DatagramPath, Path
from ..connection.quic_connection import PeerConnection
from ..connection.quic_router import QUICRouter
from ..errors import P2PError
from ..identity.peer_id import PeerID
from ..interfaces import IPeerConnection
from ..rendezvous.session import PeerSession


class LinkOwner(Protocol):
    """Who is told what becomes of a link."""

    def link_up(self, link: PeerLink) -> None:
        """Take note that the peer is authenticated: streams can be opened."""

    def link_down(self, link: PeerLink, error: P2PError) -> None:
        """Take note, once, that the link is of no more use."""


@implementer(IPeerConnection)
class PeerLink:
    """A session and the QUIC connection that it carries."""

    def __init__(
        self,
        session: PeerSession,
        *,
        router: QUICRouter[PeerLink],
        connect: Callable[[PeerLink], PeerConnection],
        owner: LinkOwner,
    ) -> None:
        """Take a session; ``connect`` makes the connection once a path is authenticated."""
        self.elapsed = 0.0
        """Seconds from the dial or the offer until the peer was authenticated."""
        self.is_up = False
        self._session = session
        self._router = router
        self._connect = connect
        self._owner = owner
        self._connection: PeerConnection | None = None
        self._is_down = False
        session.owner = self
        session.when_closed(self._forget_route)
