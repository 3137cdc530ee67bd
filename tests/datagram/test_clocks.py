"""Machines go by a clock that nobody sets, and are told when the other one is set back."""

from __future__ import annotations

import gc
import time

from twisted.internet import reactor as real_reactor
from twisted.internet.error import AlreadyCalled
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_p2p.datagram.clocks import (
    IMonotonicTime,
    MonotonicCall,
    WallClockWatch,
    monotonic_clock,
)
from twisted_p2p.testing import SimulatedInternet


@implementer(IMonotonicTime)
class TwoClocks(Clock):
    """A reactor whose wall clock can be set."""

    ahead = 0.0

    def seconds(self) -> float:
        return super().seconds() + self.ahead

    def monotonic_seconds(self) -> float:
        return super().seconds()


class MonotonicClockTests(SynchronousTestCase):
    def test_a_reactor_that_has_one_is_asked(self) -> None:
        reactor = TwoClocks()
        verifyObject(IMonotonicTime, reactor)
        reactor.ahead = 5.0
        reactor.advance(2.0)
        self.assertEqual(reactor.seconds(), 7.0)
        self.assertEqual(monotonic_clock(reactor)(), 2.0)

    def test_virtual_time_is_its_own(self) -> None:
        clock = Clock()
        now = monotonic_clock(clock)
        clock.advance(7.0)
        self.assertEqual(now(), 7.0)

    def test_a_real_reactors_wall_clock_is_not_used(self) -> None:
        self.assertIs(monotonic_clock(real_reactor), time.monotonic)

    def test_a_simulated_hosts_wall_clock_is_not_used(self) -> None:
        host = SimulatedInternet().add_host("host", "11.0.0.1")
        now = monotonic_clock(host.reactor)
        host.clock.step(5.0)
        self.assertEqual(now(), 0.0)


class Listener:
    def __init__(self) -> None:
        self.told = 0

    def tell(self) -> None:
        self.told += 1


class WallClockWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = TwoClocks()
        self.watch = WallClockWatch.of(self.reactor)
        self.listener = Listener()
        self.watch.tell(self.listener.tell)

    def test_a_reactor_has_one(self) -> None:
        self.assertIs(WallClockWatch.of(self.reactor), self.watch)
        self.assertIsNot(WallClockWatch.of(TwoClocks()), self.watch)

    def test_a_step_back_is_told_once(self) -> None:
        self.reactor.ahead = -1.0
        self.watch.look()
        self.watch.look()
        self.assertEqual(self.listener.told, 1)

    def test_a_small_step_or_one_on_is_not_told(self) -> None:
        for ahead in (-0.5, 3_600.0):
            self.reactor.ahead = ahead
            self.watch.look()
        self.assertEqual(self.listener.told, 0)
        self.reactor.ahead = 3_590.0
        self.watch.look()
        self.assertEqual(self.listener.told, 1)

    def test_time_that_passes_is_no_step(self) -> None:
        self.reactor.advance(1e6)
        self.watch.look()
        self.assertEqual(self.listener.told, 0)

    def test_nobody_is_kept_alive(self) -> None:
        other = Listener()
        self.watch.tell(other.tell)
        del other
        gc.collect()
        self.reactor.ahead = -2.0
        self.watch.look()
        self.assertEqual(self.listener.told, 1)


class MonotonicCallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.host = self.internet.add_host("host", "11.0.0.1")
        self.called: list[float] = []
        self.call = MonotonicCall(
            self.host.reactor, 10.0, lambda: self.called.append(self.internet.now)
        )
        self.internet.run_for(1.0)

    def test_it_is_made_in_time_when_the_clock_is_set_on(self) -> None:
        self.host.clock.step(3_600.0)
        self.internet.run_for(20.0)
        self.assertEqual(self.called, [10.0])

    def test_it_is_made_in_time_when_the_clock_is_seen_to_be_set_back(self) -> None:
        self.host.clock.step(-3_600.0)
        WallClockWatch.of(self.host.reactor).look()
        self.internet.run_for(20.0)
        self.assertEqual([round(time, 6) for time in self.called], [10.0])

    def test_once_made_it_is_over(self) -> None:
        self.internet.run_for(20.0)
        self.host.clock.step(-3_600.0)
        WallClockWatch.of(self.host.reactor).look()
        self.internet.run_for(4_000.0)
        self.assertEqual(self.called, [10.0])
        self.assertRaises(AlreadyCalled, self.call.cancel)

    def test_it_can_be_cancelled(self) -> None:
        self.host.clock.step(5.0)
        self.internet.run_for(5.0)
        self.call.cancel()
        self.assertEqual(self.host.reactor.getDelayedCalls(), [])
