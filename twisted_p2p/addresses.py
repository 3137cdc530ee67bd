"""The three addresses: of a socket, of a way between two sockets, and of a peer.

`HostPort` is what the network knows, `DatagramPath` what a machine sends along, `Path` what a
user reads, and `PeerAddress` what `transport.getPeer()` returns.  `NetworkInterface` is what has
addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Literal, NamedTuple

from attrs import field, frozen

PathKind = Literal["lan", "direct", "mapped", "punched", "relayed"]


class HostPort(NamedTuple):
    """An IP address as canonical text and a port; equal to the plain tuple ``(host, port)``."""

    host: str
    """Of IPv4 or, as RFC 5952 spells it, of IPv6."""

    port: int
    """0 to 65,535."""

    def __str__(self) -> str:
        """Return ``IP:PORT``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host


@frozen
class NetworkInterface:
    """An interface of this host to a network."""

    name: str
    index: int
    """The system's number of it."""

    addresses: tuple[str, ...]
    """Its IP addresses with their prefix lengths: ``192.168.1.2/24``, ``fe80::1/64``."""


class DatagramPath(NamedTuple):
    """The ``addr`` of the machines: a local socket and the remote address beyond it.

    ``local`` is opaque to every machine; for a UDP socket it is the `HostPort` it is bound to.
    """

    local: Hashable
    remote: HostPort


@frozen
class Path:
    """How packets travel between two peers at the moment."""

    kind: PathKind
    """``lan``: private addresses on one network; ``direct``: no NAT between; or what opened it."""

    protocol: Literal["udp", "tcp"]

    local: HostPort
    """The address here that packets leave from."""

    remote: HostPort
    """The address that they are sent to: the peer's, or that of its NAT."""

    def as_dict(self) -> dict[str, str]:
        """Return the path as the plain values of the command line's events."""
        return {
            "kind": self.kind,
            "protocol": self.protocol,
            "local": str(self.local),
            "remote": str(self.remote),
        }


@frozen
class PeerPath(Path):
    """How packets travel to one peer."""

    peer_id: str
    """The text form of the peer's public key."""


@frozen
class PeerAddress:
    """Where a stream leads: a verified key, a service, and the path of the moment.

    Two addresses are equal when peer and service are, whatever the path does.
    """

    peer_id: str
    """The text form of the peer's verified public key."""

    service: str
    """The name with which the stream was opened."""

    _live_path: Callable[[], Path | None] = field(eq=False, repr=False)

    @property
    def path(self) -> Path | None:
        """The path that carries the stream now; None once the connection has none."""
        return self._live_path()
