from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.protocols.basic import LineReceiver
from twisted.protocols.wire import Echo
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.connection.link import INITIATOR, RESPONDER
from tests.connection.peers import PATH, EarlyMade, HalfCloseable, Made, Peers, Recorder
from twisted_p2p.addresses import Path
from twisted_p2p.connection.flow_control import INITIAL_WINDOW
from twisted_p2p.connection.stream import BUFFER_SIZE
from twisted_p2p.connection.stream_table import SEND_QUEUE
from twisted_p2p.interfaces import IPathObserver

DONE = ["made", "lost ConnectionDone"]


class PushProducer:
    """Writes a chunk whenever it is asked and not paused; remembers what it was told."""

    def __init__(self, consumer: Any, chunks: int = 0, size: int = 10_000) -> None:
        self.consumer, self.chunks, self.size = consumer, chunks, size
        self.log: list[str] = []
        self.paused = False

    def resumeProducing(self) -> None:
        self.log.append("resume")
        self.paused = False
        self.produce()

    def produce(self) -> None:
        while self.chunks and not self.paused:
            self.chunks -= 1
            self.consumer.write(bytes(self.size))
        if not self.chunks and not self.paused:
            self.consumer.unregisterProducer()

    def pauseProducing(self) -> None:
        self.log.append("pause")
        self.paused = True

    def stopProducing(self) -> None:
        self.log.append("stop")
        self.chunks = 0


class PullProducer(PushProducer):
    def resumeProducing(self) -> None:
        self.log.append("resume")
        self.chunks -= 1
        self.consumer.write(bytes(self.size))
        if not self.chunks:
            self.consumer.unregisterProducer()


