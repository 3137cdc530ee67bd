"""What users subclass: protocols and factories that know their peers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .addresses import DatagramPath, HostPort, Path, PeerAddress, PeerPath
from .datagram.local_addresses import LocalAddresses
from .datagram.path_protocol import PathDatagramProtocol
from .errors import P2PError, PathLost, PeerRefused
from .identity.keys import IdentityKey
from .identity.peer_id import PeerID
from .identity.record import check_topics, sign_own_record
from .interfaces import IPathObserver, IPeerFactory
from .rendezvous.meeting_place import MeetingPlace
from .rendezvous.offer import Refusal
from .rendezvous.session import PeerSession
from .tracker.present_peers import PresentPeer


@implementer(IPathObserver)
class PeerProtocol(Protocol):
    """A stream to a peer, beside Twisted's own hooks with two that know of peers and paths.

    It needs a transport of this package's endpoints, on either side.
    """

    def connectionMade(self) -> None:
        """Call `peer_connected`."""
        transport: Any = self.transport
        self.peer_connected(transport.getPeer())

    def peer_connected(self, address: PeerAddress) -> None:
        """Begin; ``address`` has the peer's verified ID, the service and the live path.

        Override this in place of ``connectionMade``.
        """

    def path_changed(self, path: Path | None) -> None:
        """Take the path that carries the stream from now on, or None while there is none."""


@implementer(IPeerFactory)
class PeerFactory(Factory):
    """Makes a protocol of each stream that a peer opens, if that peer may connect.

    Without a ``protocol`` of its own it makes `PeerProtocol`.
    """

    protocol = PeerProtocol

    def may_connect(self, peer_id: str, service: str) -> bool | Deferred[bool]:
        """Return whether a peer may connect, or a Deferred of that; see `IPeerFactory`."""
        return True


@define(eq=False)
class _Acquaintance:
    """One peer: the session in use, those that may become it, and who waits for that."""

    live: PeerSession | None = None
    path: PeerPath | None = None
    """The path that was told last."""
    coming: set[PeerSession] = field(factory=set)
    waiting: list[Deferred[PeerPath]] = field(factory=list)


class HolePunchProtocol(PathDatagramProtocol):
    """Exchanges datagrams with peers through NATs: authenticated paths, but no encryption.

    Whoever is on the way can read, change and forge what you send: protect it yourself, or use
    streams.  What is authenticated is the peer at the end of a path when the path is found and
    every few seconds while it lasts (RFC 7675).

    Listen with it by `IReactorUDP.listenUDP`, once; then `punch`.  The port is the protocol's
    own: STUN messages with a peer's valid integrity, offers that come straight from peers, and
    whatever a tracker sends, are taken care of, and all else is the user's, whatever its first
    byte.  Override the hooks that you need: `registered`, `may_punch`, `path_selected`,
    `path_lost`, `peer_datagram_received` and `stranger_datagram_received`.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        identity: IdentityKey,
        trackers: Iterable[tuple[str, int]] = (),
        *,
        allow: Collection[str] | None = None,
        topics: Iterable[str] = (),
        random_bytes: Callable[[int], bytes] = os.urandom,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; nothing happens before the port listens.

        :param reactor: the one that is listened with; it provides `IReactorTime`, `IReactorUDP`
            and, for trackers that are given by name, `IReactorPluggableNameResolver`.
        :param trackers: pairs ``(host, port)``.
        :param allow: the peers that may punch and may learn this node's addresses, or None for
            all; see also `may_punch`.
        :param topics: what this peer is listed under, eight topics of 1 to 32 bytes at most.
        :param random_bytes: returns so many unforeseeable bytes.
        :param wall_clock: returns seconds; a wrong clock is no harm.
        :raises InvalidPeerID: when ``allow`` has something else.
        :raises ValueError: for other topics.
        """
        super().__init__()
        self.peer_id: str = identity.peer_id
        self._identity = identity
        self._allowed = None if allow is None else frozenset(map(PeerID, allow))
        self._topics = check_topics(topics)
        self._acquaintances: dict[PeerID, _Acquaintance] = {}
        self._sessions_by_path: dict[DatagramPath, PeerSession] = {}
        self._place = MeetingPlace(
            reactor,
            identity,
            _OnePort(self, LocalAddresses(reactor)),
            describe=self._describe,
            refusal_for=self._refusal_for,
            on_offered=self._begin,
            random_bytes=random_bytes,
            wall_clock=wall_clock,
        )
        self._place.registered = lambda address: self._tell(self.registered, address)
        for tracker in trackers:
            self._place.trackers.add(HostPort(*tracker))

    # Hooks.

    def registered(self, address: HostPort) -> None:
        """Take the public address at which a tracker sees this port, each time it registered."""

    def may_punch(self, peer_id: str) -> bool:
        """Return whether a peer that asks for a path gets one; those of ``allow`` do."""
        return self._allowed is None or peer_id in self._allowed

    def path_selected(self, path: PeerPath) -> None:
        """Take the path to a peer, whoever asked for it, and each better one that follows."""

    def path_lost(self, reason: Failure) -> None:
        """Take it that the path to the peer ``reason.value.peer_id`` has ended (`PathLost`)."""

    def peer_datagram_received(self, data: bytes, peer_id: str) -> None:
        """Take a datagram that came along a peer's path."""

    def stranger_datagram_received(self, data: bytes, address: HostPort) -> None:
        """Take a datagram that came from anywhere else."""

    # Commands.

    def when_ready(self) -> Deferred[None]:
        """Return a Deferred that fires once this port can be reached: a tracker knows it.

        Fails with `TrackerUnreachable` when each of them was tried in vain; call it once the port
        listens.
        """
        return self._place.trackers.when_registered()

    def peers(self, topic: str = "") -> Deferred[list[PresentPeer]]:
        """Return a Deferred of the peers that are here and let this one know, of a topic or all.

        It is as `P2PNode.peers`; call it once the port listens.
        """
        return self._place.trackers.peers(topic)

    def punch(self, peer_id: str) -> Deferred[PeerPath]:
        """Find a path to a peer.

        The Deferred fires with the `PeerPath`, at once when there is one.  Cancelling it gives up.
        It fails with `TrackerUnreachable`, `PeerOffline`, `PeerRefused`, `NoPath` or
        `DialTimedOut`.

        :raises InvalidPeerID: when it is none.
        """
        wanted = PeerID(peer_id)
        if wanted == self._identity.peer_id:
            raise PeerRefused("This peer ID is the node's own.")
        path = self.path_to(wanted)
        if path is not None:
            return succeed(path)
        acquaintance = self._acquaintances.setdefault(wanted, _Acquaintance())
        waiting: Deferred[PeerPath] = Deferred(lambda waiting: self._give_up(wanted, waiting))
        acquaintance.waiting.append(waiting)
        if not acquaintance.coming:
            self._begin(self._place.rendezvous.dial(wanted))
        return waiting

    def path_to(self, peer_id: str) -> PeerPath | None:
        """Return the live path to a peer, or None."""
        acquaintance = self._acquaintances.get(PeerID(peer_id))
        session = acquaintance.live if acquaintance else None
        return _peer_path(session) if session else None

    def send_to_peer(self, data: bytes, peer_id: str) -> bool:
        """Send a datagram to a peer; return whether there is a path, for it to be lost on."""
        acquaintance = self._acquaintances.get(PeerID(peer_id))
        if acquaintance is None or acquaintance.live is None:
            return False
        acquaintance.live.send(data)
        return True

    def forget(self, peer_id: str) -> None:
        """Let the path to a peer go; the peer notices within 30 s (RFC 7675, section 5.1)."""
        acquaintance = self._acquaintances.get(PeerID(peer_id), _Acquaintance())
        sessions = list(acquaintance.coming)
        if acquaintance.live is not None:
            sessions.append(acquaintance.live)
        for session in sessions:
            session.close()

    def stop(self) -> Deferred[Any]:
        """Unregister, which takes two seconds at most, and stop listening."""
        transport: Any = self.transport
        left = self._place.leave()
        return left.addCallback(lambda _: maybeDeferred(transport.stopListening))

    # What Twisted calls.

    def startProtocol(self) -> None:
        """Begin to register."""
        super().startProtocol()
        self._place.start()

    def stopProtocol(self) -> None:
        """End every path."""
        super().stopProtocol()
        self._place.abandon()

    def path_datagram_received(self, data: bytes, path: DatagramPath) -> None:
        """Tell ours from the user's."""
        place = self._place
        if place.signalling_received(data, path) or place.sessions.authentic_received(data, path):
            return
        session = self._sessions_by_path.get(path)
        if session is not None:
            self.peer_datagram_received(data, session.peer_id)
        else:
            self.stranger_datagram_received(data, path.remote)

    # What sessions tell.

    def path_authenticated(self, session: PeerSession, path: DatagramPath) -> None:
        """Let datagrams along this path be the peer's."""
        self._sessions_by_path[path] = session

    def path_changed(self, session: PeerSession) -> None:
        """Use a session from its first path on: were an older one good, it would not be there."""
        path = _peer_path(session)
        if path is None:
            return
        acquaintance = self._acquaintances[session.peer_id]
        acquaintance.coming.discard(session)
        before, acquaintance.live = acquaintance.live, session
        if before is not session:
            if session.is_initiator:
                self._place.trackers.succeeded()
            if before is not None:
                before.close()
        waiting, acquaintance.waiting = acquaintance.waiting, []
        if path != acquaintance.path:
            acquaintance.path = path
            self._tell(self.path_selected, path)
        for each in waiting:
            each.callback(path)

    def _begin(self, session: PeerSession) -> None:
        session.owner = self
        self._acquaintances.setdefault(session.peer_id, _Acquaintance()).coming.add(session)
        session.when_closed(lambda: self._ended(session))

    def _ended(self, session: PeerSession) -> None:
        acquaintance = self._acquaintances[session.peer_id]
        was_live = acquaintance.live is session
        if was_live:
            acquaintance.live = acquaintance.path = None
        acquaintance.coming.discard(session)
        for path in [path for path, one in self._sessions_by_path.items() if one is session]:
            del self._sessions_by_path[path]
        waiting: list[Deferred[PeerPath]] = []
        if acquaintance.live is None and not acquaintance.coming:
            waiting = acquaintance.waiting
            del self._acquaintances[session.peer_id]
        if was_live:
            lost = PathLost(peer_id=session.peer_id)
            lost.__cause__ = session.error
            self._tell(self.path_lost, Failure(lost))
        for each in waiting:
            each.errback(session.error or P2PError("This port is closed."))

    def _give_up(self, peer_id: PeerID, waiting: Deferred[PeerPath]) -> None:
        """Fail one who waits no more, and close the sessions that nobody waits for."""
        acquaintance = self._acquaintances[peer_id]
        acquaintance.waiting.remove(waiting)
        waiting.errback(CancelledError())
        if not acquaintance.waiting:
            for session in [one for one in acquaintance.coming if one.is_initiator]:
                session.close()

    # What the trackers are told.

    def _refusal_for(self, peer_id: PeerID) -> Refusal | None:
        return None if self._tell(self.may_punch, str(peer_id)) else Refusal.NOT_ALLOWED

    def _describe(self, sequence: int, mapped_address: HostPort) -> bytes:
        return sign_own_record(
            self._identity,
            sequence,
            mapped_address,
            allowed=self._allowed,
            topics=self._topics,
        )

    def _tell(self, hook: Callable[..., object], *arguments: object) -> object:
        """Call a hook and return its answer, which is None when it failed."""
        try:
            return hook(*arguments)
        except Exception:
            self._log.failure("A hook of {protocol} failed", protocol=type(self).__name__)
            return None


@define
class _OnePort:
    """The port of a protocol, as the only one of its meeting place."""

    _protocol: PathDatagramProtocol
    _local_addresses: LocalAddresses

    def local_address(self, path: DatagramPath) -> HostPort:
        return self._local_addresses.of(path)

    def network_changed(self) -> None:
        self._local_addresses.forget()

    @property
    def addresses(self) -> Sequence[HostPort]:
        return [self._protocol.address]

    def send(self, data: bytes, path: DatagramPath) -> None:
        self._protocol.send(data, path)


def _peer_path(session: PeerSession) -> PeerPath | None:
    path = session.path
    if path is None:
        return None
    return PeerPath(path.kind, path.protocol, path.local, path.remote, str(session.peer_id))
