"""A simulated reactor keeps time as Twisted's does."""

from __future__ import annotations

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReactorUDP
from twisted.internet.task import LoopingCall, deferLater
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p.testing import SimulatedInternet


class SimulatedReactorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.reactor = self.internet.add_host("host", "11.0.0.1").reactor
        self.called: list[tuple[float, object]] = []

    def note(self, argument: object = None) -> None:
        self.called.append((self.reactor.seconds(), argument))

    def test_it_provides_what_it_says(self) -> None:
        verifyObject(IReactorTime, self.reactor)
        verifyObject(IReactorUDP, self.reactor)
        verifyObject(IDelayedCall, self.reactor.callLater(0, self.note))

    def test_a_call_is_made_at_its_time_with_its_arguments(self) -> None:
        self.reactor.callLater(1.5, self.note, argument="keyword")
        self.reactor.callLater(1.0, self.note, "positional")
        self.internet.run_for(2.0)
        self.assertEqual(self.called, [(1.0, "positional"), (1.5, "keyword")])

    def test_a_negative_delay_is_refused(self) -> None:
        with self.assertRaises(AssertionError):
            self.reactor.callLater(-1.0, self.note)

    def test_a_cancelled_call_is_not_made(self) -> None:
        call = self.reactor.callLater(1.0, self.note)
        call.cancel()
        self.internet.run_for(2.0)
        self.assertEqual(self.called, [])
        self.assertFalse(call.active())
        self.assertRaises(AlreadyCancelled, call.cancel)

    def test_a_call_made_is_called(self) -> None:
        call = self.reactor.callLater(1.0, self.note)
        self.internet.run_for(2.0)
        self.assertFalse(call.active())
        self.assertRaises(AlreadyCalled, call.cancel)

    def test_a_call_can_be_moved_both_ways(self) -> None:
        moves = {"sooner": 0.5, "later": 3.0}
        calls = {name: self.reactor.callLater(2.0, self.note, name) for name in moves}
        for name, delay in moves.items():
            calls[name].reset(delay)
        self.internet.run_for(4.0)
        self.assertEqual(self.called, [(0.5, "sooner"), (3.0, "later")])

    def test_a_call_moved_sooner_and_then_later_is_made_once(self) -> None:
        call = self.reactor.callLater(2.0, self.note)
        call.reset(1.0)
        call.delay(4.0)
        self.internet.run_for(9.0)
        self.assertEqual(self.called, [(5.0, None)])

    def test_pending_calls_are_listed(self) -> None:
        calls = [self.reactor.callLater(delay, self.note) for delay in (1.0, 2.0, 3.0)]
        calls[2].cancel()
        self.internet.run_for(1.5)
        self.assertEqual(self.reactor.getDelayedCalls(), [calls[1]])

    def test_a_failing_call_is_logged_and_others_go_on(self) -> None:
        self.reactor.callLater(1.0, lambda: {}["nothing"])
        self.reactor.callLater(1.0, self.note)
        self.internet.run_for(2.0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.called, [(1.0, None)])

    def test_twisteds_own_tools_run_on_it(self) -> None:
        loop = LoopingCall(self.note)
        loop.clock = self.reactor
        loop.start(1.0)
        self.internet.run_until(deferLater(self.reactor, 2.5, self.note))
        loop.stop()
        self.assertEqual([time for time, _ in self.called], [0.0, 1.0, 2.0, 2.5])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
