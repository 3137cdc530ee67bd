"""Nodes that reach the tracker over a stream: the same messages, framed by their own length.

Whoever connects and says nothing, says it too slowly, or does not read what it asked for is
disconnected, and one address has no more than so many connections.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from itertools import count
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.message import StreamFramer
from twisted_p2p.tracker.attributes import MAXIMUM_SIZE
from twisted_p2p.tracker.directory import StreamSocket
from twisted_p2p.tracker.limits import prefix
from twisted_p2p.tracker.policy import TrackerPolicy
from twisted_p2p.tracker.tracker import Tracker

HANDSHAKE_TIME = 10
"""Seconds from the connection (TLS included) to the end of the first message."""

REQUEST_TIME = 15
"""Seconds from the first byte of a message to its last."""

IDLE_TIME = 60
"""Seconds from one message to the next."""

CONNECTIONS_PER_ADDRESS = 32
"""From one IPv4 address or IPv6 /64."""


@implementer(IPushProducer)
class TrackerServerProtocol(Protocol):
    """One connection of a node, made by a `TrackerServerFactory`."""

    factory: TrackerServerFactory

    def __init__(self, remote: HostPort, network: bytes) -> None:
        """Take the node's address and the network that it counts for."""
        self.network = network
        self._remote = remote
        self._framer = StreamFramer(MAXIMUM_SIZE)
        self._unframed = 0
        self._has_spoken = False
        self._timeout: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Wait for the first message."""
        transport: Any = self.transport
        transport.registerProducer(self, True)
        socket = StreamSocket(_host_port(transport.getHost()), self.factory.next_number())
        self.path = DatagramPath(socket, self._remote)
        self.factory.opened(self)
        self._wait(HANDSHAKE_TIME)

    def dataReceived(self, data: bytes) -> None:
        """Hand on the messages that are whole now."""
        was_within = self._unframed > 0
        had_message = False
        self._unframed += len(data)
        try:
            for message in self._framer.feed(data):
                self._unframed -= len(message)
                had_message = True
                self.factory.tracker.datagram_received(message, self.path)
        except MalformedMessage:
            self.abort("malformed")
            return
        if had_message or (self._has_spoken and not was_within):
            self._has_spoken = True
            self._wait(REQUEST_TIME if self._unframed else IDLE_TIME)

    def send(self, data: bytes, path: DatagramPath) -> None:
        """Send one message; the path is this one's."""
        transport: Any = self.transport
        transport.write(data)

    def abort(self, reason: str) -> None:
        """End the connection at once, and count why."""
        self.factory.aborted[reason] += 1
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End what was registered over this connection."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        self.factory.closed(self)

    def pauseProducing(self) -> None:
        """Disconnect a node that does not read: more answers would wait for it in memory."""
        self.abort("does_not_read")

    def resumeProducing(self) -> None:
        """Go on; there is nothing to resume."""

    def stopProducing(self) -> None:
        """Stop; the connection is lost anyway."""

    def _wait(self, seconds: float) -> None:
        if self._timeout is not None:
            self._timeout.reset(seconds)
        else:
            self._timeout = self.factory.clock.callLater(seconds, self._timed_out)

    def _timed_out(self) -> None:
        self._timeout = None
        self.abort("too_slow")


class TrackerServerFactory(TrackerPolicy, Factory):
    """Serves a tracker over streams: listen with it by any server endpoint."""

    protocol: Any = TrackerServerProtocol
    noisy = False

    def __init__(self, reactor: IReactorTime, tracker: Tracker | None = None) -> None:
        """Serve ``tracker``, or a new one whose policy this factory is, and that ends with it."""
        self.clock = reactor
        self.tracker = tracker or Tracker(reactor, policy=self)
        self._owns_tracker = tracker is None
        self.aborted: Counter[str] = Counter()
        """Connections that the tracker ended, by reason."""
        self._numbers = count()
        self._streams: set[TrackerServerProtocol] = set()
        self._networks: Counter[bytes] = Counter()

    def stopFactory(self) -> None:
        """End the tracker if it is this factory's own."""
        if self._owns_tracker:
            self.tracker.close()

    def __len__(self) -> int:
        """Return the number of connections."""
        return len(self._streams)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return the protocol for a connection, or None to refuse it."""
        if not isinstance(addr, IPv4Address | IPv6Address):
            self.aborted["not_ip"] += 1
            return None
        remote = _host_port(addr)
        network = prefix(remote.host, 32, 64)
        if self._networks[network] >= CONNECTIONS_PER_ADDRESS:
            self.aborted["too_many"] += 1
            return None
        stream: TrackerServerProtocol = self.protocol(remote, network)
        stream.factory = self
        return stream

    def abort_all(self) -> None:
        """End all connections."""
        for stream in tuple(self._streams):
            stream.abort("shutdown")

    def next_number(self) -> int:
        """Return a number that no other connection has had."""
        return next(self._numbers)

    def opened(self, stream: TrackerServerProtocol) -> None:
        """Serve a connection."""
        self._streams.add(stream)
        self._networks[stream.network] += 1
        self.tracker.attach(stream.path.local, stream.send)

    def closed(self, stream: TrackerServerProtocol) -> None:
        """Forget a connection."""
        self._streams.discard(stream)
        self._networks[stream.network] -= 1
        if not self._networks[stream.network]:
            del self._networks[stream.network]
        self.tracker.detach(stream.path.local)


def _host_port(address: IPv4Address | IPv6Address) -> HostPort:
    """Return an address in the spelling that messages have: no scope, and IPv4 never as IPv6."""
    ip = ip_address(address.host.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return HostPort(str(mapped or ip), address.port)
