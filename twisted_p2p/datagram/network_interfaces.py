"""The interfaces of this host, as the system tells them."""

from __future__ import annotations

import ifaddr

from twisted_p2p.addresses import NetworkInterface


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
