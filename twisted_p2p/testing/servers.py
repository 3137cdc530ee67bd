"""Servers on the simulated internet: the real machines, on simulated hosts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.tracker.datagrams import TrackerServerDatagramProtocol
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits
from twisted_p2p.tracker.streams import TrackerServerFactory
from twisted_p2p.tracker.tracker import Tracker

TRACKER_PORT = 3478


class SimulatedTracker:
    """The tracker that `twistd p2ptracker` runs, on port 3478 of a host's addresses.

    Nodes reach it by UDP, and over TCP streams as well.
    """

    make_tracker: Callable[..., Tracker] = Tracker
    """Makes what serves, given the arguments of `Tracker`."""

    def __init__(
        self,
        host: SimulatedHost,
        *,
        limits: TrackerLimits = DEFAULT_LIMITS,
        public_hosts: Collection[str] = (),
    ) -> None:
        self.host = host
        self._limits = limits
        self._public_hosts = public_hosts
        self._ports: list[Any] = []
        self._restart: IDelayedCall | None = None
        self._start()
        host.stop_last.append(self.stop)

    @property
    def address(self) -> HostPort:
        """The first address at which it serves."""
        return HostPort(self.host.addresses[0], TRACKER_PORT)

    def status(self) -> dict[str, object]:
        """Return the numbers of ``/status.json``."""
        return {**self._tracker.status(), "streams": len(self._streams)}

    def stop(self) -> None:
        """Fall silent, as a tracker does that was killed: only streams hear of it."""
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        self._tracker.close()
        self._streams.abort_all()
        for port in self._ports:
            port.stopListening()
        self._ports = []

    def restart(self, seconds: float = 0.0) -> None:
        """Stop, and come back after some seconds with other secrets, knowing nobody."""
        self.stop()
        self._restart = self.host.reactor.callLater(seconds, self._start_again)

    def _start_again(self) -> None:
        self._restart = None
        self._start()

    def _start(self) -> None:
        reactor = self.host.reactor
        self._tracker = self.make_tracker(
            reactor,
            limits=self._limits,
            public_hosts=self._public_hosts,
            random_bytes=self.host.random.randbytes,
        )
        self._streams = TrackerServerFactory(reactor, self._tracker)
        for address in self.host.addresses:
            protocol = TrackerServerDatagramProtocol(reactor, self._tracker)
            self._ports += [
                reactor.listenUDP(TRACKER_PORT, protocol, address),
                reactor.listenTCP(TRACKER_PORT, self._streams, interface=address),
            ]
