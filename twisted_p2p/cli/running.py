"""Running one command's coroutine in the reactor, with a node, until it ends or is interrupted."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.task import deferLater
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure

from ..errors import P2PError
from ..node.service import P2PNode
from .exit_status import ExitStatus, exit_status_of
from .faults import InternalFault
from .options import Options
from .reporting import Reporter

_log = Logger()

_QUIET = 6.0
"""Seconds after which a user is told why nothing happens; longer than trackers are waited for."""

NodeCommand = Callable[[Any, P2PNode], Awaitable[None]]


async def _nothing(reactor: Any, node: P2PNode) -> None:
    """Prepare nothing."""


def run_with_node(
    options: Options,
    command: NodeCommand,
    *,
    prepare: NodeCommand = _nothing,
    topics: Collection[str] = (),
) -> ExitStatus:
    """Start a node, run the command when the node can be reached, and stop the node.

    ``prepare`` is run first: what it opens is open when the node is said to be ready.  The node
    has these topics.  Returns the exit status; a failure has been reported.
    """
    identity = options.identity()
    options.require_peers()

    async def main(reactor: Any) -> None:
        node = P2PNode(
            reactor,
            identity,
            trackers=options.trackers,
            port=options.port,
            topics=topics,
            lan=options.lan,
            unlinkable=options.unlinkable,
        )
        reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
        node.startService()
        hint = reactor.callLater(_QUIET, _say_waiting, options.reporter)
        try:
            await prepare(reactor, node)
            await node.when_ready()
        finally:
            if hint.active():
                hint.cancel()
        options.reporter.event(
            f"ready: {identity.peer_id} on UDP port {node.udp_port}",
            "ready",
            peer=str(identity.peer_id),
            udp_port=node.udp_port,
        )
        await command(reactor, node)

    return run_in_reactor(options, main)


def _say_waiting(reporter: Reporter) -> None:
    words = "no network takes this node's announcement yet, and no tracker knows it: still waiting"
    reporter.event(f"waiting: {words}", "waiting", code="no_network", message=words)


def run_in_reactor(options: Options, main: Callable[[Any], Awaitable[None]]) -> ExitStatus:
    """Run a coroutine until it ends or the process is told to stop; return the exit status."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 (not sooner than it runs)

    reactor: Any = installed
    _begin_logging(options.verbose)
    status = ExitStatus.INTERRUPTED

    def ended(outcome: object) -> None:
        nonlocal status
        status = _report(options.reporter, outcome)
        if reactor.running:
            reactor.stop()

    def start() -> None:
        running = Deferred.fromCoroutine(_in_next_turn(reactor, main))
        running.addBoth(ended)
        # Before what `main` adds: a command that is told to stop does not see its node stop.
        reactor.addSystemEventTrigger("before", "shutdown", running.cancel)

    reactor.callWhenRunning(start)
    reactor.run()
    return status


async def _in_next_turn(reactor: Any, main: Callable[[Any], Awaitable[None]]) -> None:
    await deferLater(reactor, 0)
    await main(reactor)


def _report(reporter: Reporter, outcome: object) -> ExitStatus:
    if not isinstance(outcome, Failure):
        return ExitStatus.DONE
    if outcome.check(CancelledError):
        return ExitStatus.INTERRUPTED
    error = described(outcome)
    reporter.error(error)
    return exit_status_of(error)


def described(failure: Failure) -> P2PError:
    """Return a failure as the user is told of it; one that is a fault of ours is logged."""
    error: Any = failure.value
    if isinstance(error, P2PError):
        return error
    if isinstance(error, ConnectionLost | ConnectError):
        return StreamLost(f"The stream broke off: {error}")
    _log.failure("The command failed", failure)
    return InternalFault(error)


class StreamLost(P2PError):
    """The stream broke off before both sides had ended it."""

    code = "stream_lost"


def _begin_logging(verbose: bool) -> None:
    """Log to stderr when asked to; stderr is otherwise for the command's own words."""
    observers = [textFileLogObserver(sys.stderr)] if verbose else []
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)
    # The QUIC library logs the end of each connection as a warning.
    logging.getLogger("quic").addHandler(
        logging.StreamHandler(sys.stderr) if verbose else logging.NullHandler()
    )
