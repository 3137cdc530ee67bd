"""What two files have in common."""

from __future__ import annotations

import os
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.transfer.places import digest, fresh_folder
from twisted_p2p.transfer import prefix as module
from twisted_p2p.transfer.prefix import PrefixReader, checkpoints, in_common, nothing


def read(content: bytes, offsets: tuple[int, ...]) -> PrefixReader:
    place = fresh_folder() / "file"
    place.write_bytes(content)
    descriptor = os.open(place, os.O_RDONLY)
    try:
        reader = PrefixReader(descriptor, offsets)
        while reader.step():
            pass
    finally:
        os.close(descriptor)
    return reader


class CheckpointTests(SynchronousTestCase):
    @given(size=st.integers(0, 1 << 63) | st.integers(0, 1 << 22))
    def test_they_rise_to_the_size_in_steps_of_a_sixteenth(self, size: int) -> None:
        offsets = checkpoints(size)
        self.assertEqual(sorted(set(offsets)), list(offsets))
        self.assertLessEqual(len(offsets), 16)
        self.assertEqual(offsets[-1:], (size,) if size else ())
        self.assertTrue(all(offset > 0 for offset in offsets))
        for before, after in zip((0, *offsets), offsets, strict=False):
            self.assertLessEqual(after - before, size // 16 + (64 << 10) + 1)


class PrefixTests(SynchronousTestCase):
    @given(content=st.binary(max_size=300), offsets=st.sets(st.integers(1, 320), max_size=5))
    def test_digests_what_is_before_each_offset(self, content: bytes, offsets: set[int]) -> None:
        ordered = tuple(sorted(offsets))
        with patch.object(module, "BLOCK", 7), patch.object(module, "STEP", 20):
            reader = read(content, ordered)
        self.assertEqual(
            [(prefix.size, prefix.digest) for prefix in reader.prefixes],
            [(end, digest(content[:end])) for end in ordered if end <= len(content)],
        )

    @given(
        ours=st.binary(max_size=100),
        common=st.integers(0, 100),
        rest=st.binary(max_size=100),
    )
    def test_finds_the_longest_beginning_that_both_have(
        self, ours: bytes, common: int, rest: bytes
    ) -> None:
        theirs = ours[:common] + rest
        offsets = tuple(range(5, len(ours) + 1, 5))
        their_digests = [prefix.digest for prefix in read(theirs, offsets).prefixes]
        found = in_common(read(ours, offsets).prefixes, their_digests)
        same = [end for end in (0, *offsets) if ours[:end] == theirs[:end]]
        self.assertEqual(found.size, max(same))
        self.assertEqual(found.digest, digest(ours[: found.size]))

    def test_nothing_is_in_common_at_least(self) -> None:
        self.assertEqual((nothing().size, nothing().digest), (0, digest(b"")))
