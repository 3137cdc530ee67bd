"""What a QUIC connection of ours tells its user."""

from __future__ import annotations

from enum import IntEnum, unique

from attrs import field, frozen

from twisted_p2p.errors import P2PError
from twisted_p2p.identity.peer_id import PeerID


@unique
class CloseCode(IntEnum):
    """Why a connection was closed.

    The numbers keep clear of QUIC's own error codes (RFC 9000, section 20.1), which the library
    tells by the same field.
    """

    CLOSED = 0x1000
    """One side wanted no more of it."""
    WRONG_IDENTITY = 0x1001
    """The other side is not who it should be."""
    PROTOCOL_ERROR = 0x1002
    """The other side broke the rules of this protocol, or of QUIC or TLS."""
    TIMED_OUT = 0x1003
    """The other side was not authenticated in time."""
    INTERNAL_ERROR = 0x1004
    """Something here does not work."""

    @classmethod
    def of(cls, number: int) -> CloseCode:
        """Return the code with this number; any other is QUIC's or TLS's word for an error."""
        try:
            return cls(number)
        except ValueError:
            return cls.PROTOCOL_ERROR


@frozen
class PeerAuthenticated:
    """The other side has shown that it holds the key expected of it."""

    peer_id: PeerID


@frozen
class StreamOpened:
    """The peer opened a stream to a service and waits for it to be accepted or refused."""

    stream_id: int
    service: str


@frozen
class StreamAccepted:
    """The peer has accepted a stream that was opened here."""

    stream_id: int


@frozen
class StreamRefused:
    """The peer has refused a stream that was opened here; nothing more comes of it."""

    stream_id: int
    error: P2PError
    """`UnknownService` or `PeerRefused`, with the peer's reason if it gave one."""


@frozen
class StreamDataReceived:
    """Payload of an accepted stream, in order."""

    stream_id: int
    data: bytes = field(repr=False)


@frozen
class StreamEnded:
    """All payload that the peer wanted to send on a stream has been told."""

    stream_id: int


@frozen
class StreamDelivered:
    """The peer has all payload up to the end of what was sent on a stream."""

    stream_id: int


@frozen
class StreamReset:
    """The peer gave up sending on a stream; what it sent before may be lost."""

    stream_id: int


@frozen
class StreamStopped:
    """The peer takes no more payload on a stream."""

    stream_id: int


@frozen
class StreamWritable:
    """A stream that did not take all it was given takes more now."""

    stream_id: int


@frozen
class StreamAvailable:
    """A stream can be opened, after that was not possible for a while."""


@frozen
class PingAnswered:
    """The peer has answered a ping."""

    number: int


@frozen
class ConnectionIDIssued:
    """Packets with this destination connection ID belong to this connection from now on."""

    connection_id: bytes


@frozen
class ConnectionIDRetired:
    """Packets with this destination connection ID belong to this connection no longer."""

    connection_id: bytes


@frozen
class ConnectionClosed:
    """The connection is of no more use; its last event but `ConnectionForgotten`."""

    code: CloseCode
    message: str
    by_peer: bool


@frozen
class ConnectionForgotten:
    """Nothing is left to send or to answer; the very last event."""


ConnectionEvent = (
    PeerAuthenticated
    | StreamOpened
    | StreamAccepted
    | StreamRefused
    | StreamDataReceived
    | StreamEnded
    | StreamDelivered
    | StreamReset
    | StreamStopped
    | StreamWritable
    | StreamAvailable
    | PingAnswered
    | ConnectionIDIssued
    | ConnectionIDRetired
    | ConnectionClosed
    | ConnectionForgotten
)
