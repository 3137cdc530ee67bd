"""Several trackers are asked the same: the first that helps decides, or all their errors do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twisted_p2p.errors import P2PError, PeerOffline, PeerRefused, TrackerBusy, TrackerUnreachable

T = TypeVar("T")

GRACE = 2.0
"""Seconds that the others have once a tracker has said no: one that is alive needs much less, and
a user need not wait for a dead one to read that a peer is offline.
"""


def first_success(
    reactor: IReactorTime, attempts: Sequence[Deferred[T]], *, cancel_rest: bool = True
) -> Deferred[T]:
    """Return a Deferred of the first success.

    Without one it fails with `PeerRefused` if a tracker said so, with `TrackerBusy` if one was,
    with `PeerOffline` if all that answered said so, and else with `TrackerUnreachable`.  Attempts
    that are still under way then are cancelled; after a success, only if ``cancel_rest``.
    """
    return _Race(reactor, attempts, cancel_rest).result


class _Race(Generic[T]):
    def __init__(
        self, reactor: IReactorTime, attempts: Sequence[Deferred[T]], cancel_rest: bool
    ) -> None:
        self.result: Deferred[T] = Deferred(lambda _: self._end(cancel_rest=True))
        self._reactor = reactor
        self._cancel_rest = cancel_rest
        self._running = list(attempts)
        self._errors: list[BaseException] = []
        self._grace: IDelayedCall | None = None
        self._is_over = False
        for attempt in attempts:
            attempt.addCallbacks(
                self._succeeded, self._failed, callbackArgs=(attempt,), errbackArgs=(attempt,)
            )
        if not attempts:
            self._fail()

    def _succeeded(self, value: T, attempt: Deferred[T]) -> None:
        self._running.remove(attempt)
        if not self._is_over:
            self._end(cancel_rest=self._cancel_rest)
            self.result.callback(value)

    def _failed(self, failure: Failure, attempt: Deferred[T]) -> None:
        self._running.remove(attempt)
        if self._is_over:
            return
        assert failure.value is not None
        self._errors.append(failure.value)
        if not self._running:
            self._fail()
        elif self._grace is None and not isinstance(failure.value, TrackerUnreachable):
            self._grace = self._reactor.callLater(GRACE, self._grace_over)

    def _grace_over(self) -> None:
        self._grace = None
        self._fail()

    def _fail(self) -> None:
        self._end(cancel_rest=True)
        self.result.errback(_combined(self._errors))

    def _end(self, *, cancel_rest: bool) -> None:
        self._is_over = True
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        if cancel_rest:
            for attempt in list(self._running):
                attempt.cancel()


def _combined(errors: list[BaseException]) -> BaseException:
    """Return the error that says most; one that is none of ours is a fault and says most of all."""
    for error in errors:
        if not isinstance(error, P2PError):
            return error
    for kind in (PeerRefused, TrackerBusy, PeerOffline, P2PError):
        for error in errors:
            if isinstance(error, kind):
                return error
    return TrackerUnreachable("This node knows no tracker; name one.")
