"""Nodes that reach the tracker by UDP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ifaddr

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.path_protocol import PathDatagramProtocol
from twisted_p2p.tracker.policy import TrackerPolicy
from twisted_p2p.tracker.tracker import Tracker

_UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104  (compared, never bound)


def local_hosts() -> list[str]:
    """Return the addresses of this host, but for those that need a scope."""
    ips = [ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    hosts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in ips]
    return [host for host in dict.fromkeys(hosts) if not host.startswith("fe80:")]


class TrackerServerDatagramProtocol(TrackerPolicy, PathDatagramProtocol):
    """Serves a tracker on a UDP port: listen with it by `IReactorUDP.listenUDP`.

    Give ``listenUDP`` one address as its interface, and a protocol to each address of the host: a
    port that is bound to none answers from the host's primary address, and a NAT drops an answer
    from another address than the one that was asked.
    """

    def __init__(
        self,
        reactor: Any,
        tracker: Tracker | None = None,
        *,
        interfaces: Callable[[], Iterable[str]] = local_hosts,
    ) -> None:
        """Serve ``tracker``, or a new one whose policy this protocol is, and that ends with it.

        :param interfaces: returns the IP addresses of this host, which a port that is bound to
            none is reached at.
        """
        super().__init__()
        self.tracker = tracker or Tracker(reactor, policy=self)
        self._owns_tracker = tracker is None
        self._interfaces = interfaces

    def startProtocol(self) -> None:
        """Serve on the port."""
        super().startProtocol()
        if self.address.host in _UNSPECIFIED:
            self.tracker.is_reached_at(self._interfaces())
        self.tracker.attach(self.address, self.send)

    def stopProtocol(self) -> None:
        """Serve no more."""
        super().stopProtocol()
        self.tracker.detach(self.address)
        if self._owns_tracker:
            self.tracker.close()

    def path_datagram_received(self, data: bytes, path: DatagramPath) -> None:
        """Take a datagram."""
        self.tracker.datagram_received(data, path)
