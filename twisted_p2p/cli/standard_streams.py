"""This process's stdin and stdout as one end of a joined stream."""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.stdio import StandardIO

from .joining import JoinedEnd


class StandardStreams(JoinedEnd):
    """Sends to stdout what it is given, and receives stdin."""

    def end_output(self) -> None:
        """Close stdout; and stdin too where a person would have to end it by hand."""
        super().end_output()
        if sys.stdin.isatty():
            self._transport.loseConnection()


async def join_standard_streams(stream: JoinedEnd) -> None:
    """Join a stream to stdin and stdout until both directions have ended.

    :raises Exception: what the stream was lost by, unless it was closed cleanly.
    """
    local = StandardStreams()
    StandardIO(local)
    stream.join(local)
    both: Deferred[object] = gatherResults([stream.closed, local.closed], consumeErrors=True)
    await both
