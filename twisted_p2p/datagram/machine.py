"""The five names that every protocol machine of this package has, and its timers.

A machine gets bytes, addresses and ``now`` and returns datagrams, one deadline and events.  It
never sleeps, never calls back and never reads a clock, so the same machine runs on a socket, in a
simulated internet and under a property test.  The names are those of the QUIC library's
connection, so one driver runs everything.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

Address = Hashable
"""An opaque path; see `twisted_p2p.addresses.DatagramPath`."""

Datagrams = list[tuple[bytes, Address]]
"""What a machine wants sent: pairs of payload and address, in order."""

EventT_co = TypeVar("EventT_co", covariant=True)
TimerT = TypeVar("TimerT", bound=Hashable)


class DatagramMachine(Protocol[EventT_co]):
    """A protocol without input or output of its own.

    All times are seconds of one monotonic clock of the caller's choice.
    """

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        """Take one datagram that arrived along ``addr``; bad ones are counted and dropped."""

    def handle_timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` is wanted, or None."""

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the datagrams to send now."""

    def next_event(self) -> EventT_co | None:
        """Return the next thing that happened, or None."""


class TimerTable(Generic[TimerT]):
    """The deadlines of one machine, by name; the earliest is the machine's `get_timer`."""

    def __init__(self) -> None:
        self._deadlines: dict[TimerT, float] = {}

    def set(self, name: TimerT, deadline: float) -> None:
        """Set or move the deadline of a timer."""
        self._deadlines[name] = deadline

    def clear(self, name: TimerT) -> None:
        """Forget a timer, set or not."""
        self._deadlines.pop(name, None)

    def earliest(self) -> float | None:
        """Return the earliest deadline, or None when no timer is set."""
        return min(self._deadlines.values(), default=None)

    def pop_due(self, now: float) -> list[TimerT]:
        """Forget and return the timers that are due, earliest first."""
        due = sorted(
            (name for name, deadline in self._deadlines.items() if deadline <= now),
            key=self._deadlines.__getitem__,
        )
        for name in due:
            del self._deadlines[name]
        return due
