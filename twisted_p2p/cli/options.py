"""The options that stand before the command, and what they mean together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import frozen

from ..addresses import HostPort
from ..errors import PeerRefused
from ..identity.keys import IdentityKey, load_or_create_identity
from ..identity.record import check_topics
from ..node.accepting import check_service
from ..node.defaults import default_identity_path
from .reporting import Reporter

CommandT = TypeVar("CommandT", bound=Callable[..., object])


def topic_option(**settings: Any) -> Callable[[CommandT], CommandT]:
    """Return the decorator that gives a command the option ``--topic T``."""

    def check(
        context: click.Context, option: click.Parameter, value: str | tuple[str, ...]
    ) -> str | tuple[str, ...]:
        try:
            if value:
                check_topics((value,) if isinstance(value, str) else value)
        except ValueError as error:
            raise click.UsageError(f"--topic: {error}") from None
        return value

    return click.option("--topic", metavar="T", callback=check, **settings)


def _checked_service(context: click.Context, parameter: click.Parameter, name: str) -> str:
    try:
        check_service(name)
    except ValueError as error:
        raise click.BadParameter("a service has a name of 1 to 255 bytes of UTF-8") from error
    return name


service_argument = click.argument("service", callback=_checked_service)


@frozen
class Options:
    """What every command is told."""

    reporter: Reporter
    identity_path: Path | None
    trackers: tuple[HostPort, ...]
    port: int
    lan: bool
    unlinkable: bool
    verbose: bool

    def identity(self) -> IdentityKey:
        """Return the identity, which is made on first use.

        :raises IdentityFileError: when the file cannot be used.
        """
        return load_or_create_identity(self.identity_path or default_identity_path())

    def require_other(self, peer_id: str) -> None:
        """Return if a peer is another one than this; raise `PeerRefused` otherwise."""
        if self.identity().peer_id == peer_id:
            raise PeerRefused(
                "Both sides are the same identity; give one of them another one with --identity "
                "FILE before the command."
            )

    def require_peers(self) -> None:
        """End with a usage error where no way leads to any peer."""
        if not (self.trackers or self.lan):
            raise click.UsageError(
                "no tracker is named; give --tracker HOST[:PORT], set P2P_TRACKER, or leave out"
                " --no-lan"
            )
