"""How the initiator of a connection proves who it is, bound to that one connection."""

from __future__ import annotations

from hashlib import sha256

from twisted_p2p.errors import WrongIdentity
from twisted_p2p.identity.keys import SIGNATURE_SIZE, IdentityKey, SignatureLabel, verify
from twisted_p2p.identity.peer_id import PeerID

ALPN = "p2p/1"
"""The protocol that both sides must name in TLS; it stands for everything on the connection."""

PROOF_SIZE = 32 + SIGNATURE_SIZE
"""Bytes of a proof: the initiator's identity key and its signature."""


def make_proof(identity: IdentityKey, responder: PeerID, certificate: bytes) -> bytes:
    """Return the initiator's proof towards a responder whose certificate (DER) it has checked."""
    parts = _signed_parts(identity.peer_id, responder, certificate)
    return identity.peer_id.public_key + identity.sign(SignatureLabel.INITIATOR_PROOF, *parts)


def check_proof(proof: bytes, responder: PeerID, certificate: bytes, expected: PeerID) -> None:
    """Return if the expected initiator made this proof for this responder and certificate.

    The certificate is of one connection only, so a proof seen on any other one is worth nothing.

    :raises WrongIdentity: otherwise.
    """
    if len(proof) != PROOF_SIZE or proof[:32] != expected.public_key:
        raise WrongIdentity
    parts = _signed_parts(expected, responder, certificate)
    if not verify(expected, SignatureLabel.INITIATOR_PROOF, proof[32:], *parts):
        raise WrongIdentity


def _signed_parts(initiator: PeerID, responder: PeerID, certificate: bytes) -> tuple[bytes, ...]:
    return (
        ALPN.encode(),
        initiator.public_key,
        responder.public_key,
        sha256(certificate).digest(),
    )
