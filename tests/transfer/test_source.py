"""What is listed of files and folders, and what is read of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.transfer.places import digest, fill, fresh_folder, open_in
from twisted_p2p.transfer import outgoing as outgoing_module
from twisted_p2p.transfer.failures import Reason, TransferFailed
from twisted_p2p.transfer.manifest import overall_digest
from twisted_p2p.transfer.outgoing import Outgoing
from twisted_p2p.transfer.prefix import Prefix, nothing
from twisted_p2p.transfer.source import Source, segments
from twisted_p2p.transfer.wire import Data, FileEnd, Finished, Hole, Message


class SourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = fresh_folder()

    def assert_fails(self, reason: Reason, name: str, *paths: Path) -> None:
        failed = self.assertRaises(TransferFailed, Source, paths)
        self.assertEqual((failed.reason, failed.name), (reason, name))

    def test_lists_files_and_folders_in_order(self) -> None:
        tops = fill(self.folder, {"d/b": b"22", "d/a": b"1", "d/e/": b"", "c": b"333"})
        (self.folder / "d/a").chmod(0o700)
        os.utime(self.folder / "c", ns=(0, 5_000_000_007))
        manifest = Source(tops).manifest
        self.assertEqual(
            [(e.name, e.is_folder, e.size, e.executable) for e in manifest],
            [
                ("c", False, 3, False),
                ("d", True, 0, False),
                ("d/a", False, 1, True),
                ("d/b", False, 2, False),
                ("d/e", True, 0, False),
            ],
        )
        self.assertEqual(manifest[0].modified, 5_000_000_007)

    def test_a_time_before_1970_is_1970(self) -> None:
        (file,) = fill(self.folder, {"a": b""})
        os.utime(file, ns=(0, -5))
        self.assertEqual(Source([file]).manifest[0].modified, 0)

    def test_follows_the_links_that_are_named_and_no_others(self) -> None:
        fill(self.folder, {"d/a": b"1", "outside": b"2"})
        (self.folder / "d/link").symlink_to("../outside")
        os.mkfifo(self.folder / "d/pipe")
        (self.folder / "named").symlink_to("outside")
        skipped: list[Path] = []
        source = Source([self.folder / "d", self.folder / "named"], skipped.append)
        self.assertEqual([entry.name for entry in source.manifest], ["d", "d/a", "outside"])
        self.assertEqual([place.name for place in skipped], ["link", "pipe"])

    def test_the_current_folder_has_a_name(self) -> None:
        fill(self.folder, {"a": b""})
        source = Source([self.folder / "."])
        self.assertEqual(source.manifest[1].path, (self.folder.name, "a"))

    def test_says_what_cannot_be_sent(self) -> None:
        fill(self.folder, {"x/a": b"", "y/a": b"", "back\\slash": b""})
        self.assert_fails(Reason.UNREADABLE, "none", self.folder / "none")
        self.assert_fails(Reason.UNSAFE_NAME, "a", self.folder / "x/a", self.folder / "y/a")
        self.assert_fails(Reason.UNSAFE_NAME, "back\\slash", self.folder / "back\\slash")
        self.assert_fails(Reason.UNSAFE_NAME, "", Path("/"))
        os.mkdir(os.fsencode(self.folder) + b"/z")
        with open(os.fsencode(self.folder) + b"/z/\xff", "wb"):
            self.assert_fails(Reason.UNSAFE_NAME, "z/\udcff", self.folder / "z")

    def test_opens_only_what_was_listed(self) -> None:
        files = fill(self.folder, dict.fromkeys("abcde", b"1"))
        source = Source(files)
        files[1].write_bytes(b"22")
        files[2].unlink()
        os.rename(files[3], self.folder / "moved")
        files[3].symlink_to("moved")
        files[4].unlink()
        os.mkfifo(files[4])
        for index, reason in (
            *((1, Reason.CHANGED), (2, Reason.UNREADABLE)),
            *((3, Reason.UNREADABLE), (4, Reason.CHANGED)),
        ):
            failed = self.assertRaises(TransferFailed, source.open, index)
            self.assertIs(failed.reason, reason)
        self.assertEqual(open_in(self.folder), [])
        os.close(source.open(0))


class SparseTests(SynchronousTestCase):
    @given(
        parts=st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=6),
        start=st.integers(0, 100_000),
    )
    def test_segments_cover_the_file_and_hold_all_its_data(
        self, parts: list[tuple[bool, int]], start: int
    ) -> None:
        place = fresh_folder() / "sparse"
        with place.open("wb") as file:
            for is_data, blocks in parts:
                if is_data:
                    file.write(b"x" * 4096 * blocks)
                else:
                    file.truncate(file.seek(4096 * blocks, os.SEEK_CUR))
            size = file.tell()
        content = place.read_bytes()
        descriptor = os.open(place, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        position = min(start, size)
        for is_data, where, length in segments(descriptor, position, size):
            self.assertEqual(where, position)
            self.assertGreater(length, 0)
            if not is_data:
                self.assertEqual(content[where : where + length].strip(b"\0"), b"")
            position += length
        self.assertEqual(position, size)


class OutgoingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = fresh_folder()

    def batches(self, outgoing: Outgoing) -> list[list[Message]]:
        found = []
        while batch := outgoing.next_batch():
            found.append(batch)
        return found

    def test_sends_what_is_wanted_from_where_it_is_wanted(self) -> None:
        source = Source(fill(self.folder, {"a": b"12345", "b": b"", "c": b"whole"}))
        told: list[str] = []
        outgoing = Outgoing(
            source,
            [(0, Prefix(2, digest_state(b"12"))), (1, nothing())],
            {2: digest(b"whole")},
            lambda entry, digest: told.append(entry.name),
        )
        (batch,) = self.batches(outgoing)
        digests = {0: digest(b"12345"), 1: digest(b""), 2: digest(b"whole")}
        self.assertEqual(
            batch,
            [
                Data(b"345"),
                FileEnd(digests[0]),
                FileEnd(digests[1]),
                Finished(overall_digest(source.manifest, digests)),
            ],
        )
        self.assertEqual(told, ["a", "b"])

    def test_a_batch_has_a_limit_of_each_kind(self) -> None:
        size = 5 << 20
        place = self.folder / "holes"
        with place.open("wb") as file:
            file.truncate(size)
            file.seek(0, os.SEEK_END)
            file.write(os.urandom(size))
        batches = self.batches(Outgoing(Source([place]), [(0, nothing())], {}))
        for batch in batches:
            data = sum(len(message.data) for message in batch if isinstance(message, Data))
            self.assertLessEqual(data, outgoing_module.BATCH + outgoing_module.BLOCK)
        holes = [m.size for batch in batches for m in batch if isinstance(m, Hole)]
        self.assertEqual(sum(holes), size)
        files = fill(fresh_folder(), {str(number): b"" for number in range(5)})
        with patch.object(outgoing_module, "_MOST_MESSAGES", 2):
            wanted = [(index, nothing()) for index in range(5)]
            found = self.batches(Outgoing(Source(files), wanted, {}))
        self.assertEqual([len(batch) for batch in found], [2, 2, 2])
        with patch.object(outgoing_module, "STEP", 1 << 20):
            self.assertGreater(
                len(self.batches(Outgoing(Source([place]), [(0, nothing())], {}))), len(batches)
            )

    def test_a_block_of_zeros_is_a_hole_whatever_the_file_system_says(self) -> None:
        files = fill(self.folder, {"a": bytes(5000)})
        ((first, *_),) = self.batches(Outgoing(Source(files), [(0, nothing())], {}))
        self.assertEqual(first, Hole(5000))

    def test_notices_that_a_file_changes_while_it_is_read(self) -> None:
        for change in (b"", b"x" * (3 << 20)):
            (file,) = fill(fresh_folder(), {"a": os.urandom(2 << 20)})
            outgoing = Outgoing(Source([file]), [(0, nothing())], {})
            outgoing.next_batch()
            os.truncate(file, len(change))
            failed = self.assertRaises(TransferFailed, self.batches, outgoing)
            self.assertIs(failed.reason, Reason.CHANGED)
            self.assertEqual(open_in(file.parent), [])

    def test_closes_its_file_when_it_is_given_up(self) -> None:
        (file,) = fill(self.folder, {"a": os.urandom(2 << 20)})
        outgoing = Outgoing(Source([file]), [(0, nothing())], {})
        outgoing.next_batch()
        self.assertEqual(open_in(self.folder), [str(file)])
        outgoing.close()
        self.assertEqual(open_in(self.folder), [])
        self.assertEqual(outgoing.next_batch(), [])


def digest_state(content: bytes) -> Any:
    state = nothing().state
    state.update(content)
    return state
