"""ICE credentials: what the RFC lets them be, and that the password is not shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.ice.credentials import ICECredentials

ICE_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
FRAGMENTS = st.text(ICE_CHARACTERS, min_size=4, max_size=256)
PASSWORDS = st.text(ICE_CHARACTERS, min_size=22, max_size=256)

FRAGMENT = "frag"
PASSWORD = "p" * 22


class ICECredentialsTests(SynchronousTestCase):
    @given(fragment=FRAGMENTS, password=PASSWORDS)
    def test_values_by_the_rules_are_kept(self, fragment: str, password: str) -> None:
        credentials = ICECredentials(fragment, password)
        self.assertEqual(credentials.username_fragment, fragment)
        self.assertEqual(credentials.password, password)

    def test_too_short_and_too_long_ones_are_refused(self) -> None:
        for fragment, password in (
            ("f" * 3, PASSWORD),
            ("f" * 257, PASSWORD),
            (FRAGMENT, "p" * 21),
            (FRAGMENT, "p" * 257),
        ):
            self.assertRaises(ValueError, ICECredentials, fragment, password)

    @given(character=st.characters(exclude_characters=ICE_CHARACTERS))
    def test_other_characters_are_refused(self, character: str) -> None:
        self.assertRaises(ValueError, ICECredentials, FRAGMENT + character, PASSWORD)
        self.assertRaises(ValueError, ICECredentials, FRAGMENT, PASSWORD + character)

    def test_password_is_in_no_repr_and_no_error(self) -> None:
        self.assertNotIn(PASSWORD, repr(ICECredentials(FRAGMENT, PASSWORD)))
        error = self.assertRaises(ValueError, ICECredentials, FRAGMENT, PASSWORD + "!")
        self.assertNotIn(PASSWORD, str(error))
