"""Stdin and stdout of this process as one end of a joined stream."""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.error import ConnectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from .joining import JoinedEnd


class StandardStreams(JoinedEnd):
    """Sends to stdout what it is given, and receives stdin.

    Twisted's transport for the two tells of a lost connection only when it was told to lose it
    while both were open; this end counts the directions itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_stdin_open = self._is_stdout_open = True

    def open(self) -> StandardStreams:
        """Take hold of stdin and stdout, and return this end."""
        StandardIO(self)
        return self

    def end_output(self) -> None:
        """Close stdout; and stdin too where a person would have to end it by hand."""
        super().end_output()
        if sys.stdin.isatty():
            self.close()

    def readConnectionLost(self) -> None:
        """Pass the end of stdin to the other end."""
        self._is_stdin_open = False
        super().readConnectionLost()
        self._close_if_ended()

    def writeConnectionLost(self) -> None:
        """Take it that stdout is closed, by whichever side."""
        self._is_stdout_open = False
        super().writeConnectionLost()
        self._close_if_ended()

    def close(self) -> None:
        """Close both, stdout once everything is written to it."""
        if self._is_stdout_open:
            super().close()
        else:
            self._transport.connectionLost(Failure(ConnectionDone()))

    def stopProducing(self) -> None:
        """End, since nobody takes what comes from stdin."""
        self.close()

    def abort(self) -> None:
        """Close both, but only once everything that came is written."""
        self.close()

    def _close_if_ended(self) -> None:
        if self.lost is None and not self._is_stdin_open and not self._is_stdout_open:
            self._transport.connectionLost(Failure(ConnectionDone()))


async def until_closed(stream: JoinedEnd, local: StandardStreams) -> None:
    """Wait until a stream and what it is joined with have ended in both directions.

    :raises Exception: what the stream was lost by, unless it was closed cleanly.
    """
    both: Deferred[list[None]] = gatherResults([stream.closed, local.closed], consumeErrors=True)
    try:
        await both
    except FirstError as error:
        error.subFailure.raiseException()
