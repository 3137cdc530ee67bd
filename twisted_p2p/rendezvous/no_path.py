"""Why two peers found no path: what was tried, and what that shows of the NATs between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import evolve, frozen

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import NoPath
from twisted_p2p.ice.candidate import CandidateType
from twisted_p2p.ice.events import CheckedPath

_WORDS = {True: "yes", False: "no", None: "unknown"}


@frozen
class Side:
    """What is known of where one of the two is."""

    seen_at: Collection[HostPort]
    """Where trackers see it."""
    told: Collection[HostPort]
    """The addresses that it has told the other side."""
    maps_independently: bool | None = None
    """Whether its NAT shows everybody the same address; None is unknown."""


def no_path(
    checks: Sequence[CheckedPath],
    *,
    ours: Side,
    theirs: Side,
    local_address: Callable[[DatagramPath], HostPort],
) -> NoPath:
    """Return the error with one sentence for the user, and all that is known in `NoPath.why`.

    ``local_address`` says from which address the packets of a path leave.
    """
    tried = [
        {
            "local": str(local_address(check.path)),
            "remote": str(check.path.remote),
            "candidate": check.candidate_type.name.lower(),
            "probes": check.probes,
            "heard": check.is_authenticated,
        }
        for check in checks
    ]
    shown = evolve(theirs, maps_independently=_shown_mapping(checks, theirs.seen_at))
    return NoPath(
        _sentence(checks), why={"ours": {**_facts(ours), "tried": tried}, "theirs": _facts(shown)}
    )


def _sentence(checks: Sequence[CheckedPath]) -> str:
    if not checks:
        return "The peer is there, but told no address that may be tried from here."
    if any(check.is_authenticated for check in checks):
        return (
            "The peer's packets arrive here, but none of this node's arrive there: a NAT in "
            "between gives this node another port towards the peer, which the peer's NAT refuses."
        )
    return (
        "Both peers tried, and no packet came through between them in either direction, from "
        "any address known; a NAT or a firewall in between lets in no peers: try another network."
    )


def _shown_mapping(checks: Sequence[CheckedPath], seen_at: Collection[HostPort]) -> bool | None:
    """Return False if the peer's checks came from where no tracker sees it, though of its host."""
    hosts = {address.host for address in seen_at}
    is_elsewhere = any(
        check.candidate_type is CandidateType.PEER_REFLEXIVE
        and check.path.remote.host in hosts
        and check.path.remote not in seen_at
        for check in checks
    )
    return False if is_elsewhere else None


def _facts(side: Side) -> dict[str, object]:
    return {
        "seen_at": sorted(map(str, side.seen_at)),
        "told": sorted(map(str, side.told)),
        "mapping_independent": _WORDS[side.maps_independently],
    }
