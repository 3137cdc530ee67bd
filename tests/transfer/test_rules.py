"""Peers that break the rules of a transfer, of whichever side."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.transfer.attempts import Scripted, TransferTestCase, says
from tests.transfer.pipes import Pipe
from tests.transfer.places import content_of, fill
from twisted_p2p.errors import PeerRefused
from twisted_p2p.transfer import wire
from twisted_p2p.transfer.conversation import Conversation
from twisted_p2p.transfer.failures import Reason, TransferFailed, TransferInterrupted
from twisted_p2p.transfer.folder import TargetFolder
from twisted_p2p.transfer.manifest import Entry
from twisted_p2p.transfer.progress import Progress
from twisted_p2p.transfer.receiver import FileReceiver
from twisted_p2p.transfer.sender import FileSender
from twisted_p2p.transfer.source import Source
from twisted_p2p.transfer.wire import Message, Offer


class RuleTests(TransferTestCase):
    def receive_from(self, *first: Message, **answers: list[Message]) -> TransferFailed:
        receiver = FileReceiver(Clock(), lambda: TargetFolder(self.into, "one"), Progress())
        pipe = Pipe(receiver, Scripted(says(**answers), list(first)))
        pipe.run()
        pipe.cut()
        return self.failure_of(receiver)

    def send_to(self, *first: Message, **answers: list[Message]) -> TransferFailed:
        fill(self.sent, {"d/a": b"12345", "e": b""})
        source = Source(sorted(self.sent.iterdir()))
        sender = FileSender(Clock(), source, Progress())
        pipe = Pipe(sender, Scripted(says(**answers), list(first)))
        pipe.run()
        pipe.cut()
        return self.failure_of(sender)

    def failure_of(self, side: Conversation) -> TransferFailed:
        failure = self.failureResultOf(side.finished)
        self.assertIsInstance(failure.value, TransferFailed)
        self.assert_nothing_open()
        error: TransferFailed = failure.value
        return error

    def test_names_that_leave_the_folder_end_the_transfer(self) -> None:
        for path in (("..", "a"), ("a\0",), ("",), ("a", "..", "..", "b")):
            listed = wire.Listed(Entry(path, size=1))
            error = self.receive_from(Offer(1, 1, "a"), Accept=[listed])
            self.assertIs(error.reason, Reason.UNSAFE_NAME)
            self.assertEqual(content_of(self.into), {})

    def test_a_receiver_notices_what_a_sender_may_not_say(self) -> None:
        one = wire.Listed(Entry(("a",), size=1))
        for error in (
            self.receive_from(wire.Accept()),
            self.receive_from(Offer(1, 2, "a"), Accept=[one]),
            self.receive_from(Offer(1, 1, "a"), Accept=[one], Begin=[wire.Begin()]),
            self.receive_from(Offer(1, 1, "a"), Accept=[wire.Begin()]),
        ):
            self.assertIs(error.reason, Reason.PROTOCOL)
        error = self.receive_from(Offer(1, 1, "a", version=9))
        self.assertIs(error.reason, Reason.VERSION)

    def test_a_receiver_notices_a_wrong_answer(self) -> None:
        (self.into / "a").write_bytes(b"1")
        one = wire.Listed(Entry(("a",), size=1))
        answer = wire.Digests(5, (bytes(32),))
        error = self.receive_from(Offer(1, 1, "a"), Accept=[one], Compare=[answer])
        self.assertIs(error.reason, Reason.PROTOCOL)

    def test_a_sender_notices_what_a_receiver_may_not_say(self) -> None:
        hello = wire.Request()
        accept: list[Message] = [wire.Accept()]
        for said in (
            [wire.Start(9, 0)],
            [wire.Start(0, 0)],
            [wire.Start(1, 3)],
            [wire.Start(1, 0), wire.Start(1, 0)],
            [wire.Compare(1, (6,))],
            [wire.Compare(1, (5,)), wire.Compare(1, (5,))],
            [wire.Compare(1, (4,)), wire.Begin()],
            [wire.Begin()],
            [wire.Accept()],
        ):
            error = self.send_to(hello, Offer=accept + said)
            self.assertIs(error.reason, Reason.PROTOCOL, said)
        self.assertIs(self.send_to(wire.Accept()).reason, Reason.PROTOCOL)
        self.assertIs(self.send_to(wire.Request(version=9)).reason, Reason.VERSION)

    def test_a_sender_notices_a_wrong_confirmation(self) -> None:
        wishes: list[Message] = [wire.Start(1, 0), wire.Begin()]
        error = self.send_to(
            wire.Request(), Offer=[wire.Accept(), *wishes], Finished=[wire.Confirmed(bytes(32))]
        )
        self.assertIs(error.reason, Reason.DIGEST)

    def test_bytes_that_are_no_messages_end_the_transfer(self) -> None:
        receiver = FileReceiver(Clock(), lambda: TargetFolder(self.into), Progress())
        pipe = Pipe(receiver, Scripted(says()))
        pipe.ends[1].write(b"GET / HTTP/1.1\r\n\r\n")
        pipe.run()
        pipe.cut()
        self.assertIs(self.failure_of(receiver).reason, Reason.PROTOCOL)

    @given(data=st.binary(max_size=300))
    def test_noise_ends_a_conversation_and_nothing_else(self, data: bytes) -> None:
        sides: list[Conversation] = [
            FileReceiver(Clock(), lambda: TargetFolder(self.into), Progress()),
            FileSender(Clock(), Source([]), Progress()),
        ]
        for side in sides:
            pipe = Pipe(side, Scripted(says()))
            pipe.ends[1].write(data)
            pipe.run()
            pipe.cut()
            failure = self.failureResultOf(side.finished)
            self.assertIsInstance(failure.value, TransferFailed | TransferInterrupted | PeerRefused)
        self.assertEqual(self.flushLoggedErrors(), [])
