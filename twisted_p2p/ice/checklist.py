"""The check list: pairs of a local socket and a remote address, and how far each has come.

There is one component and one stream, so one list.  A pair *is* its `DatagramPath`: candidates of
one socket have one base, so of two pairs with equal path the second is redundant (RFC 8445,
section 6.1.2.4), and several addresses of a wildcard socket make one pair.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto
from ipaddress import ip_address
from typing import Literal

from attrs import define

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.candidate import Candidate, CandidateType, candidate_priority

Refusal = Literal["known_candidate", "too_many_candidates", "too_many_addresses", "unknown_socket"]


class PairState(Enum):
    """The states of RFC 8445, section 6.1.2.6."""

    FROZEN = auto()
    WAITING = auto()
    IN_PROGRESS = auto()
    SUCCEEDED = auto()
    FAILED = auto()


@define(eq=False)
class CandidatePair:
    """One local socket and one remote address."""

    path: DatagramPath
    local: Candidate
    remote: Candidate
    state: PairState = PairState.FROZEN
    next_probe: float | None = None
    """When to send the next probe or, after the last one, to give up; None if not checked now."""
    probes: int = 0
    """Probes sent since the pair was started."""
    probes_in_all: int = 0
    is_authenticated: bool = False
    """Whether the peer has shown its password along this path."""
    heard_at: float = 0.0
    """When an authenticated check came along this path last, if one ever did."""
    answered_at: float | None = None
    """When the peer last answered a check of this pair; None while the pair is not valid."""
    confirmed_at: float = 0.0
    """When the newest check was sent that was answered; consent (RFC 7675) counts from here."""
    round_trip_time: float = 0.0
    """Seconds, as the last answer showed; meaningful once there was one."""
    is_asymmetric: bool = False
    """Whether the last answer came from another port than the check went to."""
    mapped_address: HostPort | None = None
    """Where the peer sees this socket."""

    @property
    def is_valid(self) -> bool:
        """Whether packets went both ways and were authenticated (RFC 8445's valid list)."""
        return self.answered_at is not None

    @property
    def foundation(self) -> tuple[str, str]:
        """Equal for pairs likely to work or fail alike (RFC 8445, section 6.1.2.6)."""
        return self.local.foundation, self.remote.foundation

    def priority(self, controlling: bool) -> int:
        """Return the pair's priority in this role, RFC 8445 section 6.1.2.3."""
        local, remote = self.local.priority, self.remote.priority
        first, second = (local, remote) if controlling else (remote, local)
        return (min(first, second) << 32) + 2 * max(first, second) + (first > second)

    @property
    def reflexive_priority(self) -> int:
        """The priority of the candidate that the peer may learn from a check (section 7.1.1)."""
        local_preference = self.local.priority >> 8 & 0xFFFF
        return candidate_priority(CandidateType.PEER_REFLEXIVE, local_preference)

    def turn(self, controlling: bool) -> tuple[bool, float, int]:
        """Return what sorts pairs to be probed: first rounds first, then who waits longest."""
        is_repetition = self.state is PairState.IN_PROGRESS
        return is_repetition, self.next_probe or 0.0, -self.priority(controlling)

    def start(self, now: float) -> None:
        """Begin to check this pair, or begin again."""
        self.state = PairState.WAITING
        self.next_probe = now
        self.probes = 0

    def try_again(self, now: float) -> None:
        """Send the next probe at once, without beginning to count again."""
        self.next_probe = now

    def stop(self, state: PairState) -> None:
        """Check this pair no more for the time being."""
        self.state = state
        self.next_probe = None


class Checklist:
    """All pairs of one session, within its limits."""

    def __init__(self, *, max_remote_candidates: int, max_peer_reflexive: int) -> None:
        self.pairs: dict[DatagramPath, CandidatePair] = {}
        self._max_remote_candidates = max_remote_candidates
        self._max_peer_reflexive = max_peer_reflexive
        self._local: list[Candidate] = []
        self._remote: dict[HostPort, Candidate] = {}
        self._learned = 0

    @property
    def valid_pairs(self) -> list[CandidatePair]:
        """The pairs along which packets went both ways."""
        return [pair for pair in self.pairs.values() if pair.is_valid]

    def add_local(self, candidate: Candidate) -> None:
        """Pair an own candidate with all that the peer signalled; one known is no matter."""
        if candidate in self._local:
            return
        self._local.append(candidate)
        for remote in self._remote.values():
            self._add_pair(candidate, remote)

    def add_remote(self, candidate: Candidate) -> Refusal | None:
        """Pair a signalled candidate with all own ones, or return why not."""
        if candidate.address in self._remote:
            return "known_candidate"
        if len(self._remote) >= self._max_remote_candidates:
            return "too_many_candidates"
        self._remote[candidate.address] = candidate
        for local in self._local:
            self._add_pair(local, candidate)
        return None

    def learn_remote(
        self, path: DatagramPath, priority: int, keep: Collection[DatagramPath]
    ) -> CandidatePair | Refusal:
        """Return a new pair for an address that nobody signalled (RFC 8445, section 7.3.1.3).

        ``keep`` are paths that may not be forgotten to make room.  The caller has authenticated
        the peer's check; its address may be false all the same.
        """
        local = self._best_local(path)
        if local is None:
            return "unknown_socket"
        if not self._make_room(keep):
            return "too_many_addresses"
        self._learned += 1
        remote = Candidate(
            address=path.remote,
            candidate_type=CandidateType.PEER_REFLEXIVE,
            priority=priority,
            foundation=f"learned{self._learned}",
        )
        pair = self.pairs[path] = CandidatePair(path, local, remote)
        return pair

    def forget_unheard(self) -> None:
        """Make room for other addresses of the peer: forget those from which it was never heard."""
        heard = {pair.path.remote for pair in self.pairs.values() if pair.is_authenticated}
        for path in [path for path in self.pairs if path.remote not in heard]:
            del self.pairs[path]
        self._remote = {address: one for address, one in self._remote.items() if address in heard}

    def thaw(self, now: float, floor: int, controlling: bool) -> None:
        """Start the best frozen pair of each foundation, if no pair waits for its first probe.

        Only pairs of a priority above ``floor``.  So the first packets try what differs most.  The
        RFC then holds back the rest of a foundation until its first pair succeeds or fails
        (sections 6.1.4.2 and 7.2.5.3.3), which spares traffic where components are many.  Here
        they follow as soon as nothing else waits: fresh ports of one host have one foundation.
        """
        if any(pair.state is PairState.WAITING for pair in self.pairs.values()):
            return
        frozen = [pair for pair in self.pairs.values() if pair.state is PairState.FROZEN]
        started = set()
        for pair in sorted(frozen, key=lambda pair: pair.priority(controlling), reverse=True):
            if pair.priority(controlling) > floor and pair.foundation not in started:
                started.add(pair.foundation)
                pair.start(now)

    def freeze(self, floor: int, controlling: bool) -> None:
        """Hold back the checks that nobody answered of pairs with less priority than ``floor``."""
        for pair in self.pairs.values():
            checked = pair.state in (PairState.WAITING, PairState.IN_PROGRESS)
            if checked and not pair.is_authenticated and pair.priority(controlling) < floor:
                pair.stop(PairState.FROZEN)

    def _add_pair(self, local: Candidate, remote: Candidate) -> None:
        if _reach(local.address.host) != _reach(remote.address.host):
            return
        path = DatagramPath(local.base, remote.address)
        pair = self.pairs.setdefault(path, CandidatePair(path, local, remote))
        pair.local = max(pair.local, local, key=lambda candidate: candidate.priority)
        pair.remote = remote  # which may have been learned before it was signalled

    def _best_local(self, path: DatagramPath) -> Candidate | None:
        candidates = (candidate for candidate in self._local if candidate.base == path.local)
        return max(candidates, key=lambda candidate: candidate.priority, default=None)

    def _make_room(self, keep: Collection[DatagramPath]) -> bool:
        """Forget the learned address that was silent longest, if one must go and one may."""
        learned = [
            pair
            for pair in self.pairs.values()
            if pair.remote.candidate_type is CandidateType.PEER_REFLEXIVE
        ]
        if len(learned) < self._max_peer_reflexive:
            return True
        idle = [p for p in learned if p.next_probe is None and p.path not in keep]
        if not idle:
            return False
        del self.pairs[min(idle, key=lambda pair: pair.heard_at).path]
        return True


def _reach(host: str) -> tuple[int, bool]:
    """Return what must be equal for two addresses to be paired, RFC 8445 section 6.1.2.2."""
    address = ip_address(host)
    return address.version, address.is_link_local
