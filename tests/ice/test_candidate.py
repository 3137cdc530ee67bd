"""Candidates: RFC 8445's priorities, and bytes there and back."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.ice.candidate import (
    Candidate,
    CandidateType,
    candidate_foundation,
    candidate_priority,
    decode_candidate,
    encode_candidate,
)

ICE_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str),
)
candidates = st.builds(
    Candidate,
    address=st.builds(HostPort, hosts, st.integers(0, 65535)),
    candidate_type=st.sampled_from(CandidateType),
    priority=st.integers(0, 2**32 - 1),
    foundation=st.text(ICE_CHARACTERS, min_size=1, max_size=32),
    related_address=st.just(HostPort("192.168.1.2", 4000)),
)


class PriorityTests(SynchronousTestCase):
    def test_is_the_sum_of_the_rfc(self) -> None:
        self.assertEqual(candidate_priority(CandidateType.HOST), 126 * 2**24 + 65535 * 2**8 + 255)
        self.assertEqual(candidate_priority(CandidateType.RELAYED, 0), 255)

    def test_types_stand_in_the_order_of_the_rfc(self) -> None:
        ranked = sorted(CandidateType, key=candidate_priority, reverse=True)
        self.assertEqual(
            ranked,
            [
                CandidateType.HOST,
                CandidateType.PEER_REFLEXIVE,
                CandidateType.SERVER_REFLEXIVE,
                CandidateType.RELAYED,
            ],
        )

    def test_the_local_preference_never_outweighs_the_type(self) -> None:
        self.assertLess(
            candidate_priority(CandidateType.SERVER_REFLEXIVE, 65535),
            candidate_priority(CandidateType.HOST, 0),
        )


class FoundationTests(SynchronousTestCase):
    def test_is_equal_for_equal_type_base_and_server(self) -> None:
        first = candidate_foundation(CandidateType.SERVER_REFLEXIVE, "192.168.1.2", "11.0.0.1")
        second = candidate_foundation(CandidateType.SERVER_REFLEXIVE, "192.168.1.2", "11.0.0.1")
        self.assertEqual(first, second)

    def test_differs_when_one_of_them_differs(self) -> None:
        foundations = {
            candidate_foundation(CandidateType.SERVER_REFLEXIVE, "192.168.1.2", "11.0.0.1"),
            candidate_foundation(CandidateType.SERVER_REFLEXIVE, "192.168.1.2", "11.0.0.2"),
            candidate_foundation(CandidateType.SERVER_REFLEXIVE, "192.168.1.3", "11.0.0.1"),
            candidate_foundation(CandidateType.RELAYED, "192.168.1.2", "11.0.0.1"),
        }
        self.assertEqual(len(foundations), 4)


class CandidateTests(SynchronousTestCase):
    def test_a_host_candidate_is_its_own_kind(self) -> None:
        candidate = Candidate.host(HostPort("192.168.1.2", 4000), base="socket")
        self.assertEqual(candidate.candidate_type, CandidateType.HOST)
        self.assertEqual(candidate.base, "socket")
        self.assertEqual(candidate.priority, candidate_priority(CandidateType.HOST))

    def test_a_server_reflexive_candidate_remembers_what_lies_behind(self) -> None:
        behind = HostPort("192.168.1.2", 4000)
        candidate = Candidate.server_reflexive(
            HostPort("11.0.0.9", 4001),
            base="socket",
            related_address=behind,
            server_host="11.0.0.1",
            local_preference=7,
        )
        self.assertEqual(candidate.related_address, behind)
        self.assertEqual(candidate.priority, candidate_priority(CandidateType.SERVER_REFLEXIVE, 7))


class EncodingTests(SynchronousTestCase):
    @given(candidates)
    def test_comes_back_as_it_was(self, candidate: Candidate) -> None:
        self.assertEqual(decode_candidate(encode_candidate(candidate)), candidate)

    @given(candidates)
    def test_socket_and_related_address_stay_at_home(self, candidate: Candidate) -> None:
        decoded = decode_candidate(encode_candidate(evolve(candidate, base="socket")))
        self.assertIsNone(decoded.base)
        self.assertIsNone(decoded.related_address)

    @given(st.binary(max_size=64))
    def test_any_bytes_are_a_candidate_or_malformed(self, data: bytes) -> None:
        try:
            candidate = decode_candidate(data)
        except MalformedMessage:
            return
        self.assertEqual(decode_candidate(encode_candidate(candidate)), candidate)

    @given(candidates, st.data())
    def test_a_candidate_cut_before_its_foundation_is_malformed(
        self, candidate: Candidate, data: st.DataObject
    ) -> None:
        encoded = encode_candidate(candidate)
        end = len(encoded) - len(candidate.foundation)
        length = data.draw(st.integers(0, end))
        self.assertRaises(MalformedMessage, decode_candidate, encoded[:length])

    def test_unknown_types_families_and_foundations_are_malformed(self) -> None:
        good = encode_candidate(Candidate.host(HostPort("11.0.0.9", 1), base=None))
        decode_candidate(good)
        for bad in (
            b"\x09" + good[1:],
            good[:1] + b"\x03" + good[2:],
            good + b"!",
            good + b"a" * 32,
        ):
            self.assertRaises(MalformedMessage, decode_candidate, bad)

    def test_an_ipv4_address_in_ipv6_clothes_is_read_as_ipv4(self) -> None:
        mapped = Candidate.host(HostPort("::ffff:11.0.0.9", 4000), base=None)
        decoded = decode_candidate(encode_candidate(mapped))
        self.assertEqual(decoded.address, HostPort("11.0.0.9", 4000))

    def test_takes_some_twenty_bytes(self) -> None:
        candidate = Candidate.host(HostPort("11.0.0.9", 4000), base=None)
        self.assertLessEqual(len(encode_candidate(candidate)), 20)
