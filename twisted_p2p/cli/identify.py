"""``p2p id``."""

from __future__ import annotations

import click

from .options import Options


@click.command("id")
@click.pass_obj
def command(options: Options) -> None:
    """Print this identity's peer ID."""
    peer_id = str(options.identity().peer_id)
    options.reporter.result(peer_id, "id", peer=peer_id)
