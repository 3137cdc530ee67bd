"""Signed records (promise 17): altered, another key's and oversize ones are refused.

Replay, rollback and expiry are judged by who holds records: see the tracker's registry.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import InvalidSignature, MalformedMessage
from twisted_p2p.identity import record as records
from twisted_p2p.identity.keys import IdentityKey, SignatureLabel
from twisted_p2p.identity.record import (
    MAXIMUM_LIFETIME,
    MAXIMUM_RECORD,
    MOST_TOPICS,
    AddressPolicy,
    PeerRecord,
    decode_record,
)
from twisted_p2p.stun.attributes import decode_attributes, encode_attribute

ALICE = IdentityKey.from_seed(b"a" * 32)
BOB = IdentityKey.from_seed(b"b" * 32)
RECORD = PeerRecord(
    peer_id=ALICE.peer_id,
    sequence=7,
    lifetime=600,
    accepting=True,
    services=("web", "écho"),
    addresses=(HostPort("11.0.0.1", 4000), HostPort("2a00::1", 4001)),
    address_policy=AddressPolicy.LISTED,
    listed_keys=(BOB.peer_id.public_key,),
    nat_facts=b"\x01\x02",
    topics=("chat", "jeux é"),
)
DATA = RECORD.sign(ALICE)
SIGNATURE_FIELD = 68

HOSTS = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(2**96, 2**128 - 1).map(lambda number: str(IPv6Address(number))),
)
ADDRESSES = st.builds(HostPort, HOSTS, st.integers(0, 65535))
RECORDS = st.builds(
    PeerRecord,
    peer_id=st.just(ALICE.peer_id),
    sequence=st.integers(0, 2**64 - 1),
    lifetime=st.integers(1, MAXIMUM_LIFETIME),
    accepting=st.booleans(),
    services=st.lists(st.text(max_size=10), max_size=5).map(tuple),
    addresses=st.lists(ADDRESSES, max_size=4).map(tuple),
    address_policy=st.sampled_from(AddressPolicy),
    listed_keys=st.lists(st.binary(min_size=32, max_size=32), max_size=10).map(tuple),
    nat_facts=st.binary(max_size=16),
    topics=st.lists(
        st.text("aé\N{OWL}", min_size=1, max_size=8), max_size=MOST_TOPICS, unique=True
    ).map(tuple),
)


def signed(attributes: bytes, label: SignatureLabel = SignatureLabel.RECORD) -> bytes:
    """Return a record of these very attributes, signed by Alice."""
    return attributes + encode_attribute(0x7427, ALICE.sign(label, attributes))


UNSIGNED = DATA[:-SIGNATURE_FIELD]


def without(code: int) -> bytes:
    """Return the attributes of the record but one kind."""
    pairs = decode_attributes(UNSIGNED)
    return b"".join(encode_attribute(*pair) for pair in pairs if pair[0] != code)


class RecordRoundTripTests(SynchronousTestCase):
    @given(record=RECORDS)
    def test_what_was_signed_is_what_is_read(self, record: PeerRecord) -> None:
        data = record.sign(ALICE)
        self.assertLessEqual(len(data), MAXIMUM_RECORD)
        self.assertEqual(decode_record(data), record)

    def test_same_record_is_signed_to_the_same_bytes(self) -> None:
        self.assertEqual(RECORD.sign(ALICE), DATA)

    def test_least_record_is_short_and_tells_no_address(self) -> None:
        record = PeerRecord(ALICE.peer_id, sequence=0, lifetime=1)
        self.assertEqual(len(record.sign(ALICE)), 132)
        self.assertEqual(decode_record(record.sign(ALICE)), record)
        self.assertIs(record.address_policy, AddressPolicy.AFTER_ANSWER)

    def test_wire_format_stays(self) -> None:
        """The bytes are a contract with every version that comes after."""
        key = ALICE.peer_id.public_key.hex()
        expected = (
            f"74200020{key}"
            "742100080000000000000007"
            "000d000400000258"
            "7425000101000000"
            "7422000377656200"
            "74220005c3a963686f000000"
            "7424000800012eb22a12a443"
            "742400140002 2eb3 0b12a442000000000000000000000001"
            "74230000"
            f"74260020{BOB.peer_id.public_key.hex()}"
            "f420000201020000"
            "f421000463686174"
            "f42100076a65757820c3a900"
        )
        self.assertEqual(UNSIGNED.hex(), expected.replace(" ", ""))

    def test_addresses_are_not_in_plain_sight_of_a_nat(self) -> None:
        """A NAT that rewrites addresses in payloads would break the signature."""
        self.assertNotIn(IPv4Address("11.0.0.1").packed, DATA)

    def test_unknown_attribute_that_may_be_ignored_is(self) -> None:
        data = signed(UNSIGNED + encode_attribute(0xF42F, b"news"))
        self.assertEqual(decode_record(data), RECORD)


class OwnRecordTests(SynchronousTestCase):
    """What a node says of itself always fits into a record."""

    def own_record(self, **description: Any) -> PeerRecord:
        description = {"allowed": None, **description}
        data = records.sign_own_record(ALICE, 2**64 - 1, HostPort("2a00::1", 65535), **description)
        return decode_record(data)

    def test_it_tells_what_is_given(self) -> None:
        record = self.own_record(accepting=False, services=["web"], topics=("chat",))
        self.assertEqual((record.services, record.topics), (("web",), ("chat",)))
        self.assertEqual((record.accepting, record.sequence), (False, 2**64 - 1))
        self.assertEqual(record.addresses, (HostPort("2a00::1", 65535),))
        self.assertIs(record.address_policy, AddressPolicy.ANYONE)
        self.assertTrue(self.own_record().accepting)

    def test_as_many_services_are_listed_as_there_is_room_for(self) -> None:
        names = [f"service{number:03}" for number in range(99)]
        record = self.own_record(services=names)
        self.assertEqual(record.services, tuple(names[:52]))
        self.assertEqual(record.size, MAXIMUM_RECORD - 8)

    def test_a_peer_that_lets_in_more_than_it_can_list_tells_by_its_answers(self) -> None:
        peers = [IdentityKey.from_seed(bytes([number] * 32)).peer_id for number in range(17)]
        for count, policy in (
            (0, AddressPolicy.AFTER_ANSWER),
            (1, AddressPolicy.LISTED),
            (16, AddressPolicy.LISTED),
            (17, AddressPolicy.AFTER_ANSWER),
        ):
            record = self.own_record(allowed=peers[:count])
            self.assertIs(record.address_policy, policy)
            self.assertEqual(len(record.listed_keys), count % 17)

    def test_everything_else_fits_in_any_case(self) -> None:
        peers = [IdentityKey.from_seed(bytes([number] * 32)).peer_id for number in range(16)]
        record = self.own_record(
            allowed=peers,
            services=["ä" * 127],
            topics=tuple(f"{number}{'ä' * 15}" for number in range(MOST_TOPICS)),
        )
        self.assertEqual(set(record.listed_keys), {peer.public_key for peer in peers})
        self.assertEqual((len(record.topics), record.services), (MOST_TOPICS, ()))


class TopicTests(SynchronousTestCase):
    def test_each_is_kept_once_and_in_order(self) -> None:
        self.assertEqual(records.check_topics(["b", "a", "b"]), ("b", "a"))

    def test_what_is_none_is_refused_in_a_sentence(self) -> None:
        for topics in (["t" * 33], ["ä" * 17], [""], map(str, range(9)), ["\ud800"]):
            self.assertRaises(ValueError, records.check_topics, topics)
        self.assertEqual(len(records.check_topics([*map(str, range(8)), "7"])), MOST_TOPICS)


class SigningTests(SynchronousTestCase):
    def test_nobody_signs_for_another(self) -> None:
        self.assertRaises(ValueError, RECORD.sign, BOB)

    def test_values_out_of_range_are_not_signed(self) -> None:
        for change in (
            {"sequence": 2**64},
            {"sequence": -1},
            {"lifetime": 0},
            {"lifetime": MAXIMUM_LIFETIME + 1},
            {"services": ("s" * 256,)},
            {"listed_keys": (bytes(31),)},
            {"nat_facts": bytes(17)},
            {"topics": ("",)},
            {"topics": ("t" * 33,)},
            {"topics": tuple("123456789")},
        ):
            self.assertRaises(ValueError, evolve(RECORD, **change).sign, ALICE)

    def test_record_may_be_as_long_as_the_limit_and_no_longer(self) -> None:
        least = PeerRecord(ALICE.peer_id, sequence=0, lifetime=1)
        room = MAXIMUM_RECORD - len(least.sign(ALICE))
        many, rest = divmod(room, 8)
        self.assertEqual(rest, 4)  # an empty name takes these
        longest = evolve(least, services=("name",) * many + ("",))
        self.assertEqual(len(longest.sign(ALICE)), MAXIMUM_RECORD)
        self.assertEqual(decode_record(longest.sign(ALICE)), longest)
        self.assertRaises(ValueError, evolve(longest, accepting=True).sign, ALICE)


class RefusedRecordTests(SynchronousTestCase):
    """Everything here is signed by Alice's key, as far as it is signed at all."""

    def assert_malformed(self, attributes: bytes) -> None:
        self.assertRaises(MalformedMessage, decode_record, signed(attributes))

    def test_oversize_is_refused_before_it_is_read(self) -> None:
        self.patch(records, "decode_attributes", None)
        padding = encode_attribute(0xF421, bytes(MAXIMUM_RECORD - len(DATA)))
        self.assertRaises(MalformedMessage, decode_record, signed(UNSIGNED + padding))

    def test_another_keys_signature_is_refused(self) -> None:
        forged = BOB.sign(SignatureLabel.RECORD, UNSIGNED)
        data = UNSIGNED + encode_attribute(0x7427, forged)
        self.assertRaises(InvalidSignature, decode_record, data)

    def test_signature_for_another_use_is_refused(self) -> None:
        for label in set(SignatureLabel) - {SignatureLabel.RECORD}:
            self.assertRaises(InvalidSignature, decode_record, signed(UNSIGNED, label))

    def test_signature_must_be_there_whole_and_last(self) -> None:
        self.assertRaises(MalformedMessage, decode_record, b"")
        self.assertRaises(MalformedMessage, decode_record, UNSIGNED)
        self.assertRaises(MalformedMessage, decode_record, DATA + encode_attribute(0xF421, b""))
        short = UNSIGNED + encode_attribute(0x7427, bytes(60))
        self.assertRaises(MalformedMessage, decode_record, short)
        self.assert_malformed(DATA)

    def test_every_required_attribute_must_be_there(self) -> None:
        for code in (0x7420, 0x7421, 0x000D, 0x7425):
            self.assert_malformed(without(code))

    def test_single_values_may_not_be_repeated(self) -> None:
        for code, value in decode_attributes(UNSIGNED):
            data = UNSIGNED + encode_attribute(code, value)
            if code in (0x7422, 0x7424, 0xF421):
                self.assertEqual(decode_record(signed(data)).sequence, RECORD.sequence)
            else:
                self.assert_malformed(data)

    def test_more_topics_than_a_peer_has_are_refused(self) -> None:
        topics = b"".join(encode_attribute(0xF421, bytes((number,))) for number in range(97, 104))
        self.assert_malformed(UNSIGNED + topics)
        first_six = topics[: 6 * 8]
        self.assertEqual(len(decode_record(signed(UNSIGNED + first_six)).topics), MOST_TOPICS)

    def test_unknown_attribute_that_must_be_known_is_refused(self) -> None:
        self.assert_malformed(UNSIGNED + encode_attribute(0x7428, b"news"))

    def test_values_that_mean_nothing_are_refused(self) -> None:
        for code, value in (
            (0x000D, bytes(4)),
            (0x000D, (MAXIMUM_LIFETIME + 1).to_bytes(4, "big")),
            (0x7420, bytes(32)),
            (0x7421, bytes(7)),
            (0x7422, b"\xff"),
            (0x7423, b"\1"),
            (0x7424, bytes(8)),
            (0x7425, b"\3"),
            (0x7426, bytes(33)),
            (0xF420, bytes(17)),
            (0xF421, b""),
            (0xF421, bytes(33)),
            (0xF421, b"\xff"),
        ):
            self.assert_malformed(without(code) + encode_attribute(code, value))

    @given(data=st.data())
    def test_altered_record_is_refused(self, data: st.DataObject) -> None:
        altered = bytearray(DATA)
        altered[data.draw(st.integers(0, len(DATA) - 1))] ^= data.draw(st.integers(1, 255))
        self.assertRaises((MalformedMessage, InvalidSignature), decode_record, bytes(altered))

    @given(length=st.integers(0, len(DATA) - 1))
    def test_shortened_record_is_refused(self, length: int) -> None:
        self.assertRaises(MalformedMessage, decode_record, DATA[:length])

    @given(data=st.binary(max_size=1100))
    def test_any_bytes_give_the_declared_error(self, data: bytes) -> None:
        self.assertRaises(MalformedMessage, decode_record, data)

    @given(
        pairs=st.lists(
            st.tuples(
                st.sampled_from([0x000D, 0xF420, 0xF421, *range(0x7420, 0x7429)]),
                st.binary(max_size=40),
            ),
            max_size=6,
        ),
        keep=st.booleans(),
    )
    def test_any_signed_attributes_give_a_record_or_the_declared_error(
        self, pairs: list[tuple[int, bytes]], keep: bool
    ) -> None:
        attributes = (UNSIGNED if keep else b"") + b"".join(encode_attribute(*p) for p in pairs)
        try:
            record = decode_record(signed(attributes))
        except MalformedMessage:
            return
        self.assertEqual(decode_record(record.sign(ALICE)), record)
