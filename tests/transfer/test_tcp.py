"""The two sides over plain TCP and real threads, as a program may use them by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.transfer.places import content_of, fill, fresh_folder
from twisted_p2p.transfer.conversation import Conversation
from twisted_p2p.transfer.failures import Reason, TransferFailed
from twisted_p2p.transfer.folder import TargetFolder
from twisted_p2p.transfer.progress import Progress
from twisted_p2p.transfer.receiver import FileReceiver
from twisted_p2p.transfer.sender import FileSender
from twisted_p2p.transfer.source import Source


class TCPTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.sent, self.into = fresh_folder(), fresh_folder()

    async def transfer(self, meanwhile: Callable[[], object] = lambda: None) -> list[object]:
        """Send everything from one folder to the other; return both outcomes."""
        source = Source(sorted(self.sent.iterdir()))
        sender = FileSender(reactor, source, Progress(), in_thread=deferToThread)
        receiver = FileReceiver(
            reactor, lambda: TargetFolder(self.into), Progress(), in_thread=deferToThread
        )
        ended = [one.finished.addBoth(lambda result: result) for one in (sender, receiver)]
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(lambda: sender)
        )
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        await connectProtocol(endpoint, receiver)
        meanwhile()
        results = await DeferredList(ended, consumeErrors=True)
        await self.over(sender, receiver)
        return [result for _, result in results]

    async def over(self, *sides: Conversation) -> None:
        for side in sides:
            await side.over()

    def assert_failed(self, outcome: object, reason: Reason) -> None:
        assert isinstance(outcome, Failure)
        assert isinstance(outcome.value, TransferFailed), outcome
        self.assertIs(outcome.value.reason, reason)

    async def test_files_arrive(self) -> None:
        fill(self.sent, {"a": os.urandom(5 << 20), "d/b": b"b", "zeros": bytes(3 << 20)})
        self.assertEqual(await self.transfer(), [None, None])
        self.assertEqual(content_of(self.into), content_of(self.sent))

    async def test_both_sides_learn_why_it_failed_though_much_is_under_way(self) -> None:
        fill(self.sent, {"a": os.urandom(20 << 20)})

        def full(*arguments: object) -> int:
            raise OSError(28, "No space left on device")

        outcomes = await self.transfer(lambda: self.patch(os, "pwrite", full))
        for outcome in outcomes:
            self.assert_failed(outcome, Reason.NO_SPACE)
