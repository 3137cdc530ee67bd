"""``p2p peers``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from ..interfaces import IDiscoveredPeer, IDiscoveryObserver, IPeerDiscovery
from ..node.service import P2PNode
from ..rendezvous.offering import LAN_PATIENCE
from .exit_status import ExitStatus
from .options import Options, topic_option
from .reporting import Reporter
from .running import run_with_node


@click.command("peers")
@click.option("--lan", "only_lan", is_flag=True, help="Only those on the local network.")
@click.option("--watch", is_flag=True, help="With --lan: go on, and tell who comes and goes.")
@topic_option(help="Only those that have named this topic.", default="")
@click.pass_obj
def command(options: Options, only_lan: bool, watch: bool, topic: str) -> ExitStatus:
    """Show which peers are here now, as far as they let this one know."""
    if only_lan and not options.lan:
        raise click.UsageError("--lan and --no-lan leave nowhere to look")
    if only_lan and topic:
        raise click.UsageError("topics are known to trackers alone; omit --lan")
    if watch and not only_lan:
        raise click.UsageError("only the local network tells who comes and goes; add --lan")
    if topic and not options.trackers:
        raise click.UsageError("topics are known to trackers alone; name one by --tracker")

    async def list_peers(reactor: Any, node: P2PNode) -> None:
        shown = 0
        if node.lan is not None and not topic:
            shown += await _show_neighbours(options.reporter, reactor, node.lan, watch=watch)
        if options.trackers and not only_lan:
            peers = await node.peers(topic)
            for peer in peers:
                names = (*peer.services, *["..."] * peer.has_more_services)
                _show(options.reporter, "tracker", peer, names)
            shown += len(peers)
        if not shown:
            words = f"Nobody with the topic {topic!r} is here." if topic else "Nobody is here."
            options.reporter.event(words, "nobody", topic=topic)

    return run_with_node(options, list_peers)


async def _show_neighbours(
    reporter: Reporter, reactor: Any, lan: IPeerDiscovery, *, watch: bool
) -> int:
    """Show who answers on the local network, and return how many; or go on for ever."""
    if watch:
        lan.add_observer(_Watcher(reporter))
    lan.browse()
    if watch:
        await Deferred()
    await deferLater(reactor, LAN_PATIENCE)
    peers = lan.peers()
    for peer in peers:
        _show(reporter, "lan", peer, peer.services)
    return len(peers)


@implementer(IDiscoveryObserver)
@frozen(eq=False)
class _Watcher:
    """Shows who comes and goes."""

    _reporter: Reporter

    def peer_found(self, peer: IDiscoveredPeer) -> None:
        """Show a peer that is here."""
        _show(self._reporter, "lan", peer, peer.services)

    peer_updated = peer_found

    def peer_lost(self, peer: IDiscoveredPeer) -> None:
        """Show that a peer has gone."""
        self._reporter.result(f"{peer.peer_id}  {'lan':7}  gone", "peer_lost", peer=peer.peer_id)


def _show(reporter: Reporter, source: str, peer: Any, names: Iterable[str]) -> None:
    """Show a `PresentPeer` or an `IDiscoveredPeer`, with names for its services."""
    words = ", ".join(map(_visible, names))
    reporter.result(
        f"{peer.peer_id}  {source:7}  {'accepting' if peer.accepting else 'closed':9}"
        f"  {words}".rstrip(),
        "peer",
        peer=peer.peer_id,
        source=source,
        services=list(peer.services),
        accepting=peer.accepting,
    )


def _visible(name: str) -> str:
    return name if name.isprintable() else ascii(name)
