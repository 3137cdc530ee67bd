"""A NAT that only remembers what it is told."""

from __future__ import annotations

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import PortTaken
from twisted_p2p.testing.port_mapping.leases import TransportName

PUBLIC = "11.0.1.1"
CLIENT = HostPort("192.168.1.2", 40_000)
NEIGHBOUR = HostPort("192.168.1.3", 40_000)
REMOTE = HostPort("11.0.0.1", 3478)


class MemoryForwarder:
    def __init__(self, taken: set[int] | None = None) -> None:
        self.public_address = PUBLIC
        self.taken = taken or set()
        """Ports that its other traffic has."""
        self.is_full = False
        self.mapped: dict[tuple[TransportName, int], tuple[HostPort, float | None]] = {}
        self.kept_open: list[tuple[TransportName, HostPort, HostPort]] = []

    def forward(
        self, protocol: TransportName, internal: HostPort, port: int, expires_at: float | None
    ) -> None:
        if port in self.taken or self.is_full:
            raise PortTaken
        self.mapped[protocol, port] = (internal, expires_at)

    def stop_forwarding(self, protocol: TransportName, port: int) -> None:
        self.mapped.pop((protocol, port), None)

    def keep_open(
        self, protocol: TransportName, internal: HostPort, remote: HostPort
    ) -> HostPort | None:
        if self.is_full:
            return None
        self.kept_open.append((protocol, internal, remote))
        return HostPort(PUBLIC, internal.port)
