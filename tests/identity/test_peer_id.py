"""Peer IDs: one spelling a key, and only points that are keys."""

from __future__ import annotations

import copy
import pickle
from base64 import b32encode

from hypothesis import example, given
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add
from nacl.signing import SigningKey
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import InvalidPeerID
from twisted_p2p.identity.peer_id import PeerID

# RFC 8032 section 7.1, test 1
PUBLIC_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
TEXT = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena"

SEEDS = st.binary(min_size=32, max_size=32)

# The points of order 1, 2, 4 and 8 (RFC 7748 section 7 warns of them), and y = p + 3, which
# is no canonical encoding.
BAD_POINTS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def public_key_of(seed: bytes) -> bytes:
    return bytes(SigningKey(seed).verify_key)


class PeerIDTests(SynchronousTestCase):
    def test_known_key_has_known_text(self) -> None:
        self.assertEqual(PeerID.from_public_key(PUBLIC_KEY), TEXT)
        self.assertEqual(PeerID(TEXT).public_key, PUBLIC_KEY)

    @given(seed=SEEDS)
    def test_text_and_public_key_round_trip(self, seed: bytes) -> None:
        peer_id = PeerID.from_public_key(public_key_of(seed))
        self.assertEqual(len(peer_id), 52)
        self.assertEqual(PeerID(str(peer_id)).public_key, public_key_of(seed))

    def test_equals_and_hashes_like_its_text(self) -> None:
        self.assertEqual({TEXT: 1}[PeerID(TEXT)], 1)
        self.assertEqual(f"{PeerID(TEXT)}", TEXT)

    def test_copies_keep_the_key(self) -> None:
        for copied in (copy.deepcopy(PeerID(TEXT)), pickle.loads(pickle.dumps(PeerID(TEXT)))):
            self.assertEqual((copied, copied.public_key), (TEXT, PUBLIC_KEY))

    @given(text=st.text())
    @example(TEXT.upper())
    @example(TEXT + "====")
    @example(TEXT + "\n")
    @example(" " + TEXT)
    @example(TEXT[:-1])
    @example(TEXT[:-1] + "b")  # the same 256 bits and a stray one behind them
    @example(TEXT[:-1] + "0")
    @example(TEXT.replace("2", "٢"))  # a digit, but not ASCII
    def test_any_other_text_is_refused(self, text: str) -> None:
        error = self.assertRaises(InvalidPeerID, PeerID, text)
        self.assertIn("52 characters", str(error))

    def test_points_that_are_no_keys_are_refused(self) -> None:
        for point in map(bytes.fromhex, BAD_POINTS):
            text = b32encode(point).decode().rstrip("=").lower()
            error = self.assertRaises(InvalidPeerID, PeerID, text)
            self.assertIn("No key has this peer ID", str(error))

    @given(seed=SEEDS)
    def test_points_outside_the_main_subgroup_are_refused(self, seed: bytes) -> None:
        beside = crypto_core_ed25519_add(public_key_of(seed), bytes.fromhex(BAD_POINTS[1]))
        self.assertRaises(InvalidPeerID, PeerID.from_public_key, beside)

    @given(data=st.binary(max_size=64))
    def test_any_bytes_give_a_peer_id_of_theirs_or_the_declared_error(self, data: bytes) -> None:
        try:
            peer_id = PeerID.from_public_key(data)
        except InvalidPeerID:
            return
        self.assertEqual(peer_id.public_key, data)
