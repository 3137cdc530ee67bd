"""Where one identity meets its peers: its trackers, candidates and sessions over its sockets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.clocks import monotonic_clock
from twisted_p2p.datagram.network_interfaces import interfaces_of
from twisted_p2p.datagram.network_watch import NetworkWatch
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.sequence import RisingSequence
from twisted_p2p.rendezvous.direct import DirectSignalling
from twisted_p2p.rendezvous.gathering import LocalCandidates
from twisted_p2p.rendezvous.introduction import Rendezvous
from twisted_p2p.rendezvous.offer import Refusal
from twisted_p2p.rendezvous.remembered import RememberedAddresses
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

    def network_changed(self) -> None:
        """Take note that they may leave from other addresses than before."""


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
        random_bytes: Callable[[int], bytes],
        wall_clock: Callable[[], float],
    ) -> None:
        """Prepare; nothing happens before `start`.

        ``describe`` is that of `Trackers`, ``refusal_for`` and ``on_offered`` those of
        `Rendezvous`.
        """
        interfaces = interfaces_of(reactor)
        self._sockets = sockets
        self._now = monotonic_clock(reactor)
        self._watch = NetworkWatch(reactor, interfaces, self._network_changed)
        self._moved_at: float | None = None
        self._candidates = LocalCandidates(interfaces)
        self._remembered = RememberedAddresses()
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
        self.direct = DirectSignalling(
            reactor,
            identity.peer_id,
            send=sockets.send,
            sockets=lambda: sockets.addresses,
            is_welcome=self._is_welcome,
            random_bytes=random_bytes,
        )
        self.rendezvous = Rendezvous(
            reactor,
            identity,
            introducer=self.trackers,
            direct=self.direct,
            sessions=self.sessions,
            candidates=self._candidates,
            remembered=self._remembered,
            local_address=sockets.local_address,
            next_sequence=sequence.next,
            random_bytes=random_bytes,
            refusal_for=refusal_for,
            on_offered=on_offered,
        )
        self.trackers.handed_over = self.rendezvous.handed_over
        self.direct.happened = self.rendezvous.happened
        self.sessions.reached = self._reached
        self.trackers.observed = self._observed
        self.registered: Callable[[HostPort], object] = lambda _: None
        """Called with the address at which a tracker sees this node, each time it registered."""
        self.network_changed: Callable[[], object] = lambda: None
        """Called when this host's interfaces or addresses are others, or it was asleep."""

    def start(self) -> None:
        """Gather candidates and begin to register; the sockets must be open."""
        self._candidates.refresh(self._sockets.addresses)
        self._watch.start()
        self.trackers.start()

    def leave(self) -> Deferred[None]:
        """Unregister; the Deferred fires within two seconds, tracker or not."""
        self._watch.stop()
        return self.trackers.stop()

    def close(self) -> None:
        """Close all sessions, and take no more offers."""
        self._watch.stop()
        self.sessions.close()
        self.direct.stop()

    def abandon(self) -> None:
        """Stop everything at once, since the sockets are closed: nobody is told."""
        self.trackers.abandon()
        self.close()

    def stun_received(self, data: bytes, path: DatagramPath) -> None:
        """Take a STUN message, of a tracker or of a peer."""
        if not self.signalling_received(data, path):
            self.sessions.stun_received(data, path)

    def signalling_received(self, data: bytes, path: DatagramPath) -> bool:
        """Take a message of a tracker, or an offer or answer, and return whether it is one."""
        return self.trackers.datagram_received(data, path) or self.direct.datagram_received(
            data, path
        )

    def _is_welcome(self, source: HostPort, peer_key: bytes) -> bool:
        """Return whether an offer may come from there: from a link of this host, or a known peer.

        Known is who was met before, and whom this node is dialling itself.
        """
        return (
            self._candidates.is_on_link(source.host)
            or bool(self._remembered.of(peer_key))
            or self.rendezvous.is_dialling(peer_key)
        )

    def _reached(self, peer_id: PeerID, address: HostPort) -> None:
        self._remembered.remember(peer_id.public_key, address)

    def _observed(self, tracker: str, socket: Hashable, mapped_address: HostPort) -> None:
        if self._candidates.observed(tracker, socket, mapped_address) and self._moved_at is None:
            # A NAT has forgotten this node, and now calls it by a name that peers' NATs refuse.
            self._moved_at = self._now()
        self.sessions.candidates_changed()
        if self._moved_at is not None:
            # Only now trackers can introduce this node again, from where it is.
            self.rendezvous.meet_again(self._moved_at)
            self._moved_at = None
        self.registered(mapped_address)

    def _network_changed(self) -> None:
        """Find out anew where this node is, and let trackers and peers know."""
        self._moved_at = self._now()
        self._sockets.network_changed()
        self._candidates.refresh(self._sockets.addresses)
        self.sessions.candidates_changed()
        for session in self.sessions.live():
            session.search_again()
        self.trackers.network_changed()
        self.network_changed()
