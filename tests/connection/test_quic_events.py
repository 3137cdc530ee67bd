"""What a connection makes of a library's events in orders that are hard to arrange by packets."""

from __future__ import annotations

from collections import deque
from typing import Any

from attrs import define, field
from qh3.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    HandshakeCompleted,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.connection.link import INITIATOR, RESPONDER, Side, connection
from twisted_p2p.connection.authentication import make_proof
from twisted_p2p.connection.certificate import make_certificate
from twisted_p2p.connection.events import (
    CloseCode,
    ConnectionClosed,
    ConnectionIDIssued,
    ConnectionIDRetired,
)
from twisted_p2p.connection.quic import CLOSING_TIMEOUT
from twisted_p2p.connection.quic_library import LibrarySettings, QUICLibrary
from twisted_p2p.connection.wire import Goodbye, Ping, Proof, encode_control, encode_opening
from twisted_p2p.errors import UnknownService

INITIAL = b"\xc0\0\0\0\x01\x08" + bytes(1300)
CERTIFICATE = make_certificate(RESPONDER, random_bytes=bytes)


@define(eq=False)
class ScriptedLibrary:
    """Tells the events that a test gives it, and remembers its commands."""

    settings: LibrarySettings
    events: deque[object] = field(factory=deque)
    sent: list[tuple[Any, ...]] = field(factory=list)
    is_closing: bool = False
    connection_id: bytes = b"12345678"
    streams: int = 0

    def connect(self, now: float) -> None:
        pass

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        pass

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        return []

    def get_timer(self) -> float | None:
        return None

    def handle_timer(self, now: float) -> None:
        pass

    def next_event(self) -> object | None:
        return self.events.popleft() if self.events else None

    def peer_certificate(self) -> bytes | None:
        return CERTIFICATE.der

    def next_stream_id(self) -> int | None:
        self.streams += 1
        return 4 * self.streams

    def send_stream_data(self, stream_id: int, data: Any, end_stream: bool = False) -> None:
        self.sent.append(("send", stream_id, bytes(data), end_stream))

    def send_buffer_size(self, stream_id: int) -> int:
        return 0

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self.sent.append(("reset", stream_id))

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        self.sent.append(("stop", stream_id))

    def send_ping(self) -> None:
        pass

    def close(self, error_code: int, reason: str) -> None:
        self.sent.append(("close", error_code))


def completed(alpn: str = "p2p/1") -> HandshakeCompleted:
    return HandshakeCompleted(alpn, early_data_accepted=False, session_resumed=False)


def data(stream_id: int, content: bytes, *, end: bool = False) -> StreamDataReceived:
    return StreamDataReceived(content, end, stream_id)


