from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.stun.strategies import ADDRESSES, TRANSACTION_IDS, UINT32, UINT64
from tests.tracker.world import SERVER, identity
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import ErrorCode
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage
from twisted_p2p.tracker import attributes
from twisted_p2p.tracker.listed_peer import ListedPeer
from twisted_p2p.tracker.messages import (
    REQUESTS,
    Answer,
    AnswerHandedOver,
    AnswerTaken,
    Challenge,
    CookieRequest,
    Failure,
    Introduce,
    Introduced,
    Listed,
    ListPeers,
    LookUp,
    OfferHandedOver,
    Presence,
    Refresh,
    Refreshed,
    Register,
    Registered,
    Unregister,
    Unregistered,
    read_indication,
    read_response,
)
from twisted_p2p.tracker.wire import TrackerMessage, read_message

KEYS = st.binary(min_size=32, max_size=32)
COOKIES = st.binary(min_size=8, max_size=24)
TOKENS = st.binary(min_size=8, max_size=32)
SIGNATURES = st.binary(min_size=64, max_size=64)
RECORDS = st.binary(min_size=1, max_size=1000)
BOXES = st.binary(min_size=1, max_size=900)
FACTS = st.binary(max_size=16)
METHODS = st.sampled_from(sorted(REQUESTS))
OBSERVED = st.lists(ADDRESSES, max_size=4).map(tuple)
ERRORS = st.builds(
    ErrorCode,
    st.integers(300, 699).filter(lambda code: code != attributes.COOKIE_NEEDED),
    st.text("abc ", max_size=40),
)

MESSAGES: list[st.SearchStrategy[TrackerMessage]] = [
    st.builds(Register, COOKIES, ADDRESSES, ADDRESSES, RECORDS, SIGNATURES),
    st.builds(Refresh, KEYS, TOKENS, UINT32),
    st.builds(Unregister, KEYS, COOKIES, ADDRESSES, ADDRESSES, SIGNATURES, UINT32),
    st.builds(LookUp, COOKIES, KEYS),
    st.builds(Introduce, KEYS, TOKENS, KEYS, BOXES),
    st.builds(Answer, KEYS, TOKENS, KEYS, BOXES, st.booleans()),
    st.builds(ListPeers, KEYS, TOKENS, st.text("abc-", max_size=32)),
]
RESPONSES: list[st.SearchStrategy[TrackerMessage]] = [
    st.builds(Registered, TOKENS, COOKIES, UINT32, ADDRESSES),
    st.builds(Refreshed, TOKENS, COOKIES, UINT32, ADDRESSES),
    st.just(Unregistered()),
    st.builds(
        Presence,
        KEYS,
        st.booleans(),
        st.lists(st.text("abc-", min_size=1, max_size=20), max_size=10).map(tuple),
    ),
    st.builds(Introduced, OBSERVED, FACTS),
    st.just(AnswerTaken()),
    st.builds(
        Listed,
        UINT32,
        st.lists(
            st.builds(
                ListedPeer,
                KEYS,
                st.booleans(),
                st.lists(st.text("abc-", max_size=4), max_size=2).map(tuple),
                st.booleans(),
            ),
            max_size=24,
        ).map(tuple),
    ),
    st.builds(Challenge, METHODS, st.just(ErrorCode(401)), COOKIES, ADDRESSES),
    st.builds(
        Failure,
        METHODS,
        ERRORS,
        UINT32,
        UINT64,
        st.lists(st.integers(0, 0x7FFF), max_size=20).map(tuple),
    ),
]
INDICATIONS: list[st.SearchStrategy[TrackerMessage]] = [
    st.builds(OfferHandedOver, KEYS, BOXES, OBSERVED, FACTS),
    st.builds(AnswerHandedOver, KEYS, BOXES, OBSERVED, FACTS),
]


class RoundTripTests(SynchronousTestCase):
    @given(st.one_of(MESSAGES), TRANSACTION_IDS)
    def test_every_request_reads_as_what_was_written(
        self, request: Any, transaction_id: bytes
    ) -> None:
        message = read_message(request.encode(transaction_id))
        self.assertEqual(message.transaction_id, transaction_id)
        self.assertIs(message.message_class, MessageClass.REQUEST)
        self.assertEqual(REQUESTS[message.method].parse(message), request)

    @given(st.one_of(RESPONSES), TRANSACTION_IDS)
    def test_every_response_reads_as_what_was_written(
        self, response: Any, transaction_id: bytes
    ) -> None:
        self.assertEqual(read_response(read_message(response.encode(transaction_id))), response)

    @given(st.one_of(INDICATIONS), TRANSACTION_IDS)
    def test_every_indication_reads_as_what_was_written(
        self, indication: Any, transaction_id: bytes
    ) -> None:
        message = read_message(indication.encode(transaction_id))
        self.assertEqual(read_indication(message), indication)

    @given(st.one_of(*MESSAGES, *RESPONSES, *INDICATIONS), TRANSACTION_IDS)
    def test_the_first_byte_stays_below_4_and_the_whole_within_1200(
        self, message: Any, transaction_id: bytes
    ) -> None:
        data = message.encode(transaction_id)
        self.assertLess(data[0], 4)
        self.assertLessEqual(len(data), 1200)

    @given(st.one_of(MESSAGES), TRANSACTION_IDS)
    def test_every_request_is_long_enough_for_a_challenge(
        self, request: Any, transaction_id: bytes
    ) -> None:
        self.assertGreaterEqual(len(request.encode(transaction_id)), 128)

    @given(METHODS, TRANSACTION_IDS)
    def test_a_request_for_a_cookie_has_128_bytes_and_its_method(
        self, method: int, transaction_id: bytes
    ) -> None:
        data = CookieRequest(method).encode(transaction_id)
        self.assertEqual(len(data), 128)
        self.assertEqual(CookieRequest.parse(read_message(data)), CookieRequest(method))

    @given(TRANSACTION_IDS, st.binary(max_size=1400))
    def test_what_is_no_message_of_ours_raises_the_declared_error_alone(
        self, transaction_id: bytes, noise: bytes
    ) -> None:
        good = LookUp(bytes(16), bytes(32)).encode(transaction_id)
        for data in (noise, good + noise, good[:-4] + noise[:4]):
            try:
                message = read_message(data)
            except MalformedMessage:
                continue
            self.assertEqual(data, good)
            self.assertEqual(LookUp.parse(message), LookUp(bytes(16), bytes(32)))


