"""Manners that Twisted's own tests ask of a transport."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ILoggingContext
from twisted.python.log import ILogContext, context
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.connection.link import RESPONDER
from tests.connection.peers import Aborting, EarlyMade, Made, Peers, Recorder
from twisted_p2p.connection.stream import PULLS_PER_TURN
from twisted_p2p.errors import PeerRefused
from twisted_p2p.interfaces import IPeerFactory


class Dribble:
    """A pull producer without an end, of one byte each time unless it is told otherwise."""

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.piece = b"x"
        self.asked = 0

    def resumeProducing(self) -> None:
        self.asked += 1
        self.consumer.write(self.piece)

    def stopProducing(self) -> None:
        pass


class PullProducerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.peers = Peers()
        self.ours, self.theirs = self.peers.join()
        self.peers.run(0.5)
        self.producer = Dribble(self.ours.stream)

    def test_one_without_an_end_leaves_others_their_turn(self) -> None:
        asked: list[int] = []

        def others() -> None:
            asked.append(self.producer.asked)
            if len(asked) < 3:
                self.peers.clock.callLater(0, others)
            else:
                self.ours.stream.unregisterProducer()

        self.ours.stream.registerProducer(self.producer, False)
        self.peers.clock.callLater(0, others)
        self.peers.clock.advance(0)
        self.assertEqual(asked, [1 + turn * PULLS_PER_TURN for turn in (1, 2, 3)])

    def test_one_whose_stream_the_peer_leaves_is_asked_no_more(self) -> None:
        self.producer.piece = bytes(100)
        self.ours.stream.registerProducer(self.producer, False)
        self.ours.stream.loseConnection()
        self.theirs.stream.loseConnection()
        for _ in range(100):
            self.peers.clock.advance(0.002)
        self.assertEqual(self.ours.log, ["made", "lost ConnectionLost"])

    def test_one_that_stops_consuming_is_let_go_with_the_stream(self) -> None:
        self.ours.stream.registerProducer(self.producer, False)
        self.ours.stream.stopConsuming()
        self.peers.run(1.0)
        self.assertEqual((self.producer.asked, self.theirs.received), (1, b"x"))
        self.assertEqual(self.ours.log, ["made", "lost ConnectionDone"])


class WritingTests(SynchronousTestCase):
    def test_only_sequences_of_bytes_can_be_written(self) -> None:
        ours, _ = Peers().join()
        for piece in ("text", bytearray(b"x")):
            error = self.assertRaises(TypeError, ours.stream.writeSequence, [b"x", piece])
            self.assertEqual(str(error), "Data must be bytes")


class LoggingTests(SynchronousTestCase):
    def test_what_a_protocol_logs_says_whose_it_is_and_of_which_peer(self) -> None:
        class Logging(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.system = context.get(ILogContext)["system"]

        class Named(Logging):
            def logPrefix(self) -> str:
                return "a name"

        for kind, name in ((Logging, "Logging"), (Named, "a name")):
            peers = Peers()
            ours, theirs = peers.join(kind)
            self.assertTrue(verifyObject(ILoggingContext, ours.stream))
            theirs.stream.write(b"x")
            peers.run(1.0)
            self.assertEqual(ours.system, f"{name},service,{RESPONDER.peer_id[:8]}")

    def test_a_protocol_that_is_no_logging_context_goes_by_its_class(self) -> None:
        class Plain:
            def makeConnection(self, transport: Any) -> None:
                self.transport = transport

            def connectionLost(self, reason: Any) -> None:
                pass

        ours, _ = Peers().join(Plain)
        self.assertEqual(ours.transport.logPrefix(), f"Plain,service,{RESPONDER.peer_id[:8]}")


class SayAndLeave(Recorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.stream.write(b"hello")
        self.stream.loseConnection()


@implementer(IPeerFactory)
class Undecided(Made):
    def __init__(self, decision: Deferred[bool]) -> None:
        super().__init__()
        self.decision = decision

    def may_connect(self, peer_id: str, service: str) -> Deferred[bool]:
        return self.decision


class SayingAndLeavingTests(SynchronousTestCase):
    """One that leaves at once is done only when the peer has taken the stream, or never will."""

    def open(self) -> tuple[Peers, Made, Made, Deferred[bool], Deferred[Any]]:
        decision: Deferred[bool] = Deferred()
        peers = Peers()
        service = peers.server.services["service"] = Undecided(decision)
        factory = EarlyMade(SayAndLeave)
        opened = peers.client.connection.open_stream("service", factory)
        peers.run(1.0)
        self.assertNoResult(opened)
        self.assertEqual(factory.one.log, ["made"])
        return peers, service, factory, decision, opened

    def test_a_stream_that_is_taken(self) -> None:
        peers, service, factory, decision, opened = self.open()
        decision.callback(True)
        peers.run(1.0)
        self.assertIs(self.successResultOf(opened), factory.one)
        self.assertEqual(service.one.received, b"hello")
        self.assertEqual(factory.one.log, ["made", "lost ConnectionDone"])

    def test_a_stream_that_is_refused(self) -> None:
        peers, _, factory, decision, opened = self.open()
        decision.callback(False)
        peers.run(1.0)
        self.failureResultOf(opened, PeerRefused)
        self.assertEqual(factory.one.log, ["made", "lost PeerRefused"])

    def test_a_stream_that_is_given_up_before_the_peer_said_that_it_takes_it(self) -> None:
        peers, service, factory, decision, opened = self.open()
        service.kind = Aborting
        decision.callback(True)
        peers.run(1.0)
        self.failureResultOf(opened, ConnectionLost)
        self.assertEqual(service.one.log, ["made", "lost ConnectionAborted"])
        self.assertEqual(factory.one.log, ["made", "lost ConnectionLost"])
