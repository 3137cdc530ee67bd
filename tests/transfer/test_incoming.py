"""Files as they arrive: in any pieces, changed, too long, onto a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.transfer.places import content_of, digest, fill, fresh_folder, open_in, part_of
from twisted_p2p.transfer.failures import Reason, TransferFailed
from twisted_p2p.transfer.folder import TargetFolder
from twisted_p2p.transfer.incoming import Incoming
from twisted_p2p.transfer.manifest import Entry, Manifest
from twisted_p2p.transfer.outgoing import Outgoing
from twisted_p2p.transfer.prefix import Prefix, nothing
from twisted_p2p.transfer.progress import Progress
from twisted_p2p.transfer.source import Source
from twisted_p2p.transfer.wire import Begin, Data, FileEnd, Finished, Hole, Message


class Arrival:
    """A folder into which files come."""

    def __init__(self, manifest: Manifest, *, offset: int = 0, folder: Path | None = None) -> None:
        self.place = folder or fresh_folder()
        self.progress = Progress()
        self.folder = TargetFolder(self.place)
        wanted = [
            (index, Prefix(offset, self.state(entry, offset))) for index, entry in manifest.files
        ]
        self.incoming = Incoming(self.folder, manifest, wanted, {}, self.progress)

    def state(self, entry: Entry, offset: int) -> Any:
        state = nothing().state
        if offset:
            state.update(part_of(self.place, *entry.path).read_bytes()[:offset])
        return state

    def take(self, *messages: Message) -> None:
        self.incoming.take(messages)

    def close(self) -> None:
        self.incoming.close()
        self.folder.close()


def one_file(size: int) -> Manifest:
    manifest = Manifest()
    manifest.add(Entry(("a",), size=size))
    return manifest


class IncomingTests(SynchronousTestCase):
    def arrival(self, size: int = 5, *, offset: int = 0, folder: Path | None = None) -> Arrival:
        arrival = Arrival(one_file(size), offset=offset, folder=folder)
        self.addCleanup(arrival.close)
        return arrival

    def assert_fails(self, reason: Reason, arrival: Arrival, *messages: Message) -> None:
        failed = self.assertRaises(TransferFailed, arrival.take, *messages)
        self.assertIs(failed.reason, reason)

    @given(
        files=st.lists(
            st.lists(st.binary(max_size=9000) | st.integers(0, 3).map(lambda n: bytes(n * 4096))),
            min_size=1,
            max_size=4,
        ),
        cut=st.integers(1, 5),
    )
    def test_what_goes_out_comes_in(self, files: list[list[bytes]], cut: int) -> None:
        sent = fresh_folder()
        source = Source(fill(sent, {str(n): b"".join(parts) for n, parts in enumerate(files)}))
        wanted = [(index, nothing()) for index, _ in source.manifest.files]
        outgoing = Outgoing(source, wanted, {})
        arrival = Arrival(source.manifest)
        messages: list[Message] = []
        while batch := outgoing.next_batch():
            messages += batch
        for start in range(0, len(messages), cut):
            arrival.take(*messages[start : start + cut])
        arrival.close()
        self.assertEqual(content_of(arrival.place), content_of(sent))
        self.assertEqual(arrival.progress.done, source.manifest.size)
        assert isinstance(messages[-1], Finished)
        self.assertEqual(arrival.incoming.digest, messages[-1].digest)
        self.assertEqual(open_in(sent, arrival.place), [])

    def test_holes_take_no_room(self) -> None:
        size = 64 << 20
        arrival = self.arrival(size + 1)
        content = nothing().state
        for _ in range(size >> 20):
            content.update(bytes(1 << 20))
        content.update(b"x")
        arrival.take(Hole(size), Data(b"x"), FileEnd(content.digest()))
        found = (arrival.place / "a").stat()
        self.assertEqual(found.st_size, size + 1)
        self.assertLess(found.st_blocks * 512, 1 << 20)

    def test_goes_on_from_what_is_there_and_drops_what_is_beyond(self) -> None:
        folder = fresh_folder()
        part_of(folder, "a").write_bytes(b"12wrong")
        arrival = self.arrival(offset=2, folder=folder)
        arrival.take(Hole(1), Data(b"45"), FileEnd(digest(b"12\x0045")))
        self.assertEqual(content_of(folder), {"a": b"12\x0045"})

    def test_what_arrives_changed_is_not_kept(self) -> None:
        arrival = self.arrival()
        self.assert_fails(Reason.DIGEST, arrival, Data(b"12345"), FileEnd(digest(b"12346")))
        self.assertEqual(content_of(arrival.place), {})

    def test_a_wrong_digest_over_all_is_noticed(self) -> None:
        arrival = self.arrival()
        arrival.take(Data(b"12345"), FileEnd(digest(b"12345")))
        self.assert_fails(Reason.DIGEST, arrival, Finished(bytes(32)))
        self.assertIsNone(arrival.incoming.digest)

    def test_a_sender_that_breaks_the_rules_is_noticed(self) -> None:
        end = FileEnd(digest(b"12345"))
        for messages in (
            (Data(b"123456"),),
            (Hole(6),),
            (Data(b"1234"), end),
            (Data(b"12345"), end, Data(b"6")),
            (Data(b"12345"), end, end),
            (Data(b"12345"), Finished(bytes(32))),
            (Finished(bytes(32)),),
            (Begin(),),
        ):
            arrival = self.arrival()
            self.assert_fails(Reason.PROTOCOL, arrival, *messages)
            self.assertIn(content_of(arrival.place), ({}, {"a": b"12345"}, *unfinished(arrival)))

    def test_nothing_may_follow_the_end(self) -> None:
        for after in (Hole(1), Data(b"x"), FileEnd(bytes(32)), Finished(bytes(32))):
            arrival = Arrival(Manifest())
            self.addCleanup(arrival.close)
            arrival.take(Finished(digest(b"")))
            self.assert_fails(Reason.PROTOCOL, arrival, after)

    def test_says_when_the_disk_is_full_and_keeps_what_has_come(self) -> None:
        for function, message in (("pwrite", Data(b"345")), ("ftruncate", Hole(3))):
            for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                arrival = self.arrival()
                arrival.take(Data(b"12"))
                full = OSError(number, os.strerror(number))
                with patch.object(os, function, side_effect=full):
                    self.assert_fails(Reason.NO_SPACE, arrival, message)
                self.assertEqual(part_of(arrival.place, "a").read_bytes(), b"12")
                with patch.object(os, function, side_effect=OSError(errno.EIO, "")):
                    self.assert_fails(Reason.UNWRITABLE, arrival, message)

    def test_a_short_write_is_carried_on(self) -> None:
        arrival = self.arrival()
        whole = os.pwrite
        with patch.object(os, "pwrite", lambda fd, data, at: whole(fd, data[:2], at)):
            arrival.take(Data(b"12345"), FileEnd(digest(b"12345")))
        self.assertEqual(content_of(arrival.place), {"a": b"12345"})


def unfinished(arrival: Arrival) -> list[dict[str, bytes | None]]:
    """Return what the folder may hold of one unfinished file."""
    name = part_of(arrival.place, "a").name
    return [{name: b"12345"[:size]} for size in range(6)]
