"""A node on the links of its host: announced there while it listens, and found there."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from ..errors import TrackerUnreachable
from ..interfaces import IPeerDiscovery
from .accepting import Listeners

ANNOUNCING = 3.0
"""Seconds within which a node is announced on the links that are there (RFC 6762, section 8.1:
three probes, 250 ms apart), with another name if need be."""


class LocalNetwork:
    """What a node has its discovery do.

    Who only dials is not announced: nobody is told that it is there but by its questions.
    """

    def __init__(
        self, discovery: IPeerDiscovery, peer_id: str, listeners: Listeners, *, unlinkable: bool
    ) -> None:
        """Prepare; nothing happens before `start`."""
        self.discovery = discovery
        self._peer_id = peer_id
        self._listeners = listeners
        self._unlinkable = unlinkable
        self._port = 0
        self._is_announced = False

    def start(self, port: int) -> None:
        """Go on the network, for a node that is reached at this UDP port."""
        self._port = port
        self.discovery.start()
        self.describe_anew()

    def describe_anew(self) -> None:
        """Announce what the node listens for now, or that it is gone when that is nothing."""
        if not self._port:
            return
        if not self._listeners.is_empty:
            self.discovery.announce(
                self._peer_id,
                self._port,
                self._listeners.open_services,
                True,
                unlinkable_name=self._unlinkable,
            )
        elif self._is_announced:
            self.discovery.withdraw()
        self._is_announced = not self._listeners.is_empty

    def when_ready(self) -> Deferred[None]:
        """Return a Deferred that fires once peers find the node; at once if none are to."""
        return self.discovery.when_announced() if self._is_announced else succeed(None)

    def ready_soon(self, reactor: Any) -> Deferred[None]:
        """Return the same, which fails with `TrackerUnreachable` where no network takes it."""

        def too_late(result: object, timeout: float) -> None:
            raise TrackerUnreachable

        return self.when_ready().addTimeout(ANNOUNCING, reactor, too_late)

    def is_accepting(self, peer_id: str) -> bool | None:
        """Return whether a peer accepts connections, as it announces; None if it does not."""
        known = self.discovery.find(peer_id)
        return None if known is None else known.accepting

    def stop(self) -> Deferred[None]:
        """Say that the node is gone; the Deferred fires when that is said."""
        self._port = 0
        return self.discovery.stop()
