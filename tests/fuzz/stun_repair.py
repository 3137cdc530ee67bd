"""Making mutants of STUN messages pass the outer checks, so that the inner ones are tried."""

from __future__ import annotations

from zlib import crc32

HEADER_SIZE = 20


def with_right_header(data: bytes) -> bytes:
    """Return the mutant with the first byte, cookie, length and alignment of a STUN message."""
    padded = data.ljust(HEADER_SIZE, b"\0")
    padded += bytes(-len(padded) % 4)
    length = (len(padded) - HEADER_SIZE) & 0xFFFF
    head = bytes((padded[0] & 3, padded[1])) + length.to_bytes(2, "big")
    return head + b"\x21\x12\xa4\x42" + padded[8:]


def with_right_fingerprint(data: bytes) -> bytes:
    """Return the mutant with a right header and a fingerprint in the place of its last one."""
    body = with_right_header(data)
    if body[-8:-4] == b"\x80\x28\0\4":
        body = body[:-8]
    body = with_right_header(body + bytes(8))[:-8]
    return body + b"\x80\x28\0\4" + (crc32(body) ^ 0x5354554E).to_bytes(4, "big")
