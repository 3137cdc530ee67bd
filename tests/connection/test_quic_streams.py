from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.connection.link import Link, Side
from twisted_p2p.connection.events import (
    CloseCode,
    ConnectionClosed,
    StreamEnded,
    StreamOpened,
    StreamRefused,
)
from twisted_p2p.connection.flow_control import INITIAL_WINDOW, LARGEST_WINDOW
from twisted_p2p.connection.stream_ids import MOST_EARLY_ENDS
from twisted_p2p.connection.stream_table import SEND_QUEUE
from twisted_p2p.connection.wire import Credit, Delivered, End, encode_control, encode_opening
from twisted_p2p.errors import PeerRefused, UnknownService


def joined(**settings: Any) -> Link:
    link = Link(**settings)
    assert link.run(10.0, until=lambda: "PeerAuthenticated" in link.server.seen)
    link.run(0.2)
    return link


def with_stream(**settings: Any) -> tuple[Link, int]:
    link = joined(**settings)
    stream_id = link.client.open()
    link.run(0.5)
    return link, stream_id


def closed(side: Side) -> CloseCode:
    (event,) = side.of(ConnectionClosed)
    code: CloseCode = event.code
    return code


def library(side: Side) -> Any:
    """Return the QUIC library beneath one side, to break the rules with."""
    return side.machine._library


class OpeningTests(SynchronousTestCase):
    def test_either_side_opens_streams_and_names_the_service(self) -> None:
        link = joined()
        first, second = link.client.open("web"), link.server.open("ssh")
        link.client.send(first, b"to the server", end=True)
        link.server.send(second, b"to the client", end=True)
        link.run(1.0)
        self.assertEqual(link.server.of(StreamOpened), [StreamOpened(first, "web")])
        self.assertEqual(link.client.of(StreamOpened), [StreamOpened(second, "ssh")])
        self.assertEqual(link.server.received, {first: b"to the server"})
        self.assertEqual(link.client.received, {second: b"to the client"})

    def test_a_refusal_reaches_the_opener_as_a_typed_error_with_its_reason(self) -> None:
        for error, kind, text in (
            (UnknownService(), UnknownService, str(UnknownService())),
            (PeerRefused(), PeerRefused, str(PeerRefused())),
            (PeerRefused("Not on Sundays."), PeerRefused, "Not on Sundays."),
        ):
            link = joined()
            link.accept = lambda side, event, error=error: side.machine.streams.refuse(  # type: ignore[misc]
                event.stream_id, error
            )
            stream_id = link.client.open()
            link.client.send(stream_id, b"sent at once")
            link.run(1.0)
            (refused,) = link.client.of(StreamRefused)
            self.assertIs(type(refused.error), kind)
            self.assertEqual(str(refused.error), text)
            self.assertEqual(
                (len(link.client.machine.streams), len(link.server.machine.streams)), (0, 0)
            )

    def test_a_refusal_also_reaches_an_opener_that_has_ended_or_given_up(self) -> None:
        for leave in ("end", "abandon"):
            link = joined()
            link.accept = lambda side, event: side.machine.streams.refuse(
                event.stream_id, UnknownService()
            )
            stream_id = link.client.open()
            getattr(link.client.machine.streams, leave)(stream_id)
            link.run(1.0)
            self.assertEqual("StreamRefused" in link.client.seen, leave == "end")
            self.assertNotIn("StreamDelivered", link.client.seen)
            self.assertEqual(
                (len(link.client.machine.streams), len(link.server.machine.streams)), (0, 0)
            )

    def test_a_stream_of_an_unknown_version_is_refused(self) -> None:
        link = joined()
        library(link.client).send_stream_data(4, b"\x09whatever")
        link.run(1.0)
        self.assertNotIn("StreamOpened", link.server.seen)
        self.assertEqual(link.server.of(ConnectionClosed), [])

    def test_a_hundred_streams_at_once_and_the_next_when_one_is_over(self) -> None:
        link = joined()
        streams = [link.client.open() for _ in range(99)]
        self.assertIsNone(link.client.machine.streams.open("one more"))
        link.run(1.0)
        self.assertNotIn("StreamAvailable", link.client.seen)
        for side in link.sides:
            side.machine.streams.end(streams[0])
        link.run(1.0)
        self.assertIn("StreamAvailable", link.client.seen)
        self.assertGreater(link.client.open(), streams[-1])

    def test_thousands_of_streams_leave_nothing_behind(self) -> None:
        link = joined(delay=0.001)
        for number in range(1_000):
            opener, accepter = link.sides if number % 3 else link.sides[::-1]
            stream_id = opener.open()
            opener.send(stream_id, b"x", end=True)
            link.run(0.01)
            accepter.send(stream_id, b"y", end=True)
            link.run(0.01)
        link.run(1.0)
        self.assertEqual([len(side.machine.streams) for side in link.sides], [0, 0])
        self.assertEqual(len(link.server.received) + len(link.client.received), 2 * 1_000)
        self.assertEqual(link.client.of(ConnectionClosed), [])

    def test_a_name_that_is_too_long_opens_nothing(self) -> None:
        link = joined()
        with self.assertRaises(ValueError):
            link.client.machine.streams.open("x" * 256)
        self.assertEqual(len(link.client.machine.streams), 0)


