"""Telling apart what shares one UDP port, by the first bytes of a datagram."""

from __future__ import annotations

from enum import Enum, auto

_MAGIC_COOKIE = b"\x21\x12\xa4\x42"
_STUN_HEADER_LENGTH = 20
_QUIC_FIXED_BIT = 0x40


class Kind(Enum):
    """The protocols that share a port of ours."""

    STUN = auto()
    QUIC = auto()
    OTHER = auto()


def classify(data: bytes) -> Kind:
    """Return the protocol that a datagram belongs to, from its first 8 bytes and its length.

    The ranges are those of RFC 7983 and RFC 9443, section 2, narrowed and widened so:

    - STUN is a first byte of 0 to 3 *and* the magic cookie (RFC 8489, section 5), because other
      protocols may also begin with small numbers.
    - QUIC is every first byte with the fixed bit (RFC 9000, section 17): 64 to 127 and 192 to
      255.  TURN's ChannelData lies within it (64 to 79); the TURN server's address tells it.
    - All else, also a datagram too short to have a header, is OTHER.
    """
    if not data:
        return Kind.OTHER
    first = data[0]
    if first & _QUIC_FIXED_BIT:
        return Kind.QUIC
    if first < 4 and data[4:8] == _MAGIC_COOKIE and len(data) >= _STUN_HEADER_LENGTH:
        return Kind.STUN
    return Kind.OTHER
