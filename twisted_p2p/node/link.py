"""One peer's session and the connection over it, from the first packet to the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from ..addresses import DatagramPath, Path
from ..connection.quic_connection import PeerConnection
from ..connection.quic_router import QUICRouter
from ..identity.peer_id import PeerID
from ..interfaces import IPeerLink
from ..rendezvous.session import PeerSession


class LinkOwner(Protocol):
    """Who is told what becomes of a link."""

    def link_up(self, link: PeerLink) -> None:
        """Take note that the peer is authenticated: streams can be opened."""

    def link_down(self, link: PeerLink, reason: Failure) -> None:
        """Take note, once, that the link is of no more use; its streams have been told."""

    def factory_for(self, peer_id: PeerID, service: str) -> IProtocolFactory:
        """Return the factory for a stream that the peer opens.

        :raises UnknownService: when nobody listens for it.
        :raises PeerRefused: when the peer may not have it.
        """


@implementer(IPeerLink)
class PeerLink:
    """A session and the QUIC connection that it carries.

    The one who dialled is the QUIC client and begins with the first authenticated check; the
    other one waits for its first packet, along authenticated paths alone.
    """

    def __init__(
        self,
        session: PeerSession,
        *,
        router: QUICRouter[PeerLink],
        send_all: Callable[[Sequence[bytes], DatagramPath], object],
        connect: Callable[[PeerLink], PeerConnection],
        owner: LinkOwner,
    ) -> None:
        """Take a session.

        ``send_all`` sends datagrams along a path, and ``connect`` makes the connection once one
        is authenticated.
        """
        self.elapsed = 0.0
        """Seconds from the dial or the offer until the peer was authenticated."""
        self._session = session
        self._router = router
        self._send_all = send_all
        self._connect = connect
        self._owner = owner
        self._connection: PeerConnection | None = None
        self._is_down = False
        session.owner = self
        session.on_revived = self._path_revived
        session.when_closed(self._session_closed)

    @property
    def peer_id(self) -> PeerID:
        """The peer; verified once the link is up."""
        return self._session.peer_id

    @property
    def path(self) -> Path | None:
        """The live path, or None once there is none."""
        return self._session.path

    @property
    def strategy(self) -> str:
        """How the two came together."""
        return self._session.strategy

    @property
    def is_initiator(self) -> bool:
        """Whether this side dialled."""
        return self._session.is_initiator

    def open_stream(self, service: str, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a stream on a link that is up; see `IPeerConnection.open_stream`."""
        assert self._connection is not None
        return self._connection.open_stream(service, factory)

    def ping(self) -> Deferred[float]:
        """Return a Deferred of the seconds that the peer's answer takes, on a link that is up."""
        assert self._connection is not None
        return self._connection.ping()

    def close(self) -> None:
        """End the connection and every stream on it; harmless when it has ended."""
        if self._connection is None:
            self._session.close()
        else:
            self._connection.close()

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Take QUIC datagrams that were routed here."""
        if self._connection is not None:
            if not self._is_down:
                self._session.data_heard()
            self._connection.datagrams_received(datagrams)

    # What the session tells.

    def path_authenticated(self, session: PeerSession, path: DatagramPath) -> None:
        """Let the connection be reached along this path; begin it with the first one."""
        if self.is_initiator:
            self._router.allow_path(path, self)
        else:
            self._router.expect_initial(path, self)
        if self._connection is None:
            self._connection = self._connect(self)

    def path_changed(self, session: PeerSession) -> None:
        """Tell the streams, and QUIC, which may be waiting for its timers."""
        if self._connection is not None and self._connection.path != session.path:
            self._connection.path_changed(session.path)

    def _path_revived(self) -> None:
        """Let QUIC, which may be waiting for its timers, go on."""
        if self._connection is not None:
            self._connection.probe()

    def _session_closed(self) -> None:
        error = self._session.error or ConnectionDone()
        if self._connection is not None:
            self._connection.abandon(error)
        self._go_down(Failure(error))
        self._router.forget(self)

    def _go_down(self, reason: Failure) -> None:
        if not self._is_down:
            self._is_down = True
            self._session.withdraw_consent()
            self._owner.link_down(self, reason)

    # What the connection asks and tells.

    def send_datagrams(self, connection: PeerConnection, datagrams: Sequence[bytes]) -> None:
        """Send along the live path."""
        path = self._session.datagram_path
        if path is not None and not self._session.is_closed:
            self._send_all(datagrams, path)

    def connection_id_issued(self, connection: PeerConnection, connection_id: bytes) -> None:
        """Route packets with this connection ID here."""
        self._router.add_connection_id(connection_id, self)

    def connection_id_retired(self, connection: PeerConnection, connection_id: bytes) -> None:
        """Route packets with this connection ID here no longer."""
        self._router.remove_connection_id(connection_id, self)

    def connection_authenticated(self, connection: PeerConnection) -> None:
        """Tell the owner that the link is up."""
        self.elapsed = self._session.now - self._session.started_at
        self._owner.link_up(self)

    def stream_requested(self, connection: PeerConnection, service: str) -> IProtocolFactory:
        """Ask the owner for the factory of a service."""
        return self._owner.factory_for(self.peer_id, service)

    def connection_lost(self, connection: PeerConnection, reason: Failure) -> None:
        """Tell the owner that the link is down; the path stays until the peer knows it too."""
        self._go_down(reason)

    def connection_forgotten(self, connection: PeerConnection) -> None:
        """Let the path go."""
        self._session.close()