class EventTests(SynchronousTestCase):
    def begin(self, *, is_client: bool) -> Side:
        made: list[ScriptedLibrary] = []

        def library(settings: LibrarySettings) -> QUICLibrary:
            made.append(ScriptedLibrary(settings))
            return made[0]

        identity, peer = (INITIATOR, RESPONDER) if is_client else (RESPONDER, INITIATOR)
        side = Side(connection(is_client, identity, peer.peer_id, library=library))
        if not is_client:
            side.machine.receive_datagram(INITIAL, None, 0.0)
        side.tell()
        self.library = made[0]
        return side

    def tell(self, side: Side, *events: object) -> None:
        self.library.events.extend(events)
        side.machine.receive_datagram(b"", None, 0.0)
        side.tell()

    def open_client(self) -> Side:
        side = self.begin(is_client=True)
        self.tell(side, completed())
        self.assertIn("PeerAuthenticated", side.seen)
        return side

    def open_server(self) -> Side:
        side = self.begin(is_client=False)
        certificate = self.library.settings.certificate
        assert certificate is not None
        proof = make_proof(INITIATOR, RESPONDER.peer_id, certificate.der)
        self.tell(side, completed(), data(0, encode_control(Proof(proof))))
        self.assertIn("PeerAuthenticated", side.seen)
        return side

    def code(self, side: Side) -> CloseCode:
        (event,) = side.of(ConnectionClosed)
        code: CloseCode = event.code
        return code

    def test_another_protocol_is_refused_by_both_roles(self) -> None:
        for is_client in (True, False):
            side = self.begin(is_client=is_client)
            self.tell(side, completed("h3"), completed())
            self.assertEqual(self.code(side), CloseCode.PROTOCOL_ERROR)
            self.assertNotIn("PeerAuthenticated", side.seen)
            self.assertEqual([name for name, *_ in self.library.sent], ["close"])

    def test_what_comes_after_a_goodbye_is_ignored(self) -> None:
        side = self.open_client()
        stream_id = side.open()
        goodbye = encode_control(Goodbye(CloseCode.CLOSED)) + encode_control(Ping(1))
        self.library.sent.clear()
        self.tell(side, data(0, goodbye), data(stream_id, b"\0data"), StreamReset(1, stream_id))
        self.assertEqual(self.code(side), CloseCode.CLOSED)
        self.assertEqual(side.received, {})
        self.assertEqual([name for name, *_ in self.library.sent], ["close"])

    def test_a_goodbye_with_an_unknown_code_is_a_goodbye(self) -> None:
        side = self.open_client()
        self.tell(side, data(0, encode_control(Goodbye(99))))
        self.assertEqual(self.code(side), CloseCode.PROTOCOL_ERROR)

    def test_connection_ids_are_told_as_they_come_and_go(self) -> None:
        side = self.open_client()
        side.events.clear()
        self.tell(side, ConnectionIdIssued(b"new"), ConnectionIdRetired(b"old"))
        self.assertEqual(side.events, [ConnectionIDIssued(b"new"), ConnectionIDRetired(b"old")])

    def test_a_library_that_ends_by_itself_ends_the_connection(self) -> None:
        side = self.open_client()
        self.tell(side, ConnectionTerminated(1, None, "idle"))
        self.assertEqual(self.code(side), CloseCode.PROTOCOL_ERROR)
        self.assertEqual(side.names()[-1], "ConnectionForgotten")

    def test_a_library_that_takes_no_commands_gets_a_time_to_say_why(self) -> None:
        side = self.open_client()
        side.machine.datagrams_to_send(1.0)
        self.assertIsNone(side.machine.get_timer())
        self.library.is_closing = True
        side.machine.datagrams_to_send(1.0)
        side.machine.datagrams_to_send(2.0)
        self.assertEqual(side.machine.get_timer(), 1.0 + CLOSING_TIMEOUT)
        side.machine.handle_timer(1.0 + CLOSING_TIMEOUT)
        side.tell()
        self.assertEqual(self.code(side), CloseCode.INTERNAL_ERROR)

    def test_streams_may_open_out_of_order(self) -> None:
        side = self.open_server()
        for stream_id in (12, 4, 8, 12, 8):
            self.tell(side, data(stream_id, encode_opening("x")))
        opened = [
            event.stream_id for event in side.events if type(event).__name__ == "StreamOpened"
        ]
        self.assertEqual(opened, [12, 4, 8])

    def test_a_stop_that_overtakes_the_opening_is_told_after_it(self) -> None:
        side = self.open_server()
        self.tell(side, StopSendingReceived(0, 4))
        side.events.clear()
        self.tell(side, data(4, encode_opening("x") + b"data"))
        self.assertEqual(side.names(), ["StreamOpened", "StreamStopped"])
        self.library.sent.clear()
        side.machine.streams.accept(4)
        side.machine.streams.refuse(4, UnknownService())
        self.assertEqual(self.library.sent, [("stop", 4)])

    def test_a_stop_told_twice_is_told_once(self) -> None:
        side = self.open_client()
        stream_id = side.open()
        self.tell(side, StopSendingReceived(0, stream_id), StopSendingReceived(0, stream_id))
        self.assertEqual(side.names().count("StreamStopped"), 1)

    def test_events_of_streams_that_are_over_or_never_were_ours_are_ignored(self) -> None:
        side = self.open_client()
        before = len(side.events)
        self.tell(side, StreamReset(1, 400), StopSendingReceived(1, 400), data(400, b"\0"))
        self.assertEqual(len(side.events), before)

    def test_a_reply_to_a_stream_given_up_is_not_told(self) -> None:
        for reply in (b"\0", b"\x01\0"):
            side = self.open_client()
            stream_id = side.open()
            side.machine.streams.abandon(stream_id)
            before = len(side.events)
            self.tell(side, data(stream_id, reply + b"data", end=True))
            self.assertEqual(len(side.events), before)
            self.assertEqual(len(side.machine.streams), 0)

    def test_an_opening_of_a_stream_already_stopped_here_is_not_told(self) -> None:
        side = self.open_server()
        self.tell(side, data(4, encode_opening("service")[:3]))
        side.machine.streams.abandon(4)
        self.tell(side, data(4, encode_opening("service")[3:], end=True))
        self.assertNotIn("StreamOpened", side.seen)
        self.assertEqual(len(side.machine.streams), 0)
