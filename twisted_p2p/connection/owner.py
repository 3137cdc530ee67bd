"""What a connection to a peer asks of whoever made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted_p2p.connection.quic_connection import PeerConnection


class ConnectionOwner(Protocol):
    """Who made a connection, sends its datagrams and is told what becomes of it."""

    def send_datagrams(self, connection: PeerConnection, datagrams: Sequence[bytes]) -> None:
        """Send QUIC datagrams along the live path; without one, drop them."""

    def connection_id_issued(self, connection: PeerConnection, connection_id: bytes) -> None:
        """Route packets with this destination connection ID here from now on."""

    def connection_id_retired(self, connection: PeerConnection, connection_id: bytes) -> None:
        """Route packets with this destination connection ID here no longer."""

    def connection_authenticated(self, connection: PeerConnection) -> None:
        """Take it that the peer is who it should be; streams can be opened at once."""

    def stream_requested(self, connection: PeerConnection, service: str) -> IProtocolFactory:
        """Return the factory whose protocol takes a stream of the peer.

        :raises UnknownService: when there is none.
        :raises PeerRefused: when the peer may not have it.
        """

    def connection_lost(self, connection: PeerConnection, reason: Failure) -> None:
        """Take it that the connection is of no more use; its streams have been told."""

    def connection_forgotten(self, connection: PeerConnection) -> None:
        """Take it that nothing more is sent or wanted: the path may go."""
