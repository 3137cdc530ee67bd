"""Asking a question at the terminal while the reactor runs."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer


async def ask(reactor: Any, stderr: TextIO, question: str) -> bool:
    """Return whether the user's next line on stdin says yes."""
    print(question, end="", file=stderr, flush=True)
    answer = _Answer(reactor)
    reactor.addReader(answer)
    try:
        return await answer.given
    finally:
        reactor.removeReader(answer)


@implementer(IReadDescriptor)
class _Answer:
    """Reads stdin when there is something to read: a terminal hands over whole lines.

    Twisted's own transport would make the terminal non-blocking, for stderr too.
    """

    def __init__(self, reactor: Any) -> None:
        self.given: Deferred[bool] = Deferred()
        self._reactor = reactor
        self._line = b""

    def fileno(self) -> int:
        """Return the descriptor of stdin."""
        return sys.stdin.fileno()

    def logPrefix(self) -> str:
        """Return a name for the log."""
        return "question"

    def doRead(self) -> None:
        """Read what is there; the end of the input means no."""
        data = os.read(self.fileno(), 1024)
        self._line += data
        if not self.given.called and (b"\n" in self._line or not data):
            self.given.callback(self._line.strip().lower() in (b"y", b"yes"))
            self._reactor.removeReader(self)

    def connectionLost(self, reason: Failure) -> None:
        """Take it that there will be no answer."""
        if not self.given.called:
            self.given.callback(False)
