"""OpaqueString: one spelling, and only characters that RFC 8264 allows."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.stun.opaque_string import prepare_opaque_string


class OpaqueStringTests(SynchronousTestCase):
    def allows(self, *texts: str) -> None:
        for text in texts:
            self.assertEqual(prepare_opaque_string(text), text, ascii(text))

    def refuses(self, *texts: str) -> None:
        for text in texts:
            with self.assertRaises(ValueError, msg=ascii(text)):
                prepare_opaque_string(text)

    def test_examples_of_the_rfc_are_as_it_says(self) -> None:
        """RFC 8265, section 4.3."""
        self.allows(
            "correct horse battery staple",
            "Correct Horse Battery Staple",
            "\u03c0\u00df\u00e5",
            "Jack of \u2666s",
        )
        self.assertEqual(prepare_opaque_string("foo\u1680bar"), "foo bar")
        self.refuses("", "my cat is a \u0009by")

    def test_spaces_become_one_kind(self) -> None:
        for space in "\u00a0\u2003\u3000\u202f":
            self.assertEqual(prepare_opaque_string(f"a{space}b"), "a b")

    def test_text_is_composed_but_keeps_its_compatibility_characters(self) -> None:
        self.assertEqual(prepare_opaque_string("e\u0301"), "\u00e9")
        self.allows("M\u00aatr\u2168", "\uff21")

    def test_case_and_length_stay(self) -> None:
        self.allows("StRaSSe", "  a  ")

    def test_controls_and_ignorables_are_refused(self) -> None:
        self.refuses("\0", "a\n", "\x7f", "\u0085", "The\u00adM\u00aatr\u2168", "a\u200b")
        self.refuses("\u034f", "\u115f", "\u17b4", "a\ufe0f", "\U000e0100", "\ufeff", "\ufdd0")

    def test_unassigned_private_and_surrogate_are_refused(self) -> None:
        self.refuses("\u0378", "\ue000", "\ud800")

    def test_line_separators_are_refused(self) -> None:
        self.refuses("\u2028", "\u2029")

    def test_old_hangul_is_refused_and_modern_composed(self) -> None:
        self.refuses("\u1100", "\ua960", "\ud7b0")
        self.assertEqual(prepare_opaque_string("\u1112\u1161\u11ab"), "\ud55c")

    def test_exceptions_are_refused_by_name(self) -> None:
        self.refuses("\u0640", "\u07fa", "\u302e", "\u3031", "\u303b")

    def test_joiners_stand_after_a_virama(self) -> None:
        self.allows("\u0915\u094d\u200d", "\u0915\u094d\u200c\u0937")
        self.refuses("\u200d", "a\u200d", "\u200c", "a\u200cb")

    def test_middle_dot_stands_between_two_l(self) -> None:
        self.allows("col\u00b7lega")
        self.refuses("\u00b7", "l\u00b7", "\u00b7l", "a\u00b7l", "l\u00b7a", "L\u00b7L")

    def test_greek_numeral_sign_stands_before_greek(self) -> None:
        self.allows("\u0375\u03b1")
        self.refuses("\u0375", "\u0375a")

    def test_hebrew_marks_stand_after_hebrew(self) -> None:
        self.allows("\u05d0\u05f3", "\u05d0\u05f4")
        self.refuses("\u05f3", "a\u05f3", "a\u05f4")

    def test_katakana_dot_stands_with_japanese(self) -> None:
        self.allows("\u30a2\u30fb", "\u3042\u30fb", "\u4e00\u30fb")
        self.refuses("\u30fb", "a\u30fb")

    def test_two_kinds_of_arabic_digits_do_not_mix(self) -> None:
        self.allows("\u0660\u0661", "\u06f0\u06f1")
        self.refuses("\u0660\u06f0", "\u06f0\u0660")

    @given(text=st.text(max_size=12))
    def test_prepared_text_is_stable_and_composed(self, text: str) -> None:
        try:
            prepared = prepare_opaque_string(text)
        except ValueError:
            return
        self.assertEqual(prepare_opaque_string(prepared), prepared)
        self.assertTrue(unicodedata.is_normalized("NFC", prepared))

    @given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
    def test_printable_ascii_stays_as_it_is(self, text: str) -> None:
        self.allows(text)
