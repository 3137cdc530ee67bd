"""What a TCP header says (RFC 9293, section 3.1)."""

from __future__ import annotations

from enum import Flag, auto

from attrs import frozen

SEQUENCE_NUMBERS = 2**32
"""How many numbers there are, before they begin anew."""


class TCPFlags(Flag):
    """The control bits of a segment."""

    SYN = auto()
    ACK = auto()
    FIN = auto()
    RST = auto()


@frozen
class TCPSegment:
    """The header of a segment; its ports and payload are the packet's."""

    flags: TCPFlags
    sequence: int
    """The number of the first byte of the payload, or of the SYN, modulo 2**32."""
    acknowledgement: int = 0
    """The number that its sender expects next; means something with `TCPFlags.ACK`."""
    window: int = 0
    """Bytes that its sender has room for; unscaled, as if RFC 7323 were always agreed on."""
    maximum_segment_size: int = 0
    """The option of a SYN: the most bytes that its sender takes in one segment."""


def refusal(segment: TCPSegment, length: int) -> TCPSegment | None:
    """Return the RST for a segment with ``length`` bytes that belongs to no connection.

    None for a RST (RFC 9293, section 3.10.7.1).
    """
    flags = segment.flags
    if TCPFlags.RST in flags:
        return None
    if TCPFlags.ACK in flags:
        return TCPSegment(TCPFlags.RST, segment.acknowledgement)
    after = segment.sequence + length + (TCPFlags.SYN in flags) + (TCPFlags.FIN in flags)
    return TCPSegment(TCPFlags.RST | TCPFlags.ACK, 0, after % SEQUENCE_NUMBERS)


def nearest_offset(difference: int, near: int) -> int:
    """Return the offset that is a difference of numbers, and nearest to another offset."""
    half = SEQUENCE_NUMBERS // 2
    return near + (difference - near + half) % SEQUENCE_NUMBERS - half
