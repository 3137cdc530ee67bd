"""The clocks of a reactor: which one machines go by, and what to do when the other one is set."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakMethod

from twisted.internet.interfaces import IReactorTime
from twisted.python import runtime
from zope.interface import Interface

_NOTICED: Final = 1.0


class IMonotonicTime(Interface):
    """A reactor whose `seconds` is a wall clock, and that has a monotonic one too."""

    def monotonic_seconds() -> float:
        """Return seconds that no setting of the wall clock changes."""


def monotonic_clock(reactor: IReactorTime) -> Callable[[], float]:
    """Return the clock, in seconds, that all machines on this reactor go by.

    Twisted's own reactors tell the wall clock, and a step of that may expire nothing.  A reactor
    of virtual time that is no `IMonotonicTime` tells the only time that tests can move.
    """
    if IMonotonicTime.providedBy(reactor):
        return IMonotonicTime(reactor).monotonic_seconds
    # Typed as Any because to mypy a static function and a method of an interface never meet.
    seconds: Any = reactor.seconds
    return time.monotonic if seconds is runtime.seconds else seconds


class WallClockWatch:
    """Tells everyone on a reactor that its wall clock was set back by a second or more.

    A delayed call waits for the wall clock, so after that it would come too late by as much.
    Nothing tells of such a step; it is noticed when somebody looks.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._seconds = reactor.seconds
        self._monotonic = monotonic_clock(reactor)
        self._ahead = self._seconds() - self._monotonic()
        self._set_back: dict[int, WeakMethod[Callable[[], object]]] = {}
        self._numbers = count()

    @classmethod
    def of(cls, reactor: IReactorTime) -> WallClockWatch:
        """Return the only one of a reactor."""
        watch = _watches.get(reactor)
        if watch is None:
            watch = _watches[reactor] = cls(reactor)
        return watch

    def tell(self, set_back: Callable[[], object]) -> None:
        """Call a method whenever the clock was set back, for as long as its object lives."""
        number = next(self._numbers)
        self._set_back[number] = WeakMethod(set_back, lambda _: self._set_back.pop(number))

    def look(self) -> None:
        """Compare the clocks, which costs little."""
        ahead = self._seconds() - self._monotonic()
        behind, self._ahead = self._ahead - ahead, ahead
        if behind >= _NOTICED:
            for reference in list(self._set_back.values()):
                if (set_back := reference()) is not None:
                    set_back()


class MonotonicCall:
    """A delayed call that waits for the monotonic clock, however the other one is set."""

    def __init__(self, reactor: IReactorTime, delay: float, function: Callable[[], object]) -> None:
        """Have a function called in ``delay`` seconds."""
        self._reactor = reactor
        self._function = function
        self._now = monotonic_clock(reactor)
        self._due = self._now() + delay
        self._call = reactor.callLater(delay, self._called)
        WallClockWatch.of(reactor).tell(self._wait_anew)

    def cancel(self) -> None:
        """Do not call the function.

        :raises AlreadyCalled: when it was called, as of any delayed call.
        """
        self._call.cancel()

    def _wait_anew(self) -> None:
        if self._call.active():
            self._call.reset(max(0.0, self._due - self._now()))

    def _called(self) -> None:
        left = self._due - self._now()
        if left > 0:
            self._call = self._reactor.callLater(left, self._called)
        else:
            self._function()


_watches: WeakKeyDictionary[IReactorTime, WallClockWatch] = WeakKeyDictionary()
