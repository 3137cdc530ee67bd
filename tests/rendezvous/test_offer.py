"""Boxed offers and answers (promise 16): for one recipient, from one sender, once, and bounded."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage, MalformedOffer, UndecipherableBox
from twisted_p2p.ice.candidate import Candidate, CandidateType
from twisted_p2p.identity.keys import BOX_OVERHEAD, IdentityKey, SealingBox
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.rendezvous.offer import (
    Answer,
    Offer,
    OfferSequences,
    Refusal,
    ice_credentials,
    open_answer,
    open_offer,
)
from twisted_p2p.stun.attributes import decode_attributes, encode_attribute

ALICE = IdentityKey.from_seed(b"a" * 32)
BOB = IdentityKey.from_seed(b"b" * 32)
MALLORY = IdentityKey.from_seed(b"m" * 32)

MAXIMUM_BOX = 900

HOSTS = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(2**96, 2**128 - 1).map(lambda number: str(IPv6Address(number))),
)
CANDIDATES = st.builds(
    Candidate,
    address=st.builds(HostPort, HOSTS, st.integers(0, 65535)),
    candidate_type=st.sampled_from(CandidateType),
    priority=st.integers(0, 2**32 - 1),
    foundation=st.text("abcdef0123456789", min_size=1, max_size=8),
)
FEW = st.lists(CANDIDATES, max_size=8).map(tuple)
SEQUENCES = st.integers(0, 2**64 - 1)


def candidate(number: int, priority: int = 100) -> Candidate:
    return Candidate(
        HostPort(f"11.0.0.{number}", 4000), CandidateType.SERVER_REFLEXIVE, priority, "f00d"
    )


def candidate_of(is_ipv6: bool, priority: int) -> Candidate:
    host = "2a00::1" if is_ipv6 else "11.0.0.1"
    return Candidate(HostPort(host, 4000), CandidateType.HOST, priority, "f00dcafe")


# More than fit, in a form that is quickly made.
MANY = st.lists(
    st.builds(candidate_of, st.booleans(), st.integers(0, 2**32 - 1)), min_size=30, max_size=40
).map(tuple)

OFFER = Offer(
    sender=ALICE.peer_id,
    recipient=BOB.peer_id,
    session_id=b"s" * 16,
    sequence=5,
    secret=b"k" * 32,
    candidates=(candidate(1),),
)
ANSWER = Answer(sender=BOB.peer_id, recipient=ALICE.peer_id, session_id=b"s" * 16)


def by_preference(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=lambda candidate: candidate.priority, reverse=True))


class OfferTests(SynchronousTestCase):
    @given(candidates=FEW, sequence=SEQUENCES, secret=st.binary(min_size=32, max_size=32))
    def test_recipient_reads_what_the_sender_sealed(
        self, candidates: tuple[Candidate, ...], sequence: int, secret: bytes
    ) -> None:
        offer = evolve(OFFER, candidates=candidates, sequence=sequence, secret=secret)
        opened = open_offer(BOB, ALICE.peer_id, offer.seal(ALICE))
        self.assertEqual(opened, evolve(offer, candidates=by_preference(candidates)))

    @given(candidates=MANY)
    def test_candidates_are_cut_to_fit_the_box_most_preferred_first(
        self, candidates: tuple[Candidate, ...]
    ) -> None:
        box = evolve(OFFER, candidates=candidates).seal(ALICE)
        self.assertLessEqual(len(box), MAXIMUM_BOX)
        kept = open_offer(BOB, ALICE.peer_id, box).candidates
        self.assertEqual(kept, by_preference(candidates)[: len(kept)])
        self.assertGreater(len(kept), 10)
        # An IPv6 candidate takes 36 bytes here: no more of them would have fitted.
        self.assertLess(MAXIMUM_BOX - len(box), 36)

    def test_local_matters_of_a_candidate_stay_here(self) -> None:
        local = evolve(candidate(1), base="a socket", related_address=HostPort("10.0.0.1", 1))
        box = evolve(OFFER, candidates=(local,)).seal(ALICE)
        (opened,) = open_offer(BOB, ALICE.peer_id, box).candidates
        self.assertEqual((opened.base, opened.related_address), (None, None))

    def test_secret_is_not_in_the_repr(self) -> None:
        self.assertNotIn("kkkk", repr(OFFER))

    def test_values_out_of_range_are_not_sealed(self) -> None:
        for change in (
            {"session_id": bytes(15)},
            {"secret": bytes(31)},
            {"sequence": 2**64},
            {"sequence": -1},
        ):
            self.assertRaises(ValueError, evolve(OFFER, **change).seal, ALICE)

    def test_nobody_seals_for_another(self) -> None:
        self.assertRaises(ValueError, OFFER.seal, MALLORY)
        self.assertRaises(ValueError, ANSWER.seal, MALLORY)


class AnswerTests(SynchronousTestCase):
    @given(
        refusal=st.sampled_from([None, *Refusal]),
        candidates=FEW,
        nat_facts=st.binary(max_size=16),
        last_sequence=SEQUENCES,
    )
    @example(refusal=None, candidates=(), nat_facts=b"", last_sequence=0)
    def test_initiator_reads_what_the_target_sealed(
        self,
        refusal: Refusal | None,
        candidates: tuple[Candidate, ...],
        nat_facts: bytes,
        last_sequence: int,
    ) -> None:
        answer = evolve(
            ANSWER,
            refusal=refusal,
            candidates=candidates,
            nat_facts=nat_facts,
            last_sequence=last_sequence,
        )
        opened = open_answer(ALICE, BOB.peer_id, answer.seal(BOB))
        self.assertEqual(opened, evolve(answer, candidates=by_preference(candidates)))

    @given(candidates=MANY)
    def test_box_stays_within_its_bound(self, candidates: tuple[Candidate, ...]) -> None:
        answer = evolve(ANSWER, candidates=candidates, nat_facts=bytes(16), last_sequence=1)
        self.assertLessEqual(len(answer.seal(BOB)), MAXIMUM_BOX)


def plain_of(offer: Offer = OFFER) -> bytes:
    """Return what is in an offer's box."""
    return BOB.box_with(ALICE.peer_id).open(offer.seal(ALICE))


