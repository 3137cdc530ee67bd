"""Noticing that this host's network is another one: addresses, cables, and sleep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorFDSet

from twisted_p2p.addresses import NetworkInterface
from twisted_p2p.datagram.clocks import monotonic_clock
from twisted_p2p.datagram.netlink import NetlinkWatch
from twisted_p2p.datagram.network_interfaces import INetwork

SETTLING = 0.25
"""Seconds from the system's word until a look: one change of network comes as many."""

LOOK_INTERVAL = 4.0
"""Seconds between two looks at the clocks: a node is to be reached again 5 s after waking."""

POLL_INTERVAL = 15.0
"""Seconds between two looks at the interfaces, where the system tells nothing by itself."""

ASLEEP = 5.0
"""Seconds by which the wall clock must have outrun the other one to tell of sleep."""


class NetworkWatch:
    """Calls a function when interfaces, addresses or cables have changed, or the host has slept."""

    def __init__(
        self,
        reactor: Any,
        interfaces: Callable[[], Iterable[NetworkInterface]],
        changed: Callable[[], object],
    ) -> None:
        """Prepare; nothing happens before `start`."""
        self._reactor = reactor
        self._interfaces = interfaces
        self._changed = changed
        self._monotonic = monotonic_clock(reactor)
        self._stop_source: Callable[[], object] | None = None
        self._settled: IDelayedCall | None = None
        self._next_look: IDelayedCall | None = None
        self._known: list[NetworkInterface] = []
        self._link_came_up = False
        self._ahead = 0.0
        self._polled_at = 0.0

    def start(self) -> None:
        """Begin to watch."""
        self._known = list(self._interfaces())
        self._polled_at = self._monotonic()
        self._ahead = self._wall_ahead()
        self._stop_source = self._listen()
        self._next_look = self._reactor.callLater(LOOK_INTERVAL, self._look_at_clocks)

    def stop(self) -> None:
        """Watch no more; harmless when it was not begun."""
        if self._stop_source is not None:
            self._stop_source()
            self._stop_source = None
        for call in (self._settled, self._next_look):
            if call is not None:
                call.cancel()
        self._settled = self._next_look = None

    def _listen(self) -> Callable[[], object] | None:
        """Have the system tell of changes, and return how to end that, or None if it does not."""
        if INetwork.providedBy(self._reactor):
            end: Callable[[], object] = self._reactor.watch_network(self._woken)
            return end
        if sys.platform == "linux" and IReactorFDSet.providedBy(self._reactor):
            try:
                return NetlinkWatch(self._reactor, self._woken).stop
            except OSError:
                return None
        return None

    def _woken(self, link_came_up: bool) -> None:
        self._link_came_up = self._link_came_up or link_came_up
        if self._settled is None and self._next_look is not None:
            self._settled = self._reactor.callLater(SETTLING, self._has_settled)

    def _has_settled(self) -> None:
        self._settled = None
        link_came_up, self._link_came_up = self._link_came_up, False
        if self._has_other_interfaces() or link_came_up:
            self._changed()

    def _has_other_interfaces(self) -> bool:
        before, self._known = self._known, list(self._interfaces())
        self._polled_at = self._monotonic()
        return self._known != before

    def _look_at_clocks(self) -> None:
        self._next_look = self._reactor.callLater(LOOK_INTERVAL, self._look_at_clocks)
        before, self._ahead = self._ahead, self._wall_ahead()
        has_slept = self._ahead - before >= ASLEEP
        is_poll_due = (
            self._stop_source is None and self._monotonic() - self._polled_at >= POLL_INTERVAL
        )
        if has_slept or is_poll_due:
            # In any case, for what is known must be what is told of.
            has_others = self._has_other_interfaces()
            if has_slept or has_others:
                self._changed()

    def _wall_ahead(self) -> float:
        """Return how far the wall clock is ahead of the one that stands still during sleep."""
        seconds: float = self._reactor.seconds()
        return seconds - self._monotonic()
