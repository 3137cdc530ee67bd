"""Promise 15 for names: those that leave the folder, on any system, are not taken."""

from __future__ import annotations

import ntpath
import posixpath

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.transfer.strategies import paths, safe_names, safe_paths, texts
from twisted_p2p.transfer.failures import Reason, TransferFailed
from twisted_p2p.transfer.names import checked_path, is_safe, part_name


class NameTests(SynchronousTestCase):
    def refuse(self, text: str) -> None:
        refused = self.assertRaises(TransferFailed, checked_path, text)
        self.assertIs(refused.reason, Reason.UNSAFE_NAME)

    @given(text=paths)
    def test_what_is_taken_stays_below_the_folder_on_every_system(self, text: str) -> None:
        try:
            path = checked_path(text)
        except TransferFailed as error:
            self.assertIs(error.reason, Reason.UNSAFE_NAME)
            return
        self.assertEqual("/".join(path), text)
        for module, folder in ((posixpath, "/home/me"), (ntpath, "D:\\home\\me")):
            whole = module.normpath(module.join(folder, *path))
            self.assertTrue(whole.startswith(folder + module.sep), whole)
            self.assertEqual(whole.count(module.sep), folder.count(module.sep) + len(path))
        text.encode()
        self.assertFalse(any(character < " " for character in text))

    def test_refuses_what_leaves_the_folder_or_fits_nowhere(self) -> None:
        for text in (
            *("", ".", "..", "a/..", "../a", "/etc/passwd", "a//b", "a/", "./a", "a/./b"),
            *("..\\a", "a\\b", "\\\\host\\share", "C:", "C:\\a", "c:a", "a/D:b"),
            *("a\0", "a\nb", "a\x1b[2J", "a\x7f", "\ud800", "é" * 128, "a" * 256),
            *("a.p2p-0123456789.part", "b/A.P2P-ABCDEF0123.PART"),
            "/".join(["a"] * 101),
            "/".join(["a" * 250] * 17),
        ):
            self.refuse(text)

    def test_takes_what_people_call_their_files(self) -> None:
        for text in (
            *("notes.txt", "a b/c", ".hidden", "...", "-rf", "~", "12:30 log", "é" * 127),
            *("a" * 255, "x.part", "日本語", "/".join(["a"] * 100)),
        ):
            self.assertEqual(checked_path(text), tuple(text.split("/")))

    @given(sender=texts, path=safe_paths)
    def test_an_unfinished_file_has_a_name_that_no_sender_may_choose(
        self, sender: str, path: tuple[str, ...]
    ) -> None:
        name = part_name(sender, path)
        self.assertFalse(is_safe(name))
        self.assertLessEqual(len(name.encode()), 255)
        self.assertNotIn("/", name)
        self.assertTrue(name.endswith(".part"))

    @given(
        one=st.tuples(texts, st.lists(safe_names, min_size=1).map(tuple)),
        other=st.tuples(texts, st.lists(safe_names, min_size=1).map(tuple)),
    )
    def test_each_sender_and_path_has_an_unfinished_file_of_its_own(
        self, one: tuple[str, tuple[str, ...]], other: tuple[str, tuple[str, ...]]
    ) -> None:
        if "\0" not in one[0] + other[0]:
            self.assertEqual(part_name(*one) == part_name(*other), one == other)
