"""Watching whether peers are there, by asking a tracker again and again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from twisted_p2p.errors import P2PError, PeerOffline
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.tracker.messages import Presence

WATCH_INTERVAL = 15.0
"""Seconds between two look-ups of a peer that is watched."""


class Watch:
    """The peers that somebody watches through one tracker."""

    def __init__(
        self,
        reactor: IReactorTime,
        look_up: Callable[[PeerID], Deferred[Presence]],
        on_change: Callable[[str, bool], object],
    ) -> None:
        """Watch nobody yet; ``on_change`` is told each peer that comes (True) or goes (False).

        The first answer about a peer is a change in any case.
        """
        self._reactor = reactor
        self._look_up = look_up
        self._on_change = on_change
        self._peers: dict[PeerID, bool | None] = {}
        self._next: dict[PeerID, IDelayedCall] = {}

    def add(self, peer_id: str) -> None:
        """Watch a peer from now on; twice is once.

        :raises InvalidPeerID: when it is none.
        """
        peer = PeerID(peer_id)
        if peer not in self._peers:
            self._peers[peer] = None
            self._ask(peer)

    def remove(self, peer_id: str) -> None:
        """Watch a peer no more."""
        peer = PeerID(peer_id)
        self._peers.pop(peer, None)
        call = self._next.pop(peer, None)
        if call is not None:
            call.cancel()

    def stop(self) -> None:
        """Watch nobody any more."""
        for peer in list(self._peers):
            self.remove(peer)

    def _ask(self, peer: PeerID) -> None:
        self._next.pop(peer, None)
        asked = self._look_up(peer)
        asked.addCallbacks(lambda _: self._seen(peer, True), partial(self._not_seen, peer))
        asked.addCallback(lambda _: self._ask_later(peer))

    def _ask_later(self, peer: PeerID) -> None:
        if peer in self._peers and peer not in self._next:
            self._next[peer] = self._reactor.callLater(WATCH_INTERVAL, self._ask, peer)

    def _not_seen(self, peer: PeerID, failure: Failure) -> None:
        """Take a peer for gone only when the tracker says so, not when that is silent."""
        failure.trap(P2PError)
        if failure.check(PeerOffline):
            self._seen(peer, False)

    def _seen(self, peer: PeerID, is_here: bool) -> None:
        if peer in self._peers and self._peers[peer] is not is_here:
            self._peers[peer] = is_here
            self._on_change(str(peer), is_here)
