"""The decoders of peer IDs and of signed records."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from twisted_p2p.errors import InvalidPeerID, InvalidSignature, MalformedMessage
from twisted_p2p.identity.keys import SIGNATURE_SIZE, IdentityKey, SignatureLabel
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.record import PeerRecord, decode_record

ALICE = IdentityKey.from_seed(b"a" * 32)
"""Whose records the corpus holds."""


def signed_again(record: bytes) -> bytes:
    """Return a mutant with a right signature, so that what it says is looked at."""
    signed = record[: -(4 + SIGNATURE_SIZE)]
    header = record[len(signed) : len(signed) + 4]
    return signed + header + ALICE.sign(SignatureLabel.RECORD, signed)


class IdentityFuzzTests(SynchronousTestCase):
    def test_corpus_is_read(self) -> None:
        for name, data in load_corpus("records").items():
            self.assertEqual(decode_record(data).peer_id, ALICE.peer_id, name)
            self.assertEqual(decode_record(signed_again(data)), decode_record(data), name)

    @given(data=mutants("records"), repair=st.booleans())
    def test_record(self, data: bytes, repair: bool) -> None:
        data = signed_again(data) if repair else data
        with contextlib.suppress(MalformedMessage, InvalidSignature):
            record = decode_record(data)
            self.assertIsInstance(record, PeerRecord)
            self.assertEqual(record.peer_id, ALICE.peer_id)

    @given(
        text=st.text(max_size=60)
        | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=52, max_size=52)
    )
    def test_peer_id(self, text: str) -> None:
        with contextlib.suppress(InvalidPeerID):
            self.assertEqual(PeerID.from_public_key(PeerID(text).public_key), text)
