"""One driver for every machine."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.datagram.driver import MachineDriver, one_by_one
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.testing import SimulatedInternet


class EchoMachine:
    """Answers each datagram after a delay, tells what it got, and notes how it was called."""

    def __init__(self, delay: float | None = None) -> None:
        self.delay = delay
        self.deadline: float | None = None
        self.events: list[object] = []
        self.outgoing: Datagrams = []
        self.received_at: list[float] = []
        self.timer_handled_at: list[float] = []
        self.flushes = 0

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        self.received_at.append(now)
        self.events.append(data)
        if self.delay is None:
            self.outgoing.append((data, addr))
        else:
            self.deadline = now + self.delay

    def handle_timer(self, now: float) -> None:
        self.timer_handled_at.append(now)
        self.deadline = None
        self.outgoing.append((b"timer", "nobody"))

    def get_timer(self) -> float | None:
        return self.deadline

    def datagrams_to_send(self, now: float) -> Datagrams:
        self.flushes += 1
        outgoing, self.outgoing = self.outgoing, []
        return outgoing

    def next_event(self) -> object | None:
        return self.events.pop(0) if self.events else None


class MachineDriverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: Datagrams = []
        self.told: list[object] = []

    def drive(
        self, machine: EchoMachine, on_event: Callable[[object], object] | None = None
    ) -> MachineDriver[object]:
        return MachineDriver(
            self.clock,
            machine,
            self.sent.extend,
            on_event or self.told.append,
        )

    def test_answers_leave_in_the_same_turn_of_the_reactor(self) -> None:
        self.clock.advance(5.0)
        machine = EchoMachine()
        self.drive(machine).datagram_received(b"hello", "there")
        self.clock.advance(0)
        self.assertEqual(machine.received_at, [5.0])
        self.assertEqual(self.sent, [(b"hello", "there")])
        self.assertEqual(self.told, [b"hello"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_burst_of_datagrams_is_flushed_once(self) -> None:
        machine = EchoMachine()
        driver = self.drive(machine)
        for number in range(100):
            driver.datagram_received(b"%d" % number, "there")
        self.clock.advance(0)
        self.assertEqual([data for data, _ in self.sent], [b"%d" % n for n in range(100)])
        self.assertEqual(machine.flushes, 1)

    def test_a_batch_of_datagrams_is_received_at_one_time_and_flushed_once(self) -> None:
        machine = EchoMachine()
        self.drive(machine).datagrams_received([b"one", b"two"], "there")
        self.clock.advance(0)
        self.assertEqual(machine.received_at, [0.0, 0.0])
        self.assertEqual(self.sent, [(b"one", "there"), (b"two", "there")])
        self.assertEqual(machine.flushes, 1)

    def test_what_sends_one_datagram_sends_all_in_order(self) -> None:
        send_all = one_by_one(lambda data, addr: self.sent.append((data, addr)))
        send_all([(b"one", "here"), (b"two", "there")])
        self.assertEqual(self.sent, [(b"one", "here"), (b"two", "there")])

    def test_pump_sends_what_a_command_asked_for_at_once(self) -> None:
        machine = EchoMachine()
        driver = self.drive(machine)
        machine.outgoing.append((b"command", "there"))
        driver.pump()
        self.assertEqual(self.sent, [(b"command", "there")])

    def test_the_timer_is_handled_at_its_deadline(self) -> None:
        machine = EchoMachine(delay=3.0)
        self.drive(machine).datagram_received(b"", "there")
        self.clock.pump([0, 2.5])
        self.assertEqual(machine.timer_handled_at, [])
        self.clock.advance(0.5)
        self.assertEqual(machine.timer_handled_at, [3.0])
        self.assertEqual(self.sent, [(b"timer", "nobody")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_deadline_that_moves_away_is_kept_with_one_delayed_call(self) -> None:
        machine = EchoMachine()
        driver = self.drive(machine)
        for deadline in (3.0, 5.0, 7.0):
            machine.deadline = deadline
            driver.pump()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([3.0, 3.0])
        self.assertEqual(machine.timer_handled_at, [])
        self.clock.advance(1.0)
        self.assertEqual(machine.timer_handled_at, [7.0])

    def test_a_deadline_that_comes_nearer_is_kept(self) -> None:
        machine = EchoMachine()
        driver = self.drive(machine)
        for deadline in (7.0, 2.0):
            machine.deadline = deadline
            driver.pump()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(2.0)
        self.assertEqual(machine.timer_handled_at, [2.0])

    def test_a_deadline_in_the_past_is_handled_at_once(self) -> None:
        self.clock.advance(5.0)
        machine = EchoMachine()
        machine.deadline = 1.0
        self.drive(machine).pump()
        self.clock.advance(0)
        self.assertEqual(machine.timer_handled_at, [5.0])

    def test_a_timer_given_up_leaves_no_delayed_call(self) -> None:
        machine = EchoMachine()
        driver = self.drive(machine)
        machine.deadline = 7.0
        driver.pump()
        machine.deadline = None
        driver.pump()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_timer_given_up_meanwhile_is_not_handled(self) -> None:
        machine = EchoMachine()
        driver = self.drive(machine)
        machine.deadline = 7.0
        driver.pump()
        machine.deadline = None
        self.clock.advance(7.0)
        self.assertEqual(machine.timer_handled_at, [])

    def test_a_receiver_of_events_may_command_and_pump(self) -> None:
        machine = EchoMachine()

        def answer(event: object) -> None:
            self.told.append(event)
            if len(self.told) < 3:
                machine.events.append("again")
                machine.outgoing.append((b"commanded", "there"))
                driver.pump()

        driver = self.drive(machine, answer)
        machine.events.append("first")
        driver.pump()
        self.assertEqual(self.told, ["first", "again", "again"])
        self.assertEqual(self.sent, [(b"commanded", "there")] * 2)

    def test_events_that_come_of_sending_are_told(self) -> None:
        machine = EchoMachine()
        driver = MachineDriver(self.clock, machine, machine.events.extend, self.told.append)
        machine.outgoing.append((b"loop", "there"))
        driver.pump()
        self.assertEqual(self.told, [(b"loop", "there")])

    def test_a_broken_receiver_of_events_stops_nothing(self) -> None:
        machine = EchoMachine(delay=1.0)

        def fail(event: object) -> None:
            raise LookupError(event)

        driver = self.drive(machine, fail)
        driver.datagram_received(b"one", "there")
        driver.datagram_received(b"two", "there")
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 2)
        self.clock.advance(1.0)
        self.assertEqual(self.sent, [(b"timer", "nobody")])

    def test_after_stop_nothing_happens(self) -> None:
        machine = EchoMachine()
        driver = self.drive(machine)
        machine.deadline = 7.0
        driver.pump()
        driver.datagram_received(b"before", "there")
        driver.stop()
        driver.stop()
        driver.datagram_received(b"after", "there")
        driver.pump_soon()
        driver.pump()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.told, [])
        self.assertEqual(len(machine.received_at), 1)

    def test_stop_sends_the_last_words(self) -> None:
        machine = EchoMachine()
        driver = self.drive(machine)
        machine.outgoing.append((b"goodbye", "there"))
        driver.stop()
        self.assertEqual(self.sent, [(b"goodbye", "there")])

    def test_stop_within_an_event_tells_no_more_of_them(self) -> None:
        machine = EchoMachine()

        def stop(event: object) -> None:
            self.told.append(event)
            machine.outgoing.append((b"goodbye", "there"))
            driver.stop()

        driver = self.drive(machine, stop)
        machine.events += ["first", "second"]
        machine.deadline = 7.0
        driver.pump()
        self.assertEqual(self.told, ["first"])
        self.assertEqual(self.sent, [(b"goodbye", "there")])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WallClockTests(SynchronousTestCase):
    """A driver's timer on a host whose wall clock is set."""

    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.host = self.internet.add_host("host", "11.0.0.1")
        self.machine, self.driver = self.drive()

    def drive(self) -> tuple[EchoMachine, MachineDriver[object]]:
        machine = EchoMachine(delay=10.0)
        driver = MachineDriver(
            self.host.reactor, machine, lambda datagrams: None, lambda event: None
        )
        driver.datagram_received(b"", "there")
        self.internet.run_for(1.0)
        return machine, driver

    def test_a_step_on_expires_nothing(self) -> None:
        self.host.clock.step(3_600.0)
        self.internet.run_for(8.9)
        self.assertEqual(self.machine.timer_handled_at, [])
        self.internet.run_for(0.2)
        self.assertEqual(self.machine.timer_handled_at, [10.0])

    def test_a_step_back_puts_nothing_off_once_anything_happens_on_the_reactor(self) -> None:
        other, other_driver = self.drive()
        self.host.clock.step(-3_600.0)
        other_driver.datagram_received(b"", "there")
        self.internet.run_for(10.0)
        self.assertEqual(self.machine.timer_handled_at, [10.0])
        self.assertEqual(len(other.timer_handled_at), 1)

    def test_a_driver_without_a_deadline_takes_no_notice(self) -> None:
        self.internet.run_for(20.0)
        self.assertEqual(self.machine.timer_handled_at, [10.0])
        self.host.clock.step(-3_600.0)
        self.driver.pump()
        self.assertEqual(self.host.reactor.getDelayedCalls(), [])
