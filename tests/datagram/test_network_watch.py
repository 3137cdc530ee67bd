from __future__ import annotations

import sys
from collections.abc import Callable

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from twisted_p2p.addresses import NetworkInterface
from twisted_p2p.datagram import network_watch
from twisted_p2p.datagram.clocks import IMonotonicTime
from twisted_p2p.datagram.network_interfaces import INetwork, interfaces_of
from twisted_p2p.datagram.network_watch import NetworkWatch
from twisted_p2p.testing import SimulatedInternet


@implementer(IMonotonicTime)
class TwoClocks(Clock):
    """A reactor that tells nothing of its network."""

    asleep = 0.0

    def monotonic_seconds(self) -> float:
        return self.seconds() - self.asleep

    def sleep(self, seconds: float) -> None:
        self.asleep += seconds
        self.advance(seconds)


@implementer(INetwork)
class Telling(TwoClocks):
    def __init__(self) -> None:
        super().__init__()
        self.watchers: list[Callable[[bool], object]] = []

    def network_interfaces(self) -> list[NetworkInterface]:
        raise AssertionError("the watch was given others")

    def watch_network(self, changed: Callable[[bool], object]) -> Callable[[], object]:
        self.watchers.append(changed)
        return lambda: self.watchers.remove(changed)

    def tell(self, *, link_came_up: bool = False) -> None:
        for watcher in self.watchers:
            watcher(link_came_up)


class WatchTestCase(SynchronousTestCase):
    reactor_class: type[TwoClocks] = TwoClocks

    def setUp(self) -> None:
        self.clock = self.reactor_class()
        self.addresses = ["192.168.1.2/24"]
        self.reads = 0
        self.changes: list[float] = []
        self.watch = self.make_watch()
        self.watch.start()
        self.addCleanup(self.assertEqual, self.clock.getDelayedCalls(), [])
        self.addCleanup(self.watch.stop)

    def make_watch(self) -> NetworkWatch:
        return NetworkWatch(
            self.clock, self.interfaces, lambda: self.changes.append(self.clock.seconds())
        )

    def interfaces(self) -> list[NetworkInterface]:
        self.reads += 1
        return [NetworkInterface("eth0", 2, tuple(self.addresses))]

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))


class PollTests(WatchTestCase):
    """Where the system tells nothing."""

    def test_interfaces_are_read_every_15_seconds(self) -> None:
        self.run_for(60.0)
        self.assertEqual((self.reads, self.changes), (4, []))
        self.addresses = ["10.0.0.7/24"]
        self.run_for(16.0)
        self.assertEqual(len(self.changes), 1)
        self.run_for(60.0)
        self.assertEqual(len(self.changes), 1)

    def test_sleep_is_noticed_within_4_seconds_of_waking(self) -> None:
        self.run_for(2.0)
        self.clock.sleep(600.0)
        self.run_for(4.0)
        self.assertEqual(len(self.changes), 1)
        self.run_for(20.0)
        self.assertEqual(len(self.changes), 1)

    def test_a_wall_clock_that_drifts_or_is_set_back_is_no_sleep(self) -> None:
        for seconds in (1.0, 1.0, -600.0, 3.0):
            self.clock.asleep += seconds
            self.run_for(8.0)
        self.assertEqual(self.changes, [])

    def test_after_the_end_nothing_is_left(self) -> None:
        self.watch.stop()
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_watch_that_was_never_begun_can_be_ended(self) -> None:
        self.make_watch().stop()


class ToldTests(WatchTestCase):
    """Where the system tells of changes."""

    reactor_class = Telling
    clock: Telling

    def test_many_words_are_one_change_a_quarter_of_a_second_after_the_first(self) -> None:
        self.addresses = ["10.0.0.7/24"]
        for _ in range(5):
            self.clock.tell()
            self.clock.advance(0.04)
        self.assertEqual(self.changes, [])
        self.clock.advance(0.06)
        self.assertEqual(len(self.changes), 1)
        self.run_for(60.0)
        self.assertEqual(len(self.changes), 1)

    def test_a_word_without_another_address_is_none(self) -> None:
        self.clock.tell()
        self.run_for(1.0)
        self.assertEqual(self.changes, [])

    def test_a_link_that_came_up_is_one_with_the_same_addresses(self) -> None:
        self.clock.tell(link_came_up=True)
        self.clock.tell()
        self.run_for(1.0)
        self.clock.tell()
        self.run_for(1.0)
        self.assertEqual(len(self.changes), 1)

    def test_interfaces_are_not_read_by_the_clock(self) -> None:
        self.run_for(60.0)
        self.assertEqual(self.reads, 1)

    def test_nothing_is_told_after_the_end(self) -> None:
        [watcher] = self.clock.watchers
        self.clock.tell(link_came_up=True)
        self.watch.stop()
        watcher(True)
        self.assertEqual(self.clock.watchers, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LinuxTests(WatchTestCase):
    """Where a netlink socket tells of them."""

    def test_it_is_asked_where_there_is_one(self) -> None:
        ended = []

        class Netlink:
            def __init__(self, reactor: object, changed: Callable[[bool], object]) -> None:
                self.changed = changed
                made.append(self)

            def stop(self) -> None:
                ended.append(self)

        made: list[Netlink] = []
        self.patch(network_watch, "NetlinkWatch", Netlink)
        self.patch(sys, "platform", "linux")
        directlyProvides(self.clock, IReactorFDSet, IMonotonicTime)
        watch = self.make_watch()
        watch.start()
        made[0].changed(True)
        self.clock.advance(0.25)
        self.assertEqual(len(self.changes), 1)
        watch.stop()
        self.assertEqual(ended, made)

    def test_where_it_is_refused_interfaces_are_polled(self) -> None:
        def refuse(reactor: object, changed: object) -> None:
            raise OSError("Operation not permitted")

        self.patch(network_watch, "NetlinkWatch", refuse)
        self.patch(sys, "platform", "linux")
        directlyProvides(self.clock, IReactorFDSet, IMonotonicTime)
        watch = self.make_watch()
        watch.start()
        self.addCleanup(watch.stop)
        self.addresses = ["10.0.0.7/24"]
        self.run_for(16.0)
        self.assertEqual(len(self.changes), 2, "this watch and that of setUp")


class SimulatedTests(SynchronousTestCase):
    def test_a_simulated_host_tells_of_moves_and_cables(self) -> None:
        net = SimulatedInternet()
        host = net.add_host("host", "11.0.0.1")
        verifyObject(INetwork, host.reactor)
        changes: list[float] = []
        watch = NetworkWatch(
            host.reactor, interfaces_of(host.reactor), lambda: changes.append(net.now)
        )
        watch.start()
        self.addCleanup(watch.stop)
        net.run_for(1.0)
        host.move_to(host.network, "11.0.0.2")
        net.run_for(1.0)
        host.disconnect()
        net.run_for(1.0)
        host.reconnect()
        net.run_for(1.0)
        host.sleep(60.0)
        net.run_for(64.0)
        self.assertEqual(changes, [1.25, 3.25, 64.0])
