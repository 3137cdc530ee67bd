"""The decoder of candidates."""

from __future__ import annotations

import contextlib

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.ice.candidate import decode_candidate, encode_candidate


class ICEFuzzTests(SynchronousTestCase):
    def test_corpus_is_read(self) -> None:
        for name, data in load_corpus("candidates").items():
            self.assertEqual(encode_candidate(decode_candidate(data)), data, name)

    @given(data=mutants("candidates"))
    def test_candidate(self, data: bytes) -> None:
        with contextlib.suppress(MalformedMessage):
            candidate = decode_candidate(data)
            self.assertEqual(decode_candidate(encode_candidate(candidate)), candidate)
