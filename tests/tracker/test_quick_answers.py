from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.stun.strategies import ADDRESSES, TRANSACTION_IDS
from twisted_p2p.addresses import HostPort
from twisted_p2p.stun.attributes import XOR_MAPPED_ADDRESS, ErrorCode
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage
from twisted_p2p.tracker.messages import REQUESTS, Challenge
from twisted_p2p.tracker.quick_answers import encode_binding_success, encode_challenge


class QuickAnswerTests(SynchronousTestCase):
    @given(
        st.sampled_from(sorted(REQUESTS)),
        TRANSACTION_IDS,
        st.binary(min_size=16, max_size=16),
        ADDRESSES,
    )
    def test_a_challenge_is_what_the_regular_way_makes(
        self, method: int, transaction_id: bytes, cookie: bytes, source: HostPort
    ) -> None:
        regular = Challenge(method, ErrorCode(401), cookie, source).encode(transaction_id)
        self.assertEqual(encode_challenge(method, transaction_id, cookie, source), regular)

    @given(TRANSACTION_IDS, ADDRESSES, st.booleans())
    def test_a_binding_answer_is_what_the_regular_way_makes(
        self, transaction_id: bytes, source: HostPort, fingerprint: bool
    ) -> None:
        request = STUNMessage.build(BINDING, MessageClass.REQUEST, transaction_id)
        regular = request.success_response((XOR_MAPPED_ADDRESS, source))
        self.assertEqual(
            encode_binding_success(transaction_id, source, fingerprint),
            regular.encode(fingerprint=fingerprint),
        )