def box_of(plain: bytes) -> bytes:
    """Return a box from Alice to Bob with anything in it."""
    return ALICE.box_with(BOB.peer_id).seal(plain)


def changed(code: int, value: bytes | None) -> bytes:
    """Return an offer's plain text with another value for an attribute, or without it."""
    pairs = [pair for pair in decode_attributes(plain_of()) if pair[0] != code]
    if value is not None:
        pairs.append((code, value))
    return b"".join(encode_attribute(*pair) for pair in pairs)


class RefusedBoxTests(SynchronousTestCase):
    def assert_malformed(self, plain: bytes, error: type[Exception] = MalformedMessage) -> None:
        self.assertRaises(error, open_offer, BOB, ALICE.peer_id, box_of(plain))

    def test_box_for_somebody_else_is_undecipherable(self) -> None:
        box = OFFER.seal(ALICE)
        self.assertRaises(UndecipherableBox, open_offer, MALLORY, ALICE.peer_id, box)

    def test_box_with_the_key_of_another_sender_beside_it_is_undecipherable(self) -> None:
        """What a tracker gets that swaps the initiator's key."""
        box = OFFER.seal(ALICE)
        self.assertRaises(UndecipherableBox, open_offer, BOB, MALLORY.peer_id, box)

    def test_box_sent_back_to_its_sender_is_refused(self) -> None:
        """A box opens at both ends, so a tracker can reflect it."""
        self.assertRaises(MalformedOffer, open_offer, ALICE, BOB.peer_id, OFFER.seal(ALICE))
        self.assertRaises(MalformedOffer, open_answer, BOB, ALICE.peer_id, ANSWER.seal(BOB))

    def test_oneself_as_sender_is_refused(self) -> None:
        own = evolve(OFFER, recipient=ALICE.peer_id).seal(ALICE)
        self.assertRaises(MalformedOffer, open_offer, ALICE, ALICE.peer_id, own)

    def test_answer_is_no_offer_and_offer_no_answer(self) -> None:
        answer = evolve(ANSWER, sender=ALICE.peer_id, recipient=BOB.peer_id).seal(ALICE)
        self.assertRaises(MalformedOffer, open_offer, BOB, ALICE.peer_id, answer)
        self.assertRaises(MalformedOffer, open_answer, BOB, ALICE.peer_id, OFFER.seal(ALICE))

    def test_sender_and_recipient_inside_must_be_those_outside(self) -> None:
        for code in (0x7441, 0x7442):
            self.assert_malformed(changed(code, MALLORY.peer_id.public_key), MalformedOffer)

    def test_another_version_is_refused_whatever_else_it_holds(self) -> None:
        self.assert_malformed(changed(0x7401, b"\0\2"), MalformedOffer)
        self.assert_malformed(encode_attribute(0x7401, b"\0\2"), MalformedOffer)

    def test_box_beyond_its_bound_is_refused_before_it_is_opened(self) -> None:
        room = MAXIMUM_BOX - BOX_OVERHEAD - len(plain_of())
        fitting = box_of(plain_of() + encode_attribute(0xF440, bytes(room - 4)))
        self.assertEqual(len(fitting), MAXIMUM_BOX)
        self.assertEqual(open_offer(BOB, ALICE.peer_id, fitting), OFFER)
        box = box_of(plain_of() + encode_attribute(0xF440, bytes(room)))
        self.patch(SealingBox, "open", None)
        self.assertRaises(MalformedOffer, open_offer, BOB, ALICE.peer_id, box)

    def test_every_required_attribute_must_be_there_once(self) -> None:
        for code in (0x7401, 0x7440, 0x7441, 0x7442, 0x7443, 0x7444, 0x740B):
            self.assert_malformed(changed(code, None))
            (value,) = (value for number, value in decode_attributes(plain_of()) if number == code)
            self.assert_malformed(plain_of() + encode_attribute(code, value))

    def test_values_that_mean_nothing_are_refused(self) -> None:
        for code, value in ((0x7440, b"\3"), (0x7443, bytes(15)), (0x7446, b"\1"), (0x744F, b"")):
            self.assert_malformed(changed(code, value))

    def test_answer_with_an_unknown_refusal_is_refused(self) -> None:
        refused = evolve(ANSWER, refusal=Refusal.NOT_ALLOWED).seal(BOB)
        plain = ALICE.box_with(BOB.peer_id).open(refused)
        box = BOB.box_with(ALICE.peer_id).seal(
            plain.replace(b"\x74\x45\0\1\2", b"\x74\x45\0\1\x09")
        )
        self.assertRaises(MalformedMessage, open_answer, ALICE, BOB.peer_id, box)

    def test_unknown_attribute_that_may_be_ignored_is(self) -> None:
        box = box_of(plain_of() + encode_attribute(0xF440, b"news"))
        self.assertEqual(open_offer(BOB, ALICE.peer_id, box), OFFER)

    @given(data=st.data())
    def test_altered_box_is_refused(self, data: st.DataObject) -> None:
        box = bytearray(OFFER.seal(ALICE))
        box[data.draw(st.integers(0, len(box) - 1))] ^= data.draw(st.integers(1, 255))
        self.assertRaises(UndecipherableBox, open_offer, BOB, ALICE.peer_id, bytes(box))

    @given(box=st.binary(max_size=1000))
    def test_any_bytes_give_the_declared_error(self, box: bytes) -> None:
        self.assertRaises(MalformedMessage, open_offer, BOB, ALICE.peer_id, box)
        self.assertRaises(MalformedMessage, open_answer, BOB, ALICE.peer_id, box)

    @given(
        pairs=st.lists(
            st.tuples(
                st.sampled_from([0x7401, 0x740B, 0xF402, *range(0x7440, 0x7448)]),
                st.binary(max_size=40),
            ),
            max_size=6,
        ),
        head=st.sampled_from([b"", *(changed(code, None) for code in (0, 0x7444, 0x7446))]),
        opens=st.sampled_from([open_offer, open_answer]),
    )
    def test_anything_in_a_genuine_box_gives_a_value_or_the_declared_error(
        self, pairs: list[tuple[int, bytes]], head: bytes, opens: Any
    ) -> None:
        box = box_of(head + b"".join(encode_attribute(*pair) for pair in pairs))
        try:
            opened = opens(BOB, ALICE.peer_id, box)
        except MalformedMessage:
            return
        again = opens(BOB, ALICE.peer_id, opened.seal(ALICE))
        self.assertEqual(again, evolve(opened, candidates=by_preference(opened.candidates)))


