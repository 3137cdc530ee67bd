"""How messages get to a tracker and back: what a carrier is, and the one over UDP."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import ip_address
from typing import Any, Protocol

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import P2PError, TrackerUnreachable

FINDING_TIME = 5
"""Seconds after which a name that is not resolved, or a stream not opened, counts as failed.

It is as long as a request that nobody answers takes, since a user waits for both alike.
"""


class CarrierUser(Protocol):
    """Who is told what a carrier brings."""

    def carried(self, data: bytes, path: DatagramPath) -> None:
        """Take a message that arrived along a path."""

    def path_lost(self, error: P2PError) -> None:
        """Take note that the path found last is gone."""


class Carrier(Protocol):
    """One way to a tracker: a UDP socket, or streams opened one after the other."""

    on_a_stream: bool
    """Whether each path is a stream."""

    local: Hashable
    """The socket, as the ``local`` of its paths; None for streams, as each is another one."""

    def find_path(self, user: CarrierUser) -> Deferred[DatagramPath]:
        """Find a path to the tracker, in place of the last one; cancel the Deferred to stop.

        Fails, after `FINDING_TIME` at the latest, with `TrackerUnreachable`.
        """

    def send(self, data: bytes, path: DatagramPath) -> None:
        """Send a message along the path found last; along an earlier one it is lost."""

    def close(self) -> None:
        """Want no path any more; what was sent still leaves."""


class DatagramCarrier:
    """Carries messages over the node's own UDP socket, whose mapping is the one to be punched.

    The owner of the socket hands on what arrives; this only finds the tracker's address.
    """

    on_a_stream = False

    def __init__(
        self,
        reactor: Any,
        tracker: HostPort,
        local: HostPort,
        send: Callable[[bytes, DatagramPath], object],
    ) -> None:
        """Take the tracker's host, a name or an IP address, and the address of the socket.

        ``reactor`` provides `IReactorTime`, and for a name `IReactorPluggableNameResolver`.
        """
        self.local: Hashable = local
        self._family = IPv6Address if local.is_ipv6 else IPv4Address
        self._reactor = reactor
        self._tracker = tracker
        self._send = send

    def find_path(self, user: CarrierUser) -> Deferred[DatagramPath]:
        """Resolve the tracker's name in the socket's address family; an IP address has none."""
        return Deferred.fromCoroutine(self._find_path())

    async def _find_path(self) -> DatagramPath:
        host, port = self._tracker
        if not is_address(host):
            try:
                host = await self._resolve()
            except Exception as error:
                raise TrackerUnreachable(
                    f"The tracker's name {host} cannot be resolved; check it, and the network."
                ) from error
        return DatagramPath(self.local, HostPort(str(ip_address(host)), port))

    def _resolve(self) -> Deferred[str]:
        """Return the first address of the tracker's name."""
        receiver = _FirstAddress()
        self._reactor.nameResolver.resolveHostName(
            receiver, self._tracker.host, self._tracker.port, [self._family], "UDP"
        )
        return receiver.address.addTimeout(FINDING_TIME, self._reactor)

    def send(self, data: bytes, path: DatagramPath) -> None:
        """Send a datagram."""
        self._send(data, path)

    def close(self) -> None:
        """Leave the socket to its owner."""


def is_address(host: str) -> bool:
    """Return whether this is an IP address and no name."""
    return isIPAddress(host) or isIPv6Address(host)


@implementer(IResolutionReceiver)
class _FirstAddress:
    """Waits for the first address of a name."""

    def __init__(self) -> None:
        self.address: Deferred[str] = Deferred()

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Wait; what the system resolves cannot be stopped."""

    def addressResolved(self, address: IAddress) -> None:
        """Take the first address."""
        if not self.address.called and isinstance(address, IPv4Address | IPv6Address):
            self.address.callback(address.host)

    def resolutionComplete(self) -> None:
        """Fail if there was none."""
        if not self.address.called:
            self.address.errback(DNSLookupError())
