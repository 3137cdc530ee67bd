"""What is asked of a QUIC library, and qh3 behind it; nothing private of qh3 is touched.

Every setting that is not the library's default stands here with its reason.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from attrs import frozen
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection, QuicConnectionError
from qh3.tls import SignatureAlgorithm

from twisted_p2p.addresses import HostPort
from twisted_p2p.connection.authentication import ALPN
from twisted_p2p.connection.certificate import Certificate

VIRTUAL_PEER = HostPort("192.0.2.1", 443)
"""The one address that QUIC ever sees (RFC 5737): the path beneath it changes unnoticed."""

DATAGRAM_SIZE = 1_200
"""Bytes of a QUIC datagram, always.

The library does not recover from a path whose MTU shrinks, so it must not look for larger ones.
"""

WINDOW = 4 * 1024 * 1024
"""QUIC's own windows in bytes, of a stream and of a connection.

They bound what an attacker makes us hold by leaving gaps.  Over a simulated path a 64 MB transfer
made 44 MB/s at 40 ms and 18 MB/s at 100 ms, against 59 and 24 with the library's 6 and 15 MB.
"""

IDLE_TIMEOUT = 365 * 86_400.0
"""Seconds; in effect never.

Whether the peer is still there is for ICE's consent checks to find out, every five seconds
(RFC 7675).  A second opinion of QUIC's would need packets of its own to keep idle streams.
"""

# The library warns on every close, and a program that set up no logging would show that to users.
logging.getLogger("quic").addHandler(logging.NullHandler())


@frozen
class LibrarySettings:
    """What differs between the connections of a program."""

    certificate: Certificate | None = None
    """The responder's; None makes the initiator, which is QUIC's client."""

    original_destination_connection_id: bytes | None = None
    """For the responder: the connection ID that the initiator's first packet was sent to."""


class QUICLibrary(Protocol):
    """One QUIC connection of a library, either side; both qh3 and aioquic fit.

    Events are those of both libraries and told apart by the names of their classes.  Commands do
    nothing for a stream or a connection that is over, also while the event of that is to come.
    """

    @property
    def connection_id(self) -> bytes:
        """The connection ID by which the first packets of the other side find this one."""

    @property
    def is_closing(self) -> bool:
        """Whether it has ignored a command, since it is closed; its event for that is to come."""

    def connect(self, now: float) -> None:
        """Begin the handshake, as client."""

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        """Take datagrams in the order of their arrival."""

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        """Return the datagrams to send now."""

    def get_timer(self) -> float | None:
        """Return when `handle_timer` is wanted."""

    def handle_timer(self, now: float) -> None:
        """Do what is due."""

    def next_event(self) -> object | None:
        """Return the next of the library's events."""

    def peer_certificate(self) -> bytes | None:
        """Return the server's certificate (DER); proven only once the handshake is complete."""

    def next_stream_id(self) -> int | None:
        """Return the ID that a new stream gets, or None when the peer allows no more for now."""

    def send_stream_data(
        self, stream_id: int, data: bytes | memoryview, end_stream: bool = False
    ) -> None:
        """Queue data on a stream, which is opened by that if it is new."""

    def send_buffer_size(self, stream_id: int) -> int:
        """Return how many bytes of a stream are queued and not yet sent for the first time."""

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Give up sending on a stream."""

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        """Ask the peer to send no more on a stream."""

    def send_ping(self) -> None:
        """Send a packet that the peer must acknowledge, however long others have waited."""

    def close(self, error_code: int, reason: str) -> None:
        """Close the connection."""


LibraryFactory = Callable[[LibrarySettings], QUICLibrary]


class QH3Connection:
    """qh3's connection; what a peer sends may make its other methods raise various errors."""

    def __init__(self, settings: LibrarySettings) -> None:
        self._connection = QuicConnection(
            configuration=_configuration(settings.certificate),
            original_destination_connection_id=settings.original_destination_connection_id,
        )
        self.connection_id: bytes = self._connection.host_cid
        self.handle_timer = self._connection.handle_timer
        self.get_timer = self._connection.get_timer
        self.datagrams_to_send = self._connection.datagrams_to_send
        self.next_event = self._connection.next_event
        self.send_buffer_size = self._connection.get_send_buffer_size
        self.is_closing = False

    def connect(self, now: float) -> None:
        """Begin the handshake, as client."""
        self._connection.connect(VIRTUAL_PEER, now)

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        """Take datagrams in the order of their arrival."""
        self._connection.receive_many_datagrams(datagrams, VIRTUAL_PEER, now)

    def peer_certificate(self) -> bytes | None:
        """Return the server's certificate (DER); proven only once the handshake is complete."""
        certificate = self._connection.get_peercert()
        return None if certificate is None else certificate.public_bytes()

    def next_stream_id(self) -> int | None:
        """Return the ID that a new stream gets, or None when the peer allows no more for now.

        The library raises beyond the limit, and has used up the ID by then.
        """
        stream_id: int = self._connection.get_next_available_stream_id()
        allowed = stream_id // 4 < self._connection.max_concurrent_bidi_streams
        return stream_id if allowed else None

    def send_stream_data(
        self, stream_id: int, data: bytes | memoryview, end_stream: bool = False
    ) -> None:
        """Queue data on a stream, which is opened by that if it is new."""
        self._unless_over(self._connection.send_stream_data, stream_id, data, end_stream)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Give up sending on a stream."""
        self._unless_over(self._connection.reset_stream, stream_id, error_code)

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        """Ask the peer to send no more on a stream."""
        self._unless_over(self._connection.stop_stream, stream_id, error_code)

    def send_ping(self) -> None:
        """Send a packet that the peer must acknowledge, however long others have waited."""
        self._unless_over(self._connection.send_ping, 0)

    def _unless_over(self, command: Callable[..., object], *arguments: object) -> None:
        """Call the library, which has read of more ends than it has told of by its events."""
        try:
            command(*arguments)
        except QuicConnectionError:
            self.is_closing = True
        except ValueError:
            # The peer has finished or given up that stream, in that direction.
            pass

    def close(self, error_code: int, reason: str) -> None:
        """Close the connection."""
        self._connection.close(error_code=error_code, reason_phrase=reason)


@cache
def warm_up() -> None:
    """Do now what the library does once in a process, with the first connection.

    Its native core gathers entropy when it first makes a key.  That takes 45 to 110 ms of
    computing, on both sides one after the other, while somebody waits for the first connection.
    """
    QH3Connection(LibrarySettings()).connect(0.0)


def _configuration(certificate: Certificate | None) -> QuicConfiguration:
    configuration = QuicConfiguration(
        is_client=certificate is None,
        alpn_protocols=[ALPN],
        idle_timeout=IDLE_TIMEOUT,
        max_datagram_size=DATAGRAM_SIZE,
        probe_datagram_size=False,
        max_data=WINDOW,
        max_stream_data=WINDOW,
    )
    if certificate is None:
        # The library's default asks for no Ed25519, and its own check of certificates knows
        # nothing of peers; what the server signed with its key is checked all the same.
        configuration.signature_algorithms = [SignatureAlgorithm.ED25519]
        configuration.verify_mode = ssl.CERT_NONE
    else:
        configuration.load_cert_chain(certificate.pem, certificate.private_key_pem)
    return configuration
