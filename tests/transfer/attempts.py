"""Attempts at a transfer between two folders, or with a peer that says what it is told."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.transfer.pipes import Pipe
from tests.transfer.places import content_of, fresh_folder, open_in
from twisted_p2p.transfer.conversation import Conversation
from twisted_p2p.transfer.failures import Reason, TransferFailed
from twisted_p2p.transfer.folder import TargetFolder
from twisted_p2p.transfer.progress import Progress
from twisted_p2p.transfer.receiver import FileReceiver, approve_all
from twisted_p2p.transfer.sender import FileSender
from twisted_p2p.transfer.source import Source
from twisted_p2p.transfer.wire import Message, Offer

TREE = {
    "tree/a": os.urandom(300_000),
    "tree/sub/b": b"short",
    "tree/sub/empty": b"",
    "tree/hollow/": b"",
    "tree/zeros": bytes(700_000) + b"end",
}


async def approve_none(offer: Offer) -> bool:
    return False


class Transfer:
    """One attempt between a folder and another one."""

    def __init__(
        self,
        sent: Path,
        into: Path,
        *,
        admit: Callable[[FileSender, bytes], None] = lambda sender, secret: None,
        approve: Callable[[Offer], Awaitable[bool]] = approve_all,
        secret: bytes = b"",
        in_thread: Any = maybeDeferred,
    ) -> None:
        self.clock = Clock()
        self.moved = Progress(), Progress()
        self.sender = FileSender(
            self.clock,
            Source(sorted(sent.iterdir())),
            self.moved[0],
            admit=admit,
            in_thread=in_thread,
        )
        self.receiver = FileReceiver(
            self.clock,
            lambda: TargetFolder(into, "one"),
            self.moved[1],
            secret=secret,
            approve=approve,
            in_thread=in_thread,
        )
        self.ended: dict[Conversation, Any] = {}
        for side in (self.sender, self.receiver):
            side.finished.addBoth(lambda result, side: self.ended.update({side: result}), side)
        self.pipe = Pipe(self.sender, self.receiver)

    def run(self, **options: int) -> None:
        self.pipe.run(**options)

    def error(self, side: Conversation) -> Exception:
        failure = self.ended[side]
        assert isinstance(failure, Failure), failure
        assert isinstance(failure.value, Exception)
        return failure.value


class TransferTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.sent, self.into = fresh_folder(), fresh_folder()

    def assert_nothing_open(self) -> None:
        self.assertEqual(open_in(self.sent, self.into), [])

    def assert_complete(self, transfer: Transfer) -> None:
        self.assertEqual(list(transfer.ended.values()), [None, None])
        self.assertEqual(transfer.sender.digest, transfer.receiver.digest)
        self.assertEqual(len(transfer.sender.digest), 32)
        self.assertEqual(content_of(self.into), content_of(self.sent))
        self.assertEqual(transfer.clock.getDelayedCalls(), [])
        self.assert_nothing_open()

    def assert_failed(self, transfer: Transfer, sender: Reason, receiver: Reason) -> None:
        """Assert that both sides have failed, and that one of them was told so by the other."""
        errors = transfer.error(transfer.sender), transfer.error(transfer.receiver)
        for error, reason in zip(errors, (sender, receiver), strict=True):
            assert isinstance(error, TransferFailed), error
            self.assertIs(error.reason, reason)
        self.assertEqual(sum(error.why["noticed_by"] == "peer" for error in errors), 1)  # type: ignore[attr-defined]
        self.assertEqual(transfer.clock.getDelayedCalls(), [])
        self.assert_nothing_open()


class Scripted(Conversation):
    """A peer that says what it is told to say."""

    def __init__(
        self, answer: Callable[[Message], list[Message]], first: list[Message] | None = None
    ) -> None:
        super().__init__(Clock())
        self.heard: list[Message] = []
        self._script = answer
        self._first = first or []

    def connectionMade(self) -> None:
        for message in self._first:
            self.send(message)

    def dataReceived(self, data: bytes) -> None:
        for message in self._reader.messages(data):
            self.heard.append(message)
            for answer in self._script(message):
                self.send(answer)

    def connectionLost(self, reason: Failure = Failure(ConnectionLost())) -> None:  # noqa: B008
        """End nothing: there is no conversation."""


def says(**answers: list[Message]) -> Callable[[Message], list[Message]]:
    """Answer each type of message with a list."""
    return lambda message: answers.get(type(message).__name__, [])
