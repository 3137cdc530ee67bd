"""Peer IDs: public keys as text that people can copy."""

from __future__ import annotations

import re
from base64 import b32decode, b32encode

from nacl.bindings import crypto_core_ed25519_is_valid_point

from twisted_p2p.errors import InvalidPeerID

# 256 bits fill 51 characters and one bit of the last, so that is `a` or `q`: one spelling a key.
_CANONICAL = re.compile(r"[a-z2-7]{51}[aq]")


class PeerID(str):
    """An Ed25519 public key as 52 characters of lower-case base32; equal to its plain text.

    ``PeerID(text)`` raises `InvalidPeerID` unless the text is the canonical spelling (RFC 4648
    section 6, without padding) of a point in the main subgroup of the curve.  That last check
    costs about as much as verifying a signature, so take peer IDs from the network only after
    the cheaper checks.
    """

    __slots__ = ("_public_key",)

    _public_key: bytes

    def __new__(cls, text: str) -> PeerID:
        """Check the text, as the class says."""
        if not _CANONICAL.fullmatch(text):
            raise InvalidPeerID
        public_key = b32decode(text.upper() + "====")
        if not crypto_core_ed25519_is_valid_point(public_key):
            raise InvalidPeerID("No key has this peer ID; check it for a wrong character.")
        peer_id = super().__new__(cls, text)
        peer_id._public_key = public_key
        return peer_id

    @classmethod
    def from_public_key(cls, public_key: bytes) -> PeerID:
        """Return the peer ID of an Ed25519 public key, 32 bytes; raise `InvalidPeerID` else."""
        return cls(b32encode(public_key).decode().rstrip("=").lower())

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        return self._public_key
