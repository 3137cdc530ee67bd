from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.connection.link import INITIATOR
from tests.connection.peers import EarlyMade, HalfCloseable, Made, Peers, Recorder
from twisted_p2p.errors import PeerRefused
from twisted_p2p.interfaces import IPeerFactory


@implementer(IPeerFactory)
class Asked(Made):
    """Answers `may_connect` as it is told, and remembers who asked."""

    def __init__(self, answer: Any) -> None:
        super().__init__(HelloRecorder)
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def may_connect(self, peer_id: str, service: str) -> Any:
        self.asked.append((peer_id, service))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class HelloRecorder(Recorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.stream.write(b"hello")


class Pausing(HelloRecorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.stream.pauseProducing()


class AdmissionTests(SynchronousTestCase):
    def open(self, answer: Any) -> tuple[Peers, Asked, Made, Deferred[Any]]:
        peers = Peers()
        service = peers.server.services["service"] = Asked(answer)
        factory = EarlyMade(HelloRecorder)
        opened = peers.client.connection.open_stream("service", factory)
        peers.run(1.0)
        self.assertEqual(service.asked, [(str(INITIATOR.peer_id), "service")])
        return peers, service, factory, opened

    def test_a_factory_is_asked_who_may_connect(self) -> None:
        _, service, factory, opened = self.open(True)
        self.assertIs(self.successResultOf(opened), factory.one)
        self.assertEqual((service.one.received, factory.one.received), (b"hello", b"hello"))

    def test_whoever_may_not_is_refused(self) -> None:
        _, service, factory, opened = self.open(False)
        self.failureResultOf(opened, PeerRefused)
        self.assertEqual(service.made, [])
        self.assertIsInstance(factory.one.reason, PeerRefused)

    def test_while_it_is_undecided_the_peer_waits(self) -> None:
        decision: Deferred[bool] = Deferred()
        peers, service, factory, opened = self.open(decision)
        peers.run(10.0)
        self.assertNoResult(opened)
        self.assertEqual((service.made, factory.one.log), ([], ["made"]))
        decision.callback(True)
        peers.run(1.0)
        self.assertIs(self.successResultOf(opened), factory.one)
        self.assertEqual((service.one.received, factory.one.received), (b"hello", b"hello"))

    def test_what_is_sent_before_the_decision_is_held_in_bounds(self) -> None:
        decision: Deferred[bool] = Deferred()
        peers, service, factory, _ = self.open(decision)
        data = bytes(range(256)) * 16_384
        factory.one.stream.write(data)
        peers.run(10.0)
        (waiting,) = peers.server.connection._streams.values()
        self.assertLess(sum(map(len, waiting._incoming)), 1 << 20)
        decision.callback(True)
        peers.run(30.0, until=lambda: service.one.size == len(data) + 5)
        self.assertEqual(service.one.received, b"hello" + data)

    def test_a_protocol_may_pause_before_it_receives_anything(self) -> None:
        decision: Deferred[bool] = Deferred()
        peers, service, _, _ = self.open(decision)
        service.kind = Pausing
        decision.callback(True)
        service.answer = True
        other = Made(Pausing)
        peers.client.connection.open_stream("service", other)
        peers.run(1.0)
        ours, theirs = other.one, service.made[0]
        self.assertEqual((ours.size, theirs.size), (0, 0))
        for protocol in (ours, theirs):
            protocol.stream.resumeProducing()
        peers.run(1.0)
        self.assertEqual((ours.received, theirs.received), (b"hello", b"hello"))

    def test_a_protocol_is_told_what_the_peer_wanted_no_more_before_the_decision(self) -> None:
        decision: Deferred[bool] = Deferred()
        peers, service, factory, _ = self.open(decision)
        service.kind = HalfCloseable
        peers.client.connection.streams.stop(factory.one.stream.stream_id)
        peers.client.connection.probe()
        peers.run(1.0)
        decision.callback(True)
        self.assertEqual(service.one.log, ["made", "write lost"])

    def test_a_late_refusal_reaches_the_peer(self) -> None:
        decision: Deferred[bool] = Deferred()
        peers, service, _, opened = self.open(decision)
        decision.callback(False)
        peers.run(1.0)
        self.failureResultOf(opened, PeerRefused)
        self.assertEqual(service.made, [])
        self.assertEqual(peers.server.connection._streams, {})

    def test_a_peer_that_gives_up_waits_for_no_decision(self) -> None:
        cancelled = []
        for give_in in (False, True):

            def cancel(decision: Deferred[bool], give_in: bool = give_in) -> None:
                cancelled.append(give_in)
                if give_in:
                    decision.callback(True)

            decision: Deferred[bool] = Deferred(cancel)
            peers, service, factory, opened = self.open(decision)
            factory.one.stream.abortConnection()
            peers.run(1.0)
            self.failureResultOf(opened, ConnectionAborted)
            self.assertEqual([made.log for made in service.made], [[]] if give_in else [])
            self.assertEqual(peers.server.connection._streams, {})
        self.assertEqual(cancelled, [False, True])

    def test_a_decision_after_the_connection_was_lost_is_for_nothing(self) -> None:
        decision: Deferred[bool] = Deferred(lambda _: None)
        peers, service, _, opened = self.open(decision)
        peers.client.connection.close()
        peers.run(5.0)
        self.failureResultOf(opened, ConnectionAborted)
        self.assertEqual(service.made, [])

    def test_a_factory_that_fails_refuses(self) -> None:
        _, service, _, opened = self.open(ValueError("no idea"))
        self.failureResultOf(opened, PeerRefused)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(service.made, [])
