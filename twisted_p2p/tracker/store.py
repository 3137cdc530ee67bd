# ruff: noqa: N805  (the methods of an Interface are declared without self)
"""What a tracker remembers of a peer, and what keeps it."""

from __future__ import annotations

from attrs import frozen
from zope.interface import Attribute, Interface

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.record import PeerRecord


@frozen
class Registration:
    """One address from which a peer has registered."""

    path: DatagramPath
    """How the tracker reaches it; the remote end is the address that was observed."""

    is_stream: bool

    expiry: float
    """Seconds of the tracker's clock."""

    @property
    def told_address(self) -> HostPort:
        """The address as others may learn it; a stream's says nothing about a UDP port."""
        return HostPort(self.path.remote.host, 0) if self.is_stream else self.path.remote


@frozen
class RegisteredPeer:
    """A peer with at least one registration."""

    record: PeerRecord
    record_digest: bytes
    """Tells the very same record, sent again, from another one with its sequence."""

    record_expiry: float
    """When the record's lifetime is over; the tracker's clock, as all times here."""

    registrations: tuple[Registration, ...]
    """Of different addresses, the one refreshed last at the end."""


class IPeerStore(Interface):
    """Keeps registered peers by public key.

    Calls return at once.  A store that shares its peers with other trackers answers from memory
    and writes behind.
    """

    index = Attribute("The `PeerIndex` of its peers, which it keeps up to date.")

    def peer(peer_key: bytes) -> RegisteredPeer | None:
        """Return the peer with this public key, or None."""

    def save(peer_key: bytes, peer: RegisteredPeer) -> None:
        """Keep a peer in the place of what was known of it."""

    def remove(peer_key: bytes) -> None:
        """Forget a peer that is there."""

    def __len__() -> int:
        """Return the number of peers."""
