"""The responder's certificate: a TLS key for one connection, vouched for by its identity key.

The TLS key is fresh for every connection, so the identity key never signs what a TLS peer chose,
and a leaked identity key alone does not read or join a connection that exists.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from twisted_p2p.errors import WrongIdentity
from twisted_p2p.identity.keys import IdentityKey, SignatureLabel, verify
from twisted_p2p.identity.peer_id import PeerID

IDENTITY_EXTENSION = x509.ObjectIdentifier("2.25.14844927323251391452927851275204195278")
"""Marks the extension with the identity key (32 bytes) and its signature (64 bytes).

The arc 2.25 holds UUIDs, for which nobody need be asked (ITU-T X.667).
"""

_KEY_SIZE = 32
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2p")])
# Clocks may be wrong by years, and the certificate lives as long as its connection: no dates.
_NOT_BEFORE = datetime(2000, 1, 1)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59)


@frozen
class Certificate:
    """A certificate for one connection and the private key that belongs to it."""

    der: bytes
    pem: bytes = field(repr=False)
    private_key_pem: bytes = field(repr=False)
    """The TLS key as PKCS #8 in PEM; never the identity key."""


def make_certificate(identity: IdentityKey, *, random_bytes: Callable[[int], bytes]) -> Certificate:
    """Return a self-signed certificate with a fresh Ed25519 key; all have the same length."""
    key = Ed25519PrivateKey.from_private_bytes(random_bytes(_KEY_SIZE))
    public_key = key.public_key()
    signature = identity.sign(SignatureLabel.CERTIFICATE, public_key.public_bytes_raw())
    extension = x509.UnrecognizedExtension(
        IDENTITY_EXTENSION, identity.peer_id.public_key + signature
    )
    certificate = (
        x509.CertificateBuilder(subject_name=_NAME, issuer_name=_NAME, public_key=public_key)
        .serial_number(_serial_number(random_bytes))
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(extension, critical=False)
        .sign(key, None)
    )
    return Certificate(
        certificate.public_bytes(Encoding.DER),
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def check_certificate(der: bytes, expected: PeerID) -> None:
    """Return if the certificate's TLS key is vouched for by the expected identity.

    That its holder has the TLS key is what the TLS handshake has shown by then.

    :raises WrongIdentity: for any other bytes whatsoever.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        extension = certificate.extensions.get_extension_for_oid(IDENTITY_EXTENSION).value
        public_key = certificate.public_key()
    except (
        ValueError,
        TypeError,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
        UnsupportedAlgorithm,
    ):
        raise WrongIdentity from None
    if not isinstance(extension, x509.UnrecognizedExtension) or not isinstance(
        public_key, Ed25519PublicKey
    ):
        raise WrongIdentity
    identity_key, signature = extension.value[:_KEY_SIZE], extension.value[_KEY_SIZE:]
    if identity_key != expected.public_key or not verify(
        expected, SignatureLabel.CERTIFICATE, signature, public_key.public_bytes_raw()
    ):
        raise WrongIdentity


def _serial_number(random_bytes: Callable[[int], bytes]) -> int:
    """Return a positive number that takes 20 bytes (RFC 5280, section 4.1.2.2), never fewer."""
    return int.from_bytes(bytes([0x40]) + random_bytes(19), "big")