class EndingTests(SynchronousTestCase):
    def test_an_end_is_confirmed_by_who_has_everything(self) -> None:
        link, stream_id = with_stream()
        link.client.send(stream_id, bytes(100_000), end=True)
        self.assertTrue(link.client.machine.streams.unconfirmed or link.client.unsent[stream_id][0])
        link.run(5.0, until=lambda: "StreamDelivered" in link.client.seen)
        self.assertEqual(len(link.server.received[stream_id]), 100_000)
        self.assertIn("StreamEnded", link.server.seen)
        self.assertFalse(link.client.machine.streams.unconfirmed)
        self.assertEqual(len(link.client.machine.streams), 1)
        link.server.send(stream_id, b"the other half goes on", end=True)
        link.run(1.0)
        self.assertEqual(link.client.received[stream_id], b"the other half goes on")
        self.assertEqual([len(side.machine.streams) for side in link.sides], [0, 0])

    def test_an_end_that_is_lost_with_the_last_data_arrives_all_the_same(self) -> None:
        # qh3 2.1 forgets to repeat an end that was lost with more than one packet of data.
        link, stream_id = with_stream()
        for side, other in (link.sides, link.sides[::-1]):
            link.drop = lambda from_client, data: True
            side.send(stream_id, bytes(9_000))
            link.pump()
            side.send(stream_id, b"", end=True)
            link.pump()
            link.drop = lambda from_client, data: False
            link.run(10.0)
            self.assertIn("StreamEnded", other.seen)
            self.assertEqual(len(other.received[stream_id]), 9_000)

    def test_an_end_may_overtake_the_beginning(self) -> None:
        link = joined()
        library(link.client).send_stream_data(0, encode_control(End(8, 3)))
        link.run(1.0)
        for stream_id in (4, 8):
            library(link.client).send_stream_data(stream_id, encode_opening("service") + b"abc")
        link.run(1.0)
        self.assertEqual(link.server.of(StreamEnded), [StreamEnded(8)])
        self.assertEqual(link.server.received[8], b"abc")

    def test_what_follows_the_end_is_ignored(self) -> None:
        link, stream_id = with_stream()
        quic = library(link.client)
        quic.send_stream_data(stream_id, b"all")
        quic.send_stream_data(0, encode_control(End(stream_id, 3)))
        link.run(1.0)
        quic.send_stream_data(stream_id, b" and more")
        quic.send_stream_data(0, encode_control(End(stream_id, 12)))
        link.run(1.0)
        quic.reset_stream(stream_id, 1)
        link.run(1.0)
        self.assertEqual(link.server.received[stream_id], b"all")
        self.assertEqual(link.server.names().count("StreamEnded"), 1)
        self.assertNotIn("StreamReset", link.server.seen)

    def test_a_delivery_is_not_told_before_the_reply(self) -> None:
        link = joined()
        stream_id = link.client.open()
        link.client.send(stream_id, b"all of it", end=True)
        link.run(1.0, until=lambda: "StreamDelivered" in link.client.seen)
        names = [name for name in link.client.names() if name.startswith("Stream")]
        self.assertEqual(names, ["StreamAccepted", "StreamDelivered"])

    def test_a_delivery_is_told_without_a_reply_that_was_given_up(self) -> None:
        def accept(side: Side, event: StreamOpened) -> None:
            side.machine.streams.accept(event.stream_id)
            side.machine.streams.reset(event.stream_id)

        for size in (0, 100_000):
            link = joined()
            link.accept = accept
            stream_id = link.client.open()
            link.client.send(stream_id, bytes(size), end=True)
            link.run(2.0)
            names = [name for name in link.client.names() if name.startswith("Stream")]
            self.assertEqual(names[-1], "StreamDelivered")
            self.assertIn("StreamReset", names)
            self.assertNotIn("StreamAccepted", names)
            self.assertEqual([len(side.machine.streams) for side in link.sides], [0, 0])

    def test_a_stream_given_up_is_reset_for_the_peer(self) -> None:
        link, stream_id = with_stream()
        link.client.machine.streams.abandon(stream_id)
        link.run(1.0)
        self.assertEqual(set(link.server.names()[-2:]), {"StreamStopped", "StreamReset"})
        self.assertEqual([len(side.machine.streams) for side in link.sides], [0, 0])
        self.assertNotIn("StreamReset", link.client.seen)

    def test_a_stream_given_up_before_its_opening_arrived_leaves_nothing(self) -> None:
        link = joined()
        stream_id = link.client.open()
        link.client.machine.streams.abandon(stream_id)
        link.run(1.0)
        self.assertNotIn("StreamReset", link.server.seen)
        self.assertEqual([len(side.machine.streams) for side in link.sides], [0, 0])

    def test_giving_up_half_of_a_stream_leaves_the_other(self) -> None:
        link, stream_id = with_stream()
        link.client.machine.streams.reset(stream_id)
        link.run(1.0)
        self.assertIn("StreamReset", link.server.seen)
        self.assertNotIn("StreamStopped", link.server.seen)
        link.server.send(stream_id, b"still", end=True)
        link.run(1.0)
        self.assertEqual(link.client.received[stream_id], b"still")
        self.assertEqual([len(side.machine.streams) for side in link.sides], [0, 0])

    def test_a_reader_that_wants_no_more_stops_the_writer(self) -> None:
        link, stream_id = with_stream()
        link.server.machine.streams.stop(stream_id)
        link.run(1.0)
        self.assertIn("StreamStopped", link.client.seen)
        self.assertEqual(link.client.machine.streams.send(stream_id, b"into the void"), 13)
        link.server.send(stream_id, b"goes on", end=True)
        link.run(1.0)
        self.assertEqual(link.client.received[stream_id], b"goes on")
        self.assertEqual([len(side.machine.streams) for side in link.sides], [0, 0])

    def test_commands_for_streams_that_are_gone_do_nothing(self) -> None:
        link, stream_id = with_stream()
        for side in link.sides:
            side.machine.streams.end(stream_id)
        link.run(1.0)
        streams = link.client.machine.streams
        before = link.datagrams
        for gone in (stream_id, 4_000):
            self.assertEqual(streams.send(gone, b"data"), 4)
            for command in (
                streams.end,
                streams.reset,
                streams.stop,
                streams.abandon,
                streams.accept,
            ):
                command(gone)
            streams.refuse(gone, UnknownService())
            streams.consume(gone, 5)
            streams.credit_received(Credit(gone, 1_000_000))
            streams.delivery_confirmed(Delivered(gone))
        link.run(1.0)
        self.assertEqual(link.datagrams, before)

    def test_a_second_end_and_a_reset_after_the_end_was_acknowledged_are_harmless(self) -> None:
        link, stream_id = with_stream()
        link.client.machine.streams.end(stream_id)
        link.client.machine.streams.end(stream_id)
        link.drop = lambda from_client, data: not from_client and len(data) > 45
        link.run(0.5)
        link.drop = lambda from_client, data: False
        link.client.machine.streams.abandon(stream_id)
        link.run(2.0)
        self.assertEqual(link.client.of(ConnectionClosed), [])


