"""The tracker as a Twisted service: its UDP sockets, its streams and its status page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from errno import EADDRINUSE, EADDRNOTAVAIL
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import P2PError, PortInUse
from twisted_p2p.tracker.datagrams import TrackerServerDatagramProtocol, local_hosts
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits
from twisted_p2p.tracker.status_page import status_site
from twisted_p2p.tracker.store import IPeerStore
from twisted_p2p.tracker.streams import TrackerServerFactory
from twisted_p2p.tracker.tracker import Tracker


@frozen
class UDPListener:
    """A UDP port to serve on."""

    port: int
    interface: str = ""
    """An address of this host; "" is each of them, "0.0.0.0" or "::" each of one family."""

    def addresses(self) -> list[str]:
        """Return the addresses to bind, one socket for each.

        A socket bound to none in particular would answer from the host's primary address, and a
        NAT drops an answer from another address than the one that was asked.
        """
        if self.interface not in ("", "0.0.0.0", "::"):  # noqa: S104  (never bound as such)
            return [self.interface]
        return [
            host
            for host in local_hosts()
            if not self.interface or (":" in host) == (":" in self.interface)
        ]


@frozen
class StreamListener:
    """A Twisted server endpoint to serve on, and the string that it was made of."""

    description: str
    endpoint: IStreamServerEndpoint


class TrackerServer(Service):
    """Runs one tracker while it is started; one that was stopped is not started again."""

    name = "p2ptracker"
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        udp: Sequence[UDPListener],
        streams: Sequence[StreamListener],
        web: StreamListener,
        store: IPeerStore,
        public_hosts: Collection[str] = (),
        limits: TrackerLimits = DEFAULT_LIMITS,
    ) -> None:
        """Take a reactor (`IReactorTime`, `IReactorUDP`) and where to serve.

        ``public_hosts`` are addresses by which nodes reach this tracker besides its own.
        """
        self.tracker = Tracker(reactor, store=store, limits=limits, public_hosts=public_hosts)
        self._reactor = reactor
        self._udp = udp
        self._streams = streams
        self._web = web
        self._datagrams: list[TrackerServerDatagramProtocol] = []
        self._factory = TrackerServerFactory(reactor, self.tracker)
        self._ports: list[tuple[str, IListeningPort]] = []

    def status(self) -> dict[str, object]:
        """Return the numbers of ``/status.json``."""
        unsent: Counter[str] = Counter()
        for protocol in self._datagrams:
            unsent.update(protocol.unsent)
        return {
            **self.tracker.status(),
            "datagrams_unsent_total": dict(unsent),
            "streams": len(self._factory),
            "streams_aborted_total": dict(self._factory.aborted),
        }

    def privilegedStartService(self) -> None:
        """Start while ports below 1024 can be had; `startService` does the same otherwise."""
        self.startService()

    def startService(self) -> None:
        """Bind every address, and say so in one line of the log.

        Raises `PortInUse`, or another `P2PError`, whose message is a sentence for the operator;
        nothing stays bound then.
        """
        if self.running:
            return
        super().startService()  # type: ignore[no-untyped-call]
        try:
            for listener in self._udp:
                self._bind(listener)
            for stream in self._streams:
                self._listen("stream", stream, self._factory)
            self._listen("web", self._web, status_site(self.status))
        except P2PError:
            self.stopService()
            raise
        self._log.info("p2ptracker serves {addresses}", addresses=", ".join(self.addresses()))

    def stopService(self) -> Deferred[Any]:
        """Close everything; the Deferred fires when it is closed."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.tracker.close()
        self._factory.abort_all()
        closing = [maybeDeferred(port.stopListening) for _, port in self._ports]
        self._datagrams = []
        self._ports = []
        return DeferredList(closing)

    def addresses(self) -> list[str]:
        """Return every address that is served, with its use in front."""
        hosts: list[tuple[str, Any]] = [(use, port.getHost()) for use, port in self._ports]
        return [f"{use} {HostPort(host.host, host.port)}" for use, host in hosts]

    def _bind(self, listener: UDPListener) -> None:
        addresses = listener.addresses()
        for host in addresses:
            protocol = TrackerServerDatagramProtocol(self._reactor, self.tracker)
            try:
                port = self._reactor.listenUDP(listener.port, protocol, host)
            except CannotListenError as error:
                address = HostPort(host, listener.port)
                if error.socketError.errno == EADDRINUSE:
                    raise PortInUse(f"UDP {address} is in use by another program.") from None
                # An IPv6 address may be there and not be usable yet, or not any more.
                if error.socketError.errno == EADDRNOTAVAIL and listener.interface not in addresses:
                    continue
                raise P2PError(f"Cannot listen on UDP {address}: {_reason(error)}.") from None
            self._datagrams.append(protocol)
            self._ports.append(("udp", port))

    def _listen(self, use: str, listener: StreamListener, factory: IProtocolFactory) -> None:
        failures: list[Failure] = []
        # Every endpoint of Twisted's own listens, or fails, before `listen` returns.
        listener.endpoint.listen(factory).addCallbacks(
            lambda port: self._ports.append((use, port)), failures.append
        )
        for failure in failures:
            error = failure.value
            if isinstance(error, CannotListenError) and error.socketError.errno == EADDRINUSE:
                raise PortInUse(f"{listener.description} is in use by another program.")
            raise P2PError(f"Cannot listen on {listener.description}: {_reason(error)}.")


def _reason(error: BaseException | None) -> str:
    """Return what the system says about an error, in its own words."""
    if isinstance(error, CannotListenError):
        error = error.socketError
    return getattr(error, "strerror", None) or str(error)
