"""Every error that leaves this package; each docstring is what its user is told.

`P2PError` is the root.  A child also derives from Twisted's own error where one fits, so that
code which knows Twisted alone already handles it.  `code` is the word that the command line and
the ``error`` event use.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.internet import error


class P2PError(Exception):
    """Something went wrong between this node and its peers."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str = "") -> None:
        # Twisted's errors put words of their own around a message that is given to them.
        super().__init__()
        self.args = (message,) if message else ()

    def __str__(self) -> str:
        """Return the message given, or else the one sentence that the class stands for."""
        return str(self.args[0]) if self.args else (self.__doc__ or "").splitlines()[0]


class MalformedMessage(P2PError):
    """The bytes are not a message of this protocol."""

    code = "malformed_message"


class MalformedOffer(MalformedMessage):
    """A boxed message is not meant for this node, or not from whom it claims to be."""

    code = "malformed_offer"


class UndecipherableBox(MalformedMessage):
    """The box was not sealed between these two keys, or was changed on the way."""

    code = "undecipherable_box"


class InvalidSignature(P2PError):
    """The signature was not made by the key that it names."""

    code = "invalid_signature"


class InvalidPeerID(P2PError, ValueError):
    """A peer ID is 52 characters of lower-case base32; check it for a missing character."""

    code = "invalid_peer_id"


class IdentityFileError(P2PError):
    """The identity file is missing, unreadable or open to other users."""

    code = "identity_file"


class PeerOffline(P2PError, error.ConnectError):
    """No tracker knows this peer at the moment; start it, or check its ID and trackers."""

    code = "peer_offline"


class PeerRefused(P2PError, error.ConnectionRefusedError):
    """The peer is there and does not accept this connection."""

    code = "peer_refused"


class UnknownService(P2PError, error.ConnectionRefusedError):
    """The peer is there and offers no service of this name."""

    code = "unknown_service"


class TrackerUnreachable(P2PError, error.ConnectError):
    """No tracker answers; check its address and whether UDP is allowed here."""

    code = "tracker_unreachable"


class TrackerBusy(P2PError, error.ConnectError):
    """The tracker asks to try again later."""

    code = "tracker_busy"

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which another try makes sense."""


class NoPath(P2PError, error.ConnectError):
    """Both peers tried, and no packet came through between them."""

    code = "no_path"

    def __init__(self, message: str = "", *, why: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.why = why or {}
        """What was tried on each side, as plain values."""


class WrongIdentity(P2PError, error.ConnectError):
    """Whoever answered does not hold the key that was asked for."""

    code = "wrong_identity"


class DialTimedOut(P2PError, error.TimeoutError):
    """The peer did not answer in time."""

    code = "timeout"


class PortInUse(P2PError, error.ConnectError):
    """Another program has this UDP port; choose another one, or 0 for any."""

    code = "port_in_use"


class ConnectionVanished(P2PError, error.ConnectionLost):
    """The peer has not answered on any path for 30 seconds."""

    code = "connection_vanished"


class PathLost(P2PError, error.ConnectionLost):
    """The path to the peer has ended; punch again."""

    code = "path_lost"

    def __init__(self, message: str = "", *, peer_id: str) -> None:
        super().__init__(message)
        self.peer_id = peer_id
        """The peer that it led to."""


class ServiceInUse(P2PError, error.ConnectError):
    """The node listens for this service already."""

    code = "service_in_use"
