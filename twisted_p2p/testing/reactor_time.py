"""The time of a simulated reactor: delayed calls by the wall clock, as in Twisted's reactors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nextafter
from typing import TYPE_CHECKING

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twisted_p2p.datagram.driver import IMonotonicTime
from twisted_p2p.testing.schedule import Schedule

if TYPE_CHECKING:
    from twisted_p2p.testing.host import SimulatedHost


class _HostCall(DelayedCall):
    """A delayed call that also knows its virtual time.

    Not its wall time decides: a wall clock far from zero tells no small differences.
    """

    due = 0.0


@implementer(IReactorTime, IMonotonicTime)
class SimulatedTimeReactor:
    """`IReactorTime` on one host."""

    _log = Logger()

    def __init__(self, host: SimulatedHost, schedule: Schedule) -> None:
        self._host = host
        self._schedule = schedule
        self._clock = host.clock
        host.clock.changed = self.time_changed
        self._calls: dict[_HostCall, None] = {}
        self._is_over = False

    def seconds(self) -> float:
        """Return what the wall clock of the host shows, in seconds."""
        return self._clock.wall()

    def monotonic_seconds(self) -> float:
        """Return what the monotonic clock of the host shows, in seconds."""
        return self._clock.monotonic()

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002  (as the interface has it)
        *args: object,
        **kwargs: object,
    ) -> IDelayedCall:
        """Call a function when the wall clock is ``delay`` seconds on."""
        assert delay >= 0, f"{delay} is not greater than or equal to 0 seconds"
        call = _HostCall(
            self._clock.wall() + delay,
            callable,
            args,
            kwargs,
            self._forget,
            self._await,
            self.seconds,
        )
        self._calls[call] = None
        now = self._schedule.now
        call.due = now + delay / self._clock.rate
        if call.due == now and delay:
            # Or a deadline that is almost there would be waited for in no time, forever.
            call.due = nextafter(now, inf)
        self._schedule.at(call.due, self._due, call)
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Return the calls that are pending on this host."""
        return list(self._calls)

    @property
    def is_over(self) -> bool:
        """Whether nothing runs here any more."""
        return self._is_over

    def time_changed(self) -> None:
        """Wait anew for what is pending: the wall clock was set, or the host has woken up."""
        for call in sorted(self._calls, key=DelayedCall.getTime):
            call.activate_delay()
            self._await(call)

    def _await(self, call: DelayedCall) -> None:
        assert isinstance(call, _HostCall)
        call.due = self._clock.time_of(call.time)
        self._schedule.at(call.due, self._due, call)

    def _forget(self, call: DelayedCall) -> None:
        assert isinstance(call, _HostCall)
        del self._calls[call]
        self._schedule.note_cancelled()

    def _due(self, call: _HostCall) -> None:
        if call not in self._calls or self._host.schedule.is_asleep or self._is_over:
            return
        if call.due > self._schedule.now:
            # It was put off by a step of the wall clock, and is waited for elsewhere.
            return
        if call.delayed_time:
            call.activate_delay()
            self._await(call)
            return
        del self._calls[call]
        call.called = 1
        try:
            call.func(*call.args, **call.kw)
        except Exception:
            self._log.failure("Unhandled error on the host {name}", name=self._host.name)
