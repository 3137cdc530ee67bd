"""The leases of a router become mappings of its NAT."""

from __future__ import annotations

from collections.abc import Callable

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.gateway import Gateway
from twisted_p2p.testing.port_mapping.leases import TransportName
from twisted_p2p.testing.tcp.segment import TCPFlags


class GatewayForwarder:
    """Commands the NAT between a private network and the one that it is in."""

    def __init__(self, gateway: Gateway, now: Callable[[], float]) -> None:
        self._gateway = gateway
        self._now = now

    @property
    def public_address(self) -> str:
        """The IPv4 address outside."""
        return self._gateway.public_address

    def forward(
        self, protocol: TransportName, internal: HostPort, port: int, expires_at: float | None
    ) -> None:
        """Let anyone in from a public port.

        :raises PortTaken: when the public port is somebody else's.
        """
        self._gateway.add_mapping(protocol, internal, port, expires_at)

    def stop_forwarding(self, protocol: TransportName, port: int) -> None:
        """Undo that; it may have ended already."""
        self._gateway.remove_mapping(protocol, port)

    def keep_open(
        self, protocol: TransportName, internal: HostPort, remote: HostPort
    ) -> HostPort | None:
        """Map, or keep mapped, traffic with one remote endpoint; None when no port is free."""
        table, now = self._gateway.tables[protocol], self._now()
        if protocol == "udp":
            return table.outbound(internal, remote, now)
        # What is there goes on; nothing but a SYN makes something new.
        return table.outbound(internal, remote, now, TCPFlags.ACK) or table.outbound(
            internal, remote, now, TCPFlags.SYN
        )
