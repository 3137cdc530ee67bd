"""Who listens for a transfer: with whom it goes on, and who has to wait."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import PeerAddress
from twisted_p2p.errors import DialTimedOut, NoPath, PeerRefused
from twisted_p2p.transfer.conversation import Conversation
from twisted_p2p.transfer.failures import Reason, TransferFailed, TransferInterrupted
from twisted_p2p.transfer.meeting import Listening, Patience, dial


class Attempt(Conversation):
    """A conversation that goes as it is told to."""

    def __init__(self, clock: Clock, address: PeerAddress | None = None) -> None:
        super().__init__(clock)
        self.address = address
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def end(self, error: Exception | None = None) -> None:
        self.finished.callback(None if error is None else Failure(error))


class ListeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Exception] = []
        self.listening: Listening[Attempt] = Listening(
            self.clock,
            lambda address: Attempt(self.clock, address),
            Patience(None, 100.0),
            self.told.append,
        )

    def accept(self, peer: str = "one", *, agreed: bool = False) -> Attempt:
        attempt = self.listening.buildProtocol(PeerAddress(peer, "files", lambda: None))
        assert attempt is not None
        if agreed:
            self.listening.claim(peer)
            attempt.agreed()
        return attempt

    def assert_busy(self, peer: str) -> None:
        refused = self.assertRaises(TransferFailed, self.listening.claim, peer)
        self.assertIs(refused.reason, Reason.BUSY)

    def test_it_is_done_with_one_transfer(self) -> None:
        stranger = self.accept("other")
        attempt = self.accept(agreed=True)
        attempt.end()
        self.assertIs(self.successResultOf(self.listening.done), attempt)
        self.assertTrue(stranger.aborted)
        stranger.end(TransferInterrupted())
        self.assertIsNone(self.listening.buildProtocol(PeerAddress("one", "files", lambda: None)))

    def test_others_wait_while_one_is_decided_on_and_no_longer(self) -> None:
        attempt = self.accept()
        self.listening.claim("one")
        self.listening.claim("one")
        self.assert_busy("other")
        attempt.end(TransferFailed(Reason.REFUSED))
        self.listening.claim("other")
        self.assertNoResult(self.listening.done)
        self.assertIsInstance(self.told[0], TransferFailed)

    def test_others_wait_while_one_is_away(self) -> None:
        self.accept(agreed=True).end(TransferInterrupted())
        self.assert_busy("other")
        self.clock.advance(99.0)
        self.accept().end(ConnectionLost())
        self.assert_busy("other")
        self.assertNoResult(self.listening.done)
        self.clock.advance(1.0)
        self.failureResultOf(self.listening.done, TransferInterrupted)

    def test_who_is_back_in_time_goes_on(self) -> None:
        self.accept(agreed=True).end(TransferInterrupted())
        self.clock.advance(99.0)
        again = self.accept(agreed=True)
        self.clock.advance(1000.0)
        again.end()
        self.assertIs(self.successResultOf(self.listening.done), again)

    def test_who_comes_too_late_at_first_ends_it(self) -> None:
        self.listening._patience = Patience(2.0, 100.0)
        self.accept("stranger").end(TransferFailed(Reason.REFUSED))
        done = self.listening.wait()
        self.clock.advance(1.9)
        self.assertNoResult(done)
        self.clock.advance(0.1)
        self.failureResultOf(done, DialTimedOut)

    def test_who_comes_in_time_may_take_longer(self) -> None:
        self.listening._patience = Patience(2.0, 100.0)
        done = self.listening.wait()
        attempt = self.accept(agreed=True)
        self.clock.advance(1000.0)
        attempt.end()
        self.assertIs(self.successResultOf(done), attempt)

    def test_a_new_stream_ends_the_old_one_first(self) -> None:
        old = self.accept(agreed=True)
        new = self.accept()
        self.assertTrue(old.aborted)
        (before,) = new.predecessors
        self.assertNoResult(before)
        old._over(None)
        self.successResultOf(before)

    def test_a_complete_side_waits_a_little_for_the_other_one_to_know(self) -> None:
        attempt = self.accept(agreed=True)
        attempt.is_complete = True
        attempt.end(TransferInterrupted())
        self.clock.advance(29.0)
        self.assertNoResult(self.listening.done)
        self.clock.advance(1.0)
        self.assertIs(self.successResultOf(self.listening.done), attempt)

    def test_what_cannot_be_made_good_ends_it(self) -> None:
        self.accept(agreed=True).end(TransferFailed(Reason.NO_SPACE))
        self.failureResultOf(self.listening.done, TransferFailed)

    def test_so_does_a_fault_of_ours(self) -> None:
        self.accept().end(ZeroDivisionError())
        self.failureResultOf(self.listening.done, ZeroDivisionError)

    def test_strangers_are_limited_and_do_not_keep_the_partner_out(self) -> None:
        self.listening.claim("one")
        strangers = [self.accept(f"stranger {number}") for number in range(16)]
        refused = self.listening.buildProtocol(PeerAddress("one more", "files", lambda: None))
        self.assertIsNone(refused)
        self.accept("one")
        strangers[0].end(TransferInterrupted())

    def test_cancelling_ends_the_streams(self) -> None:
        attempt = self.accept(agreed=True)
        self.accept("other").end(TransferInterrupted())
        self.listening.done.cancel()
        self.failureResultOf(self.listening.done, CancelledError)
        self.assertTrue(attempt.aborted)
        attempt.end(TransferInterrupted())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Node:
    """Connects, or fails to, as told."""

    def __init__(self, *outcomes: Exception | Attempt) -> None:
        self.outcomes = list(outcomes)
        self.dialled = 0

    async def connect(self, peer_id: str, service: str, factory: Any) -> Any:
        self.dialled += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return factory.buildProtocol(None)


class DialTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts: list[Attempt] = []

    def dial(self, node: Node, patience: Patience = Patience()) -> Any:  # noqa: B008
        return Deferred.fromCoroutine(
            dial(self.clock, node, "one", "files", self.build, patience)  # type: ignore[arg-type]
        )

    def build(self) -> Attempt:
        self.attempts.append(Attempt(self.clock))
        return self.attempts[-1]

    def test_delays_grow_to_ten_seconds(self) -> None:
        node = Node(*(NoPath() for _ in range(12)))
        dialling = self.dial(node)
        for count, delay in enumerate((0.5, 1, 2, 4, 8, 10, 10), start=1):
            self.assertEqual(node.dialled, count)
            self.clock.advance(delay - 0.01)
            self.assertEqual(node.dialled, count)
            self.clock.advance(0.01)
        dialling.cancel()
        self.failureResultOf(dialling, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_refusal_is_final_only_at_first(self) -> None:
        self.failureResultOf(self.dial(Node(PeerRefused())), PeerRefused)
        node = Node(Attempt(self.clock), PeerRefused(), Attempt(self.clock))
        dialling = self.dial(node)
        self.attempts[-1].agreed()
        self.attempts[-1].end(TransferInterrupted())
        self.clock.advance(0.5)
        self.clock.advance(1.0)
        self.assertEqual(node.dialled, 3)
        self.attempts[-1].end()
        self.assertIs(self.successResultOf(dialling), self.attempts[-1])

    def test_a_busy_peer_is_tried_again(self) -> None:
        node = Node(Attempt(self.clock), Attempt(self.clock))
        self.dial(node)
        self.attempts[-1].end(TransferFailed(Reason.BUSY, told=True))
        self.clock.advance(0.5)
        self.assertEqual(node.dialled, 2)

    def test_a_side_that_is_complete_tries_a_little_longer_and_is_content(self) -> None:
        for last in (PeerRefused(), TransferFailed(Reason.PROTOCOL), NoPath()):
            node = Node(Attempt(self.clock), *(NoPath() for _ in range(3)), *([last] * 9))
            dialling = self.dial(node)
            complete = self.attempts[-1]
            complete.agreed()
            complete.is_complete = True
            complete.end(TransferInterrupted())
            self.clock.pump([0.5] * 100)
            self.assertIs(self.successResultOf(dialling), complete)
