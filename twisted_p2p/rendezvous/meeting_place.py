"""Where one identity meets its peers: its trackers, candidates and sessions over its sockets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.sequence import RisingSequence
from twisted_p2p.rendezvous.gathering import LocalCandidates
from twisted_p2p.rendezvous.introduction import Rendezvous
from twisted_p2p.rendezvous.offer import Refusal
from twisted_p2p.rendezvous.session import PeerSession
from twisted_p2p.rendezvous.session_table import SessionTable
from twisted_p2p.tracker.client import Trackers
from twisted_p2p.tracker.standing import Describe


class Sockets(Protocol):
    """The UDP sockets that packets of one identity come and go by."""

    @property
    def addresses(self) -> Sequence[HostPort]:
        """The addresses that they are bound to, once they are open."""

    def send(self, data: bytes, path: DatagramPath) -> None:
        """Send a datagram along a path of one of them; it may be lost, and never raises."""

    def local_address(self, path: DatagramPath) -> HostPort:
        """Return the address from which packets of a path leave."""


class MeetingPlace:
    """Everything between a peer ID and an authenticated path to that peer."""

    def __init__(
        self,
        reactor: Any,
        identity: IdentityKey,
        sockets: Sockets,
        *,
        describe: Describe,
        refusal_for: Callable[[PeerID], Refusal | None],
        on_offered: Callable[[PeerSession], object],
        interfaces: Callable[[], Iterable[str]],
        random_bytes: Callable[[int], bytes],
        wall_clock: Callable[[], float],
    ) -> None:
        """Prepare; nothing happens before `start`.

        ``describe`` is that of `Trackers`, ``refusal_for`` and ``on_offered`` those of
        `Rendezvous`, ``interfaces`` that of `LocalCandidates`.
        """
        self._sockets = sockets
        self._candidates = LocalCandidates(interfaces)
        sequence = RisingSequence(wall_clock)
        self.trackers = Trackers(
            reactor,
            identity,
            send=sockets.send,
            sockets=lambda: sockets.addresses,
            describe=describe,
            next_sequence=sequence.next,
            random_bytes=random_bytes,
        )
        self.sessions = SessionTable(
            reactor,
            candidates=self._candidates,
            send=sockets.send,
            local_address=sockets.local_address,
            random_bytes=random_bytes,
        )
        self.rendezvous = Rendezvous(
            reactor,
            identity,
            introducer=self.trackers,
            sessions=self.sessions,
            candidates=self._candidates,
            next_sequence=sequence.next,
            random_bytes=random_bytes,
            refusal_for=refusal_for,
            on_offered=on_offered,
        )
        self.trackers.handed_over = self.rendezvous.handed_over
        self.trackers.observed = self._observed
        self.registered: Callable[[HostPort], object] = lambda _: None
        """Called with the address at which a tracker sees this node, each time it registered."""

    def start(self) -> None:
        """Gather candidates and begin to register; the sockets must be open."""
        self._candidates.refresh(self._sockets.addresses)
        self.trackers.start()

    def leave(self) -> Deferred[None]:
        """Unregister; the Deferred fires within two seconds, tracker or not."""
        return self.trackers.stop()

    def close(self) -> None:
        """Close all sessions."""
        self.sessions.close()

    def abandon(self) -> None:
        """Stop everything at once, since the sockets are closed: nobody is told."""
        self.trackers.abandon()
        self.sessions.close()

    def stun_received(self, data: bytes, path: DatagramPath) -> None:
        """Take a STUN message, of a tracker or of a peer."""
        if not self.trackers.datagram_received(data, path):
            self.sessions.stun_received(data, path)

    def _observed(self, tracker: str, socket: Hashable, mapped_address: HostPort) -> None:
        self._candidates.observed(tracker, socket, mapped_address)
        self.sessions.candidates_changed()
        self.registered(mapped_address)
