"""What is known of a peer on the local network."""

from __future__ import annotations

from attrs import frozen

from twisted_p2p.addresses import HostPort


@frozen
class LANPeer:
    """A peer that is announced on the local network.

    All of it is a hint, for anybody there can announce anything: whoever connects still has to
    prove the key.
    """

    peer_id: str
    """The text form of the public key that the peer claims."""

    addresses: tuple[HostPort, ...]
    """Where its UDP port is, never empty: IPv4, then IPv6, and last the IPv6 link-local ones with
    the name of the interface of this host that leads there: ``fe80::1%eth0``."""

    services: tuple[str, ...]
    """The names of what it offers, as far as it tells."""

    accepting: bool
    """Whether it accepts connections."""

    instance: str
    """The name of its instance of the service ``_p2p._udp``."""

    interfaces: tuple[str, ...]
    """The names of the interfaces of this host on which it is announced, sorted."""
