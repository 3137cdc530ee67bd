"""The decoders of boxed offers and answers, whose corpora hold what is inside the boxes."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.rendezvous.offer import open_answer, open_offer

ALICE = IdentityKey.from_seed(b"a" * 32)
BOB = IdentityKey.from_seed(b"b" * 32)


def boxed(plain: bytes) -> bytes:
    """Return what Alice would send to Bob, were she hostile."""
    return ALICE.box_with(BOB.peer_id).seal(plain)


class RendezvousFuzzTests(SynchronousTestCase):
    def test_corpora_are_read(self) -> None:
        for name, plain in load_corpus("offers").items():
            self.assertEqual(open_offer(BOB, ALICE.peer_id, boxed(plain)).secret, b"k" * 32, name)
        for name, plain in load_corpus("answers").items():
            answer = open_answer(BOB, ALICE.peer_id, boxed(plain))
            self.assertEqual(answer.session_id, b"s" * 16, name)

    @given(plain=mutants("offers") | mutants("answers"))
    def test_hostile_sender(self, plain: bytes) -> None:
        for read in (open_offer, open_answer):
            with contextlib.suppress(MalformedMessage):
                self.assertEqual(read(BOB, ALICE.peer_id, boxed(plain)).sender, ALICE.peer_id)

    @given(box=mutants("offers") | st.binary(max_size=60))
    def test_whatever_is_no_box(self, box: bytes) -> None:
        for read in (open_offer, open_answer):
            self.assertRaises(MalformedMessage, read, BOB, ALICE.peer_id, box)
