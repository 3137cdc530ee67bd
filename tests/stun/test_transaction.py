"""Client transactions in virtual time: sent again as scheduled, ended once, never after."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.stun.transaction import (
    RFC_SCHEDULE,
    ClientTransactions,
    RetransmissionSchedule,
)

SERVER = HostPort("192.0.2.1", 3478)
OTHER = HostPort("192.0.2.2", 3478)
ONCE = RetransmissionSchedule(39.5, 1, 1)
ONE, TWO = bytes(12), bytes(11) + b"\1"


class ScheduleTests(SynchronousTestCase):
    def test_rfc_schedule_doubles_and_ends_with_sixteen_timeouts(self) -> None:
        self.assertEqual(RFC_SCHEDULE.waits, (0.5, 1, 2, 4, 8, 16, 8))
        self.assertEqual(sum(RFC_SCHEDULE.waits), 39.5)

    def test_schedule_follows_its_numbers(self) -> None:
        schedule = RetransmissionSchedule(0.1, 3, 5)
        self.assertEqual(schedule.waits, (0.1, 0.2, 0.5))

    def test_request_on_a_stream_is_sent_once(self) -> None:
        self.assertEqual(ONCE.waits, (39.5,))


class ClientTransactionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.transactions: ClientTransactions[str] = ClientTransactions()

    def run_to_end(self) -> list[tuple[float, bytes]]:
        """Let time pass from deadline to deadline; return what was sent when."""
        sent = [(0.0, data) for data, _ in self.transactions.datagrams_to_send(0.0)]
        self.timed_out: list[tuple[float, str]] = []
        while (now := self.transactions.get_timer()) is not None:
            self.timed_out += [(now, context) for context in self.transactions.handle_timer(now)]
            sent += [(now, data) for data, _ in self.transactions.datagrams_to_send(now)]
        return sent

    def test_request_is_sent_at_the_times_of_the_rfc_and_times_out(self) -> None:
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        self.assertEqual(
            self.run_to_end(),
            [(at, b"request") for at in (0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5)],
        )
        self.assertEqual(self.timed_out, [(39.5, "one")])
        self.assertIsNone(self.transactions.response_received(ONE, SERVER))

    def test_request_goes_to_its_address_once_per_asking(self) -> None:
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        self.assertEqual(self.transactions.datagrams_to_send(0.0), [(b"request", SERVER)])
        self.assertEqual(self.transactions.datagrams_to_send(0.0), [])

    def test_response_ends_the_transaction_and_gives_its_context(self) -> None:
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        self.assertEqual(self.transactions.response_received(ONE, SERVER), "one")
        self.assertIsNone(self.transactions.response_received(ONE, SERVER))
        self.assertEqual(self.run_to_end(), [])
        self.assertEqual(self.timed_out, [])

    def test_response_from_elsewhere_ends_nothing(self) -> None:
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        self.assertIsNone(self.transactions.response_received(ONE, OTHER))
        self.assertIsNone(self.transactions.response_received(TWO, SERVER))
        self.assertEqual(self.transactions.response_received(ONE, SERVER), "one")

    def test_owner_may_take_a_response_from_anywhere(self) -> None:
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        self.assertEqual(self.transactions.response_received(ONE, None), "one")

    def test_cancelled_request_is_not_sent(self) -> None:
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        self.transactions.cancel(ONE)
        self.transactions.cancel(ONE)
        self.assertEqual(self.run_to_end(), [])

    def test_transaction_id_is_used_once_at_a_time(self) -> None:
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        with self.assertRaises(ValueError):
            self.transactions.start(b"another", ONE, SERVER, 0.0, context="two")
        self.transactions.cancel(ONE)
        self.transactions.start(b"another", ONE, SERVER, 0.0, context="two")
        self.assertEqual(self.transactions.datagrams_to_send(0.0), [(b"another", SERVER)])

    def test_schedule_is_the_requests_own(self) -> None:
        fast = RetransmissionSchedule(0.1, 2, 3)
        self.transactions.start(b"fast", ONE, SERVER, 0.0, context="fast", schedule=fast)
        self.transactions.start(b"once", TWO, SERVER, 0.0, context="once", schedule=ONCE)
        self.assertEqual(self.run_to_end(), [(0.0, b"fast"), (0.0, b"once"), (0.1, b"fast")])
        self.assertEqual(
            [(round(at, 9), context) for at, context in self.timed_out],
            [(0.4, "fast"), (39.5, "once")],
        )

    def test_host_that_slept_sends_once_on_waking(self) -> None:
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        self.transactions.datagrams_to_send(0.0)
        self.assertEqual(self.transactions.handle_timer(600.0), [])
        self.assertEqual(self.transactions.datagrams_to_send(600.0), [(b"request", SERVER)])
        self.assertEqual(self.transactions.get_timer(), 601.0)

    def test_timer_that_comes_early_does_nothing(self) -> None:
        self.assertIsNone(self.transactions.get_timer())
        self.transactions.start(b"request", ONE, SERVER, 0.0, context="one")
        self.transactions.datagrams_to_send(0.0)
        self.assertEqual(self.transactions.handle_timer(0.4), [])
        self.assertEqual(self.transactions.datagrams_to_send(0.4), [])

    @given(timeout=st.floats(0.001, 10), count=st.integers(1, 10), multiplier=st.floats(0.1, 32))
    def test_every_request_is_sent_as_often_as_scheduled(
        self, timeout: float, count: int, multiplier: float
    ) -> None:
        self.transactions = ClientTransactions()
        schedule = RetransmissionSchedule(timeout, count, multiplier)
        self.transactions.start(b"", ONE, SERVER, 0.0, context="one", schedule=schedule)
        self.assertEqual(len(self.run_to_end()), count)
        self.assertEqual([context for _, context in self.timed_out], ["one"])
        self.assertAlmostEqual(self.timed_out[0][0], sum(schedule.waits))


class TransactionsMachine(RuleBasedStateMachine):
    """Every transaction that starts ends exactly once, whatever happens in between."""

    identifiers = st.integers(0, 4).map(lambda number: number.to_bytes(12, "big"))

    def __init__(self) -> None:
        super().__init__()
        self.transactions: ClientTransactions[int] = ClientTransactions()
        self.now = 0.0
        self.serial = 0
        self.live: dict[bytes, int] = {}
        self.sent: dict[int, int] = {}

    @rule(identifier=identifiers)
    def start(self, identifier: bytes) -> None:
        if identifier in self.live:
            return
        self.serial += 1
        self.live[identifier] = self.serial
        data = self.serial.to_bytes(4, "big")
        self.transactions.start(data, identifier, SERVER, self.now, context=self.serial)

    @rule(identifier=identifiers, addr=st.sampled_from([SERVER, OTHER, None]))
    def receive(self, identifier: bytes, addr: HostPort | None) -> None:
        expected = None if addr == OTHER else self.live.pop(identifier, None)
        assert self.transactions.response_received(identifier, addr) == expected

    @rule(identifier=identifiers)
    def cancel(self, identifier: bytes) -> None:
        self.transactions.cancel(identifier)
        self.live.pop(identifier, None)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 8.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for context in self.transactions.handle_timer(self.now):
            identifier = next(key for key, value in self.live.items() if value == context)
            del self.live[identifier]

    @rule()
    def send(self) -> None:
        for data, addr in self.transactions.datagrams_to_send(self.now):
            assert addr == SERVER
            serial = int.from_bytes(data, "big")
            assert serial in self.live.values()
            self.sent[serial] = self.sent.get(serial, 0) + 1
            assert self.sent[serial] <= 7

    @invariant()
    def waits_while_something_is_live(self) -> None:
        assert (self.transactions.get_timer() is None) == (not self.live)


class TransactionsStatefulTests(SynchronousTestCase):
    def test_any_sequence_of_events_keeps_the_account(self) -> None:
        run_state_machine_as_test(TransactionsMachine)
