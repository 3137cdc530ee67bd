"""The options that stand before the command, and what they mean together."""

from __future__ import annotations

from pathlib import Path

import click
from attrs import frozen

from ..addresses import HostPort
from ..identity.keys import IdentityKey, load_or_create_identity
from ..node.defaults import default_identity_path
from .reporting import Reporter


@frozen
class Options:
    """What every command is told."""

    reporter: Reporter
    identity_path: Path | None
    trackers: tuple[HostPort, ...]
    port: int
    verbose: bool

    def identity(self) -> IdentityKey:
        """Return the identity, which is made on first use.

        :raises IdentityFileError: when the file cannot be used.
        """
        return load_or_create_identity(self.identity_path or default_identity_path())

    def require_trackers(self) -> tuple[HostPort, ...]:
        """Return the trackers, or end with a usage error where there is none."""
        if not self.trackers:
            raise click.UsageError(
                "no tracker is named; give --tracker HOST[:PORT] or set P2P_TRACKER"
            )
        return self.trackers
