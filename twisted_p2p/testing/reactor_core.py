"""The life of a simulated reactor, which begins when time first passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.abstract import isIPAddress
from twisted.internet.base import PluggableResolverMixin, _ThreePhaseEvent
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from zope.interface import implementer

from twisted_p2p.addresses import NetworkInterface
from twisted_p2p.datagram.network_interfaces import INetwork
from twisted_p2p.testing.ip import UNSPECIFIED_IPV4
from twisted_p2p.testing.names import NameTable, SimulatedResolver
from twisted_p2p.testing.reactor_time import SimulatedTimeReactor
from twisted_p2p.testing.schedule import Schedule

if TYPE_CHECKING:
    from twisted_p2p.testing.host import SimulatedHost

_WHO_DRIVES_TIME = "time passes in run_for() and run_until() of the simulated internet"


@implementer(IReactorCore, IReactorFromThreads, INetwork)
class SimulatedCoreReactor(PluggableResolverMixin, SimulatedTimeReactor):
    """`IReactorCore` on one host; names are those that its internet was given."""

    def __init__(self, host: SimulatedHost, schedule: Schedule, names: NameTable) -> None:
        super().__init__(host, schedule)
        self.running = False
        """Whether the reactor has started up and has not shut down."""
        self._is_stopping = False
        self._network_watchers: list[Callable[[bool], object]] = []
        self._events: defaultdict[str, _ThreePhaseEvent] = defaultdict(_ThreePhaseEvent)
        self.installNameResolver(SimulatedResolver(host, names))
        self.addSystemEventTrigger("during", "startup", self._begin)
        self.addSystemEventTrigger("during", "shutdown", self.crash)
        self.addSystemEventTrigger("during", "shutdown", host.disconnect_programs)
        self.call_soon(self.fireSystemEvent, "startup")

    def run(self) -> NoReturn:
        """Not simulated: no program drives the time of all."""
        raise NotImplementedError(_WHO_DRIVES_TIME)

    def iterate(self, delay: float = 0.0) -> NoReturn:
        """Not simulated: no program drives the time of all."""
        raise NotImplementedError(_WHO_DRIVES_TIME)

    def stop(self) -> None:
        """Shut down in the next turn; after that nothing runs here any more.

        :raises ReactorNotRunning: when that was asked for already, or before anything has run.
        """
        if not self.running or self._is_stopping:
            raise ReactorNotRunning("Can't stop reactor that isn't running.")
        self._is_stopping = True
        self.call_soon(self.fireSystemEvent, "shutdown")

    def crash(self) -> None:
        """Run nothing here any more, and in the next turn close what is still open."""
        self.running = False
        self._is_over = True
        self._host.schedule.at(self._schedule.now, self._close_all, None)

    def fireSystemEvent(self, eventType: str) -> None:  # noqa: N803  (as the interface has it)
        """Call the triggers of an event."""
        self._events[eventType].fireEvent()

    def addSystemEventTrigger(
        self,
        phase: str,
        eventType: str,  # noqa: N803  (as the interface has it)
        callable: Callable[..., Any],  # noqa: A002
        *args: object,
        **kwargs: object,
    ) -> Any:
        """Have a function called before, during or after an event."""
        trigger = self._events[eventType].addTrigger(phase, callable, *args, **kwargs)
        return eventType, trigger

    def removeSystemEventTrigger(self, triggerID: Any) -> None:  # noqa: N803
        """Do that no more."""
        event_type, trigger = triggerID
        self._events[event_type].removeTrigger(trigger)

    def callWhenRunning(
        self,
        callable: Callable[..., Any],  # noqa: A002  (as the interface has it)
        *args: object,
        **kwargs: object,
    ) -> Any | None:
        """Call a function once the reactor has started up, which may be now."""
        if not self.running:
            return self.addSystemEventTrigger("after", "startup", callable, *args, **kwargs)
        callable(*args, **kwargs)
        return None

    def callFromThread(
        self,
        callable: Callable[..., Any],  # noqa: A002  (as the interface has it)
        *args: object,
        **kwargs: object,
    ) -> None:
        """Call a function in the next turn; there are no threads, but programs that think so."""
        self.call_soon(lambda: callable(*args, **kwargs))

    def resolve(self, name: str, timeout: Sequence[int] = (1, 3, 11, 45)) -> Deferred[str]:
        """Return the first IPv4 address of a name; fails with `DNSLookupError`."""
        if not name or isIPAddress(name):
            return succeed(name or UNSPECIFIED_IPV4)
        return self.resolver.getHostByName(name, timeout)

    def network_interfaces(self) -> list[NetworkInterface]:
        """Return the interface of the host."""
        return self._host.network_interfaces()

    def watch_network(self, changed: Callable[[bool], object]) -> Callable[[], object]:
        """Call a function whenever the host's network changes; see `INetwork`."""
        self._network_watchers.append(changed)
        return lambda: self._network_watchers.remove(changed)

    def tell_network_changed(self, *, link_came_up: bool) -> None:
        """Let those who watch the network know, in the next turn."""
        for changed in list(self._network_watchers):
            self.call_soon(changed, link_came_up)

    def call_soon(
        self, function: Callable[..., object], *arguments: object, delay: float = 0.0
    ) -> None:
        """Call a function in the next turn, or later; no delayed call tells of it."""
        call = (function, arguments)
        self._host.schedule.at(self._schedule.now + delay, self._call, call)

    def _call(self, call: tuple[Callable[..., object], tuple[object, ...]]) -> None:
        if self._is_over:
            return
        function, arguments = call
        try:
            function(*arguments)
        except Exception:
            self._log.failure("Unhandled error on the host {name}", name=self._host.name)

    def _close_all(self, _: None) -> None:
        if self._host.reactor is self:
            self._host.close_all()

    def _begin(self) -> None:
        self.running = True
