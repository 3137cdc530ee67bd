"""Keys of the short- and long-term mechanisms; RFC vectors are in test_vectors."""

from __future__ import annotations

from hashlib import md5, sha256

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.stun.attributes import PasswordAlgorithmNumber
from twisted_p2p.stun.credentials import (
    SecurityFeatures,
    long_term_key,
    security_features,
    short_term_key,
    userhash,
)


class KeyTests(SynchronousTestCase):
    def test_short_term_key_is_the_password(self) -> None:
        self.assertEqual(short_term_key("secret"), b"secret")

    def test_long_term_key_hashes_all_three(self) -> None:
        text = b"user:realm:pass"
        self.assertEqual(long_term_key("user", "realm", "pass"), md5(text).digest())
        self.assertEqual(
            long_term_key("user", "realm", "pass", PasswordAlgorithmNumber.SHA256),
            sha256(text).digest(),
        )

    def test_userhash_hashes_name_and_realm(self) -> None:
        self.assertEqual(userhash("user", "realm"), sha256(b"user:realm").digest())

    def test_text_is_prepared(self) -> None:
        composed, decomposed = "caf\u00e9", "cafe\u0301"
        self.assertEqual(short_term_key(decomposed), composed.encode())
        self.assertEqual(
            long_term_key(decomposed, decomposed, decomposed),
            long_term_key(composed, composed, composed),
        )
        self.assertEqual(userhash(decomposed, decomposed), userhash(composed, composed))

    def test_text_that_cannot_be_prepared_is_refused(self) -> None:
        for bad in ("", "bell\a"):
            for make in (
                short_term_key,
                lambda text: long_term_key(text, "realm", "password"),
                lambda text: long_term_key("user", text, "password"),
                lambda text: long_term_key("user", "realm", text),
                lambda text: userhash(text, "realm"),
                lambda text: userhash("user", text),
            ):
                self.assertRaises(ValueError, make, bad)


class SecurityFeaturesTests(SynchronousTestCase):
    def test_leftmost_bits_are_the_features(self) -> None:
        for base64, features in (
            ("gAAA", SecurityFeatures.PASSWORD_ALGORITHMS),
            ("QAAA", SecurityFeatures.USERNAME_ANONYMITY),
            ("wAAA", SecurityFeatures.PASSWORD_ALGORITHMS | SecurityFeatures.USERNAME_ANONYMITY),
            ("AAAA", SecurityFeatures(0)),
            ("////", SecurityFeatures.PASSWORD_ALGORITHMS | SecurityFeatures.USERNAME_ANONYMITY),
        ):
            self.assertEqual(security_features(f"obMatJos2{base64}nonce"), features)

    def test_nonce_that_does_not_say_has_none(self) -> None:
        for nonce in ("", "nonce", "obMatJos2", "obMatJos2gA=A", "obMatJos2gAA", "xobMatJos2gAAA"):
            self.assertEqual(security_features(nonce), SecurityFeatures(0))

    @given(nonce=st.text(max_size=20).map("obMatJos2".__add__) | st.text(max_size=20))
    def test_any_nonce_has_features(self, nonce: str) -> None:
        self.assertIsInstance(security_features(nonce), SecurityFeatures)
