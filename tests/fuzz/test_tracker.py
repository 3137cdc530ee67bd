"""The decoders of what nodes and trackers say to each other."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from tests.fuzz.stun_repair import with_right_fingerprint
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.stun.message import STUNMessage
from twisted_p2p.tracker.messages import (
    REQUESTS,
    Register,
    Unregister,
    read_indication,
    read_response,
)
from twisted_p2p.tracker.wire import read_message

ALICE = IdentityKey.from_seed(b"a" * 32)

REPAIRS = st.sampled_from([with_right_fingerprint, bytes])


class TrackerFuzzTests(SynchronousTestCase):
    def read_request(self, message: STUNMessage) -> None:
        """Read a message as each request, whatever method it has."""
        for kind in REQUESTS.values():
            with contextlib.suppress(MalformedMessage):
                request = kind.parse(message)
                if isinstance(request, Register | Unregister):
                    self.assertIn(request.is_signed_by(ALICE.peer_id), (True, False))

    def test_corpora_are_read(self) -> None:
        for name, data in load_corpus("tracker_requests").items():
            message = read_message(data)
            if name in ("cookie_request", "binding"):
                continue
            self.assertEqual(
                REQUESTS[message.method].parse(message).encode(message.transaction_id), data, name
            )
        for corpus, read in (
            ("tracker_responses", read_response),
            ("tracker_indications", read_indication),
        ):
            for name, data in load_corpus(corpus).items():
                message = read_message(data)
                self.assertEqual(read(message).encode(message.transaction_id), data, name)

    @given(data=mutants("tracker_requests"), repair=REPAIRS)
    def test_request(self, data: bytes, repair: type[bytes]) -> None:
        with contextlib.suppress(MalformedMessage):
            self.read_request(read_message(repair(data)))

    @given(data=mutants("tracker_responses"), repair=REPAIRS)
    def test_response(self, data: bytes, repair: type[bytes]) -> None:
        with contextlib.suppress(MalformedMessage):
            read_response(read_message(repair(data)))

    @given(data=mutants("tracker_indications"), repair=REPAIRS)
    def test_indication(self, data: bytes, repair: type[bytes]) -> None:
        with contextlib.suppress(MalformedMessage):
            read_indication(read_message(repair(data)))
