"""The reactor of one simulated host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from zope.interface import implementer

from twisted_p2p.testing.schedule import Schedule
from twisted_p2p.testing.tcp.reactor_tcp import SimulatedTCPReactor
from twisted_p2p.testing.udp_port import SimulatedUDPPort

if TYPE_CHECKING:
    from twisted_p2p.testing.host import SimulatedHost


@implementer(IReactorTime, IReactorUDP)
class SimulatedReactor(SimulatedTCPReactor):
    """Time, UDP and TCP as a program on a simulated host sees them."""

    _log = Logger()

    def __init__(self, host: SimulatedHost, schedule: Schedule) -> None:
        self._host = host
        self._schedule = schedule
        self._calls: dict[DelayedCall, None] = {}

    def seconds(self) -> float:
        """Return the virtual time in seconds."""
        return self._schedule.now

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002  (as the interface has it)
        *args: object,
        **kwargs: object,
    ) -> IDelayedCall:
        """Call a function after ``delay`` seconds of virtual time."""
        assert delay >= 0, f"{delay} is not greater than or equal to 0 seconds"
        call = DelayedCall(
            self._schedule.now + delay,
            callable,
            args,
            kwargs,
            self._forget,
            self._await,
            self.seconds,
        )
        self._calls[call] = None
        self._await(call)
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Return the calls that are pending on this host."""
        return list(self._calls)

    def listenUDP(
        self,
        port: int,
        protocol: DatagramProtocol,
        interface: str = "",
        maxPacketSize: int = 8192,  # noqa: N803  (as the interface has it)
    ) -> SimulatedUDPPort:
        """Bind a UDP port; the arguments are those of Twisted's `IReactorUDP`."""
        listening = SimulatedUDPPort(self._host, port, protocol, interface, maxPacketSize)
        listening.startListening()
        return listening

    def _await(self, call: DelayedCall) -> None:
        self._schedule.at(call.time, self._due, call)

    def _forget(self, call: DelayedCall) -> None:
        del self._calls[call]
        self._schedule.note_cancelled()

    def _due(self, call: DelayedCall) -> None:
        if call not in self._calls:
            return
        if call.getTime() > self._schedule.now:
            call.activate_delay()
            self._await(call)
            return
        del self._calls[call]
        call.called = 1
        try:
            call.func(*call.args, **call.kw)
        except Exception:
            self._log.failure("Unhandled error on the host {name}", name=self._host.name)
