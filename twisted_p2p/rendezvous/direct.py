"""Offers and answers straight from peer to peer, over the sockets of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.driver import MachineDriver, one_by_one
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.rendezvous.direct_exchange import (
    DirectEvent,
    DirectExchange,
    OfferCame,
    is_direct,
)


class DirectSignalling:
    """One node's `DirectExchange` on a reactor; assign `happened` to be told its events."""

    def __init__(
        self,
        reactor: Any,
        peer_id: PeerID,
        *,
        send: Callable[[bytes, DatagramPath], object],
        sockets: Callable[[], Iterable[HostPort]],
        is_welcome: Callable[[HostPort, bytes], bool],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """Prepare; ``send`` and ``sockets`` are those of `Trackers`."""
        self.happened: Callable[[DirectEvent], object] = lambda _: None
        self._sockets = sockets
        self._machine = DirectExchange(
            peer_id.public_key, is_welcome=is_welcome, random_bytes=random_bytes
        )
        self._driver: MachineDriver[DirectEvent] = MachineDriver(
            reactor, self._machine, one_by_one(send), self._event
        )
        self.dropped = self._machine.dropped
        """Messages that were not taken, by reason."""

    def offer(self, peer_id: PeerID, box: bytes, address: HostPort) -> bool:
        """Send a boxed offer to an address, and return whether a socket can."""
        for socket in self._sockets():
            if socket.is_ipv6 == address.is_ipv6:
                path = DatagramPath(socket, address)
                self._machine.offer(peer_id, box, path, self._driver.now())
                self._driver.pump()
                return True
        return False

    def withdraw(self, peer_id: PeerID) -> None:
        """Send no offer to this peer any more."""
        self._machine.withdraw(peer_id)

    def answer(self, came: OfferCame, box: bytes) -> None:
        """Answer an offer with a box."""
        self._machine.answer(came, box)
        self._driver.pump()

    def datagram_received(self, data: bytes, path: DatagramPath) -> bool:
        """Take a STUN message if it is an offer or an answer, and return whether it is."""
        if not is_direct(data):
            return False
        self._driver.datagram_received(data, path)
        return True

    def _event(self, event: DirectEvent) -> None:
        self.happened(event)

    def stop(self) -> None:
        """Send and take nothing any more."""
        self._driver.stop()
