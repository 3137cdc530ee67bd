"""Promise 15 on disk: whatever is in the target folder, nothing is written outside it, and nothing
that is there is changed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.transfer.places import (
    content_of,
    digest,
    fill,
    fresh_folder,
    open_in,
    part_of,
    target,
)
from twisted_p2p.transfer.failures import Reason, TransferFailed
from twisted_p2p.transfer.folder import TargetFolder
from twisted_p2p.transfer.incoming import Incoming
from twisted_p2p.transfer.manifest import Entry, Manifest, overall_digest
from twisted_p2p.transfer.prefix import nothing
from twisted_p2p.transfer.progress import Progress
from twisted_p2p.transfer.wire import Data, FileEnd, Finished

CONTENT = b"content"


def receive(folder: Path, entry: Entry, content: bytes = CONTENT) -> None:
    """Let one file arrive as a sender sends it."""
    manifest = Manifest()
    manifest.add(entry)
    into = target(folder)
    incoming = Incoming(into, manifest, [(0, nothing())], {}, Progress())
    try:
        finished = into.open_finished(entry)
        if finished is not None:
            os.close(finished)
            raise TransferFailed(Reason.EXISTS, entry.name)
        whole = overall_digest(manifest, {0: digest(content)})
        incoming.take([Data(content), FileEnd(digest(content)), Finished(whole)])
    finally:
        incoming.close()
        into.close()


def entry_of(*path: str, size: int = len(CONTENT), executable: bool = False) -> Entry:
    return Entry(path, size=size, modified=1_000_000_007, executable=executable)


class FolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = fresh_folder()
        self.folder = self.root / "target"
        self.outside = self.root / "outside"
        fill(self.outside, {"precious": b"precious", "d/precious": b"precious"})
        self.before = content_of(self.outside)

    def assert_fails(
        self, reason: Reason, function: Callable[..., object], *arguments: object
    ) -> None:
        before = open_in(self.root)
        failed = self.assertRaises(TransferFailed, function, *arguments)
        self.assertIs(failed.reason, reason, str(failed))
        self.assertEqual(open_in(self.root), before)
        self.assertEqual(content_of(self.outside), self.before)

    def test_makes_the_folder_and_files_with_their_mode_and_time(self) -> None:
        self.addCleanup(os.umask, os.umask(0o027))
        receive(self.folder / "new", entry_of("d", "plain"))
        receive(self.folder / "new", entry_of("program", executable=True))
        plain, program = self.folder / "new/d/plain", self.folder / "new/program"
        self.assertEqual(plain.read_bytes(), CONTENT)
        self.assertEqual(stat.S_IMODE(plain.stat().st_mode), 0o640)
        self.assertEqual(stat.S_IMODE(program.stat().st_mode), 0o750)
        self.assertEqual(plain.stat().st_mtime_ns, 1_000_000_007)

    def test_an_unfinished_file_is_private_and_has_another_name(self) -> None:
        into = target(self.folder)
        os.close(into.make_part(entry_of("d", "a")))
        into.close()
        part = part_of(self.folder, "d", "a")
        self.assertEqual(stat.S_IMODE(part.stat().st_mode), 0o600)
        self.assertEqual(list((self.folder / "d").iterdir()), [part])

    def test_a_time_that_no_file_can_have_is_left_out(self) -> None:
        receive(self.folder, Entry(("a",), size=len(CONTENT), modified=(1 << 63) - 1))
        self.assertEqual((self.folder / "a").read_bytes(), CONTENT)

    def test_never_follows_a_link_in_the_target(self) -> None:
        self.folder.mkdir()
        (self.folder / "file").symlink_to(self.outside / "precious")
        (self.folder / "new").symlink_to(self.outside / "new")
        (self.folder / "folder").symlink_to(self.outside)
        (self.folder / "up").symlink_to("..")
        for path, reason in (
            (("file",), Reason.EXISTS),
            (("new",), Reason.EXISTS),
            (("folder", "precious"), Reason.UNWRITABLE),
            (("folder", "d", "new"), Reason.UNWRITABLE),
            (("up", "outside", "new"), Reason.UNWRITABLE),
            (("file", "new"), Reason.UNWRITABLE),
        ):
            self.assert_fails(reason, receive, self.folder, entry_of(*path))

    def test_never_writes_through_a_link_in_the_place_of_an_unfinished_file(self) -> None:
        self.folder.mkdir()
        part_of(self.folder, "a").symlink_to(self.outside / "precious")
        os.link(self.outside / "precious", part_of(self.folder, "b"))
        os.mkfifo(part_of(self.folder, "c"))
        part_of(self.folder, "d").mkdir()
        into = target(self.folder)
        self.addCleanup(into.close)
        for name in "abcd":
            self.assert_fails(Reason.UNWRITABLE, into.open_part, entry_of(name))
            self.assert_fails(Reason.UNWRITABLE, into.make_part, entry_of(name))
            self.assertTrue(into.has_begun(entry_of(name)))

    @given(
        kind=st.sampled_from(["link", "dangling", "hard", "folder", "pipe", "file"]),
        depth=st.integers(0, 2),
        as_part=st.booleans(),
    )
    def test_whatever_is_in_the_way_nothing_outside_and_nothing_there_changes(
        self, kind: str, depth: int, as_part: bool
    ) -> None:
        root = fresh_folder()
        folder, precious = root / "target", root / "precious"
        fill(root, {"precious": b"precious", "target/": b""})
        path = ("a", "b", "c")
        obstacle = folder.joinpath(*path[: depth + 1])
        if as_part and depth == 2:
            obstacle = part_of(folder, *path)
        obstacle.parent.mkdir(parents=True, exist_ok=True)
        make_obstacle(kind, obstacle, precious)
        before = os.lstat(obstacle)
        size = os.path.getsize(precious)
        try:
            receive(folder, entry_of(*path))
        except TransferFailed as error:
            self.assertIn(error.reason, (Reason.EXISTS, Reason.UNWRITABLE))
            self.assertTrue(os.path.samestat(os.lstat(obstacle), before))
        self.assertEqual((precious.read_bytes(), os.path.getsize(precious)), (b"precious", size))
        self.assertEqual({place.name for place in root.iterdir()}, {"target", "precious"})

    def test_a_file_that_is_there_is_never_overwritten(self) -> None:
        fill(self.folder, {"a": b"mine", "same size": b"x" * len(CONTENT)})
        for name in ("a", "same size"):
            self.assert_fails(Reason.EXISTS, receive, self.folder, entry_of(name))
        self.assertEqual((self.folder / "a").read_bytes(), b"mine")

    def test_nor_is_one_that_comes_while_the_transfer_goes_on(self) -> None:
        for link in (os.link, _no_second_names):
            folder = fresh_folder()
            into = target(folder)
            self.addCleanup(into.close)
            descriptor = into.make_part(entry_of("a"))
            self.addCleanup(os.close, descriptor)
            (folder / "a").write_bytes(b"mine")
            with patch.object(os, "link", link):
                self.assert_fails(Reason.EXISTS, into.finish, entry_of("a"), descriptor)
            self.assertEqual((folder / "a").read_bytes(), b"mine")

    def test_a_file_system_without_second_names_will_do(self) -> None:
        with patch.object(os, "link", _no_second_names):
            receive(self.folder, entry_of("a"))
        self.assertEqual(content_of(self.folder), {"a": CONTENT})

    def test_a_folder_that_is_there_is_used(self) -> None:
        fill(self.folder, {"d/mine": b"mine"})
        into = target(self.folder)
        self.addCleanup(into.close)
        into.make_folder(Entry(("d", "e"), is_folder=True))
        into.make_folder(Entry(("d",), is_folder=True))
        self.assertEqual(content_of(self.folder), {"d": None, "d/mine": b"mine", "d/e": None})
        self.assert_fails(Reason.UNWRITABLE, into.make_folder, Entry(("d", "mine"), is_folder=True))

    def test_what_is_there_already_is_found(self) -> None:
        fill(self.folder, {"whole": CONTENT})
        part_of(self.folder, "begun").write_bytes(b"con")
        into = target(self.folder)
        self.addCleanup(into.close)
        found = [into.has_begun(entry_of(name)) for name in ("whole", "begun", "new")]
        self.assertEqual(found, [True, True, False])
        self.assertIsNone(into.open_finished(entry_of("begun")))
        self.assertIsNone(into.open_part(entry_of("whole")))
        for descriptor in (
            into.open_finished(entry_of("whole")),
            into.open_part(entry_of("begun")),
        ):
            assert descriptor is not None
            os.close(descriptor)

    def test_what_another_sender_has_begun_is_not_looked_at(self) -> None:
        self.folder.mkdir()
        part_of(self.folder, "a", sender="someone").write_bytes(b"con")
        into = target(self.folder, "someone else")
        self.addCleanup(into.close)
        self.assertFalse(into.has_begun(entry_of("a")))

    def test_no_folder_can_be_made(self) -> None:
        fill(self.root, {"file": b""})
        self.assert_fails(Reason.UNWRITABLE, TargetFolder, self.root / "file")
        self.assert_fails(Reason.UNWRITABLE, TargetFolder, self.root / "file" / "below")

    def test_the_target_itself_may_be_a_link(self) -> None:
        (self.root / "link").symlink_to("outside")
        receive(self.root / "link", entry_of("a"))
        self.assertEqual((self.outside / "a").read_bytes(), CONTENT)


def make_obstacle(kind: str, obstacle: Path, precious: Path) -> None:
    if kind == "link":
        obstacle.symlink_to(precious)
    elif kind == "dangling":
        obstacle.symlink_to(precious.parent / "new")
    elif kind == "hard":
        os.link(precious, obstacle)
    elif kind == "folder":
        obstacle.mkdir()
    elif kind == "pipe":
        os.mkfifo(obstacle)
    else:
        obstacle.write_bytes(b"mine")


def _no_second_names(*arguments: object, **named: object) -> None:
    raise OSError(errno.EPERM, "not here")
