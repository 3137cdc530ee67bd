"""Whether a stream is taken by the side that did not open it, while that is being decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_p2p.errors import PeerRefused
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.interfaces import IPeerFactory


async def ask_permission(factory: IProtocolFactory, peer_id: PeerID, service: str) -> None:
    """Return when a factory lets a peer connect; one that is no `IPeerFactory` lets everybody.

    :raises PeerRefused: when it does not.
    """
    asked = IPeerFactory(factory, None)
    if asked is not None and not await maybeDeferred(asked.may_connect, str(peer_id), service):
        raise PeerRefused


class Undecided(Protocol):
    """Stands in for the protocol of a stream until it is decided whether the stream is taken.

    What arrives meanwhile waits, no more than flow control lets the peer send.
    """

    def __init__(self, on_lost: Callable[[], object] = lambda: None) -> None:
        """Take what to call when the stream is lost before the decision."""
        self._on_lost = on_lost

    def connectionMade(self) -> None:
        """Read nothing."""
        transport: Any = self.transport
        transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let nobody decide any more."""
        self._on_lost()
