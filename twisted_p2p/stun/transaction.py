"""The client side of STUN requests: sent again until answered or given up (RFC 8489, section 6.2).

`ClientTransactions` is a part that machines are composed of: its owner hands it time and
responses, and hands on what it wants sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from attrs import define, frozen

from twisted_p2p.datagram.machine import Address, Datagrams, TimerTable

ContextT = TypeVar("ContextT")


@frozen
class RetransmissionSchedule:
    """The schedule of RFC 8489, section 6.2.1: each wait twice the one before, but the last.

    As it stands a request is sent at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 seconds and has timed
    out at 39.5.  On a stream nothing is sent twice, so there the count is 1 (section 6.2.2).
    """

    initial_timeout: float = 0.5
    """Seconds (RTO) from the first to the second time."""

    request_count: int = 7
    """How often (Rc) the request is sent in all."""

    last_multiplier: float = 16
    """How many initial timeouts (Rm) the last wait is."""

    @property
    def waits(self) -> tuple[float, ...]:
        """The seconds to wait after each time that the request is sent."""
        return (
            *(self.initial_timeout * 2**number for number in range(self.request_count - 1)),
            self.initial_timeout * self.last_multiplier,
        )


RFC_SCHEDULE = RetransmissionSchedule()
"""The schedule with the numbers that the RFC gives."""


@define
class _Transaction(Generic[ContextT]):
    data: bytes
    addr: Address
    waits: Sequence[float]
    context: ContextT
    sent: int = 0


class ClientTransactions(Generic[ContextT]):
    """The requests of one machine that wait for a response, each with a context of the owner's.

    All times are seconds of the owner's clock.
    """

    def __init__(self) -> None:
        self._transactions: dict[bytes, _Transaction[ContextT]] = {}
        self._timers: TimerTable[bytes] = TimerTable()
        self._to_send: dict[bytes, None] = {}

    def start(
        self,
        data: bytes,
        transaction_id: bytes,
        addr: Address,
        now: float,
        *,
        context: ContextT,
        schedule: RetransmissionSchedule = RFC_SCHEDULE,
    ) -> None:
        """Send a request now, and again as ``schedule`` says until it is answered.

        Raises `ValueError` when a request with this transaction ID is already waiting.
        """
        if transaction_id in self._transactions:
            raise ValueError("this transaction ID is in use")
        self._transactions[transaction_id] = _Transaction(data, addr, schedule.waits, context)
        self._transmit(transaction_id, now)

    def response_received(self, transaction_id: bytes, addr: Address | None) -> ContextT | None:
        """End the transaction that a response belongs to, and return its context.

        Returns None for a response to nothing that waits here and for one that came along
        another path than its request went; ``addr`` None is for the owner that allows that.
        """
        transaction = self._transactions.get(transaction_id)
        if transaction is None or (addr is not None and addr != transaction.addr):
            return None
        self.cancel(transaction_id)
        return transaction.context

    def cancel(self, transaction_id: bytes) -> None:
        """Forget a transaction, whether it is there or not; nothing more of it is sent."""
        self._transactions.pop(transaction_id, None)
        self._timers.clear(transaction_id)

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` is wanted, or None."""
        return self._timers.earliest()

    def handle_timer(self, now: float) -> list[ContextT]:
        """Do what is due; return the contexts of the transactions that have just timed out."""
        timed_out = []
        for transaction_id in self._timers.pop_due(now):
            transaction = self._transactions[transaction_id]
            if transaction.sent < len(transaction.waits):
                self._transmit(transaction_id, now)
            else:
                del self._transactions[transaction_id]
                timed_out.append(transaction.context)
        return timed_out

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the datagrams to send now."""
        waiting = [self._transactions.get(transaction_id) for transaction_id in self._to_send]
        self._to_send.clear()
        return [(one.data, one.addr) for one in waiting if one is not None]

    def _transmit(self, transaction_id: bytes, now: float) -> None:
        # The next wait runs from now, not from the last deadline: a host that slept sends one
        # request on waking, not all those that it missed.
        transaction = self._transactions[transaction_id]
        self._timers.set(transaction_id, now + transaction.waits[transaction.sent])
        transaction.sent += 1
        self._to_send[transaction_id] = None
