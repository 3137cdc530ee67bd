from __future__ import annotations

from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.connection.link import RESPONDER, STRANGER
from twisted_p2p.connection.certificate import (
    IDENTITY_EXTENSION,
    Certificate,
    check_certificate,
    make_certificate,
)
from twisted_p2p.errors import WrongIdentity

CERTIFICATE = make_certificate(RESPONDER, random_bytes=Random(1).randbytes)


def rebuilt(*extensions: x509.UnrecognizedExtension, key: object = None) -> bytes:
    """Return a certificate like ours with other extensions or another kind of key."""
    template = x509.load_der_x509_certificate(CERTIFICATE.der)
    private_key = key or Ed25519PrivateKey.generate()
    builder = x509.CertificateBuilder(
        subject_name=template.subject,
        issuer_name=template.subject,
        public_key=private_key.public_key(),  # type: ignore[attr-defined]
        serial_number=1,
        not_valid_before=template.not_valid_before_utc,
        not_valid_after=template.not_valid_after_utc,
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(private_key, Ed25519PrivateKey) else SHA256()
    signed = builder.sign(private_key, algorithm)  # type: ignore[arg-type]
    return signed.public_bytes(Encoding.DER)


def identity_extension(certificate: Certificate = CERTIFICATE) -> x509.UnrecognizedExtension:
    extensions = x509.load_der_x509_certificate(certificate.der).extensions
    value = extensions.get_extension_for_oid(IDENTITY_EXTENSION).value
    assert isinstance(value, x509.UnrecognizedExtension)
    return value


class CertificateTests(SynchronousTestCase):
    def test_the_certificate_of_the_expected_identity_passes(self) -> None:
        self.assertIsNone(check_certificate(CERTIFICATE.der, RESPONDER.peer_id))

    def test_another_identity_is_refused(self) -> None:
        with self.assertRaises(WrongIdentity):
            check_certificate(CERTIFICATE.der, STRANGER.peer_id)

    def test_each_has_a_key_and_a_serial_number_of_its_own_and_all_the_same_length(self) -> None:
        others = [make_certificate(RESPONDER, random_bytes=Random(n).randbytes) for n in range(50)]
        self.assertEqual({len(other.der) for other in others}, {len(CERTIFICATE.der)})
        self.assertEqual(len({other.private_key_pem for other in others}), 50)
        serials = {x509.load_der_x509_certificate(other.der).serial_number for other in others}
        self.assertEqual(len(serials), 50)
        self.assertEqual({serial.bit_length() for serial in serials}, {159})

    def test_the_private_key_belongs_to_the_certificate_and_is_not_the_identity(self) -> None:
        key = load_pem_private_key(CERTIFICATE.private_key_pem, None)
        public = x509.load_der_x509_certificate(CERTIFICATE.der).public_key()
        self.assertEqual(key.public_key(), public)
        assert isinstance(key, Ed25519PrivateKey)
        self.assertNotEqual(key.public_key().public_bytes_raw(), RESPONDER.peer_id.public_key)

    def test_the_private_key_is_in_no_repr(self) -> None:
        key_lines = CERTIFICATE.private_key_pem.split(b"\n")[1:-2]
        self.assertFalse([line for line in key_lines if line.decode() in repr(CERTIFICATE)])

    def test_an_identity_copied_to_another_tls_key_is_refused(self) -> None:
        with self.assertRaises(WrongIdentity):
            check_certificate(rebuilt(identity_extension()), RESPONDER.peer_id)

    def test_a_certificate_without_identity_is_refused(self) -> None:
        with self.assertRaises(WrongIdentity):
            check_certificate(rebuilt(), RESPONDER.peer_id)

    def test_a_tls_key_of_another_kind_is_refused(self) -> None:
        with self.assertRaises(WrongIdentity):
            check_certificate(
                rebuilt(identity_extension(), key=generate_ec_key(SECP256R1())), RESPONDER.peer_id
            )

    def test_a_signature_by_another_identity_is_refused(self) -> None:
        forged = make_certificate(STRANGER, random_bytes=Random(1).randbytes)
        forged_value = identity_extension(forged).value
        value = RESPONDER.peer_id.public_key + forged_value[32:]
        key = load_pem_private_key(forged.private_key_pem, None)
        with self.assertRaises(WrongIdentity):
            check_certificate(
                rebuilt(x509.UnrecognizedExtension(IDENTITY_EXTENSION, value), key=key),
                RESPONDER.peer_id,
            )

    def test_extensions_of_other_lengths_are_refused(self) -> None:
        value = identity_extension().value
        for other in (b"", value[:-1], value + b"\0", value[:32]):
            with self.assertRaises(WrongIdentity):
                check_certificate(
                    rebuilt(x509.UnrecognizedExtension(IDENTITY_EXTENSION, other)),
                    RESPONDER.peer_id,
                )

    @given(st.binary(max_size=500))
    def test_any_bytes_are_refused(self, data: bytes) -> None:
        with self.assertRaises(WrongIdentity):
            check_certificate(data, RESPONDER.peer_id)

    @given(st.integers(0, len(CERTIFICATE.der) - 1), st.integers(1, 255))
    def test_a_changed_byte_is_refused_or_means_nothing(self, position: int, change: int) -> None:
        changed = bytearray(CERTIFICATE.der)
        changed[position] ^= change
        try:
            check_certificate(bytes(changed), RESPONDER.peer_id)
        except WrongIdentity:
            return
        # What counts is there unchanged; TLS itself proves who has the key.
        certificate = x509.load_der_x509_certificate(bytes(changed))
        self.assertEqual(
            certificate.public_key(), x509.load_der_x509_certificate(CERTIFICATE.der).public_key()
        )