class ICECredentialsOfAnOfferTests(SynchronousTestCase):
    def test_they_are_those_of_every_version(self) -> None:
        """Pinned: two versions of this package must come to the same ones."""
        initiator, responder = ice_credentials(bytes(range(32)))
        self.assertEqual(
            (initiator.username_fragment, initiator.password),
            ("YvNjvG44", "CIfyuOTZ6/6K9WLWxN4sRh/aDeivWcbP"),
        )
        self.assertEqual(
            (responder.username_fragment, responder.password),
            ("d9ecJaOF", "5uv+4+emoQX5NFWLztO1XYOA008YekAZ"),
        )

    @given(secret=st.binary(min_size=32, max_size=32), other=st.binary(min_size=32, max_size=32))
    def test_roles_and_secrets_have_credentials_of_their_own(
        self, secret: bytes, other: bytes
    ) -> None:
        all_of_them = [*ice_credentials(secret), *ice_credentials(other)]
        expected = 2 if secret == other else 4
        self.assertEqual(len({one.username_fragment for one in all_of_them}), expected)
        self.assertEqual(len({one.password for one in all_of_them}), expected)
        for one in all_of_them:
            self.assertEqual((len(one.username_fragment), len(one.password)), (8, 32))


def offer_of(sender: PeerID, sequence: int) -> Offer:
    return evolve(OFFER, sender=sender, sequence=sequence)


