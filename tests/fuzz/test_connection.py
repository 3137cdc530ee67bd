"""The decoders below a connection: certificates, proofs, streams' first bytes, QUIC headers."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from twisted_p2p.connection.authentication import check_proof
from twisted_p2p.connection.certificate import check_certificate
from twisted_p2p.connection.quic_router import destination_connection_id, initial_destination
from twisted_p2p.connection.wire import ControlReader, decode_opening, decode_reply
from twisted_p2p.errors import MalformedMessage, WrongIdentity
from twisted_p2p.identity.keys import IdentityKey

ALICE = IdentityKey.from_seed(b"a" * 32)
BOB = IdentityKey.from_seed(b"b" * 32)


class ConnectionFuzzTests(SynchronousTestCase):
    def test_corpora_are_read(self) -> None:
        for data in load_corpus("certificates").values():
            check_certificate(data, ALICE.peer_id)
        for name, data in load_corpus("stream_openings").items():
            self.assertEqual(decode_opening(data), (name, len(data)))
        for name, data in load_corpus("stream_replies").items():
            reply = decode_reply(data)
            assert reply is not None
            self.assertEqual((reply[0].name.lower(), reply[2]), (name, len(data)))
        for name, data in load_corpus("control_streams").items():
            self.assertGreater(len(list(ControlReader().messages(data))), 0, name)
        for name, data in load_corpus("quic_packets").items():
            self.assertEqual(initial_destination(data) is not None, "initial" in name, name)

    @given(der=mutants("certificates"))
    def test_certificate(self, der: bytes) -> None:
        # A mutant may still vouch for its key: what the identity did not sign is not looked at.
        with contextlib.suppress(WrongIdentity):
            check_certificate(der, ALICE.peer_id)
        self.assertRaises(WrongIdentity, check_certificate, der, BOB.peer_id)

    def test_certificate_of_an_unknown_version(self) -> None:
        """Found by fuzzing: the library has an error of its own for this."""
        good = load_corpus("certificates")["alice"]
        bad = good.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x40")
        self.assertNotEqual(bad, good)
        self.assertRaises(WrongIdentity, check_certificate, bad, ALICE.peer_id)

    @given(proof=mutants("certificates", maximum=200) | st.binary(min_size=96, max_size=96))
    def test_proof(self, proof: bytes) -> None:
        for data in (proof, ALICE.peer_id.public_key + proof[32:96].ljust(64, b"\0")):
            self.assertRaises(WrongIdentity, check_proof, data, BOB.peer_id, b"", ALICE.peer_id)

    @given(data=mutants("stream_openings") | mutants("stream_replies"))
    def test_first_bytes_of_a_stream(self, data: bytes) -> None:
        with contextlib.suppress(MalformedMessage):
            if (opening := decode_opening(data)) is not None:
                self.assertLessEqual(opening[1], len(data))
        with contextlib.suppress(MalformedMessage):
            if (reply := decode_reply(data)) is not None:
                self.assertLessEqual(reply[2], len(data))

    @given(data=mutants("control_streams"), size=st.integers(1, 80))
    def test_control_stream(self, data: bytes, size: int) -> None:
        reader = ControlReader()
        with contextlib.suppress(MalformedMessage):
            for start in range(0, len(data), size):
                list(reader.messages(data[start : start + size]))

    @given(data=mutants("quic_packets"))
    def test_quic_header(self, data: bytes) -> None:
        for destination in (destination_connection_id(data), initial_destination(data)):
            self.assertLessEqual(len(destination or b""), 20)
