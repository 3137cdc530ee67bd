"""A sender and a receiver joined by a pipe: whole transfers, interrupted ones, and failed ones."""

from __future__ import annotations

import os
import shutil

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from tests import fewer_examples
from tests.transfer.attempts import TREE, Scripted, Transfer, TransferTestCase, approve_none
from tests.transfer.pipes import LazyThreads, Pipe
from tests.transfer.places import content_of, fill, part_of
from twisted_p2p.errors import PeerRefused
from twisted_p2p.transfer import wire
from twisted_p2p.transfer.conversation import Conversation
from twisted_p2p.transfer.failures import Reason, TransferFailed, TransferInterrupted
from twisted_p2p.transfer.progress import Progress
from twisted_p2p.transfer.sender import PATIENCE, FileSender
from twisted_p2p.transfer.source import Source
from twisted_p2p.transfer.wire import Offer


class WholeTransferTests(TransferTestCase):
    def test_files_and_folders_arrive(self) -> None:
        fill(self.sent, TREE)
        transfer = Transfer(self.sent, self.into)
        transfer.run()
        self.assert_complete(transfer)
        for moved in transfer.moved:
            self.assertEqual((moved.done, moved.total), (1_000_008, 1_000_008))

    def test_they_arrive_by_threads_too(self) -> None:
        fill(self.sent, TREE)
        threads = LazyThreads()
        transfer = Transfer(self.sent, self.into, in_thread=threads)
        while len(transfer.ended) < 2:
            transfer.run()
            self.assertTrue(threads.waiting or len(transfer.ended) == 2)
            threads.run()
        self.assert_complete(transfer)

    def test_what_is_there_already_is_not_sent(self) -> None:
        fill(self.sent, TREE)
        Transfer(self.sent, self.into).run()
        again = Transfer(self.sent, self.into)
        again.run()
        self.assert_complete(again)
        self.assertEqual([moved.moved for moved in again.moved], [0, 0])

    def test_little_waits_on_either_side(self) -> None:
        fill(self.sent, {"a": os.urandom(8 << 20)})
        threads = LazyThreads()
        transfer = Transfer(self.sent, self.into, in_thread=threads)
        most = 0
        while len(transfer.ended) < 2:
            transfer.run(size=65536)
            most = max(most, transfer.receiver._waiting_size)
            threads.run()
        self.assert_complete(transfer)
        self.assertLess(most, (1 << 20) + 65536 + 10_000)
        self.assertLess(transfer.pipe.ends[0].most_waiting, (256 << 10) + 5000)

    def test_a_secret_is_shown_and_an_offer_approved(self) -> None:
        fill(self.sent, {"a": b"1"})
        shown: list[object] = []

        async def approve(offer: Offer) -> bool:
            shown.append((offer.entries, offer.size, offer.name))
            return True

        transfer = Transfer(
            self.sent,
            self.into,
            admit=lambda sender, secret: shown.append(secret),
            approve=approve,
            secret=b"secret",
        )
        transfer.run()
        self.assert_complete(transfer)
        self.assertEqual(shown, [b"secret", (1, 1, "a")])


