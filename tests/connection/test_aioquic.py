"""The same connection with another QUIC library on either side: the wire format is nobody's own."""

from __future__ import annotations

import contextlib
import ssl
from collections import deque
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.connection.link import INITIATOR, RESPONDER, STRANGER, Link, connection
from tests.connection.peers import Peers
from tests.requirements import leave_out
from twisted_p2p.connection.authentication import ALPN
from twisted_p2p.connection.events import CloseCode, ConnectionClosed, StreamRefused
from twisted_p2p.connection.quic_library import (
    DATAGRAM_SIZE,
    IDLE_TIMEOUT,
    VIRTUAL_PEER,
    WINDOW,
    LibrarySettings,
    QH3Connection,
)
from twisted_p2p.errors import UnknownService

try:
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection
except ImportError:
    QuicConnection = None


class AioquicConnection:
    """aioquic's connection; it has no public names for some of what is asked."""

    is_closing = False

    def __init__(self, settings: LibrarySettings) -> None:
        configuration = QuicConfiguration(
            is_client=settings.certificate is None,
            alpn_protocols=[ALPN],
            idle_timeout=IDLE_TIMEOUT,
            max_datagram_size=DATAGRAM_SIZE,
            max_data=WINDOW,
            max_stream_data=WINDOW,
            verify_mode=ssl.CERT_NONE,
        )
        if settings.certificate is not None:
            from aioquic.tls import (  # noqa: PLC0415  (it may not be installed)
                load_pem_private_key,
                load_pem_x509_certificates,
            )

            (configuration.certificate,) = load_pem_x509_certificates(settings.certificate.pem)
            configuration.private_key = load_pem_private_key(settings.certificate.private_key_pem)
        self._connection: Any = QuicConnection(
            configuration=configuration,
            original_destination_connection_id=settings.original_destination_connection_id,
        )
        self._events: deque[object] = deque()
        self.connection_id: bytes = self._connection.host_cid
        self.get_timer = self._connection.get_timer
        self.handle_timer = self._connection.handle_timer
        self.datagrams_to_send = self._connection.datagrams_to_send
        self.next_event = self._connection.next_event

    def connect(self, now: float) -> None:
        self._connection.connect(VIRTUAL_PEER, now)

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        for data in datagrams:
            self._connection.receive_datagram(data, VIRTUAL_PEER, now)

    def peer_certificate(self) -> bytes | None:
        from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

        certificate = self._connection.tls._peer_certificate
        return None if certificate is None else certificate.public_bytes(Encoding.DER)

    def next_stream_id(self) -> int | None:
        stream_id: int = self._connection.get_next_available_stream_id()
        allowed = stream_id // 4 < self._connection._remote_max_streams_bidi
        return stream_id if allowed else None

    def send_stream_data(self, stream_id: int, data: Any, end_stream: bool = False) -> None:
        with contextlib.suppress(AssertionError, ValueError):
            self._connection.send_stream_data(stream_id, bytes(data), end_stream)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        with contextlib.suppress(AssertionError, ValueError):
            self._connection.reset_stream(stream_id, error_code)

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        with contextlib.suppress(AssertionError, ValueError):
            self._connection.stop_stream(stream_id, error_code)

    def send_buffer_size(self, stream_id: int) -> int:
        stream = self._connection._streams.get(stream_id)
        return 0 if stream is None else stream.sender._buffer_stop - stream.sender._buffer_start

    def send_ping(self) -> None:
        self._connection.send_ping(0)

    def close(self, error_code: int, reason: str) -> None:
        self._connection.close(error_code=error_code, reason_phrase=reason)


PAIRS = (
    (AioquicConnection, QH3Connection),
    (QH3Connection, AioquicConnection),
    (AioquicConnection, AioquicConnection),
)


