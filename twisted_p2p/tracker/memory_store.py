"""The store of a tracker that stands alone."""

from __future__ import annotations

from zope.interface import implementer

from twisted_p2p.tracker.peer_index import PeerIndex
from twisted_p2p.tracker.store import IPeerStore, RegisteredPeer


@implementer(IPeerStore)
class MemoryPeerStore:
    """Keeps peers for as long as the process runs."""

    def __init__(self) -> None:
        self.index = PeerIndex()
        self._peers: dict[bytes, RegisteredPeer] = {}

    def peer(self, peer_key: bytes) -> RegisteredPeer | None:
        """Return the peer with this public key, or None."""
        return self._peers.get(peer_key)

    def save(self, peer_key: bytes, peer: RegisteredPeer) -> None:
        """Keep a peer in the place of what was known of it."""
        self._peers[peer_key] = peer
        self.index.put(peer_key, peer)

    def remove(self, peer_key: bytes) -> None:
        """Forget a peer that is there."""
        del self._peers[peer_key]
        self.index.remove(peer_key)

    def __len__(self) -> int:
        return len(self._peers)
