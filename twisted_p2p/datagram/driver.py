"""The one driver: runs any machine of five names on any Twisted reactor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_p2p.datagram.clocks import IMonotonicTime, WallClockWatch, monotonic_clock
from twisted_p2p.datagram.machine import Address, DatagramMachine, Datagrams

__all__ = ["IMonotonicTime", "MachineDriver", "monotonic_clock"]

EventT = TypeVar("EventT")


def one_by_one(send: Callable[[bytes, Any], object]) -> Callable[[Datagrams], None]:
    """Return what sends all datagrams of a turn by sending each."""

    def send_all(datagrams: Datagrams) -> None:
        for data, addr in datagrams:
            send(data, addr)

    return send_all


class MachineDriver(Generic[EventT]):
    """Feeds a machine, sends what it wants sent, tells its events and keeps its timer.

    There is at most one delayed call for the machine's deadline and one, without delay, for the
    burst of datagrams being received.  Everything may be called from within ``on_event``.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        machine: DatagramMachine[EventT],
        send: Callable[[Datagrams], object],
        on_event: Callable[[EventT], object],
        *,
        sends_first: bool = False,
    ) -> None:
        """Take a machine, how to send its datagrams, and whom to tell its events.

        ``send`` gets all datagrams of one moment at once; `one_by_one` makes it of what sends one.

        With ``sends_first`` what the machine has to send leaves before what it tells, for where
        the one opens the way for what follows from the other; otherwise both leave together.
        """
        self.now = monotonic_clock(reactor)
        """Returns the time that every command of the machine must be given."""
        self._reactor = reactor
        self._watch = WallClockWatch.of(reactor)
        self._watch.tell(self._wall_clock_set_back)
        self._machine = machine
        self._send = send
        self._on_event = on_event
        self._sends_first = sends_first
        self._timer: IDelayedCall | None = None
        self._timer_deadline = 0.0
        self._flush: IDelayedCall | None = None
        self._pumping = False
        self._stopped = False

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Give the machine a datagram; its answers leave in this turn of the reactor."""
        self.datagrams_received((data,), addr)

    def datagrams_received(self, datagrams: Iterable[bytes], addr: Address) -> None:
        """Give the machine datagrams that arrived together, in order."""
        if self._stopped:
            return
        now = self.now()
        for data in datagrams:
            self._machine.receive_datagram(data, addr, now)
        # Not at once: a socket hands over many datagrams in one turn, and one flush for all of
        # them means one acknowledgement and one round of events instead of many.  QUIC over
        # loopback was two to three times as fast for it.
        self.pump_soon()

    def pump_soon(self) -> None:
        """Pump once before the reactor waits again, however often this is called until then."""
        if self._flush is None and not self._stopped:
            self._flush = self._reactor.callLater(0, self._flush_now)

    def pump(self) -> None:
        """Tell events, send datagrams and set the timer; wanted after a command to the machine.

        Within ``on_event`` this does nothing, as the pump that told the event goes on.
        """
        if self._pumping or self._stopped:
            return
        self._pumping = True
        try:
            if self._sends_first:
                self._send_datagrams()
            self._tell_events()
            self._send_datagrams()
            while self._tell_events():
                self._send_datagrams()
        finally:
            self._pumping = False
        self._set_timer()
        self._watch.look()

    def stop(self) -> None:
        """Send the machine's last datagrams, tell no more events and leave no delayed call."""
        if self._stopped:
            return
        self._send_datagrams()
        self._stopped = True
        for call in (self._timer, self._flush):
            if call is not None:
                call.cancel()
        self._timer = self._flush = None

    def _flush_now(self) -> None:
        self._flush = None
        self.pump()

    def _tell_events(self) -> bool:
        """Tell all events and return whether there was any."""
        told = False
        while not self._stopped and (event := self._machine.next_event()) is not None:
            told = True
            try:
                self._on_event(event)
            except Exception:
                # Whoever took the event is broken; the machine, its timer and its peer are not.
                self._log.failure("The receiver of {event!r} failed", event=event)
        return told

    def _send_datagrams(self) -> None:
        if self._stopped:
            return
        datagrams = self._machine.datagrams_to_send(self.now())
        if datagrams:
            self._send(datagrams)

    def _set_timer(self) -> None:
        if self._stopped:
            return
        deadline = self._machine.get_timer()
        if deadline is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        if self._timer is not None:
            # A deadline that moved away costs nothing: the call finds that it came too early.
            if self._timer_deadline <= deadline:
                return
            self._timer.cancel()
        self._timer_deadline = deadline
        delay = max(0.0, deadline - self.now())
        self._timer = self._reactor.callLater(delay, self._timer_fired)

    def _wall_clock_set_back(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._set_timer()

    def _timer_fired(self) -> None:
        self._timer = None
        deadline = self._machine.get_timer()
        now = self.now()
        if deadline is not None and deadline <= now:
            self._machine.handle_timer(now)
        self.pump()
