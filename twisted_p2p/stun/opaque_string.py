"""The OpaqueString profile (RFC 8265, section 4.2): one spelling for user names and passwords.

Two people who type the same password on different keyboards get the same bytes.  The Unicode
properties that Python does not know are listed here (RFC 8264, section 9).
"""

from __future__ import annotations

import unicodedata

_VIRAMA = 9  # canonical combining class
_JOINERS = ("\u200c", "\u200d")

# RFC 8264, section 9.6, code points refused by name.
_REFUSED = frozenset("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b")

# RFC 8264, sections 9.9 (old Hangul Jamo) and 9.13 (ignorable), where the general category alone
# does not refuse them already.
_REFUSED_RANGES = (
    (0x034F, 0x034F),
    (0x1100, 0x11FF),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x3164, 0x3164),
    (0xA960, 0xA97C),
    (0xD7B0, 0xD7FB),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xE0100, 0xE01EF),
)

_ARABIC_INDIC_DIGITS = frozenset(map(chr, range(0x0660, 0x066A)))
_EXTENDED_ARABIC_INDIC_DIGITS = frozenset(map(chr, range(0x06F0, 0x06FA)))


def prepare_opaque_string(text: str) -> str:
    """Return the text as both sides must spell it before its bytes are used.

    Raises `ValueError` for empty text and for characters that the profile does not allow.
    """
    if text and text.isascii() and text.isprintable():
        return text
    spaced = "".join(" " if unicodedata.category(one) == "Zs" else one for one in text)
    composed = unicodedata.normalize("NFC", spaced)
    if not composed:
        raise ValueError("a user name or password cannot be empty")
    for place, character in enumerate(composed):
        if not (_is_allowed(character) and _fits_context(composed, place)):
            raise ValueError(f"U+{ord(character):04X} cannot be in a user name or password")
    return composed


def _is_allowed(character: str) -> bool:
    """Return whether the FreeformClass of RFC 8264 has this character, its context apart."""
    if character in _JOINERS:
        return True
    category = unicodedata.category(character)
    if category[0] == "C" or category in ("Zl", "Zp") or character in _REFUSED:
        return False
    return not any(low <= ord(character) <= high for low, high in _REFUSED_RANGES)


def _fits_context(text: str, place: int) -> bool:
    """Return whether the character may stand where it does (RFC 5892, appendix A).

    The non-joiner is taken after a virama only: its other rule needs joining types, which Python
    does not know.
    """
    character = text[place]
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    fits = True
    if character in _JOINERS:
        fits = bool(before) and unicodedata.combining(before) == _VIRAMA
    elif character == "\u00b7":  # middle dot
        fits = before == after == "l"
    elif character == "\u0375":  # Greek lower numeral sign
        fits = _is_of_script(after, "GREEK")
    elif character in "\u05f3\u05f4":  # Hebrew geresh and gershayim
        fits = _is_of_script(before, "HEBREW")
    elif character == "\u30fb":  # katakana middle dot
        others = text.replace(character, "")
        fits = any(_is_of_script(one, "HIRAGANA", "KATAKANA", "CJK UNIFIED") for one in others)
    elif character in _ARABIC_INDIC_DIGITS:
        fits = _EXTENDED_ARABIC_INDIC_DIGITS.isdisjoint(text)
    elif character in _EXTENDED_ARABIC_INDIC_DIGITS:
        fits = _ARABIC_INDIC_DIGITS.isdisjoint(text)
    return fits


def _is_of_script(character: str, *scripts: str) -> bool:
    """Return whether a character, if any, is of one of these scripts, going by its name."""
    return bool(character) and unicodedata.name(character, "").startswith(scripts)
