"""The interfaces of this host, as the system tells them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ifaddr
from zope.interface import Interface

from twisted_p2p.addresses import NetworkInterface


class INetwork(Interface):
    """A reactor of a host that is not this computer; it knows that host's network."""

    def network_interfaces() -> Iterable[NetworkInterface]:
        """Return the interfaces of the host."""

    def watch_network(changed: Callable[[bool], object]) -> Callable[[], object]:  # noqa: N805
        """Call a function whenever links or addresses change, with whether a link has come up.

        @return: a function that ends it.
        """


def interfaces_of(reactor: Any) -> Callable[[], Iterable[NetworkInterface]]:
    """Return what returns the interfaces of the host that a reactor runs on."""
    return reactor.network_interfaces if INetwork.providedBy(reactor) else network_interfaces


def network_interfaces() -> list[NetworkInterface]:
    """Return the interfaces of this host that have IP addresses, in the system's order."""
    return [
        NetworkInterface(
            adapter.name,
            adapter.index or 0,
            tuple(f"{_host(ip.ip)}/{ip.network_prefix}" for ip in adapter.ips),
        )
        for adapter in ifaddr.get_adapters()
        if adapter.ips
    ]


def _host(address: str | tuple[str, int, int]) -> str:
    return address if isinstance(address, str) else address[0]
