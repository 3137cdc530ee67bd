"""``p2p connect``."""

from __future__ import annotations

from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory

from ..errors import P2PError
from ..identity.peer_id import PeerID
from ..interfaces import IPeerNode
from ..node.service import P2PNode
from .exit_status import ExitStatus
from .joining import JoinedEnd
from .options import Options
from .reporting import Reporter
from .running import run_with_node
from .standard_streams import join_standard_streams
from .streams import StreamEnd


@click.command("connect")
@click.argument("peer")
@click.argument("service")
@click.option("--from", "source", metavar="ENDPOINT", help="A Twisted server endpoint string.")
@click.pass_obj
def command(options: Options, peer: str, service: str, source: str | None) -> ExitStatus:
    """Join a stream to PEER's SERVICE with stdin and stdout.

    With --from, open a stream for each connection to that endpoint instead, until stopped.
    """
    peer_id = PeerID(peer)

    async def open_entrance(reactor: Any, node: P2PNode) -> None:
        if source is not None:
            entrance = _Entrance(options.reporter, node, peer_id, service)
            await serverFromString(reactor, source).listen(entrance)

    async def connect(reactor: Any, node: P2PNode) -> None:
        if source is not None:
            await Deferred()
        stream = await open_stream(options.reporter, node, peer_id, service)
        await join_standard_streams(stream)

    return run_with_node(options, connect, prepare=open_entrance)


async def open_stream(reporter: Reporter, node: IPeerNode, peer_id: str, service: str) -> StreamEnd:
    """Return a connected stream to a peer's service; fails as `IPeerNode.connect` does."""
    end = StreamEnd(reporter, node)
    await node.connect(peer_id, service, Factory.forProtocol(lambda: end))
    end.announce("connected")
    return end


class _Entrance(Factory):
    """Opens a stream for each local connection."""

    noisy = False

    def __init__(self, reporter: Reporter, node: P2PNode, peer_id: str, service: str) -> None:
        self._reporter = reporter
        self._node = node
        self._peer_id = peer_id
        self._service = service

    def buildProtocol(self, addr: object) -> JoinedEnd:
        """Return the local end, to be joined to a stream once that is open."""
        local = JoinedEnd()
        local.closed.addErrback(lambda failure: None)
        Deferred.fromCoroutine(self._join(local))
        return local

    async def _join(self, local: JoinedEnd) -> None:
        try:
            stream = await open_stream(self._reporter, self._node, self._peer_id, self._service)
        except P2PError as error:
            self._reporter.error(error)
            local.abort()
            return
        stream.closed.addErrback(lambda failure: None)
        stream.join(local)
