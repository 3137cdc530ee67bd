"""TCP connections as a NAT sees them (RFC 7857, section 2, from RFC 6146, section 3.5.2)."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum, auto
from math import inf

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat.behaviour import FilterBehaviour, TCPBehaviour
from twisted_p2p.testing.nat.mapping import Mapping
from twisted_p2p.testing.nat.memory import PrunedDict
from twisted_p2p.testing.nat.words import Dependence
from twisted_p2p.testing.tcp.segment import TCPFlags

_SYN_ONLY = TCPFlags.SYN
_PLAIN = TCPFlags.ACK


class _State(Enum):
    INSIDE_SYN = auto()
    """Only the inside has sent a SYN."""
    OUTSIDE_SYN = auto()
    ESTABLISHED = auto()
    INSIDE_FIN = auto()
    OUTSIDE_FIN = auto()
    CLOSED = auto()
    """Both have sent a FIN."""
    RESET = auto()


_OPENING = (_State.INSIDE_SYN, _State.OUTSIDE_SYN)


def begins_connection(rules: FilterBehaviour, flags: TCPFlags | None) -> bool:
    """Whether a packet from inside makes a connection known.

    Only a SYN does (RFC 5382, section 4.1), unless the NAT picks up what it meets.
    """
    if flags is _SYN_ONLY:
        return True
    return rules.tcp.picks_up and flags is not None and TCPFlags.RST not in flags


class TCPSession:
    """One connection through a NAT, between one internal and one remote endpoint."""

    __slots__ = ("_rules", "_state", "expires_at")

    def __init__(self, rules: TCPBehaviour, *, from_inside: bool, established: bool) -> None:
        self._rules = rules
        self._state = _State.INSIDE_SYN if from_inside else _State.OUTSIDE_SYN
        if established:
            self._state = _State.ESTABLISHED
        self.expires_at = -inf

    @property
    def is_answerable(self) -> bool:
        """Whether a bare SYN from outside is the other half of a simultaneous open."""
        return self._state is _State.INSIDE_SYN

    def passed(self, flags: TCPFlags, now: float, *, from_inside: bool) -> None:
        """Take note of a packet that is let through."""
        if flags is not _PLAIN or self._state is _State.RESET:
            self._state = self._next_state(flags, from_inside=from_inside)
        if self._state in _OPENING:
            self.expires_at = now + self._rules.transitory_timeout
        elif self._state is not _State.CLOSED and self._state is not _State.RESET:
            self.expires_at = now + self._rules.established_timeout
        elif TCPFlags.FIN in flags or TCPFlags.RST in flags:
            self.expires_at = now + self._rules.closing_timeout

    def _next_state(self, flags: TCPFlags, *, from_inside: bool) -> _State:
        state = self._state
        if TCPFlags.RST in flags:
            return state if state is _State.CLOSED else _State.RESET
        if TCPFlags.SYN in flags:
            return self._after_syn(from_inside=from_inside)
        if state is _State.RESET:
            state = _State.ESTABLISHED
        return _after_fin(state, from_inside=from_inside) if TCPFlags.FIN in flags else state

    def _after_syn(self, *, from_inside: bool) -> _State:
        mine, others = _OPENING if from_inside else _OPENING[::-1]
        if self._state is others:
            return _State.ESTABLISHED
        # A SYN after the end begins a new connection between the same endpoints.
        return mine if self._state in (_State.CLOSED, _State.RESET) else self._state


def _after_fin(state: _State, *, from_inside: bool) -> _State:
    mine, others = _State.INSIDE_FIN, _State.OUTSIDE_FIN
    if not from_inside:
        mine, others = others, mine
    if state is others:
        return _State.CLOSED
    return mine if state is _State.ESTABLISHED else state


class TCPMapping(Mapping):
    """A mapping that lasts as long as one of its connections."""

    __slots__ = ("_sessions",)

    def __init__(
        self,
        key: Hashable,
        internal: HostPort,
        public: HostPort,
        rules: FilterBehaviour,
        now: float,
    ) -> None:
        super().__init__(key, internal, public, rules, now)
        self._sessions: PrunedDict[HostPort, TCPSession] = PrunedDict()

    @staticmethod
    def _first_timeout(rules: FilterBehaviour) -> float:
        return rules.tcp.transitory_timeout

    def leave(self, remote: HostPort, now: float, flags: TCPFlags | None) -> bool:
        """Let a packet of a known connection go, and one that begins a connection."""
        flags = flags or _PLAIN
        session = self._live_session(remote, now)
        if session is None:
            if not begins_connection(self.rules, flags):
                return False
            session = self._begin(remote, now, flags, from_inside=True)
        self._pass(session, flags, now, from_inside=True)
        return True

    def admits(self, remote: HostPort, now: float, flags: TCPFlags | None) -> bool:
        """Whether a packet belongs to a known connection, or may begin one."""
        session = self._live_session(remote, now)
        if session is None:
            return flags is _SYN_ONLY and self._lets_begin(remote, now)
        is_crossing = flags is _SYN_ONLY and session.is_answerable
        return self.rules.tcp.simultaneous_open or not is_crossing

    def enter(self, remote: HostPort, now: float, flags: TCPFlags | None) -> bool:
        """Let a packet in; other than a UDP packet, it keeps the mapping."""
        flags = flags or _PLAIN
        if not self.admits(remote, now, flags):
            return False
        session = self._live_session(remote, now)
        if session is None:
            session = self._begin(remote, now, flags, from_inside=False)
        self._pass(session, flags, now, from_inside=False)
        return True

    def _live_session(self, remote: HostPort, now: float) -> TCPSession | None:
        session = self._sessions.get(remote)
        return session if session is not None and now < session.expires_at else None

    def _lets_begin(self, remote: HostPort, now: float) -> bool:
        filtering = self.rules.filtering
        if self.is_static or filtering is Dependence.ENDPOINT_INDEPENDENT:
            return True
        part = filtering.of(remote)
        return any(
            now < session.expires_at and filtering.of(other) == part
            for other, session in self._sessions.items()
        )

    def _begin(
        self, remote: HostPort, now: float, flags: TCPFlags, *, from_inside: bool
    ) -> TCPSession:
        sessions = self._sessions
        if len(sessions) > sessions.many:
            sessions.prune(lambda session: session.expires_at <= now)
        sessions[remote] = session = TCPSession(
            self.rules.tcp, from_inside=from_inside, established=flags is not _SYN_ONLY
        )
        return session

    def _pass(self, session: TCPSession, flags: TCPFlags, now: float, *, from_inside: bool) -> None:
        before = session.expires_at
        session.passed(flags, now, from_inside=from_inside)
        session.expires_at = min(session.expires_at, self.ends_at)
        if self.is_static or session.expires_at == before:
            return
        if session.expires_at >= self.expires_at:
            self.expires_at = session.expires_at
        elif before == self.expires_at:
            self.expires_at = max(each.expires_at for each in self._sessions.values())
