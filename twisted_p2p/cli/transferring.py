"""What `p2p send` and `p2p receive` have in common: what they say while they are at it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Literal, TypeVar

import click

from ..errors import P2PError
from ..node.service import P2PNode
from ..transfer.conversation import Conversation
from ..transfer.failures import displayed
from ..transfer.manifest import Entry, Manifest
from ..transfer.meeting import DEFAULT_WAIT, Patience
from ..transfer.progress import Progress
from .progress import Display
from .reporting import Reporter
from .streams import announce, announce_closed, announce_path

C = TypeVar("C", bound=Conversation)

wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for the other side, at first and after an interruption.",
)


def patience(wait: float | None, *, to_meet: float | None) -> Patience:
    """Return how long to wait; ``to_meet`` is what holds at first where the user says nothing."""
    if wait is None:
        return Patience(to_meet, DEFAULT_WAIT)
    return Patience(wait, wait)


class Transfer:
    """One transfer as the user sees it, with all its interruptions."""

    def __init__(self, reporter: Reporter, reactor: Any, node: P2PNode) -> None:
        self.progress = Progress(on_file=self._file_done)
        self._reactor = reactor
        self._node = node
        self._display = Display(reporter, self.progress, reactor)
        self.reporter = self._display.reporter
        self._started: float | None = None
        self._said: set[str] = set()

    def follow(self, conversation: C, opened: Literal["connected", "accepted"]) -> C:
        """Say what becomes of a conversation once both sides want it."""

        def agreed() -> None:
            peer = conversation.peer
            self._said.clear()
            announce(self.reporter, self._node, peer, opened)
            if self._started is None:
                self._started = self._reactor.seconds()
            self._display.start()
            conversation.on_path_changed.append(
                lambda path: announce_path(self.reporter, peer.peer_id, path)
            )
            conversation.on_lost.append(
                lambda: announce_closed(
                    self.reporter,
                    peer.peer_id,
                    conversation.bytes_sent,
                    conversation.bytes_received,
                )
            )

        conversation.on_agreed.append(agreed)
        return conversation

    def told(self, error: Exception) -> None:
        """Say why it does not go on at the moment, each reason once."""
        words = str(error)
        if words in self._said:
            return
        self._said.add(words)
        code = error.code if isinstance(error, P2PError) else "stream_lost"
        event = "waiting" if self._started is None else "interrupted"
        self.reporter.event(f"{event}: {words}", event, code=code, message=words)

    async def end(self, completed: Awaitable[C]) -> C:
        """Wait for the end, and show no more progress then."""
        try:
            return await completed
        finally:
            self._display.stop()

    def result(self, event: Literal["sent", "received"], manifest: Manifest, **facts: Any) -> None:
        """Say that everything is done."""
        assert self._started is not None, "it has begun before it ends"
        elapsed = max(self._reactor.seconds() - self._started, 0.001)
        count = len(manifest.files)
        files = "1 file" if count == 1 else f"{count} files"
        rate = self.progress.moved / elapsed
        self.reporter.result(
            f"{event}: {_listed(manifest.top_names)} ({files}, {manifest.size} bytes) in "
            f"{elapsed:.1f} s ({rate / 1e6:.1f} MB/s); both sides agree on the digest "
            f"{facts['digest']}",
            event,
            names=manifest.top_names[:100],
            files=count,
            bytes=manifest.size,
            bytes_moved=self.progress.moved,
            elapsed_s=round(elapsed, 3),
            bytes_per_s=round(rate),
            **facts,
        )

    def _file_done(self, entry: Entry, digest: bytes) -> None:
        """Say, to programs, that one file is complete; perhaps called from another thread."""
        if self.reporter.as_json:
            self._reactor.callFromThread(
                self.reporter.event,
                "",
                "file",
                name=entry.name,
                bytes=entry.size,
                sha256=digest.hex(),
            )


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(displayed, names[:3]))
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
