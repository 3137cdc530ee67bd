from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.connection.link import INITIATOR, RESPONDER, STRANGER
from twisted_p2p.connection.authentication import PROOF_SIZE, check_proof, make_proof
from twisted_p2p.errors import WrongIdentity
from twisted_p2p.identity.keys import IdentityKey

CERTIFICATE = b"a certificate"
PROOF = make_proof(INITIATOR, RESPONDER.peer_id, CERTIFICATE)


class ProofTests(SynchronousTestCase):
    def refused(
        self,
        proof: bytes,
        responder: IdentityKey = RESPONDER,
        certificate: bytes = CERTIFICATE,
        expected: IdentityKey = INITIATOR,
    ) -> None:
        with self.assertRaises(WrongIdentity):
            check_proof(proof, responder.peer_id, certificate, expected.peer_id)

    def test_the_proof_of_the_expected_initiator_passes(self) -> None:
        check_proof(PROOF, RESPONDER.peer_id, CERTIFICATE, INITIATOR.peer_id)
        self.assertEqual(len(PROOF), PROOF_SIZE)

    def test_a_proof_for_another_certificate_is_refused(self) -> None:
        self.refused(make_proof(INITIATOR, RESPONDER.peer_id, b"another certificate"))

    def test_a_proof_for_another_responder_is_refused(self) -> None:
        self.refused(make_proof(INITIATOR, STRANGER.peer_id, CERTIFICATE))

    def test_the_proof_of_another_initiator_is_refused(self) -> None:
        self.refused(make_proof(STRANGER, RESPONDER.peer_id, CERTIFICATE))

    def test_a_proof_by_the_responders_own_key_is_refused(self) -> None:
        self.refused(make_proof(RESPONDER, RESPONDER.peer_id, CERTIFICATE))

    def test_a_signature_under_another_name_is_refused(self) -> None:
        stranger = make_proof(STRANGER, RESPONDER.peer_id, CERTIFICATE)
        self.refused(INITIATOR.peer_id.public_key + stranger[32:])

    @given(st.one_of(st.binary(max_size=120), st.binary(min_size=96, max_size=96)))
    def test_any_other_bytes_are_refused(self, proof: bytes) -> None:
        self.refused(proof)

    @given(st.integers(0, PROOF_SIZE - 1), st.integers(1, 255))
    def test_a_changed_byte_is_refused(self, position: int, change: int) -> None:
        changed = bytearray(PROOF)
        changed[position] ^= change
        self.refused(bytes(changed))
