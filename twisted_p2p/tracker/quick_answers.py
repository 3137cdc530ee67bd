"""The two answers that anybody gets, written by hand: a flood must not be dear to answer.

They are the very bytes that the regular way makes, at a sixth of its cost: 5 instead of 31
microseconds for a challenge, measured, where reading the request takes 8.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from twisted_p2p.addresses import HostPort
from twisted_p2p.stun.attributes import (
    FINGERPRINT,
    MAGIC_COOKIE,
    XOR_MAPPED_ADDRESS,
    ErrorCode,
    encode_attribute,
)
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage
from twisted_p2p.tracker.attributes import COOKIE_NEEDED
from twisted_p2p.tracker.messages import REQUESTS, Challenge

_ADDRESS = Struct("!xBHI")
_LENGTH = Struct("!H")
_TRANSACTION_END = 20
_FINGERPRINT_MASK = 0x5354554E
_COOKIE_SIZE = 16


def _start_of_challenge(method: int) -> tuple[bytes, bytes]:
    """Return the message type, and what stands between transaction ID and cookie."""
    error = ErrorCode(COOKIE_NEEDED)
    whole = Challenge(method, error, bytes(_COOKIE_SIZE), HostPort("127.0.0.1", 1)).encode(
        bytes(12)
    )
    before_cookie = whole.index(bytes(_COOKIE_SIZE), _TRANSACTION_END)
    return whole[:2], whole[_TRANSACTION_END:before_cookie]


_CHALLENGES = {method: _start_of_challenge(method) for method in REQUESTS}
_BINDING_SUCCESS = STUNMessage(BINDING, MessageClass.SUCCESS, bytes(12), ()).encode()[:2]
_MAGIC_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")


def encode_challenge(method: int, transaction_id: bytes, cookie: bytes, source: HostPort) -> bytes:
    """Return a `Challenge` with a cookie of 16 bytes."""
    kind, start = _CHALLENGES[method]
    attributes = start + cookie + _mapped_address(source, transaction_id)
    return _message(kind, transaction_id, attributes, True)


def encode_binding_success(transaction_id: bytes, source: HostPort, fingerprint: bool) -> bytes:
    """Return the success response to a Binding request."""
    attributes = _mapped_address(source, transaction_id)
    return _message(_BINDING_SUCCESS, transaction_id, attributes, fingerprint)


def _message(kind: bytes, transaction_id: bytes, attributes: bytes, fingerprint: bool) -> bytes:
    length = _LENGTH.pack(len(attributes) + 8 * fingerprint)
    data = kind + length + _MAGIC_COOKIE + transaction_id + attributes
    if not fingerprint:
        return data
    return data + _FINGERPRINT_HEADER + (crc32(data) ^ _FINGERPRINT_MASK).to_bytes(4, "big")


def _mapped_address(source: HostPort, transaction_id: bytes) -> bytes:
    host, port = source
    if ":" in host:
        value = XOR_MAPPED_ADDRESS.encode(source, transaction_id)
        return encode_attribute(XOR_MAPPED_ADDRESS.code, value)
    a, b, c, d = map(int, host.split("."))
    number = a << 24 | b << 16 | c << 8 | d
    return _IPV4_HEADER + _ADDRESS.pack(1, port ^ MAGIC_COOKIE >> 16, number ^ MAGIC_COOKIE)


_FINGERPRINT_HEADER = encode_attribute(FINGERPRINT.code, bytes(4))[:4]
_IPV4_HEADER = encode_attribute(XOR_MAPPED_ADDRESS.code, bytes(8))[:4]
