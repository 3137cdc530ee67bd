"""The way to a tracker over TCP or TLS: the same messages, framed by their own length."""

from __future__ import annotations

from collections.abc import Hashable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import MalformedMessage, TrackerUnreachable
from twisted_p2p.stun.message import StreamFramer
from twisted_p2p.tracker.attributes import MAXIMUM_SIZE
from twisted_p2p.tracker.carriers import FINDING_TIME, CarrierUser


class StreamCarrier:
    """Carries messages over a connection of its own, which is opened anew when it is lost."""

    on_a_stream = True
    local: Hashable = None

    def __init__(self, reactor: IReactorTime, endpoint: IStreamClientEndpoint) -> None:
        """Take the endpoint that leads to the tracker; its peer must have an IP address."""
        self._reactor = reactor
        self._endpoint = endpoint
        self._stream: TrackerStream | None = None

    def find_path(self, user: CarrierUser) -> Deferred[DatagramPath]:
        """Connect, after ending the connection that there was."""
        if self._stream is not None:
            self._stream.abandon()
            self._stream = None
        return Deferred.fromCoroutine(self._find_path(user))

    async def _find_path(self, user: CarrierUser) -> DatagramPath:
        factory = Factory.forProtocol(TrackerStream)
        factory.noisy = False
        try:
            connecting: Deferred[Any] = self._endpoint.connect(factory)
            stream: TrackerStream = await connecting.addTimeout(FINDING_TIME, self._reactor)
        except Exception as error:
            raise TrackerUnreachable(
                "No connection to the tracker can be opened; check its address, and the network."
            ) from error
        self._stream = stream
        return stream.serve(user)

    def send(self, data: bytes, path: DatagramPath) -> None:
        """Write a message."""
        if self._stream is not None and self._stream is path.local:
            self._stream.send(data)

    def close(self) -> None:
        """End the connection once everything is written."""
        if self._stream is not None:
            self._stream.finish()
            self._stream = None


class TrackerStream(Protocol):
    """One connection to a tracker; it is the ``local`` of its path."""

    transport: Any

    def __init__(self) -> None:
        self._framer = StreamFramer(MAXIMUM_SIZE)
        self._path: DatagramPath | None = None
        self._user: CarrierUser | None = None

    def serve(self, user: CarrierUser) -> DatagramPath:
        """Bring messages to a user from now on; return the path that they come along."""
        peer = self.transport.getPeer()
        self._user = user
        self._path = DatagramPath(self, HostPort(str(ip_address(peer.host)), peer.port))
        return self._path

    def send(self, data: bytes) -> None:
        """Write one message, whose own length frames it."""
        self.transport.write(data)

    def abandon(self) -> None:
        """End the connection at once, and tell nobody."""
        self._user = None
        self.transport.abortConnection()

    def finish(self) -> None:
        """End the connection once everything is written, and tell nobody."""
        self._user = None
        self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Hand on the messages that are whole now; end the connection at what is none."""
        try:
            for message in self._framer.feed(data):
                if self._user is not None and self._path is not None:
                    self._user.carried(message, self._path)
        except MalformedMessage:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the user, unless the connection is ended from here."""
        user, self._user = self._user, None
        if user is not None:
            user.path_lost(TrackerUnreachable("The connection to the tracker has ended."))