class LimitTests(SynchronousTestCase):
    def test_a_value_out_of_its_bounds_is_not_written(self) -> None:
        for message in (
            Introduce(bytes(32), bytes(16), bytes(32), bytes(901)),
            Introduce(bytes(32), bytes(16), bytes(32), b""),
            ListPeers(bytes(32), bytes(16), "t" * 33),
            LookUp(bytes(16), bytes(31)),
            Failure(attributes.REGISTER, ErrorCode(200)),
            Failure(attributes.REGISTER, ErrorCode(400), retry_after_ms=2**32),
        ):
            with self.assertRaises(ValueError):
                message.encode(bytes(12))

    def test_a_message_beyond_1200_bytes_is_not_written(self) -> None:
        presence = Presence(bytes(32), services=("x" * 250,) * 5)
        with self.assertRaises(ValueError):
            presence.encode(bytes(12))

    def test_the_largest_registration_and_the_largest_offer_fit(self) -> None:
        six = HostPort("2001:db8:1234:5678:9abc:def0:1234:5678", 65535)
        register = Register(bytes(24), six, six, bytes(1000), bytes(64))
        offer = OfferHandedOver(bytes(32), bytes(900), (six,) * 4, bytes(16))
        self.assertLessEqual(len(register.encode(bytes(12))), 1200)
        self.assertLessEqual(len(offer.encode(bytes(12))), 1200)

    def test_a_message_too_long_is_not_read(self) -> None:
        with self.assertRaises(MalformedMessage):
            read_message(bytes(1201))

    def test_a_message_without_fingerprint_is_not_read(self) -> None:
        bare = STUNMessage.build(attributes.LOOK_UP, MessageClass.REQUEST, bytes(12)).encode()
        with self.assertRaises(MalformedMessage):
            read_message(bare)


class ReadingTests(SynchronousTestCase):
    def test_what_a_tracker_never_answers_is_no_response(self) -> None:
        for method, message_class in (
            (BINDING, MessageClass.SUCCESS),
            (BINDING, MessageClass.ERROR),
            (attributes.OFFER, MessageClass.ERROR),
            (attributes.LOOK_UP, MessageClass.REQUEST),
            (attributes.OFFER, MessageClass.INDICATION),
        ):
            with self.assertRaises(MalformedMessage):
                read_response(STUNMessage.build(method, message_class, bytes(12)))

    def test_what_hands_nothing_over_is_no_indication(self) -> None:
        for method, message_class in (
            (BINDING, MessageClass.INDICATION),
            (attributes.OFFER, MessageClass.REQUEST),
        ):
            with self.assertRaises(MalformedMessage):
                read_indication(STUNMessage.build(method, message_class, bytes(12)))

    def test_a_field_without_default_must_be_there(self) -> None:
        message = STUNMessage.build(attributes.LOOK_UP, MessageClass.REQUEST, bytes(12))
        with self.assertRaises(MalformedMessage):
            LookUp.parse(message)


class SignatureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.identity = identity(1)
        self.values: dict[str, Any] = {
            "cookie": bytes(16),
            "mapped_address": HostPort("11.1.1.1", 4000),
            "server_address": SERVER,
        }

    def test_both_signatures_verify_for_their_signer_alone(self) -> None:
        register = Register.sign(self.identity, record=b"record", **self.values)
        unregister = Unregister.sign(self.identity, **self.values)
        for request in (register, unregister):
            self.assertTrue(request.is_signed_by(self.identity.peer_id))
            self.assertFalse(request.is_signed_by(identity(2).peer_id))

    def test_each_signed_field_is_covered(self) -> None:
        changes = {
            "cookie": bytes(15) + b"\1",
            "mapped_address": HostPort("11.1.1.1", 4001),
            "server_address": HostPort("11.9.9.8", 3478),
            "record": b"another",
        }
        good: dict[str, Any] = {**self.values, "record": b"record"}
        signature = Register.sign(self.identity, **good).signature
        for name, value in changes.items():
            changed = Register(**{**good, name: value}, signature=signature)
            self.assertFalse(changed.is_signed_by(self.identity.peer_id), name)
        del changes["record"]
        signature = Unregister.sign(self.identity, **self.values).signature
        key = self.identity.peer_id.public_key
        for name, value in changes.items():
            other = Unregister(key, **{**self.values, name: value}, signature=signature)
            self.assertFalse(other.is_signed_by(self.identity.peer_id), name)

    def test_one_signature_is_never_good_for_the_other_request(self) -> None:
        register = Register.sign(self.identity, record=b"", **self.values)
        key = self.identity.peer_id.public_key
        unregister = Unregister(key, **self.values, signature=register.signature)
        self.assertFalse(unregister.is_signed_by(self.identity.peer_id))
