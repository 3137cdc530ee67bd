"""A peer's stream as the command line shows it: connected or accepted, path changed, closed."""

from __future__ import annotations

from typing import Literal

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..addresses import Path, PeerAddress
from ..interfaces import IPathObserver, IPeerNode
from .joining import JoinedEnd
from .reporting import Reporter


@implementer(IHalfCloseableProtocol, IPathObserver)
class StreamEnd(JoinedEnd):
    """The end that leads to a peer; it tells the user what becomes of the stream."""

    def __init__(self, reporter: Reporter, node: IPeerNode) -> None:
        super().__init__()
        self._reporter = reporter
        self._node = node
        self._is_announced = False

    @property
    def peer(self) -> PeerAddress:
        """The address of the peer."""
        address: PeerAddress = self._transport.getPeer()
        return address

    def announce(self, opened: Literal["connected", "accepted"]) -> None:
        """Say with whom, over which path and how fast."""
        peer = self.peer
        connection = self._node.connection_with(peer.peer_id)
        assert connection is not None, "a stream is open"
        self._is_announced = True
        self._reporter.event(
            f"{opened}: {peer.peer_id} for {peer.service}, {_in_words(connection.path)}, "
            f"in {connection.elapsed * 1000:.0f} ms",
            opened,
            peer=peer.peer_id,
            service=peer.service,
            path=_as_dict(connection.path),
            elapsed_ms=round(connection.elapsed * 1000, 3),
            strategy=connection.strategy,
        )

    def path_changed(self, path: Path | None) -> None:
        """Say which path is used from now on."""
        if not self._is_announced:
            return
        self._reporter.event(
            f"path changed: {_in_words(path)}",
            "path_changed",
            peer=self.peer.peer_id,
            path=_as_dict(path),
        )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say how much went each way."""
        if self._is_announced:
            self._reporter.event(
                f"closed: {self.bytes_sent} bytes sent, {self.bytes_received} bytes received",
                "closed",
                peer=self.peer.peer_id,
                bytes_sent=self.bytes_sent,
                bytes_received=self.bytes_received,
            )
        super().connectionLost(reason)


def _in_words(path: Path | None) -> str:
    if path is None:
        return "without a path"
    return f"{path.kind} over {path.protocol} from {path.local} to {path.remote}"


def _as_dict(path: Path | None) -> dict[str, str] | None:
    return None if path is None else path.as_dict()
