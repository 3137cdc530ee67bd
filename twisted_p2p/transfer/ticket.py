"""Tickets: what a receiver needs to know of a sender, as one word."""

from __future__ import annotations

import re
from base64 import b32decode, b32encode

from attrs import field, frozen

from twisted_p2p.errors import InvalidPeerID
from twisted_p2p.identity.peer_id import PeerID

from .failures import InvalidTicket

SECRET_SIZE = 10
"""Bytes.  Each guess at a secret costs a connection, so 80 bits are more than enough."""

_PEER_ID_LENGTH = 52
_SHAPE = re.compile(r"[a-z2-7]{68}")


@frozen
class Ticket:
    """A sender's peer ID and the secret of one transfer.

    As text it is one word of 68 characters: the peer ID and the secret in the same base32.
    """

    peer_id: PeerID
    secret: bytes = field(repr=False)

    def __str__(self) -> str:
        """Return the word."""
        return self.peer_id + b32encode(self.secret).decode().lower()

    @classmethod
    def parse(cls, text: str) -> Ticket:
        """Return the ticket that a word is; raise `InvalidTicket` if it is none."""
        word = text.strip().lower()
        if not _SHAPE.fullmatch(word):
            raise InvalidTicket
        try:
            peer_id = PeerID(word[:_PEER_ID_LENGTH])
        except InvalidPeerID:
            raise InvalidTicket from None
        return cls(peer_id, b32decode(word[_PEER_ID_LENGTH:].upper()))
