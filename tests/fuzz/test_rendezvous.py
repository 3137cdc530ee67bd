"""The decoders of boxed offers and answers, whose corpora hold what is inside the boxes.

And of the messages that carry the boxes straight from peer to peer.
"""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from tests.fuzz.stun_repair import with_right_fingerprint
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.rendezvous.direct_exchange import DirectExchange, OfferCame, is_direct
from twisted_p2p.rendezvous.offer import open_answer, open_offer

ALICE = IdentityKey.from_seed(b"a" * 32)
BOB = IdentityKey.from_seed(b"b" * 32)


def boxed(plain: bytes) -> bytes:
    """Return what Alice would send to Bob, were she hostile."""
    return ALICE.box_with(BOB.peer_id).seal(plain)


class RendezvousFuzzTests(SynchronousTestCase):
    def test_corpora_are_read(self) -> None:
        for name, plain in load_corpus("offers").items():
            self.assertEqual(open_offer(BOB, ALICE.peer_id, boxed(plain)).secret, b"k" * 32, name)
        for name, plain in load_corpus("answers").items():
            answer = open_answer(BOB, ALICE.peer_id, boxed(plain))
            self.assertEqual(answer.session_id, b"s" * 16, name)

    @given(plain=mutants("offers") | mutants("answers"))
    def test_hostile_sender(self, plain: bytes) -> None:
        for read in (open_offer, open_answer):
            with contextlib.suppress(MalformedMessage):
                self.assertEqual(read(BOB, ALICE.peer_id, boxed(plain)).sender, ALICE.peer_id)

    @given(box=mutants("offers") | st.binary(max_size=60))
    def test_whatever_is_no_box(self, box: bytes) -> None:
        for read in (open_offer, open_answer):
            self.assertRaises(MalformedMessage, read, BOB, ALICE.peer_id, box)


class DirectOfferFuzzTests(SynchronousTestCase):
    path = DatagramPath(HostPort("0.0.0.0", 4000), HostPort("192.168.1.9", 5000))

    def exchange(self) -> DirectExchange:
        """Return an exchange that waits for the answer to an offer of its own."""
        exchange = DirectExchange(
            BOB.peer_id.public_key,
            is_welcome=lambda source, peer_key: True,
            random_bytes=lambda size: b"transaction!"[:size],
        )
        exchange.offer(ALICE.peer_id, b"box", self.path, 0.0)
        exchange.datagrams_to_send(0.0)
        return exchange

    def test_the_corpus_is_read(self) -> None:
        for name, data in load_corpus("direct_offers").items():
            exchange = self.exchange()
            self.assertTrue(is_direct(data))
            exchange.receive_datagram(data, self.path, 0.0)
            self.assertIsNotNone(exchange.next_event(), name)

    @given(data=mutants("direct_offers"), repair=st.sampled_from([with_right_fingerprint, bytes]))
    def test_a_hostile_neighbour_gets_no_more_than_it_sent(
        self, data: bytes, repair: type[bytes]
    ) -> None:
        exchange = self.exchange()
        sent = repair(data)
        exchange.receive_datagram(sent, self.path, 0.0)
        while (event := exchange.next_event()) is not None:
            if isinstance(event, OfferCame):
                exchange.answer(event, bytes(900))
        answers = exchange.datagrams_to_send(0.0)
        self.assertLessEqual(sum(len(answer) for answer, _ in answers), len(sent))
