"""``p2p peers``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from twisted.internet.defer import Deferred

from ..node.service import P2PNode
from ..tracker.present_peers import PresentPeer
from .exit_status import ExitStatus
from .options import Options, topic_option
from .reporting import Reporter
from .running import run_with_node

_SOURCES: dict[str, Callable[[P2PNode, str], Deferred[list[PresentPeer]]]] = {
    "tracker": P2PNode.peers,
}
"""Where peers are looked for, by the word that the events use."""


@click.command("peers")
@click.option("--lan", is_flag=True, help="Only those on the local network.")
@topic_option(help="Only those that have named this topic.", default="")
@click.pass_obj
def command(options: Options, lan: bool, topic: str) -> ExitStatus:
    """Show which peers are here now, as far as they let this one know."""
    sources = [name for name in _SOURCES if name == "lan" or not lan]
    if not sources:
        raise click.UsageError("peers on the local network are not looked for yet; omit --lan")

    async def list_peers(reactor: Any, node: P2PNode) -> None:
        shown = 0
        for name in sources:
            peers = await _SOURCES[name](node, topic)
            for peer in peers:
                _show(options.reporter, peer, name)
            shown += len(peers)
        if not shown:
            words = f"Nobody with the topic {topic!r} is here." if topic else "Nobody is here."
            options.reporter.event(words, "nobody", topic=topic)

    return run_with_node(options, list_peers)


def _show(reporter: Reporter, peer: PresentPeer, source: str) -> None:
    reporter.result(
        f"{peer.peer_id}  {source:7}  {'accepting' if peer.accepting else 'closed':9}"
        f"  {_named(peer.services, peer.has_more_services)}".rstrip(),
        "peer",
        peer=peer.peer_id,
        source=source,
        services=list(peer.services),
        accepting=peer.accepting,
    )


def _named(services: Iterable[str], has_more: bool) -> str:
    """Return names as one word of the line, whatever characters they have."""
    return ", ".join([*map(_visible, services), *["..."] * has_more])


def _visible(name: str) -> str:
    return name if name.isprintable() else ascii(name)
