"""``p2p connect``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from ..identity.peer_id import PeerID
from ..interfaces import IEarlyFactory, IPeerNode
from ..node.service import P2PNode
from .exit_status import ExitStatus
from .joining import JoinedEnd
from .local_endpoints import listen_at, parse_server_endpoint
from .options import Options, service_argument
from .reporting import Reporter
from .running import described, run_with_node
from .standard_streams import StandardStreams, until_closed
from .streams import StreamEnd


@click.command("connect")
@click.argument("peer")
@service_argument
@click.option("--from", "source", metavar="ENDPOINT", help="A Twisted server endpoint string.")
@click.pass_obj
def command(options: Options, peer: str, service: str, source: str | None) -> ExitStatus:
    """Join a stream to PEER's SERVICE with stdin and stdout.

    With --from, open a stream for each connection to that endpoint instead, until stopped.
    """
    peer_id = PeerID(peer)
    options.require_other(peer_id)

    entrance = None if source is None else parse_server_endpoint("--from", source)

    async def open_entrance(reactor: Any, node: P2PNode) -> None:
        if entrance is not None:
            opened = Entrance(options.reporter, node, peer_id, service)
            await listen_at(entrance, "--from", opened)

    async def connect(reactor: Any, node: P2PNode) -> None:
        if entrance is not None:
            await Deferred()
        local = StandardStreams()
        stream = await open_stream(options.reporter, node, peer_id, service, local.open)
        await until_closed(stream, local)

    return run_with_node(options, connect, prepare=open_entrance)


async def open_stream(
    reporter: Reporter,
    node: IPeerNode,
    peer_id: str,
    service: str,
    open_local: Callable[[], JoinedEnd],
) -> StreamEnd:
    """Return a stream to a peer's service that is joined with a local end.

    What the local end has to send goes out with the request for the stream.  Fails as
    `IPeerNode.connect` does; the local end is then aborted.
    """
    stream = _DialledEnd(reporter, node, open_local)
    factory = Factory.forProtocol(lambda: stream)
    alsoProvides(factory, IEarlyFactory)
    try:
        await node.connect(peer_id, service, factory)
    except BaseException:
        stream.closed.addErrback(lambda failure: None)  # it is told as this error
        raise
    stream.announce("connected")
    return stream


class _DialledEnd(StreamEnd):
    """Joins itself with a local end as soon as it is connected."""

    def __init__(
        self, reporter: Reporter, node: IPeerNode, open_local: Callable[[], JoinedEnd]
    ) -> None:
        super().__init__(reporter, node)
        self._open_local = open_local

    def connectionMade(self) -> None:
        """Join the two."""
        super().connectionMade()
        self.join(self._open_local())


class Entrance(Factory):
    """Opens a stream for each local connection."""

    noisy = False

    def __init__(self, reporter: Reporter, node: IPeerNode, peer_id: str, service: str) -> None:
        self._reporter = reporter
        self._node = node
        self._peer_id = peer_id
        self._service = service

    def buildProtocol(self, addr: object) -> JoinedEnd:
        """Return the local end, which is joined to a stream once there is one."""
        return _EnteredEnd(self)

    async def join(self, local: JoinedEnd) -> None:
        """Open a stream for a local end that is connected."""
        try:
            stream = await open_stream(
                self._reporter, self._node, self._peer_id, self._service, lambda: local
            )
        except Exception:
            self._reporter.error(described(Failure()))
            local.abort()
        else:
            stream.closed.addErrback(lambda failure: None)  # said by the closed event


class _EnteredEnd(JoinedEnd):
    """A local connection, which asks for its stream once it is connected."""

    def __init__(self, entrance: Entrance) -> None:
        super().__init__()
        self.closed.addErrback(lambda failure: None)  # how the stream ended is what counts
        self._entrance = entrance

    def connectionMade(self) -> None:
        """Begin."""
        super().connectionMade()
        Deferred.fromCoroutine(self._entrance.join(self))
