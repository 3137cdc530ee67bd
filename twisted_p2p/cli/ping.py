"""``p2p ping``."""

from __future__ import annotations

from typing import Any

import click
from twisted.internet.task import deferLater

from ..identity.peer_id import PeerID
from ..node.service import P2PNode
from .exit_status import ExitStatus
from .options import Options
from .running import run_with_node

_INTERVAL = 1.0


@click.command("ping", short_help="Measure round trips to PEER and show the path.")
@click.argument("peer")
@click.option(
    "-c",
    "--count",
    metavar="N",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="How many pings.",
)
@click.option("--until-direct", is_flag=True, help="Go on until the path is not relayed.")
@click.pass_obj
def command(options: Options, peer: str, count: int, until_direct: bool) -> ExitStatus:
    """Measure round trips to PEER and show the path and whether it accepts connections."""
    peer_id = PeerID(peer)
    options.require_other(peer_id)

    async def ping(reactor: Any, node: P2PNode) -> None:
        sent = 0
        while True:
            kind = await _ping_once(options, node, peer_id)
            sent += 1
            if (kind != "relayed") if until_direct else (sent == count):
                return
            await deferLater(reactor, _INTERVAL)

    return run_with_node(options, ping)


async def _ping_once(options: Options, node: P2PNode, peer_id: PeerID) -> str:
    """Ping once, say the result and return the kind of the path."""
    pong = await node.ping(peer_id)
    words = "accepts connections" if pong.accepting else "accepts no connections"
    options.reporter.result(
        f"pong from {peer_id}: {pong.round_trip * 1000:.1f} ms, {pong.path.kind} "
        f"from {pong.path.local} to {pong.path.remote}, {words}",
        "pong",
        peer=str(peer_id),
        rtt_ms=round(pong.round_trip * 1000, 3),
        path=pong.path.as_dict(),
        accepting=pong.accepting,
    )
    return pong.path.kind
