"""The keys that integrity attributes are made with (RFC 8489, sections 9.1.1, 9.2 and 14.4).

Text is prepared here, so that it may come as it was typed.  All functions raise `ValueError` for
text that cannot be a user name, a realm or a password.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from enum import Flag

from twisted_p2p.stun.attributes import PasswordAlgorithmNumber
from twisted_p2p.stun.opaque_string import prepare_opaque_string

_NONCE_COOKIE = re.compile("obMatJos2([A-Za-z0-9+/]{4})")
_UNASSIGNED_FEATURES = (1 << 22) - 1


class SecurityFeatures(Flag):
    """What a server can do, as its nonce says (RFC 8489, section 18.1).

    The set has 24 bits, and bit 0 is the leftmost one.
    """

    PASSWORD_ALGORITHMS = 1 << 23
    USERNAME_ANONYMITY = 1 << 22


def short_term_key(password: str) -> bytes:
    """Return the key of the short-term mechanism, such as ICE's."""
    return prepare_opaque_string(password).encode()


def long_term_key(
    username: str,
    realm: str,
    password: str,
    algorithm: PasswordAlgorithmNumber = PasswordAlgorithmNumber.MD5,
) -> bytes:
    """Return the key of the long-term mechanism, such as TURN's: 16 bytes, or 32 by SHA-256.

    MD5 is what a server means that names no algorithm.
    """
    text = _joined(username, realm, password)
    if algorithm is PasswordAlgorithmNumber.SHA256:
        return hashlib.sha256(text).digest()
    # The RFC's own choice; the key is only as secret as the password.
    return hashlib.md5(text, usedforsecurity=False).digest()


def userhash(username: str, realm: str) -> bytes:
    """Return the value of USERHASH, 32 bytes, which stands for a user name on the wire."""
    return hashlib.sha256(_joined(username, realm)).digest()


def security_features(nonce: str) -> SecurityFeatures:
    """Return what the server that made this nonce can do; none when the nonce does not say."""
    # "obMatJos2" and 24 bits in base64 (RFC 8489, section 9.2).
    match = _NONCE_COOKIE.match(nonce)
    bits = int.from_bytes(b64decode(match[1]), "big") if match else 0
    return SecurityFeatures(bits & ~_UNASSIGNED_FEATURES)


def _joined(*texts: str) -> bytes:
    return ":".join(map(prepare_opaque_string, texts)).encode()