class AioquicTests(SynchronousTestCase):
    def setUp(self) -> None:
        if QuicConnection is None:
            leave_out("aioquic is not installed.")

    def links(self, **settings: Any) -> list[Link]:
        return [
            Link(
                connection(True, INITIATOR, RESPONDER.peer_id, library=client),
                connection(False, RESPONDER, INITIATOR.peer_id, library=server),
                **settings,
            )
            for client, server in PAIRS
        ]

    def test_either_side_may_be_another_library(self) -> None:
        for link in self.links():
            self.assertTrue(
                link.run(5.0, until=lambda link=link: "PeerAuthenticated" in link.server.seen)
            )
            link.run(0.5)
            there, back = link.client.open(), link.server.open()
            link.client.send(there, bytes(300_000), end=True)
            link.server.send(back, bytes(300_000), end=True)
            link.run(0.5)
            link.server.send(there, b"answer", end=True)
            link.client.send(back, b"answer", end=True)
            link.run(
                30.0, until=lambda link=link: not any(len(s.machine.streams) for s in link.sides)
            )
            # Not assertEqual: it would compare long bytes line by line.
            self.assertTrue(link.server.received == {there: bytes(300_000), back: b"answer"})
            self.assertTrue(link.client.received == {back: bytes(300_000), there: b"answer"})
            self.assertEqual(link.client.names().count("StreamDelivered"), 2)

    def test_it_is_so_over_a_bad_path_too(self) -> None:
        for link in self.links(loss=0.05, reordering=0.2, seed=3):
            self.assertTrue(
                link.run(10.0, until=lambda link=link: "PeerAuthenticated" in link.client.seen)
            )
            stream_id = link.client.open()
            link.client.send(stream_id, bytes(50_000), end=True)
            link.run(60.0, until=lambda link=link: "StreamEnded" in link.server.seen)
            self.assertTrue(link.server.received == {stream_id: bytes(50_000)})

    def test_refusals_resets_and_closes_are_understood(self) -> None:
        for link in self.links():
            link.run(1.0)
            link.accept = lambda side, event: side.machine.streams.refuse(
                event.stream_id, UnknownService()
            )
            link.client.open()
            link.run(1.0)
            (refused,) = link.client.of(StreamRefused)
            self.assertIs(type(refused.error), UnknownService)
            link.accept = link._accept
            given_up = link.client.open()
            link.run(1.0)
            link.client.machine.streams.abandon(given_up)
            link.run(1.0)
            self.assertIn("StreamReset", link.server.seen)
            self.assertIn("StreamStopped", link.server.seen)
            self.assertEqual([len(side.machine.streams) for side in link.sides], [0, 0])
            link.client.machine.close(CloseCode.CLOSED, "", link.now)
            link.run(5.0)
            self.assertEqual([side.names()[-1] for side in link.sides], ["ConnectionForgotten"] * 2)
            (closed,) = link.server.of(ConnectionClosed)
            self.assertEqual((closed.code, closed.by_peer), (CloseCode.CLOSED, True))

    def test_nobody_else_is_let_in(self) -> None:
        for client, server in PAIRS:
            impostor = Link(
                connection(True, INITIATOR, RESPONDER.peer_id, library=client),
                connection(False, STRANGER, INITIATOR.peer_id, library=server),
            )
            impostor.run(2.0)
            self.assertNotIn("PeerAuthenticated", impostor.client.seen)
            stranger = Link(
                connection(True, STRANGER, RESPONDER.peer_id, library=client),
                connection(False, RESPONDER, INITIATOR.peer_id, library=server),
            )
            stranger.run(2.0)
            self.assertNotIn("PeerAuthenticated", stranger.server.seen)

    def test_twisted_protocols_run_over_it(self) -> None:
        peers = Peers(library=AioquicConnection)
        ours, theirs = peers.join()
        ours.stream.write(bytes(100_000))
        ours.stream.loseConnection()
        peers.run(10.0, until=lambda: ours.reason)
        self.assertEqual((theirs.size, ours.log), (100_000, ["made", "lost ConnectionDone"]))
        peers.client.connection.close()
        peers.run(5.0)
        self.assertEqual(peers.server.log, ["authenticated", "lost", "forgotten"])
