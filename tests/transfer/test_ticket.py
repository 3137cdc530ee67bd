"""Tickets are one word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.transfer.failures import InvalidTicket
from twisted_p2p.transfer.ticket import SECRET_SIZE, Ticket

PEER = IdentityKey.from_seed(b"a" * 32).peer_id


def damaged(place: int) -> str:
    """Return a ticket with a character that none has."""
    word = str(Ticket(PEER, b"s" * SECRET_SIZE))
    return word[:place] + "1" + word[place + 1 :]


class TicketTests(SynchronousTestCase):
    @given(secret=st.binary(min_size=SECRET_SIZE, max_size=SECRET_SIZE))
    def test_round_trip(self, secret: bytes) -> None:
        ticket = Ticket(PEER, secret)
        word = str(ticket)
        self.assertRegex(word, r"\A[a-z2-7]{68}\Z")
        self.assertEqual(Ticket.parse(word), ticket)
        self.assertEqual(Ticket.parse(f" {word.upper()}\n"), ticket)

    def test_the_secret_is_in_no_repr(self) -> None:
        self.assertNotIn("ssssssssss", repr(Ticket(PEER, b"s" * SECRET_SIZE)))

    def test_a_ticket_of_no_key_is_none(self) -> None:
        self.assertRaises(InvalidTicket, Ticket.parse, "a" * 68)

    @given(text=st.text(max_size=80) | st.integers(0, 67).map(damaged))
    def test_what_is_none_is_refused_with_a_sentence(self, text: str) -> None:
        refused = self.assertRaises(InvalidTicket, Ticket.parse, text)
        self.assertIn("68 characters", str(refused))
