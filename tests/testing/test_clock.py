"""Hosts whose clocks are wrong, drift or are set, and hosts that sleep."""

from __future__ import annotations

from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p.addresses import HostPort
from twisted_p2p.datagram.driver import IMonotonicTime, monotonic_clock
from twisted_p2p.testing import SimulatedInternet
from twisted_p2p.testing.packet import ICMPError, Packet

TEN_YEARS = 10 * 365.25 * 86_400


class ClockTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.host = self.internet.add_host("host", "11.0.0.1")
        self.reactor = self.host.reactor
        self.called: list[tuple[float, object]] = []

    def note(self, argument: object = None) -> None:
        self.called.append((round(self.internet.now, 6), argument))

    def call_later(self, *delays: float) -> None:
        for delay in delays:
            self.reactor.callLater(delay, self.note, delay)

    def clocks(self) -> tuple[float, float]:
        return self.reactor.seconds(), self.reactor.monotonic_seconds()


class ClockTests(ClockTestCase):
    def test_both_clocks_begin_at_virtual_time_and_go_with_it(self) -> None:
        self.assertEqual(self.clocks(), (0.0, 0.0))
        self.internet.run_for(2.5)
        self.assertEqual(self.clocks(), (2.5, 2.5))
        self.assertEqual(self.internet.add_host("late", "11.0.0.2").clock.wall(), 2.5)

    def test_drivers_go_by_the_monotonic_one(self) -> None:
        verifyObject(IMonotonicTime, self.reactor)
        clock = monotonic_clock(self.reactor)
        self.host.clock.step(100.0)
        self.internet.run_for(1.0)
        self.assertEqual(clock(), 1.0)

    def test_an_offset_is_of_the_wall_clock_alone(self) -> None:
        self.internet.run_for(1.0)
        self.host.clock.skew(TEN_YEARS)
        self.assertEqual(self.clocks(), (TEN_YEARS + 1.0, 1.0))
        self.host.clock.skew(-5.0)
        self.assertEqual(self.clocks(), (-4.0, 1.0))

    def test_a_rate_is_of_both(self) -> None:
        self.host.clock.skew(3.0, rate=1.5)
        self.internet.run_for(2.0)
        self.assertEqual(self.clocks(), (6.0, 3.0))
        self.assertEqual(self.host.clock.rate, 1.5)

    def test_other_hosts_have_clocks_of_their_own(self) -> None:
        other = self.internet.add_host("other", "11.0.0.2")
        self.host.clock.step(5.0)
        self.assertEqual(other.reactor.seconds(), 0.0)

    def test_a_call_is_late_or_early_by_the_rate(self) -> None:
        self.host.clock.skew(rate=2.0)
        self.call_later(1.0)
        self.internet.run_for(2.0)
        self.assertEqual(self.called, [(0.5, 1.0)])

    def test_a_step_on_makes_calls_due_in_their_order(self) -> None:
        self.call_later(3.0, 2.0, 9.0)
        self.internet.run_for(1.0)
        self.host.clock.step(4.0)
        self.internet.run_for(10.0)
        self.assertEqual(self.called, [(1.0, 2.0), (1.0, 3.0), (5.0, 9.0)])

    def test_a_step_back_puts_calls_off(self) -> None:
        self.call_later(2.0)
        self.internet.run_for(1.0)
        self.host.clock.step(-3_600.0)
        self.internet.run_for(3_500.0)
        self.assertEqual(self.called, [])
        self.internet.run_for(102.0)
        self.assertEqual(self.called, [(3_602.0, 2.0)])

    def test_a_call_that_was_moved_is_stepped_too(self) -> None:
        call = self.reactor.callLater(2.0, self.note)
        call.reset(8.0)
        self.host.clock.step(3.0)
        self.internet.run_for(10.0)
        self.assertEqual(self.called, [(5.0, None)])

    def test_a_cancelled_call_is_not_made_after_a_step(self) -> None:
        self.reactor.callLater(2.0, self.note).cancel()
        self.host.clock.step(3.0)
        self.internet.run_for(10.0)
        self.assertEqual(self.called, [])

    def test_a_deadline_is_reached_by_any_clock(self) -> None:
        """Waiting again for what is left must come to an end though no digit is left for it."""

        def wait(deadline: float) -> None:
            self.turns += 1
            left = deadline - self.reactor.monotonic_seconds()
            if left > 0 and self.turns < 100:
                self.reactor.callLater(left, wait, deadline)

        for offset, rate in [(TEN_YEARS, 1.0), (-TEN_YEARS, 0.7), (1e12, 1.000_1)]:
            self.host.sleep(1e5)
            self.internet.run_for(1e5)
            self.host.clock.skew(offset, rate)
            self.turns = 0
            wait(self.reactor.monotonic_seconds() + 0.1)
            self.internet.run_for(1.0)
            self.assertLess(self.turns, 10)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_delay_that_is_lost_in_rounding_is_one_all_the_same(self) -> None:
        self.internet.run_for(1e6)
        self.reactor.callLater(1e-13, self.fail).cancel()
        self.reactor.callLater(1e-13, self.note)
        self.internet.run_for(0.0)
        self.assertEqual(self.called, [])
        self.internet.run_for(1e-9)
        self.assertEqual(len(self.called), 1)