class InterruptionTests(TransferTestCase):
    @settings(max_examples=fewer_examples(0.4))
    @given(
        cuts=st.lists(st.integers(0, 700), min_size=1, max_size=6),
        size=st.integers(200, 5000),
        damage=st.booleans(),
    )
    def test_goes_on_where_it_stopped_wherever_that_is(
        self, cuts: list[int], size: int, damage: bool
    ) -> None:
        fill(self.sent, TREE)
        for place in self.into.iterdir():
            shutil.rmtree(place)
        moved = 0
        for cut in cuts:
            transfer = Transfer(self.sent, self.into)
            transfer.run(until=cut, size=size)
            transfer.pipe.cut()
            if len(transfer.ended) == 2 and transfer.receiver.is_complete:
                continue
            for side in (transfer.sender, transfer.receiver):
                self.assertIsInstance(transfer.error(side), TransferInterrupted)
            self.assertEqual(transfer.clock.getDelayedCalls(), [])
            self.assert_nothing_open()
            moved += transfer.moved[1].moved
            if damage:
                for part in self.into.rglob("*.part"):
                    part.write_bytes(part.read_bytes()[:-10] + b"damaged zz")
        last = Transfer(self.sent, self.into)
        last.run()
        self.assert_complete(last)
        if not damage:
            self.assertLessEqual(moved + last.moved[1].moved, 1_000_008)

    def test_a_file_that_was_changed_meanwhile_is_continued_from_what_is_the_same(self) -> None:
        content = os.urandom(1 << 20)
        fill(self.sent, {"a": content[:600_000] + b"new"})
        part_of(self.into, "a", sender="one").write_bytes(content)
        transfer = Transfer(self.sent, self.into)
        transfer.run()
        self.assert_complete(transfer)
        self.assertLess(transfer.moved[1].moved, 600_003 // 8)

    def test_what_waits_in_threads_is_over_before_the_conversation_is(self) -> None:
        fill(self.sent, {"a": os.urandom(100_000)})
        threads = LazyThreads()
        transfer = Transfer(self.sent, self.into, in_thread=threads)
        while "take" not in threads.names():
            threads.run()
            transfer.run()
        over = transfer.receiver.over()
        transfer.pipe.cut()
        self.assertNoResult(over)
        while threads.waiting:
            threads.run()
        self.successResultOf(over)
        self.successResultOf(transfer.receiver.over())
        self.assert_nothing_open()

    def test_cancelling_waits_for_threads_too(self) -> None:
        fill(self.sent, {"a": os.urandom(3 << 20)})
        for name, function in (("sender", "next_batch"), ("receiver", "take")):
            threads = LazyThreads()
            transfer = Transfer(self.sent, self.into, in_thread=threads)
            while function not in threads.names():
                threads.run()
                transfer.run()
            side: Conversation = getattr(transfer, name)
            side.finished.cancel()
            self.assertIsInstance(transfer.error(side), CancelledError)
            self.assertNoResult(side.over())
            while threads.waiting:
                threads.run()
                transfer.run()
            self.successResultOf(side.over())
            self.assert_nothing_open()

    def test_cancelling_ends_the_stream(self) -> None:
        fill(self.sent, TREE)
        for name in ("sender", "receiver"):
            transfer = Transfer(self.sent, self.into)
            transfer.run(until=20)
            side: Conversation = getattr(transfer, name)
            side.finished.cancel()
            self.assertIsInstance(transfer.error(side), CancelledError)
            transfer.run()
            self.assertEqual(len(transfer.ended), 2)
            self.assert_nothing_open()

    def test_a_silent_peer_is_left(self) -> None:
        clock = Clock()
        sender = FileSender(clock, Source([]), Progress())
        silent = Scripted(lambda message: [])
        pipe = Pipe(sender, silent)
        pipe.run()
        clock.advance(PATIENCE)
        pipe.run()
        failure = self.failureResultOf(sender.finished, TransferInterrupted)
        self.assertIn("does not answer", str(failure.value))

    def test_a_sender_that_has_the_confirmation_is_done_whatever_becomes_of_the_stream(
        self,
    ) -> None:
        fill(self.sent, {"a": b"1"})
        transfer = Transfer(self.sent, self.into)
        while not transfer.sender.is_complete:
            transfer.run(until=1)
        self.assertFalse(transfer.ended)
        transfer.pipe.cut()
        self.assertIsNone(transfer.ended[transfer.sender])
        self.assertIsInstance(transfer.error(transfer.receiver), TransferInterrupted)
        self.assertTrue(transfer.receiver.is_complete)


class FailureTests(TransferTestCase):
    def test_another_file_is_there(self) -> None:
        for mine in (b"mine", b"ours!"):
            fill(self.sent, {"a": b"yours"})
            (self.into / "a").write_bytes(mine)
            transfer = Transfer(self.sent, self.into)
            transfer.run()
            self.assert_failed(transfer, Reason.EXISTS, Reason.EXISTS)
            self.assertEqual((self.into / "a").read_bytes(), mine)
            self.assertIn("choose another", str(transfer.error(transfer.receiver)))
            self.assertIn("The receiver already has", str(transfer.error(transfer.sender)))

    def test_the_file_was_changed(self) -> None:
        fill(self.sent, {"a": b"yours"})
        transfer = Transfer(self.sent, self.into)
        (self.sent / "a").write_bytes(b"changed")
        transfer.run()
        self.assert_failed(transfer, Reason.CHANGED, Reason.CHANGED)

    def test_the_file_was_changed_before_it_is_compared(self) -> None:
        fill(self.sent, {"a": b"yours"})
        (self.into / "a").write_bytes(b"yours")
        transfer = Transfer(self.sent, self.into)
        (self.sent / "a").write_bytes(b"changed")
        transfer.run()
        self.assert_failed(transfer, Reason.CHANGED, Reason.CHANGED)

    def test_the_disk_is_full(self) -> None:
        fill(self.sent, {"a": os.urandom(500_000)})
        transfer = Transfer(self.sent, self.into)

        def full(*arguments: object) -> int:
            raise OSError(28, "No space left on device")

        transfer.run(until=30)
        self.patch(os, "pwrite", full)
        transfer.run()
        self.assert_failed(transfer, Reason.NO_SPACE, Reason.NO_SPACE)
        self.assertIn("run the same command again", str(transfer.error(transfer.receiver)))
        self.assertEqual(len(list(self.into.glob("a.p2p-*.part"))), 1)

    def hold_back(self) -> tuple[Transfer, LazyThreads]:
        """Return a transfer whose receiver has so much waiting that it holds the sender back."""
        fill(self.sent, {"a": os.urandom(4 << 20)})
        threads = LazyThreads()
        transfer = Transfer(self.sent, self.into, in_thread=threads)
        while not transfer.receiver._held_back:
            transfer.run(size=65536)
            if "take" in threads.names():
                threads.run("next_batch")
            else:
                threads.run()
        return transfer, threads

    def test_the_disk_is_full_while_much_waits(self) -> None:
        transfer, threads = self.hold_back()

        def full(*arguments: object) -> int:
            raise OSError(28, "No space left on device")

        self.patch(os, "pwrite", full)
        while len(transfer.ended) < 2:
            threads.run()
            transfer.run(size=65536)
        self.assert_failed(transfer, Reason.NO_SPACE, Reason.NO_SPACE)
        self.assertTrue(transfer.pipe.ends[1].reading)

    def test_the_file_was_changed_while_much_waits(self) -> None:
        transfer, threads = self.hold_back()
        os.truncate(self.sent / "a", 0)
        while len(transfer.ended) < 2:
            transfer.run(size=65536)
            threads.run()
        self.assert_failed(transfer, Reason.CHANGED, Reason.CHANGED)
        self.assertTrue(transfer.pipe.ends[1].reading)

    def test_the_folder_cannot_be_made_and_its_name_stays_here(self) -> None:
        fill(self.sent, {"a": b"yours"})
        fill(self.into, {"private": b""})
        transfer = Transfer(self.sent, self.into / "private")
        transfer.run()
        self.assert_failed(transfer, Reason.UNWRITABLE, Reason.UNWRITABLE)
        self.assertIn(str(self.into / "private"), str(transfer.error(transfer.receiver)))
        self.assertNotIn("private", str(transfer.error(transfer.sender)))

    def test_the_offer_is_refused(self) -> None:
        fill(self.sent, {"a": b"yours"})
        transfer = Transfer(self.sent, self.into, approve=approve_none)
        transfer.run()
        self.assertIsInstance(transfer.error(transfer.sender), PeerRefused)
        self.assertFalse(transfer.sender.is_agreed or transfer.receiver.is_agreed)
        self.assertEqual(content_of(self.into), {})

    def test_the_ticket_is_wrong(self) -> None:
        fill(self.sent, {"a": b"yours"})

        def admit(sender: FileSender, secret: bytes) -> None:
            raise TransferFailed(Reason.WRONG_TICKET)

        transfer = Transfer(self.sent, self.into, admit=admit)
        transfer.run()
        error = transfer.error(transfer.receiver)
        self.assertIsInstance(error, PeerRefused)
        self.assertIn("ticket", str(error))

    def test_no_stream_is_left_open_when_the_peer_does_not_end_it(self) -> None:
        clock = Clock()
        sender = FileSender(clock, Source([]), Progress())
        pipe = Pipe(sender, Scripted(lambda message: [], [wire.Begin()]))
        pipe.ends[1].reading = False
        pipe.run()
        self.assertNoResult(sender.finished)
        clock.advance(PATIENCE)
        pipe.run()
        self.failureResultOf(sender.finished, TransferFailed)
        self.assertTrue(pipe.ends[0].lost)
        self.assertEqual(clock.getDelayedCalls(), [])
