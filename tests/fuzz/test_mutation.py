"""The mutator itself: it repeats from its seed, and reaches what it should."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import CORPORA, load_corpus, mutant, mutants
from tests.fuzz.stun_repair import with_right_fingerprint, with_right_header
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.message import check_fingerprint, decode_message, is_stun

ENTRIES = [bytes(range(64)), b"abcdefgh" * 4]


class MutationTests(SynchronousTestCase):
    @given(seed=st.integers(0, 2**64 - 1))
    def test_seed_gives_one_mutant(self, seed: int) -> None:
        self.assertEqual(mutant(ENTRIES, seed), mutant(ENTRIES, seed))

    def test_mutants_differ_from_the_corpus_and_from_each_other(self) -> None:
        found = {mutant(ENTRIES, seed) for seed in range(1000)}
        self.assertGreater(len(found - set(ENTRIES)), 900)

    def test_empty_entry_has_mutants(self) -> None:
        self.assertGreater(len({mutant([b""], seed) for seed in range(100)}), 1)

    @given(data=mutants("stun_messages", maximum=100))
    def test_mutants_keep_to_the_maximum(self, data: bytes) -> None:
        self.assertLessEqual(len(data), 100)

    def test_every_corpus_has_entries(self) -> None:
        names = [path.stem for path in CORPORA.glob("*.hex")]
        self.assertIn("stun_messages", names)
        for name in names:
            self.assertGreater(len(load_corpus(name)), 0, name)


class RepairTests(SynchronousTestCase):
    @given(data=mutants("stun_messages"))
    def test_repaired_mutant_has_a_stun_header(self, data: bytes) -> None:
        repaired = with_right_header(data)
        self.assertTrue(is_stun(repaired))
        self.assertEqual(int.from_bytes(repaired[2:4], "big"), len(repaired) - 20)

    def test_many_repaired_mutants_are_messages(self) -> None:
        """Otherwise nothing but the outermost check would be tried."""
        entries = list(load_corpus("stun_messages").values())
        good = fitting = 0
        for seed in range(400):
            try:
                message = decode_message(with_right_fingerprint(mutant(entries, seed)))
            except MalformedMessage:
                continue
            good += 1
            fitting += check_fingerprint(message)
        self.assertGreater(good, 50)
        # Not all: a mutant's last attribute may claim the fingerprint as part of its value.
        self.assertGreater(fitting, 50)
