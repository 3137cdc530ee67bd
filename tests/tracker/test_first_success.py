"""The first tracker that helps decides, or all their errors together do."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import PeerOffline, PeerRefused, TrackerBusy, TrackerUnreachable
from twisted_p2p.tracker.first_success import GRACE, first_success


class FirstSuccessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cancelled: list[int] = []
        self.attempts: list[Deferred[str]] = [
            Deferred(lambda _, number=number: self.cancelled.append(number)) for number in range(3)
        ]

    def test_the_first_success_is_the_result_and_the_others_are_cancelled(self) -> None:
        result = first_success(self.clock, self.attempts)
        self.attempts[1].callback("yes")
        self.assertEqual(self.successResultOf(result), "yes")
        self.assertEqual(self.cancelled, [0, 2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_others_go_on_when_that_is_wanted(self) -> None:
        result = first_success(self.clock, self.attempts, cancel_rest=False)
        self.attempts[1].callback("yes")
        self.assertEqual(self.successResultOf(result), "yes")
        self.attempts[0].callback("later")
        self.attempts[2].errback(PeerOffline())
        self.assertEqual(self.cancelled, [])

    def test_an_error_does_not_decide_while_others_may_succeed(self) -> None:
        result = first_success(self.clock, self.attempts)
        self.attempts[0].errback(PeerOffline())
        self.attempts[1].errback(TrackerUnreachable())
        self.assertNoResult(result)
        self.attempts[2].callback("yes")
        self.assertEqual(self.successResultOf(result), "yes")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_error_that_says_most_is_told(self) -> None:
        silent, offline = TrackerUnreachable(), PeerOffline()
        busy, refused, fault = TrackerBusy(), PeerRefused(), ValueError()
        for errors, told in (
            ((silent, silent, silent), silent),
            ((silent, offline, silent), offline),
            ((offline, offline, offline), offline),
            ((offline, busy, silent), busy),
            ((busy, refused, offline), refused),
            ((refused, fault, busy), fault),
        ):
            attempts: list[Deferred[str]] = [fail(error) for error in errors]
            result = first_success(self.clock, attempts)
            self.assertIs(self.failureResultOf(result).value, told)

    def test_silent_trackers_hold_a_no_back_for_two_seconds_at_most(self) -> None:
        result = first_success(self.clock, self.attempts)
        self.attempts[0].errback(PeerOffline())
        self.clock.advance(GRACE / 2)
        self.attempts[1].errback(PeerOffline())
        self.clock.advance(GRACE / 2 - 0.1)
        self.assertNoResult(result)
        self.clock.advance(0.2)
        self.failureResultOf(result, PeerOffline)
        self.assertEqual(self.cancelled, [2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_unreachable_tracker_does_not_hasten_the_others(self) -> None:
        result = first_success(self.clock, self.attempts)
        self.attempts[0].errback(TrackerUnreachable())
        self.clock.advance(100)
        self.assertNoResult(result)

    def test_cancelling_the_result_cancels_the_attempts(self) -> None:
        for cancel_rest in (True, False):
            self.setUp()
            result = first_success(self.clock, self.attempts, cancel_rest=cancel_rest)
            self.attempts[0].errback(PeerOffline())
            result.cancel()
            self.failureResultOf(result, CancelledError)
            self.assertEqual(self.cancelled, [1, 2])
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_success_that_is_there_already_is_taken(self) -> None:
        result = first_success(self.clock, [*self.attempts, succeed("yes")])
        self.assertEqual(self.successResultOf(result), "yes")
        self.assertEqual(self.cancelled, [0, 1, 2])

    def test_nobody_to_ask_is_an_error(self) -> None:
        nobody: list[Deferred[str]] = []
        error = self.failureResultOf(first_success(self.clock, nobody), TrackerUnreachable).value
        self.assertEqual(str(error), "This node knows no tracker; name one.")
