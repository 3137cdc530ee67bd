"""What an ICE agent tells: its events."""

from __future__ import annotations

from attrs import frozen

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.ice.candidate import CandidateType
from twisted_p2p.ice.checklist import CandidatePair, PairState


@frozen
class PathAuthenticated:
    """The peer has shown its password along this path for the first time; data may flow."""

    path: DatagramPath


@frozen
class PathSelected:
    """From now on this is the path, for both sides; it may come again with a better one."""

    path: DatagramPath
    pair: CandidatePair
    """The live pair: its candidates, round-trip time and mapped address."""


@frozen
class PathRevived:
    """The selected path carries again, after it did not."""

    path: DatagramPath


@frozen
class ConsentLost:
    """The peer has not answered on its path for 30 seconds; the agent has fallen silent."""

    path: DatagramPath


@frozen
class CheckedPath:
    """How far the checks of one pair came."""

    path: DatagramPath
    candidate_type: CandidateType
    """How the remote address was learned."""
    state: PairState
    probes: int
    is_authenticated: bool
    """Whether anything authentic came along this path."""

    @classmethod
    def of(cls, pair: CandidatePair) -> CheckedPath:
        """Return what came of a pair."""
        return cls(
            path=pair.path,
            candidate_type=pair.remote.candidate_type,
            state=pair.state,
            probes=pair.probes_in_all,
            is_authenticated=pair.is_authenticated,
        )


@frozen
class ConnectivityFailed:
    """No path was selected in time; the agent has fallen silent."""

    checks: tuple[CheckedPath, ...]


ICEEvent = PathAuthenticated | PathSelected | PathRevived | ConsentLost | ConnectivityFailed
