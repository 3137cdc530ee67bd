"""What becomes of a connection when paths fail, libraries raise, or one side closes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer_examples
from tests.connection.link import INITIATOR, RESPONDER, Link, connection
from tests.connection.test_quic_streams import closed, joined, library, with_stream
from twisted_p2p.connection.events import CloseCode, ConnectionClosed
from twisted_p2p.connection.quic import MOST_SEND_FAILURES
from twisted_p2p.connection.quic_library import LibrarySettings, QH3Connection


class PathTests(SynchronousTestCase):
    def test_an_idle_connection_lives_for_as_long_as_its_path(self) -> None:
        link, stream_id = with_stream()
        datagrams = link.datagrams
        link.run(30 * 86_400.0)
        self.assertEqual(link.datagrams, datagrams)
        link.client.send(stream_id, b"good morning")
        link.run(0.5)
        self.assertEqual(link.server.received[stream_id], b"good morning")

    def test_after_an_outage_a_probe_gets_everything_going_again(self) -> None:
        link, stream_id = with_stream()
        link.drop = lambda from_client, data: True
        link.client.send(stream_id, bytes(100_000))
        link.run(300.0)
        link.drop = lambda from_client, data: False
        link.client.machine.probe()
        self.assertTrue(
            link.run(1.0, until=lambda: len(link.server.received.get(stream_id, b"")) == 100_000)
        )

    def test_the_timer_is_never_finer_than_a_millisecond(self) -> None:
        link, stream_id = with_stream()
        link.client.send(stream_id, bytes(2_000_000))
        moments = set()
        link.run(0.5, step=lambda: moments.add(link.now))
        self.assertLess(len(moments), 4_000)


class ClosingTests(SynchronousTestCase):
    def test_both_sides_learn_of_a_close_at_once_and_then_forget(self) -> None:
        link, _ = with_stream(delay=0.04)
        link.client.machine.close(CloseCode.CLOSED, "enough", link.now)
        self.assertTrue(link.client.machine.is_closed)
        began = link.now
        self.assertTrue(link.run(1.0, until=lambda: "ConnectionClosed" in link.server.seen))
        self.assertAlmostEqual(link.now - began, 0.04)
        (event,) = link.server.of(ConnectionClosed)
        self.assertEqual((event.code, event.by_peer), (CloseCode.CLOSED, True))
        link.run(2.0)
        for side in link.sides:
            self.assertEqual(side.names()[-1], "ConnectionForgotten")
            self.assertEqual(side.names().count("ConnectionForgotten"), 1)
            self.assertIsNone(side.machine.get_timer())

    def test_what_was_sent_before_a_close_arrives_before_it(self) -> None:
        link, stream_id = with_stream()
        link.client.send(stream_id, b"last words", end=True)
        link.client.machine.close(CloseCode.CLOSED, "", link.now)
        link.run(1.0)
        self.assertEqual(link.server.received[stream_id], b"last words")
        names = link.server.names()
        self.assertLess(names.index("StreamEnded"), names.index("ConnectionClosed"))

    def test_a_close_that_was_lost_is_said_again_when_the_peer_speaks(self) -> None:
        link, stream_id = with_stream()
        link.drop = lambda from_client, data: from_client
        link.client.machine.close(CloseCode.CLOSED, "", link.now)
        link.pump()
        link.drop = lambda from_client, data: False
        link.server.send(stream_id, b"are you there?")
        self.assertTrue(link.run(1.0, until=lambda: "ConnectionClosed" in link.server.seen))

    def test_quics_own_close_is_understood_too(self) -> None:
        link = joined()
        library(link.client).close(int(CloseCode.CLOSED), "bye")
        link.run(2.0)
        (event,) = link.server.of(ConnectionClosed)
        self.assertEqual(event, ConnectionClosed(CloseCode.CLOSED, "bye", by_peer=True))
        link = joined()
        library(link.client).close(7, "an error of another kind")
        link.run(2.0)
        self.assertEqual(closed(link.server), CloseCode.PROTOCOL_ERROR)

    def test_nothing_happens_after_a_close(self) -> None:
        link, stream_id = with_stream()
        machine = link.client.machine
        machine.close(CloseCode.CLOSED, "", link.now)
        machine.close(CloseCode.INTERNAL_ERROR, "again", link.now)
        self.assertEqual(machine.streams.send(stream_id, b"data"), 4)
        self.assertIsNone(machine.streams.open("service"))
        machine.probe()
        machine.ping()
        link.server.send(stream_id, b"data", end=True)
        link.run(3.0)
        self.assertEqual(closed(link.client), CloseCode.CLOSED)
        self.assertNotIn(stream_id, link.client.received)

    def test_closing_before_anything_arrived_ends_both_roles(self) -> None:
        for side in (Link().client, Link().server):
            side.machine.close(CloseCode.CLOSED, "", 0.0)
            side.tell()
            self.assertEqual(closed(side), CloseCode.CLOSED)
            side.machine.receive_datagram(b"\xc0\0\0\0\x01\x08" + bytes(1300), None, 1.0)
            self.assertFalse(side.tell())

    def test_closing_while_the_handshake_is_under_way_is_silent(self) -> None:
        link = Link()
        link.run(0.03)
        link.server.machine.close(CloseCode.CLOSED, "", link.now)
        link.run(15.0)
        self.assertIn("ConnectionForgotten", link.server.seen)
        self.assertIn("ConnectionClosed", link.client.seen)


class Troubled(QH3Connection):
    """A library of which some calls raise, as often as told."""

    def __init__(self, settings: LibrarySettings) -> None:
        super().__init__(settings)
        self.trouble: dict[str, int] = {}
        for name in ("datagrams_to_send", "send_ping", "receive_datagrams", "close"):
            setattr(self, name, self._troubled(name, getattr(self, name)))

    def _troubled(self, name: str, method: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if self.trouble.get(name, 0) > 0:
                self.trouble[name] -= 1
                raise ValueError(name)
            return method(*arguments)

        return call


class LibraryTroubleTests(SynchronousTestCase):
    def link(self) -> Link:
        return Link(connection(True, INITIATOR, RESPONDER.peer_id, library=Troubled))

    def test_what_it_raises_while_sending_never_gets_out(self) -> None:
        link = self.link()
        library(link.client).trouble["datagrams_to_send"] = 3
        self.assertTrue(link.run(10.0, until=lambda: "PeerAuthenticated" in link.server.seen))
        self.assertEqual(link.client.machine.dropped, {"send_failed": 3})

    def test_a_library_that_never_sends_again_is_given_up(self) -> None:
        link = self.link()
        link.run(1.0)
        library(link.client).trouble["datagrams_to_send"] = 1_000
        link.run(60.0)
        self.assertEqual(closed(link.client), CloseCode.INTERNAL_ERROR)
        self.assertLess(link.client.machine.dropped["send_failed"], MOST_SEND_FAILURES + 5)
        link = self.link()
        library(link.client).trouble["datagrams_to_send"] = 1_000
        link.run(60.0)
        self.assertEqual(closed(link.client), CloseCode.TIMED_OUT)

    def test_what_it_raises_during_the_handshake_is_counted_as_dropped(self) -> None:
        link = self.link()
        library(link.client).trouble["receive_datagrams"] = 1
        self.assertTrue(link.run(10.0, until=lambda: "PeerAuthenticated" in link.server.seen))
        self.assertEqual(link.client.machine.dropped, {"library_error": 1})

    def test_what_it_raises_later_ends_the_connection(self) -> None:
        link = self.link()
        link.run(1.0)
        library(link.client).trouble.update(send_ping=1, close=1)
        link.client.machine.probe()
        link.run(1.0)
        self.assertEqual(closed(link.client), CloseCode.INTERNAL_ERROR)
        self.assertEqual(closed(link.server), CloseCode.INTERNAL_ERROR)

    @given(st.lists(st.binary(max_size=1_400), max_size=5), st.booleans(), st.integers(0, 255))
    def test_no_datagram_makes_anything_raise(
        self, datagrams: list[bytes], joined_first: bool, first: int
    ) -> None:
        link = joined() if joined_first else Link()
        for data in datagrams:
            for side in link.sides:
                for kind in (b"", bytes((first,)), b"\xc0\0\0\0\x01\x08", b"\xe0\0\0\0\x01\x08"):
                    side.machine.receive_datagram(kind + data, None, link.now)
                    side.machine.receive_datagram((kind + data).ljust(1200, b"\0"), None, link.now)
        link.run(0.1)
        self.assertEqual(link.client.of(ConnectionClosed), [])

    @settings(max_examples=fewer_examples(0.5))
    @given(st.randoms(use_true_random=False))
    def test_mutated_datagrams_of_a_conversation_make_nothing_raise(self, random: Any) -> None:
        link = Link(seed=random.randrange(1000))

        def mutate(from_client: bool, data: bytes) -> bool:
            changed = bytearray(data)
            for _ in range(random.randrange(3)):
                changed[random.randrange(len(changed))] = random.randrange(256)
            side = link.server if from_client else link.client
            side.machine.receive_datagram(bytes(changed), None, link.now)
            return False

        link.drop = mutate
        link.run(1.0)
        stream_id = link.client.machine.streams.open("service")
        if stream_id is not None:
            link.client.send(stream_id, bytes(3_000), end=True)
        link.run(3.0)
        for side in link.sides:
            self.assertNotIn("library_error", side.machine.dropped)
