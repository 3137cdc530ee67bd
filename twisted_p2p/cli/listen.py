"""``p2p listen``."""

from __future__ import annotations

from typing import Any

import click
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory

from ..errors import P2PError
from ..identity.peer_id import PeerID
from ..node.service import P2PNode
from .exit_status import ExitStatus
from .joining import JoinedEnd
from .local_endpoints import parse_client_endpoint
from .options import Options, service_argument, topic_option
from .reporting import Reporter
from .running import run_with_node
from .standard_streams import StandardStreams, until_closed
from .streams import StreamEnd


@click.command("listen")
@service_argument
@click.option("--to", "target", metavar="ENDPOINT", help="A Twisted client endpoint string.")
@click.option(
    "--allow", multiple=True, metavar="PEER", help="A peer that may connect; may be repeated."
)
@click.option("--once", is_flag=True, help="Stop after one stream, as without --to.")
@topic_option(multiple=True, help="What others find this peer under; may be repeated.")
@click.pass_obj
def command(
    options: Options,
    service: str,
    target: str | None,
    allow: tuple[str, ...],
    once: bool,
    topic: tuple[str, ...],
) -> ExitStatus:
    """Accept a stream for SERVICE and join it with stdin and stdout.

    With --to, join each stream with a new connection to that endpoint instead, until stopped.
    Without --allow, any authenticated peer may connect.
    """
    allowed = frozenset(map(PeerID, allow)) or None
    endpoint = None if target is None else parse_client_endpoint("--to", target)
    accepting = Accepting(options.reporter, only_one=once or target is None)

    async def listen(reactor: Any, node: P2PNode) -> None:
        accepting.node = node
        await node.listen(service, accepting, allowed)

    async def serve(reactor: Any, node: P2PNode) -> None:
        if endpoint is None:
            local = StandardStreams()
            stream = await accepting.streams.get()
            stream.join(local.open())
            await until_closed(stream, local)
        elif once:
            await join_with(endpoint, await accepting.streams.get())
        else:
            await join_all(endpoint, accepting, options.reporter)

    return run_with_node(options, serve, prepare=listen, topics=topic)


class Accepting(Factory):
    """Queues the streams that peers open, or takes one and refuses the rest."""

    noisy = False

    node: P2PNode

    def __init__(self, reporter: Reporter, *, only_one: bool) -> None:
        self._reporter = reporter
        self._only_one = only_one
        self._has_one = False
        self.streams: DeferredQueue[StreamEnd] = DeferredQueue()

    def buildProtocol(self, addr: object) -> StreamEnd | None:
        """Return the end for a new stream, or None to refuse it."""
        if self._only_one and self._has_one:
            return None
        self._has_one = True
        return _AcceptedEnd(self._reporter, self.node, self.streams)


class _AcceptedEnd(StreamEnd):
    """Puts itself into a queue once it is connected."""

    def __init__(
        self, reporter: Reporter, node: P2PNode, streams: DeferredQueue[StreamEnd]
    ) -> None:
        super().__init__(reporter, node)
        self._streams = streams

    def connectionMade(self) -> None:
        """Announce the stream and hand it on."""
        super().connectionMade()
        self.announce("accepted")
        self._streams.put(self)


async def join_all(
    endpoint: IStreamClientEndpoint, accepting: Accepting, reporter: Reporter
) -> None:
    """Join each stream with a new connection to an endpoint, for ever."""

    async def join(stream: StreamEnd) -> None:
        try:
            await join_with(endpoint, stream)
        except TargetUnreachable as error:
            reporter.error(error)
        except Exception:  # noqa: S110 (said by the closed event)
            pass

    while True:
        Deferred.fromCoroutine(join(await accepting.streams.get()))


async def join_with(endpoint: IStreamClientEndpoint, stream: StreamEnd) -> None:
    """Join a stream with a new connection until it is closed.

    :raises Exception: what the stream was lost by, unless it was closed cleanly.
    :raises TargetUnreachable: when there is no such connection; the stream is aborted.
    """
    local = JoinedEnd()
    local.closed.addErrback(lambda failure: None)  # how the stream ended is what counts
    try:
        await endpoint.connect(Factory.forProtocol(lambda: local))
    except Exception as error:
        stream.abort()
        stream.closed.addErrback(lambda failure: None)
        raise TargetUnreachable(
            f"The --to endpoint cannot be reached, start what listens there: {error}"
        ) from error
    stream.join(local)
    await stream.closed


class TargetUnreachable(P2PError):
    """The --to endpoint cannot be reached."""

    code = "target_unreachable"
