"""What may stand in one transfer together, and the digest over it."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.transfer.strategies import digests, files, folders
from twisted_p2p.transfer import manifest as module
from twisted_p2p.transfer.failures import Reason, TransferFailed
from twisted_p2p.transfer.manifest import Entry, Manifest, overall_digest


def manifest_of(*entries: Entry) -> Manifest:
    manifest = Manifest()
    for entry in entries:
        manifest.add(entry)
    return manifest


class ManifestTests(SynchronousTestCase):
    def refuse(self, *entries: Entry, reason: Reason = Reason.UNSAFE_NAME) -> None:
        refused = self.assertRaises(TransferFailed, manifest_of, *entries)
        self.assertIs(refused.reason, reason)

    def test_keeps_the_order_and_counts(self) -> None:
        entries = (
            Entry(("d",), is_folder=True),
            Entry(("d", "a"), size=5),
            Entry(("b",), size=2),
        )
        manifest = manifest_of(*entries)
        self.assertEqual(tuple(manifest), entries)
        self.assertEqual((len(manifest), manifest.size, manifest[2]), (3, 7, entries[2]))
        self.assertEqual(manifest.files, [(1, entries[1]), (2, entries[2])])
        self.assertEqual(manifest.top_names, ["d", "b"])
        self.assertEqual(entries[1].name, "d/a")

    def test_a_path_is_there_once(self) -> None:
        folder, file = Entry(("a",), is_folder=True), Entry(("a",))
        self.refuse(file, file)
        self.refuse(file, folder)
        self.refuse(folder, file)
        self.assertEqual(len(manifest_of(folder, folder)), 2)

    def test_no_path_leads_through_a_file(self) -> None:
        self.refuse(Entry(("a",)), Entry(("a", "b")))
        self.refuse(Entry(("a", "b")), Entry(("a",)))
        self.refuse(Entry(("a",)), Entry(("a", "b", "c")))
        self.assertEqual(len(manifest_of(Entry(("a", "b")), Entry(("a",), is_folder=True))), 2)

    def test_there_is_a_limit_to_entries_and_to_names(self) -> None:
        with patch.object(module, "MOST_ENTRIES", 2):
            self.refuse(*(Entry((name,)) for name in "abc"), reason=Reason.TOO_MUCH)
        with patch.object(module, "MOST_NAME_BYTES", 3):
            self.refuse(Entry(("éé",)), reason=Reason.TOO_MUCH)

    @given(st.lists(st.tuples(files | folders, digests), max_size=5), st.data())
    def test_the_digest_depends_on_everything(
        self, told: list[tuple[Entry, bytes]], data: st.DataObject
    ) -> None:
        manifest, by_place = Manifest(), {}
        for entry, digest in told:
            try:
                manifest.add(entry)
            except TransferFailed:
                continue
            by_place[len(manifest) - 1] = digest
        whole = overall_digest(manifest, by_place)
        if manifest.files:
            index, _ = data.draw(st.sampled_from(manifest.files))
            changed = {**by_place, index: bytes(32)}
            if by_place[index] != bytes(32):
                self.assertNotEqual(overall_digest(manifest, changed), whole)
            del changed[index]
            self.assertRaises(KeyError, overall_digest, manifest, changed)
        manifest.add(Entry(("one more",), is_folder=True))
        self.assertNotEqual(overall_digest(manifest, by_place), whole)
