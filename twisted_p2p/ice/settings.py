"""The numbers of ICE, each with its reason."""

from __future__ import annotations

from attrs import frozen


@frozen
class ICESettings:
    """How one agent looks for a path and keeps it; all times are seconds."""

    pace: float = 0.02
    """At least this long between two probes to addresses that never answered; RFC 8445, section
    14.2, proposes 50 ms and forbids less than 5."""

    probe_gaps: tuple[float, ...] = (0.04, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.0, 2.5)
    """The times between the probes of a pair: ten probes in seven seconds.

    RFC 8445's 500 ms between a check and its repetition suit a path that is merely lossy.  Here
    the first check may die at a filter that the peer opens a few milliseconds later, as both
    sides start within a one-way delay of one another, so the first repetitions come quickly; by
    the triangle inequality one or two suffice.  The late ones are for lossy paths and for a peer
    whose introduction had to be repeated: it finds this side's mapping open, and patient."""

    max_remote_candidates: int = 8
    """Candidates taken from the peer; each may be a third party's address."""

    max_peer_reflexive: int = 8
    """Addresses learned from the peer's own checks and kept at one time."""

    patience: float = 10.0
    """How long without a selected path until it counts as failed (RFC 8863).

    Longer than all probes take, since the peer's introduction may come as late as a repeated
    request to the tracker, and shorter than the RFC's 39.5, since somebody waits."""

    consent_interval: float = 5.0
    """Between two consent checks, +- 20 % (RFC 7675, section 5.1)."""

    consent_lifetime: float = 30.0
    """How long an answered check allows to send (RFC 7675, section 5.1)."""