class InterfaceTests(SynchronousTestCase):
    def test_a_stream_is_a_transport_a_consumer_and_a_producer(self) -> None:
        ours, _ = Peers().join()
        for interface in (ITransport, ITCPTransport, IConsumer, IPushProducer):
            self.assertTrue(verifyObject(interface, ours.stream))

    def test_addresses_name_the_verified_peer_the_service_and_the_live_path(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        address = ours.stream.getPeer()
        self.assertEqual((address.peer_id, address.service), (RESPONDER.peer_id, "service"))
        self.assertEqual(ours.stream.getHost().peer_id, INITIATOR.peer_id)
        self.assertEqual(theirs.stream.getPeer(), ours.stream.getHost())
        self.assertEqual(theirs.stream.getHost(), address)
        self.assertIsNone(address.path)
        peers.client.connection.path_changed(PATH)
        self.assertEqual(address.path, PATH)

    def test_what_protocols_ask_of_tcp_is_answered(self) -> None:
        ours, _ = Peers().join()
        ours.stream.setTcpNoDelay(False)
        ours.stream.setTcpKeepAlive(False)
        self.assertTrue(ours.stream.getTcpNoDelay())
        self.assertTrue(ours.stream.getTcpKeepAlive())

    def test_existing_protocols_run_unmodified(self) -> None:
        class Lines(LineReceiver):
            lines: list[bytes] = []  # noqa: RUF012

            def connectionMade(self) -> None:
                self.sendLine(b"hello")
                self.sendLine(b"world")

            def lineReceived(self, line: bytes) -> None:
                self.lines.append(line)
                if len(self.lines) == 2:
                    self.transport.loseConnection()

        peers = Peers()
        peers.join(Lines, Echo)
        peers.run(1.0)
        self.assertEqual(Lines.lines, [b"hello", b"world"])
        self.assertEqual(peers.client.connection._streams, {})


class WritingTests(SynchronousTestCase):
    def test_writes_of_one_turn_travel_together(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        peers.run(0.5)
        before = len(peers.sent)
        for _ in range(20):
            ours.stream.write(b"x")
        ours.stream.writeSequence([b"y", b"z"])
        peers.run(0.0)
        self.assertEqual(len(peers.sent) - before, 1)
        peers.run(0.5)
        self.assertEqual(theirs.received, b"x" * 20 + b"yz")

    def test_an_answer_written_on_receipt_takes_no_time(self) -> None:
        peers = Peers(delay=0.04)
        ours, _ = peers.join(Recorder, Echo)
        peers.run(0.5)
        began = peers.clock.seconds()
        ours.stream.write(b"hello")
        peers.run(1.0, until=lambda: ours.received)
        self.assertAlmostEqual(peers.clock.seconds() - began, 0.08)

    def test_only_bytes_can_be_written(self) -> None:
        ours, _ = Peers().join()
        for data in ("text", bytearray(b"x")):
            with self.assertRaises(TypeError):
                ours.stream.write(data)

    def test_a_large_write_arrives_whole(self) -> None:
        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        data = bytes(range(256)) * 20_000
        ours.stream.write(data)
        ours.stream.write(b"end")
        peers.run(20.0, until=lambda: theirs.size == len(data) + 3)
        self.assertTrue(theirs.received == data + b"end")


class LosingTests(SynchronousTestCase):
    def test_lose_connection_sends_everything_first(self) -> None:
        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        ours.stream.write(bytes(1_000_000))
        ours.stream.loseConnection()
        self.assertEqual(ours.log, ["made"])
        peers.run(20.0, until=lambda: ours.reason and theirs.reason)
        self.assertEqual(theirs.size, 1_000_000)
        self.assertEqual((ours.log, theirs.log), (DONE, DONE))
        peers.run(1.0)
        self.assertEqual(len(peers.client.connection.streams), 0)
        self.assertEqual(len(peers.server.connection.streams), 0)

    def test_a_stream_is_done_only_when_the_peer_has_everything(self) -> None:
        peers = Peers(delay=0.04)
        ours, theirs = peers.join()
        peers.run(0.5)
        ours.stream.write(b"everything")
        ours.stream.loseConnection()
        self.assertTrue(ours.stream.disconnecting)
        self.assertTrue(peers.run(1.0, until=lambda: ours.reason))
        self.assertEqual(theirs.received, b"everything")

    def test_both_may_lose_the_connection_at_once(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        for protocol in (ours, theirs):
            protocol.stream.write(b"bye")
            protocol.stream.loseConnection()
            protocol.stream.loseConnection()
        peers.run(1.0)
        self.assertEqual((ours.log, theirs.log), (DONE, DONE))
        self.assertEqual((ours.received, theirs.received), (b"", b""))

    def test_nothing_is_received_after_lose_connection(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        theirs.stream.write(b"too late")
        ours.stream.loseConnection()
        ours.stream.resumeProducing()
        peers.run(1.0)
        self.assertEqual(ours.received, b"")

    def test_what_is_written_after_the_end_is_ignored(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        stream = ours.stream
        stream.loseWriteConnection()
        peers.run(1.0)
        stream.write(b"ignored")
        peers.run(1.0)
        stream.loseConnection()
        peers.run(1.0)
        for command in (stream.loseConnection, stream.abortConnection, stream.loseWriteConnection):
            command()
        stream.write(b"ignored")
        peers.run(1.0)
        self.assertEqual((ours.log, theirs.log, theirs.received), (DONE, DONE, b""))
        self.assertTrue(stream.disconnected)

    def test_stop_producing_is_lose_connection(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        ours.stream.stopProducing()
        peers.run(1.0)
        self.assertEqual((ours.log, theirs.log), (DONE, DONE))

    def test_a_writer_whose_peer_left_is_told_that_it_did_not_get_all(self) -> None:
        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        ours.stream.write(bytes(3_000_000))
        ours.stream.loseConnection()
        theirs.stream.loseConnection()
        peers.run(5.0)
        self.assertEqual(ours.log, ["made", "lost ConnectionLost"])
        self.assertEqual(theirs.log, DONE)

    def test_a_peer_that_leaves_drops_what_was_still_to_be_written_to_it(self) -> None:
        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        ours.stream.write(bytes(3_000_000))
        peers.run(0.001)
        theirs.stream.loseConnection()
        peers.run(5.0)
        self.assertEqual((ours.log, theirs.log), (DONE, DONE))
        for owner in (peers.client, peers.server):
            self.assertEqual(len(owner.connection.streams), 0)


class AbortingTests(SynchronousTestCase):
    def test_abort_is_at_once_here_and_a_loss_for_the_peer(self) -> None:
        peers = Peers(delay=0.04)
        ours, theirs = peers.join()
        ours.stream.write(bytes(10_000_000))
        ours.stream.abortConnection()
        ours.stream.abortConnection()
        ours.stream.write(b"ignored")
        self.assertEqual(ours.log, ["made"])
        peers.run(0.0)
        self.assertIs(type(ours.reason), ConnectionAborted)
        peers.run(0.05)
        self.assertIs(type(theirs.reason), ConnectionLost)
        self.assertEqual((len(ours.log), len(theirs.log)), (2, 2))
        peers.run(1.0)
        self.assertEqual(len(peers.client.connection.streams), 0)
        self.assertEqual(len(peers.server.connection.streams), 0)

    def test_a_reader_learns_of_an_abort_though_it_is_paused(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        theirs.stream.pauseProducing()
        ours.stream.write(b"unread")
        peers.run(0.5)
        ours.stream.abortConnection()
        peers.run(0.5)
        self.assertEqual((theirs.log, theirs.received), (["made", "lost ConnectionLost"], b""))


class HalfClosingTests(SynchronousTestCase):
    def test_each_direction_ends_by_itself(self) -> None:
        peers = Peers()
        ours, theirs = peers.join(HalfCloseable, HalfCloseable)
        ours.stream.write(b"question")
        ours.stream.loseWriteConnection()
        peers.run(1.0)
        self.assertEqual(ours.log, ["made", "write lost"])
        self.assertEqual(theirs.log, ["made", "read lost"])
        theirs.stream.write(b"answer")
        peers.run(1.0)
        theirs.stream.loseConnection()
        peers.run(1.0)
        self.assertEqual((ours.received, theirs.received), (b"answer", b"question"))
        self.assertEqual(ours.log, ["made", "write lost", "read lost", "lost ConnectionDone"])
        self.assertEqual(theirs.log, ["made", "read lost", "lost ConnectionDone"])

    def test_a_stream_of_which_both_halves_ended_is_over(self) -> None:
        peers = Peers()
        ours, theirs = peers.join(HalfCloseable, HalfCloseable)
        ours.stream.loseWriteConnection()
        peers.run(1.0)
        theirs.stream.loseWriteConnection()
        peers.run(1.0)
        self.assertEqual(ours.log[-1], "lost ConnectionDone")
        self.assertEqual(theirs.log[-1], "lost ConnectionDone")

    def test_a_plain_protocol_is_lost_when_the_peer_ends(self) -> None:
        peers = Peers()
        ours, theirs = peers.join(HalfCloseable, Recorder)
        ours.stream.loseWriteConnection()
        peers.run(1.0)
        self.assertEqual(theirs.log, DONE)
        self.assertEqual(ours.log[-1], "lost ConnectionDone")

    def test_a_plain_protocol_may_end_its_own_half_and_go_on_reading(self) -> None:
        peers = Peers()
        ours, theirs = peers.join(Recorder, HalfCloseable)
        ours.stream.write(b"question")
        ours.stream.loseWriteConnection()
        peers.run(1.0)
        theirs.stream.write(b"answer")
        theirs.stream.loseConnection()
        peers.run(1.0)
        self.assertEqual((ours.log, ours.received), (DONE, b"answer"))

    def test_lose_connection_after_the_write_half_was_confirmed_is_immediate(self) -> None:
        peers = Peers()
        ours, _ = peers.join(HalfCloseable, HalfCloseable)
        ours.stream.loseWriteConnection()
        peers.run(1.0)
        ours.stream.loseConnection()
        peers.run(0.0)
        self.assertEqual(ours.log[-1], "lost ConnectionDone")

    def test_a_writer_learns_that_its_half_closeable_peer_went_away(self) -> None:
        for unsent, reason in (
            (b"", "lost ConnectionDone"),
            (bytes(3_000_000), "lost ConnectionLost"),
        ):
            peers = Peers(delay=0.005)
            ours, theirs = peers.join(HalfCloseable, Recorder)
            theirs.stream.pauseProducing()
            peers.run(0.5)
            ours.stream.write(unsent)
            peers.run(0.1)
            theirs.stream.loseConnection()
            peers.run(5.0)
            self.assertEqual(theirs.log, DONE)
            self.assertEqual(ours.log[-1], reason)
            self.assertIn("read lost", ours.log)

    def test_a_reader_that_stopped_before_its_own_end_arrived_ends_the_write_half(self) -> None:
        for kind, log in ((HalfCloseable, ["made", "write lost"]), (Recorder, ["made"])):
            peers = Peers()
            ours, theirs = peers.join(kind, Recorder)
            peers.server.connection.streams.stop(theirs.stream.stream_id)
            peers.run(1.0)
            self.assertEqual(ours.log, log)
            ours.stream.write(b"ignored")
            theirs.stream.write(b"still read")
            theirs.stream.loseConnection()
            peers.run(1.0)
            self.assertEqual((ours.received, theirs.received), (b"still read", b""))
            self.assertEqual(ours.log[-1], "lost ConnectionDone")


class ReadingTests(SynchronousTestCase):
    def test_a_paused_reader_gets_nothing_until_it_resumes(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        theirs.stream.pauseProducing()
        ours.stream.write(b"first")
        peers.run(0.5)
        ours.stream.write(b"second")
        ours.stream.loseConnection()
        peers.run(0.5)
        self.assertEqual((theirs.received, theirs.log), (b"", ["made"]))
        theirs.stream.resumeProducing()
        self.assertEqual(theirs.received, b"")
        peers.run(0.0)
        self.assertEqual((theirs.received, theirs.log), (b"firstsecond", DONE))

    def test_a_paused_reader_bounds_what_is_sent(self) -> None:
        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        theirs.stream.pauseProducing()
        ours.stream.write(bytes(20_000_000))
        peers.run(5.0)
        held = sum(map(len, theirs.stream._incoming))
        self.assertEqual(held, INITIAL_WINDOW)
        self.assertGreater(ours.stream._outgoing_size, 20_000_000 - SEND_QUEUE - INITIAL_WINDOW)
        theirs.stream.resumeProducing()
        peers.run(20.0, until=lambda: theirs.size == 20_000_000)
        self.assertEqual(theirs.size, 20_000_000)

    def test_a_reader_may_pause_in_the_midst_of_receiving(self) -> None:
        class Pausing(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.stream.pauseProducing()

        peers = Peers()
        ours, theirs = peers.join(Recorder, Pausing)
        for piece in (b"one ", b"two ", b"three"):
            ours.stream.write(piece)
            peers.run(0.5)
        self.assertEqual(theirs.received, b"one ")
        theirs.stream.resumeProducing()
        peers.run(0.5)
        self.assertEqual(theirs.received, b"one two ")


class ProducerTests(SynchronousTestCase):
    def test_a_push_producer_is_paused_and_resumed_as_the_peer_takes_data(self) -> None:
        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        producer = PushProducer(ours.stream, chunks=500)
        ours.stream.registerProducer(producer, True)
        producer.produce()
        self.assertEqual(producer.log, ["pause"])
        self.assertLessEqual(ours.stream._outgoing_size, BUFFER_SIZE + 10_000)
        ours.stream.loseConnection()
        peers.run(20.0, until=lambda: theirs.reason)
        self.assertEqual((theirs.size, theirs.log), (5_000_000, DONE))
        self.assertGreater(producer.log.count("resume"), 5)
        self.assertNotIn("stop", producer.log)

    def test_a_push_producer_waits_while_the_reader_does(self) -> None:
        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        theirs.stream.pauseProducing()
        producer = PushProducer(ours.stream, chunks=5_000)
        ours.stream.registerProducer(producer, True)
        producer.produce()
        peers.run(5.0)
        produced = (5_000 - producer.chunks) * 10_000
        self.assertLess(produced, INITIAL_WINDOW + SEND_QUEUE + 2 * BUFFER_SIZE)
        self.assertTrue(producer.paused)

    def test_a_pull_producer_is_asked_until_it_has_no_more(self) -> None:
        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        producer = PullProducer(ours.stream, chunks=300)
        ours.stream.registerProducer(producer, False)
        ours.stream.loseConnection()
        peers.run(20.0, until=lambda: theirs.reason)
        peers.run(0.1)
        self.assertEqual((theirs.size, producer.chunks), (3_000_000, 0))
        self.assertEqual((ours.log, theirs.log), (DONE, DONE))

    def test_lose_connection_waits_for_a_registered_producer(self) -> None:
        peers = Peers()
        ours, _ = peers.join()
        ours.stream.registerProducer(PushProducer(ours.stream), True)
        ours.stream.loseConnection()
        peers.run(1.0)
        self.assertEqual(ours.log, ["made"])
        ours.stream.unregisterProducer()
        peers.run(1.0)
        self.assertEqual(ours.log, DONE)

    def test_a_pull_producer_that_has_nothing_for_now_may_write_later(self) -> None:
        class Idle(PullProducer):
            def resumeProducing(self) -> None:
                self.log.append("resume")

        peers = Peers()
        ours, theirs = peers.join()
        producer = Idle(ours.stream)
        ours.stream.registerProducer(producer, False)
        peers.run(0.5)
        ours.stream.write(b"later")
        peers.run(0.5)
        self.assertEqual((theirs.received, producer.log), (b"later", ["resume"] * 2))

    def test_a_producer_is_stopped_once_when_its_stream_is_lost(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        producer = PushProducer(ours.stream)
        ours.stream.registerProducer(producer, True)
        theirs.stream.abortConnection()
        peers.run(1.0)
        self.assertEqual(producer.log, ["stop"])

    def test_a_producer_that_comes_too_late_is_stopped(self) -> None:
        peers = Peers()
        ours, _ = peers.join()
        stream = ours.stream
        stream.abortConnection()
        peers.run(0.0)
        producer = PushProducer(stream)
        stream.registerProducer(producer, True)
        self.assertEqual(producer.log, ["stop"])

    def test_a_second_producer_is_refused(self) -> None:
        ours, _ = Peers().join()
        ours.stream.registerProducer(PushProducer(ours.stream), True)
        with self.assertRaises(RuntimeError):
            ours.stream.registerProducer(PushProducer(ours.stream), True)


class BrokenProtocolTests(SynchronousTestCase):
    """Whatever an application raises is logged, and costs its own stream alone."""

    def raising(self, name: str, base: type[Recorder] = HalfCloseable) -> Any:
        class Broken(base):  # type: ignore[valid-type,misc]
            pass

        def method(protocol: Any, *arguments: Any) -> None:
            getattr(base, name)(protocol, *arguments)
            raise ZeroDivisionError

        setattr(Broken, name, method)
        return Broken

    def flush(self, count: int = 1) -> None:
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), count)

    def test_one_that_fails_to_receive_loses_its_stream(self) -> None:
        peers = Peers()
        ours, theirs = peers.join(Recorder, self.raising("dataReceived"))
        ours.stream.write(b"data")
        peers.run(1.0)
        self.assertEqual(theirs.log, ["made", "lost ZeroDivisionError"])
        self.assertEqual(ours.log, ["made", "lost ConnectionLost"])
        self.flush()
        again, _ = peers.join()
        self.assertEqual(again.log, ["made"])

    def test_one_that_fails_in_connection_made_loses_its_stream(self) -> None:
        peers = Peers()
        peers.server.services["service"] = theirs = Made(self.raising("connectionMade"))
        ours = EarlyMade()
        peers.client.connection.open_stream("service", ours).addErrback(lambda failure: None)
        peers.run(1.0)
        self.assertEqual(theirs.one.log, ["made", "lost ZeroDivisionError"])
        self.assertEqual(ours.one.log[-1], "lost ConnectionLost")
        self.flush()

    def test_one_that_fails_in_connection_made_of_its_own_stream_is_not_connected(self) -> None:
        peers = Peers()
        peers.server.services["service"] = theirs = Made()
        ours = Made(self.raising("connectionMade"))
        opened = peers.client.connection.open_stream("service", ours)
        peers.run(1.0)
        self.failureResultOf(opened, ZeroDivisionError)
        self.assertEqual(ours.one.log, ["made", "lost ZeroDivisionError"])
        self.assertEqual(theirs.one.log, ["made", "lost ConnectionLost"])
        self.flush()

    def test_one_that_fails_at_the_end_of_a_half_loses_its_stream(self) -> None:
        peers = Peers()
        ours, theirs = peers.join(
            self.raising("writeConnectionLost"), self.raising("readConnectionLost")
        )
        ours.stream.loseWriteConnection()
        peers.run(1.0)
        self.assertEqual(ours.log, ["made", "write lost", "lost ZeroDivisionError"])
        self.assertIn(theirs.log[-1], ("lost ZeroDivisionError", "lost ConnectionLost"))
        self.assertIn(len(self.flushLoggedErrors(ZeroDivisionError)), (1, 2))

    def test_one_that_fails_in_connection_lost_is_lost_all_the_same(self) -> None:
        peers = Peers()
        ours, theirs = peers.join(self.raising("connectionLost", Recorder), Recorder)
        ours.stream.loseConnection()
        peers.run(1.0)
        self.assertEqual((ours.log, theirs.log), (DONE, DONE))
        self.flush()
        self.assertEqual(len(peers.client.connection.streams), 0)

    def test_a_producer_that_fails_loses_its_stream(self) -> None:
        class Broken(PushProducer):
            def resumeProducing(self) -> None:
                raise ZeroDivisionError

            def stopProducing(self) -> None:
                raise ZeroDivisionError

        peers = Peers(delay=0.005)
        ours, theirs = peers.join()
        ours.stream.registerProducer(Broken(ours.stream), True)
        ours.stream.write(bytes(BUFFER_SIZE + 1))
        peers.run(1.0)
        self.assertEqual(ours.log, ["made", "lost ZeroDivisionError"])
        self.assertEqual(theirs.log, ["made", "lost ConnectionLost"])
        self.flush(2)


@implementer(IPathObserver)
class PathObserver(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.paths: list[Path | None] = []

    def path_changed(self, path: Path | None) -> None:
        self.paths.append(path)
        if path is None:
            raise ZeroDivisionError


class PathTests(SynchronousTestCase):
    def test_protocols_that_want_to_know_are_told_of_the_path(self) -> None:
        peers = Peers()
        ours, _ = peers.join(PathObserver, Recorder)
        peers.client.connection.path_changed(PATH)
        peers.server.connection.path_changed(PATH)
        self.assertEqual(ours.paths, [PATH])
        peers.client.connection.path_changed(None)
        self.assertEqual(ours.paths, [PATH, None])
        self.assertEqual(ours.log[-1], "lost ZeroDivisionError")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
