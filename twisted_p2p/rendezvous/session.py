"""One introduction of two peers: the search for a path, and the path while it lives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from twisted_p2p.addresses import DatagramPath, HostPort, Path, PathKind
from twisted_p2p.datagram.clocks import MonotonicCall
from twisted_p2p.datagram.driver import MachineDriver, one_by_one
from twisted_p2p.errors import ConnectionVanished, DialTimedOut, P2PError
from twisted_p2p.ice.agent import ICEAgent
from twisted_p2p.ice.candidate import (
    Candidate,
    CandidateType,
    candidate_foundation,
    candidate_priority,
)
from twisted_p2p.ice.events import (
    CheckedPath,
    ConnectivityFailed,
    ConsentLost,
    ICEEvent,
    PathAuthenticated,
    PathRevived,
    PathSelected,
)
from twisted_p2p.ice.filter import AddressScope, CandidateFilter, address_scope
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.rendezvous.no_path import Side, no_path

PATIENCE = 12.0
"""Seconds after which a session has no path, whatever it still waits for.

Longer than the checks of the first candidates take, as others may come with a late answer."""


class SessionOwner(Protocol):
    """Who is told which paths a session has."""

    def path_authenticated(self, session: PeerSession, path: DatagramPath) -> None:
        """Take note that the peer has shown its password along a path: data may flow there."""

    def path_changed(self, session: PeerSession) -> None:
        """Take note that `PeerSession.path` is another one."""


class PeerSession:
    """An attempt to reach one peer and, once it succeeded, the way to it."""

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        peer_id: PeerID,
        session_id: bytes,
        is_initiator: bool,
        agent: ICEAgent,
        send: Callable[[bytes, DatagramPath], object],
        local_address: Callable[[DatagramPath], HostPort],
        ours: Callable[[], Side],
    ) -> None:
        """Begin to wait for paths; ``ours`` tells of this node when the peer was not reached."""
        self.peer_id = peer_id
        self.session_id = session_id
        self.is_initiator = is_initiator
        self._strategy: str | None = None
        self.sequence = 0
        """The highest of the peer's offers for this session."""
        self.remote_hosts: set[HostPort] = set()
        """The addresses that the peer says are its interfaces' own."""
        self._theirs = Side(frozenset(), frozenset())
        self.was_answered = False
        """Whether anything of the peer's was heard, by whatever way."""
        self.agent = agent
        self.owner: SessionOwner | None = None
        self.on_revived: Callable[[], object] = lambda: None
        """Called when the path carries again, after it did not."""
        self.on_selected: Callable[[HostPort], object] = lambda _: None
        """Called with the peer's address each time that a path is agreed on."""
        self.error: P2PError | None = None
        """Why there is no path, or no longer, once the session has failed."""
        self._send = send
        self._local_address = local_address
        self._ours = ours
        self._when_closed: list[Callable[[], object]] = []
        self._driver: MachineDriver[ICEEvent] = MachineDriver(
            reactor, agent, one_by_one(send), self._on_event, sends_first=True
        )
        self.started_at = self._driver.now()
        self.is_closed = False
        self._current: DatagramPath | None = None
        self._deadline: MonotonicCall | None = MonotonicCall(reactor, PATIENCE, self._out_of_time)

    @property
    def now(self) -> float:
        """The time that the agent's commands must be given, in seconds."""
        return self._driver.now()

    @property
    def strategy(self) -> str:
        """How the two came together, for the user: ``introduction`` by a tracker, ``lan`` where the
        one has heard the other on their link, or ``remembered`` from an earlier connection.
        """
        return self._strategy or "introduction"

    def came_about_by(self, strategy: str) -> None:
        """Take the strategy that has worked; the first one counts."""
        self._strategy = self._strategy or strategy

    def pump(self) -> None:
        """Do what the agent's commands call for."""
        self._driver.pump()

    def peer_is_at(
        self, observed: Collection[HostPort], offered: Iterable[Candidate], judge: CandidateFilter
    ) -> None:
        """Try the addresses at which a tracker sees the peer, and those that it offers itself.

        An address that ``judge`` does not admit gets no packet.
        """
        if self.is_closed:
            return
        offered = list(offered)
        before = self.path
        self.remote_hosts |= {
            candidate.address
            for candidate in offered
            if candidate.candidate_type is CandidateType.HOST
        }
        self._theirs = Side(
            {*self._theirs.seen_at, *observed},
            {*self._theirs.told, *(candidate.address for candidate in offered)},
        )
        for candidate in [*map(_observed_candidate, observed), *offered]:
            if judge.admits(candidate.address):
                self.agent.add_remote_candidate(candidate, self.now)
        self.pump()
        if self.owner is not None and self.path != before:
            # What was taken for a hole turns out to be an address of the peer's own.
            self.owner.path_changed(self)

    def search_again(self) -> None:
        """Check all paths again, since this host or the peer's may be in another network."""
        if not self.is_closed:
            self.agent.search_again(self.now)
            self.pump()

    def is_confirmed_since(self, moment: float) -> bool:
        """Return whether the peer has answered along the path that is in use, after a moment."""
        return self.agent.confirmed_at >= moment

    def we_are_at(self, candidates: Iterable[Candidate]) -> None:
        """Use these candidates of this node too."""
        for candidate in candidates:
            self.agent.add_local_candidate(candidate)
        self.pump()

    def receive_check(self, data: bytes, path: DatagramPath) -> None:
        """Take a STUN message that is this session's by its user name or transaction ID."""
        self._driver.datagram_received(data, path)
        # At once: the peer waits for this answer, and its first one starts the connection.
        self._driver.pump()

    def data_heard(self) -> None:
        """Take note that data of the peer came, whatever it is."""
        if self.agent.data_heard(self.now):
            self.pump()

    def withdraw_consent(self) -> None:
        """Answer no check any more; the path stays for what is still to be said along it."""
        self.agent.close()

    @property
    def datagram_path(self) -> DatagramPath | None:
        """The path to send along: the one selected, or until then one that is authenticated."""
        return self.agent.selected_path or self._current

    def send(self, data: bytes) -> None:
        """Send a datagram to the peer; without a path it is lost, as datagrams may be."""
        path = self.datagram_path
        if path is not None and not self.is_closed:
            self._send(data, path)

    @property
    def path(self) -> Path | None:
        """The path in the user's words, or None as long as there is none."""
        path = self.datagram_path
        if path is None or self.is_closed:
            return None
        local = self._local_address(path)
        return Path(self._kind(path, local), "udp", local, path.remote)

    def when_closed(self, callback: Callable[[], object]) -> None:
        """Have a callback called once, however the session ends."""
        self._when_closed.append(callback)

    def close(self) -> None:
        """Send nothing more, and call those who asked for it by `when_closed`."""
        if self.is_closed:
            return
        self.is_closed = True
        self._forget_deadline()
        self.agent.close()
        self._driver.stop()
        for callback in self._when_closed:
            callback()

    def fail(self, error: P2PError) -> None:
        """Close the session because of an error."""
        if not self.is_closed:
            self.error = error
            self.close()

    def _kind(self, path: DatagramPath, local: HostPort) -> PathKind:
        if address_scope(path.remote.host) is not AddressScope.PUBLIC:
            return "lan"
        is_untranslated = self.agent.mapped_addresses.get(path) == local
        return "direct" if is_untranslated and path.remote in self.remote_hosts else "punched"

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _out_of_time(self) -> None:
        self._deadline = None
        self._not_reached(())

    def _not_reached(self, checks: Sequence[CheckedPath]) -> None:
        if not self.was_answered:
            self.fail(DialTimedOut())
            return
        address = self._local_address
        self.fail(no_path(checks, ours=self._ours(), theirs=self._theirs, local_address=address))

    def _on_event(self, event: ICEEvent) -> None:
        match event:
            case PathAuthenticated(path):
                self.was_answered = True
                self._forget_deadline()
                before, self._current = self._current, self._current or path
                if self.owner is not None:
                    self.owner.path_authenticated(self, path)
                    if before is None:
                        self.owner.path_changed(self)
            case PathSelected(path):
                self.on_selected(path.remote)
                if self.owner is not None:
                    self.owner.path_changed(self)
            case PathRevived():
                self.on_revived()
            case ConsentLost():
                self.fail(ConnectionVanished())
            case ConnectivityFailed(checks):
                self._not_reached(checks)


def _observed_candidate(address: HostPort) -> Candidate:
    """Return the candidate for an address at which a tracker sees the peer."""
    return Candidate(
        address=address,
        candidate_type=CandidateType.SERVER_REFLEXIVE,
        priority=candidate_priority(CandidateType.SERVER_REFLEXIVE),
        foundation=candidate_foundation(CandidateType.SERVER_REFLEXIVE, address.host),
    )
