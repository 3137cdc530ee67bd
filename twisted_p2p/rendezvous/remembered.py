"""Where peers were reached before, so that they are found again without a tracker."""

from __future__ import annotations

from collections import OrderedDict

from twisted_p2p.addresses import HostPort

MOST_PEERS = 256
MOST_ADDRESSES = 4
"""Of one peer: enough for a LAN and a public address in both families."""


class RememberedAddresses:
    """The addresses at which peers showed their keys last; the peers met last are kept.

    Peers are named by their raw public keys, as in messages.
    """

    def __init__(self, *, most_peers: int = MOST_PEERS) -> None:
        self._most_peers = most_peers
        self._by_peer: OrderedDict[bytes, list[HostPort]] = OrderedDict()

    def remember(self, peer_key: bytes, address: HostPort) -> None:
        """Take it that a peer was just reached at an address."""
        before = self._by_peer.get(peer_key, [])
        kept = [known for known in before if known != address][: MOST_ADDRESSES - 1]
        self._by_peer[peer_key] = [address, *kept]
        self._by_peer.move_to_end(peer_key)
        if len(self._by_peer) > self._most_peers:
            self._by_peer.popitem(last=False)

    def of(self, peer_key: bytes) -> tuple[HostPort, ...]:
        """Return the addresses of a peer, the one reached last first; none for a stranger."""
        return tuple(self._by_peer.get(peer_key, ()))