class FlowTests(SynchronousTestCase):
    def test_data_arrive_whole_and_in_order_over_a_bad_path(self) -> None:
        for seed in range(3):
            link, stream_id = with_stream(loss=0.05, reordering=0.2, seed=seed)
            data = link.random.randbytes(150_000)
            link.client.send(stream_id, data, end=True)
            link.server.send(stream_id, data[::-1], end=True)
            done = link.run(
                120.0,
                until=lambda link=link: (
                    len([s for s in link.sides if "StreamEnded" in s.seen]) == 2
                ),
            )
            self.assertTrue(done, f"seed {seed}")
            # Not assertEqual: it would compare long bytes line by line.
            self.assertTrue(link.server.received[stream_id] == data)
            self.assertTrue(link.client.received[stream_id] == data[::-1])

    def test_a_reader_that_stalls_makes_the_writer_wait_and_others_go_on(self) -> None:
        # Promise 23 on this layer; what is counted is what both sides hold.
        link = joined(delay=0.005)
        stalled, lively = link.client.open("stalled"), link.client.open("lively")
        link.run(0.5)
        link.server.consuming = False
        link.client.send(stalled, bytes(20_000_000))
        link.run(2.0)
        self.assertEqual(len(link.server.received[stalled]), INITIAL_WINDOW)
        held = SEND_QUEUE + INITIAL_WINDOW
        self.assertGreaterEqual(len(link.client.unsent[stalled][0]), 20_000_000 - held)
        stalled_bytes = link.server.unread.pop(stalled)
        link.server.consuming = True
        link.client.send(lively, bytes(5_000_000), end=True)
        began = link.now
        self.assertTrue(link.run(5.0, until=lambda: "StreamEnded" in link.server.seen))
        self.assertLess(link.now - began, 0.5)
        self.assertEqual(len(link.server.received[stalled]), INITIAL_WINDOW)
        link.server.machine.streams.consume(stalled, stalled_bytes)
        link.run(10.0, until=lambda: len(link.server.received[stalled]) == 20_000_000)
        self.assertEqual(len(link.server.received[stalled]), 20_000_000)

    def test_a_reader_that_stalls_late_holds_no_more_than_the_largest_window(self) -> None:
        link, stream_id = with_stream(delay=0.02)
        link.client.send(stream_id, bytes(40_000_000))
        link.run(10.0, until=lambda: len(link.server.received.get(stream_id, b"")) > 16_000_000)
        link.server.consuming = False
        before = len(link.server.received[stream_id])
        link.run(5.0)
        self.assertLessEqual(len(link.server.received[stream_id]) - before, LARGEST_WINDOW)
        self.assertGreater(len(link.server.received[stream_id]) - before, LARGEST_WINDOW // 2)

    def test_credit_costs_a_long_transfer_no_time(self) -> None:
        link, stream_id = with_stream(delay=0.02)
        link.client.send(stream_id, bytes(16_000_000), end=True)
        began = link.now
        link.run(10.0, until=lambda: "StreamEnded" in link.server.seen)
        # The library alone, with the same windows of its own, took 0.54 s.
        self.assertLess(link.now - began, 0.65)

    def test_a_sender_beyond_its_credit_is_cut_off(self) -> None:
        link, stream_id = with_stream()
        link.server.consuming = False
        library(link.client).send_stream_data(stream_id, bytes(INITIAL_WINDOW + 1))
        link.run(2.0)
        self.assertEqual(closed(link.server), CloseCode.PROTOCOL_ERROR)
        self.assertEqual(closed(link.client), CloseCode.PROTOCOL_ERROR)

    def test_credit_never_shrinks(self) -> None:
        link, stream_id = with_stream()
        link.client.machine.streams.credit_received(Credit(stream_id, 10))
        self.assertEqual(link.client.machine.streams.send(stream_id, bytes(1000)), 1000)

    def test_pieces_that_arrive_at_once_are_told_as_one(self) -> None:
        link, stream_id = with_stream()
        link.client.send(stream_id, bytes(10_000))
        link.run(1.0)
        self.assertEqual(len(link.server.received[stream_id]), 10_000)
        self.assertLess(link.server.pieces, 9)


class HostilePeerTests(SynchronousTestCase):
    def refused(self, break_rules: Any) -> None:
        link = joined()
        break_rules(link, library(link.client))
        link.run(3.0)
        self.assertEqual(closed(link.server), CloseCode.PROTOCOL_ERROR)
        self.assertTrue(link.client.of(ConnectionClosed)[0].by_peer)

    def test_a_unidirectional_stream_is_against_the_rules(self) -> None:
        self.refused(lambda link, quic: quic.send_stream_data(2, b"data"))

    def test_ending_or_giving_up_the_control_stream_is_against_the_rules(self) -> None:
        self.refused(lambda link, quic: quic.send_stream_data(0, b"", True))
        self.refused(lambda link, quic: quic.reset_stream(0, 1))

    def test_a_malformed_control_message_is_against_the_rules(self) -> None:
        self.refused(lambda link, quic: quic.send_stream_data(0, b"\x01\x00"))

    def test_a_reply_that_is_none_is_against_the_rules(self) -> None:
        link = joined()
        link.accept = lambda side, event: library(side).send_stream_data(event.stream_id, b"\x07")
        link.client.open()
        link.run(3.0)
        self.assertEqual(closed(link.client), CloseCode.PROTOCOL_ERROR)

    def test_credit_and_confirmations_for_no_stream_are_ignored(self) -> None:
        link = joined()
        for message in (Credit(4, 10), Delivered(8), Credit(2**40, 1), Delivered(0)):
            library(link.client).send_stream_data(0, encode_control(message))
        link.run(1.0)
        self.assertEqual(link.server.of(ConnectionClosed), [])

    def test_a_stream_that_ends_within_its_opening_is_nothing(self) -> None:
        link = joined()
        library(link.client).send_stream_data(4, encode_opening("service")[:3], True)
        library(link.client).send_stream_data(8, encode_opening("service")[:3])
        link.run(1.0)
        self.assertNotIn("StreamOpened", link.server.seen)
        self.assertEqual(len(link.server.machine.streams), 1)

    def test_a_reply_that_ends_before_it_is_whole_is_a_reset(self) -> None:
        link = joined()
        link.accept = lambda side, event: library(side).send_stream_data(
            event.stream_id, b"\x02\x09cut", True
        )
        link.client.open()
        link.run(1.0)
        self.assertIn("StreamReset", link.client.seen)

    def test_a_peer_that_ends_streams_without_beginning_them_is_cut_off(self) -> None:
        link = joined()
        ends = b"".join(encode_control(End(4 + 4 * n, 1)) for n in range(MOST_EARLY_ENDS))
        library(link.client).send_stream_data(0, ends + encode_control(End(0, 1)))
        link.run(1.0)
        self.assertEqual(link.server.of(ConnectionClosed), [])
        library(link.client).send_stream_data(0, encode_control(End(2**40, 1)))
        link.run(1.0)
        self.assertEqual(closed(link.server), CloseCode.PROTOCOL_ERROR)

    def test_a_peer_that_lets_control_messages_pile_up_is_cut_off(self) -> None:
        link = joined()
        link.drop = lambda from_client, data: not from_client
        for _ in range(100_000):
            link.server.machine.ping()
            if link.server.machine.is_closed:
                break
        link.run(0.1)
        self.assertEqual(closed(link.server), CloseCode.PROTOCOL_ERROR)