class Ears(DatagramProtocol):
    noisy = False

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.refused = 0

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(datagram)

    def connectionRefused(self) -> None:
        self.refused += 1


class SleepTests(ClockTestCase):
    def test_the_monotonic_clock_stands_still(self) -> None:
        self.internet.run_for(1.0)
        self.host.sleep()
        self.internet.run_for(10.0)
        self.assertEqual(self.clocks(), (11.0, 1.0))
        self.host.wake()
        self.internet.run_for(1.0)
        self.assertEqual(self.clocks(), (12.0, 2.0))

    def test_overdue_calls_are_made_at_waking(self) -> None:
        self.call_later(3.0, 2.0, 9.0)
        self.host.sleep(5.0)
        self.assertTrue(self.host.is_asleep)
        self.internet.run_for(10.0)
        self.assertFalse(self.host.is_asleep)
        self.assertEqual(self.called, [(5.0, 2.0), (5.0, 3.0), (9.0, 9.0)])

    def test_a_second_sleep_has_its_own_end(self) -> None:
        self.host.sleep(5.0)
        self.internet.run_for(1.0)
        self.host.wake()
        self.host.wake()
        self.internet.run_for(1.0)
        self.host.sleep(6.0)
        self.internet.run_for(5.9)
        self.assertTrue(self.host.is_asleep)
        self.internet.run_for(0.2)
        self.assertFalse(self.host.is_asleep)

    def test_the_clock_can_be_set_in_sleep(self) -> None:
        self.call_later(20.0)
        self.host.sleep(5.0)
        self.host.clock.step(18.0)
        self.internet.run_for(10.0)
        self.assertEqual(self.called, [(5.0, 20.0)])
        self.assertEqual(self.clocks(), (28.0, 5.0))

    def test_packets_are_lost(self) -> None:
        ears, other = Ears(), self.internet.add_host("other", "11.0.0.2")
        self.reactor.listenUDP(9, ears)
        mouth = other.reactor.listenUDP(9, Ears())
        mouth.write(b"late", ("11.0.0.1", 9))
        self.host.sleep(1.0)
        self.internet.run_for(2.0)
        mouth.write(b"awake", ("11.0.0.1", 9))
        self.internet.run_for(2.0)
        self.assertEqual(ears.heard, [b"awake"])
        fates = [(entry.fate, entry.place) for entry in self.internet.log]
        self.assertEqual(fates, [("asleep", "host"), ("delivered", "host")])

    def test_nothing_is_sent_and_no_error_is_heard(self) -> None:
        ears = Ears()
        port = self.reactor.listenUDP(9, ears)
        port.connect("11.0.0.2", 9)
        self.internet.add_host("other", "11.0.0.2")
        port.write(b"before")
        self.host.sleep()
        port.write(b"asleep")
        self.internet.run_for(1.0)
        self.assertEqual([entry.fate for entry in self.internet.log], ["asleep", "refused"])
        self.assertEqual(ears.refused, 0)

    def test_the_system_goes_on_where_it_was(self) -> None:
        at = self.host.schedule.at
        for time in (1.0, 2.0, 9.0):
            at(time, self.note, time)
        self.host.sleep(5.0)
        self.internet.run_for(10.0)
        self.assertEqual(self.called, [(5.0, 1.0), (5.0, 2.0), (9.0, 9.0)])

    def test_falling_asleep_while_overdue_calls_are_made_keeps_the_rest(self) -> None:
        at = self.host.schedule.at
        at(1.0, lambda _: self.host.sleep(3.0), None)
        at(1.5, self.note, "rest")
        self.host.sleep(2.0)
        self.internet.run_for(10.0)
        self.assertEqual(self.called, [(5.0, "rest")])


class ErrorTests(ClockTestCase):
    def test_errors_other_than_a_refusal_are_not_told(self) -> None:
        ears = Ears()
        port = self.reactor.listenUDP(9, ears)
        port.connect("11.0.0.2", 9)
        sent: list[Packet] = []
        self.patch(self.host, "send", sent.append)
        port.write(b"")
        assert sent[0].icmp_error is not None
        self.assertEqual(sent[0].destination, HostPort("11.0.0.2", 9))
        for error in ICMPError:
            sent[0].icmp_error(error)
        self.assertEqual(ears.refused, 1)
