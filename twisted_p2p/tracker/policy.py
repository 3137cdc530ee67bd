"""Who decides what a tracker does: everybody may do everything, unless a subclass says no."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_p2p.addresses import HostPort
from twisted_p2p.interfaces import ITrackerPolicy


@implementer(ITrackerPolicy)
class TrackerPolicy:
    """Hooks of a tracker; see `ITrackerPolicy` for what each is given.

    They are called on the protocol or factory that made the tracker, for all others that serve
    it too.
    """

    def may_register(self, peer_id: str, address: HostPort) -> bool | Deferred[bool]:
        """Return whether a peer may register, or a Deferred of that."""
        return True

    def may_introduce(self, initiator: str, target: str) -> bool | Deferred[bool]:
        """Return whether a peer may be introduced to another one, or a Deferred of that."""
        return True

    def may_list(self, peer_id: str, topic: str) -> bool | Deferred[bool]:
        """Return whether a peer may be told who is here, or a Deferred of that."""
        return True

    def registered(self, peer_id: str, address: HostPort) -> None:
        """Take it that a peer is registered from an address."""

    def introduced(self, initiator: str, target: str) -> None:
        """Take it that a peer's offer was handed to another one."""

    def peer_online(self, peer_id: str) -> None:
        """Take it that a peer is registered that was not."""

    def peer_offline(self, peer_id: str) -> None:
        """Take it that a peer is registered from nowhere any more."""
