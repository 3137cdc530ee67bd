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
        self._is_announced = True
        announce(self._reporter, self._node, self.peer, opened)

    def path_changed(self, path: Path | None) -> None:
        """Say which path is used from now on."""
        if not self._is_announced:
            return
        announce_path(self._reporter, self.peer.peer_id, path)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say how much went each way."""
        if self._is_announced:
            announce_closed(self._reporter, self.peer.peer_id, self.bytes_sent, self.bytes_received)
        super().connectionLost(reason)


def announce(
    reporter: Reporter, node: IPeerNode, peer: PeerAddress, opened: Literal["connected", "accepted"]
) -> None:
    """Say that there is a stream: with whom, over which path and how fast."""
    connection = node.connection_with(peer.peer_id)
    assert connection is not None, "a stream is open"
    reporter.event(
        f"{opened}: {peer.peer_id} for {peer.service}, {_in_words(connection.path)}, "
        f"in {connection.elapsed * 1000:.0f} ms",
        opened,
        peer=peer.peer_id,
        service=peer.service,
        path=_as_dict(connection.path),
        elapsed_ms=round(connection.elapsed * 1000, 3),
        strategy=connection.strategy,
    )


def announce_path(reporter: Reporter, peer_id: str, path: Path | None) -> None:
    """Say which path is used from now on."""
    reporter.event(
        f"path changed: {_in_words(path)}", "path_changed", peer=peer_id, path=_as_dict(path)
    )


def announce_closed(reporter: Reporter, peer_id: str, bytes_sent: int, bytes_received: int) -> None:
    """Say how much went each way."""
    reporter.event(
        f"closed: {bytes_sent} bytes sent, {bytes_received} bytes received",
        "closed",
        peer=peer_id,
        bytes_sent=bytes_sent,
        bytes_received=bytes_received,
    )


def _in_words(path: Path | None) -> str:
    if path is None:
        return "without a path"
    return f"{path.kind} over {path.protocol} from {path.local} to {path.remote}"


def _as_dict(path: Path | None) -> dict[str, str] | None:
    return None if path is None else path.as_dict()
