"""One node's questions to one tracker, and which of the arriving answers belong to them.

A tracker is believed only as far as its path and a transaction ID of 96 random bits show that the
answer is its own; anything else is counted and dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import evolve, frozen

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import ErrorCode
from twisted_p2p.stun.message import MessageClass, STUNMessage
from twisted_p2p.stun.transaction import ClientTransactions, RetransmissionSchedule
from twisted_p2p.tracker.attributes import BAD_REQUEST, KNOWN_ATTRIBUTES, MAXIMUM_ADDRESSES
from twisted_p2p.tracker.messages import (
    CookieRequest,
    Failure,
    Indication,
    Introduced,
    Request,
    Response,
    read_indication,
    read_response,
)
from twisted_p2p.tracker.wire import read_message

ContextT = TypeVar("ContextT")
AddressesT = TypeVar("AddressesT", bound=Introduced | Indication)

PROMPT = RetransmissionSchedule(0.25, 5, 5)
"""While a user waits: sent at 0, 0.25, 0.75, 1.75 and 3.75 s, given up at 5.

RFC 8489 begins at 0.5 s and gives up at 39.5 s, to be kind to a slow network.  Here nearly every
round trip is under 250 ms, so a lost packet costs a user a quarter of a second; a satellite's
600 ms costs two small packets too many; and nobody waits 39 s to read that a tracker is dead.
Doubling keeps it polite all the same, and four losses in a row are one in 5,000 at 12 % loss.
"""

QUIET = RetransmissionSchedule(1.0, 3, 2)
"""While nobody waits: sent at 0, 1 and 3 s; three unanswered, a tracker counts as dead at 5 s."""

LEAVING = RetransmissionSchedule(0.25, 3, 4)
"""Sent at 0, 0.25 and 0.75 s, given up at 1.75: a program that ends does not wait for long."""


class _Dropped(Exception):
    """A datagram is not taken; the text is the reason that is counted."""


@frozen
class _Sent(Generic[ContextT]):
    method: int
    context: ContextT


class TrackerExchange(Generic[ContextT]):
    """The part of a machine that sends requests to a tracker and reads what comes back.

    ``path`` is the way to the tracker, None while there is none; then nothing may be sent.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], *, on_a_stream: bool) -> None:
        self.path: DatagramPath | None = None
        self.dropped: Counter[str] = Counter()
        self._random_bytes = random_bytes
        self._on_a_stream = on_a_stream
        self._transactions: ClientTransactions[_Sent[ContextT]] = ClientTransactions()

    def ask(
        self,
        request: Request | CookieRequest,
        now: float,
        *,
        context: ContextT,
        schedule: RetransmissionSchedule = PROMPT,
    ) -> bytes:
        """Send a request; return the transaction ID by which `forget` knows it.

        Raises `ValueError` when a value does not fit into the request.
        """
        transaction_id = self._random_bytes(12)
        self._transactions.start(
            request.encode(transaction_id),
            transaction_id,
            self.path,
            now,
            context=_Sent(request.method, context),
            schedule=_once(schedule) if self._on_a_stream else schedule,
        )
        return transaction_id

    def lose_path(self) -> None:
        """Forget the path and every request that went along it."""
        self.path = None
        self._transactions = ClientTransactions()

    def forget(self, transaction_id: bytes) -> None:
        """Want no answer any more; harmless when there was one."""
        self._transactions.cancel(transaction_id)

    def read(self, data: bytes, addr: Address) -> tuple[ContextT, Response] | Indication | None:
        """Return a response with its request's context, an indication, or None for neither."""
        try:
            if self.path is None or addr != self.path:
                raise _Dropped("not from the tracker")
            return self._read(read_message(data))
        except MalformedMessage:
            self.dropped["malformed"] += 1
        except _Dropped as dropped:
            self.dropped[str(dropped)] += 1
        return None

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` is wanted, or None."""
        return self._transactions.get_timer()

    def handle_timer(self, now: float) -> list[ContextT]:
        """Send again what is due; return the contexts of requests that are now given up."""
        return [sent.context for sent in self._transactions.handle_timer(now)]

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the datagrams to send now."""
        return self._transactions.datagrams_to_send(now)

    def _read(self, message: STUNMessage) -> tuple[ContextT, Response] | Indication:
        if message.unknown_required(KNOWN_ATTRIBUTES):
            raise _Dropped("unknown attribute")
        if message.message_class is MessageClass.INDICATION:
            return _shortened(read_indication(message))
        response = read_response(message)
        sent = self._transactions.response_received(message.transaction_id, self.path)
        if sent is None:
            raise _Dropped("unexpected")
        if sent.method != message.method:
            # Only the tracker itself knew the transaction ID, so nothing better will come.
            return sent.context, Failure(sent.method, ErrorCode(BAD_REQUEST))
        return sent.context, _shortened(response) if isinstance(response, Introduced) else response


def _once(schedule: RetransmissionSchedule) -> RetransmissionSchedule:
    """Return the schedule for a stream, which sends again by itself: given up just as early."""
    return RetransmissionSchedule(sum(schedule.waits), 1, 1)


def _shortened(told: AddressesT) -> AddressesT:
    """Return what a tracker told with no more addresses than an honest one tells."""
    return evolve(told, addresses=told.addresses[:MAXIMUM_ADDRESSES])