class OfferSequencesTests(SynchronousTestCase):
    @given(sequences=st.lists(st.one_of(st.integers(0, 5), SEQUENCES), max_size=20))
    def test_only_a_sequence_above_all_before_is_accepted(self, sequences: list[int]) -> None:
        seen = OfferSequences()
        for position, sequence in enumerate(sequences):
            before = sequences[:position]
            self.assertEqual(seen.highest(ALICE.peer_id), max(before, default=None))
            self.assertEqual(
                seen.accept(offer_of(ALICE.peer_id, sequence)),
                all(sequence > earlier for earlier in before),
            )

    def test_senders_do_not_affect_each_other(self) -> None:
        seen = OfferSequences()
        self.assertTrue(seen.accept(offer_of(ALICE.peer_id, 2**64 - 1)))
        self.assertTrue(seen.accept(offer_of(MALLORY.peer_id, 0)))

    def test_as_many_senders_as_allowed_are_remembered_those_heard_from_last(self) -> None:
        seen = OfferSequences(limit=2)
        for sender in (ALICE, BOB, ALICE, MALLORY):
            seen.accept(offer_of(sender.peer_id, 5))
        self.assertEqual(
            [seen.highest(identity.peer_id) for identity in (ALICE, BOB, MALLORY)], [5, None, 5]
        )
        self.assertFalse(seen.accept(offer_of(ALICE.peer_id, 5)))
