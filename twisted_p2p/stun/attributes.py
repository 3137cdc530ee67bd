"""STUN attributes: what a code means, how its value is written, and a run of them.

Constructors such as `text_attribute` make an attribute type in one line; other packages use them
for the attributes of their own.  The constants are those of RFC 8489, ICE (RFC 8445), TURN
(RFC 8656) and NAT behaviour discovery (RFC 5780).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Any, Generic, NamedTuple, TypeVar

from attrs import frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage

T = TypeVar("T")

MAGIC_COOKIE = 0x2112A442
"""The fixed field that tells STUN from other protocols (RFC 8489, section 5)."""

MAXIMUM_LENGTH = 0xFFFF
"""The most bytes that a value can have, since its length is 16 bits."""

_TYPE_LENGTH = Struct("!HH")
_ADDRESS = Struct("!xBH")
_COOKIE_BYTES = MAGIC_COOKIE.to_bytes(4, "big")
_COOKIE_PORT = MAGIC_COOKIE >> 16
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length modulo 4


@frozen
class AttributeType(Generic[T]):
    """One kind of attribute: its code, its RFC name and its two directions.

    ``encode`` raises `ValueError` for a value that cannot be written; ``decode`` raises
    `MalformedMessage` and nothing else.
    """

    code: int
    name: str
    encode: Callable[[T, bytes], bytes]
    """Turns a value and the message's transaction ID into bytes without padding."""
    decode: Callable[[bytes, bytes], T]
    """Turns bytes without padding and the transaction ID into a value."""

    def __repr__(self) -> str:
        return f"<{self.name} 0x{self.code:04x}>"


def is_comprehension_required(code: int) -> bool:
    """Return whether a message with this attribute must be refused by who does not know it."""
    return code < 0x8000


# The constructors for the common shapes.


def bytes_attribute(
    code: int, name: str, minimum: int = 0, maximum: int = MAXIMUM_LENGTH
) -> AttributeType[bytes]:
    """Return the type of an opaque value of ``minimum`` to ``maximum`` bytes."""

    def encode(value: bytes, _transaction_id: bytes) -> bytes:
        if not minimum <= len(value) <= maximum:
            raise ValueError(f"{name} takes {minimum} to {maximum} bytes, not {len(value)}")
        return value

    def decode(data: bytes, _transaction_id: bytes) -> bytes:
        if not minimum <= len(data) <= maximum:
            raise MalformedMessage(f"{name} has {len(data)} bytes")
        return data

    return AttributeType(code, name, encode, decode)


def text_attribute(
    code: int, name: str, *, maximum_characters: int = 127, maximum_bytes: int = 763
) -> AttributeType[str]:
    """Return the type of UTF-8 text with both limits of the RFC, which by default are those of
    REALM, NONCE and SOFTWARE (RFC 8489, sections 14.9, 14.10 and 14.14).
    """

    def encode(value: str, _transaction_id: bytes) -> bytes:
        data = value.encode()
        if len(value) > maximum_characters or len(data) > maximum_bytes:
            raise ValueError(f"{name} is too long: {len(value)} characters, {len(data)} bytes")
        return data

    def decode(data: bytes, _transaction_id: bytes) -> str:
        if len(data) > maximum_bytes:
            raise MalformedMessage(f"{name} has {len(data)} bytes")
        text = _decode_text(name, data)
        if len(text) > maximum_characters:
            raise MalformedMessage(f"{name} has {len(text)} characters")
        return text

    return AttributeType(code, name, encode, decode)


def uint16_attribute(code: int, name: str) -> AttributeType[int]:
    """Return the type of an unsigned number of 16 bits."""
    return _unsigned_attribute(code, name, 2)


def uint32_attribute(code: int, name: str) -> AttributeType[int]:
    """Return the type of an unsigned number of 32 bits."""
    return _unsigned_attribute(code, name, 4)


def uint64_attribute(code: int, name: str) -> AttributeType[int]:
    """Return the type of an unsigned number of 64 bits."""
    return _unsigned_attribute(code, name, 8)


def flag_attribute(code: int, name: str) -> AttributeType[bool]:
    """Return the type of an attribute without value, which is True by being there."""

    def encode(value: bool, _transaction_id: bytes) -> bytes:
        if not value:
            raise ValueError(f"{name} says no by being left out")
        return b""

    def decode(data: bytes, _transaction_id: bytes) -> bool:
        if data:
            raise MalformedMessage(f"{name} has {len(data)} bytes")
        return True

    return AttributeType(code, name, encode, decode)


def address_attribute(code: int, name: str) -> AttributeType[HostPort]:
    """Return the type of a plain address of either family (RFC 8489, section 14.1)."""

    def encode(value: HostPort, _transaction_id: bytes) -> bytes:
        return _encode_address(_pack_host(value[0]), value[1])

    def decode(data: bytes, _transaction_id: bytes) -> HostPort:
        port, packed = _split_address(name, data)
        return HostPort(_host_text(packed), port)

    return AttributeType(code, name, encode, decode)


def xor_address_attribute(code: int, name: str) -> AttributeType[HostPort]:
    """Return the type of an address hidden from NATs that rewrite addresses in payloads
    (RFC 8489, section 14.2).
    """

    def encode(value: HostPort, transaction_id: bytes) -> bytes:
        packed = _xor_host(_pack_host(value[0]), transaction_id)
        return _encode_address(packed, value[1] ^ _COOKIE_PORT)

    def decode(data: bytes, transaction_id: bytes) -> HostPort:
        port, packed = _split_address(name, data)
        return HostPort(_host_text(_xor_host(packed, transaction_id)), port ^ _COOKIE_PORT)

    return AttributeType(code, name, encode, decode)


def _unsigned_attribute(code: int, name: str, size: int) -> AttributeType[int]:
    def encode(value: int, _transaction_id: bytes) -> bytes:
        if not 0 <= value < 1 << 8 * size:
            raise ValueError(f"{name} takes {8 * size} bits, which {value} does not fit")
        return value.to_bytes(size, "big")

    def decode(data: bytes, _transaction_id: bytes) -> int:
        if len(data) != size:
            raise MalformedMessage(f"{name} has {len(data)} bytes")
        return int.from_bytes(data, "big")

    return AttributeType(code, name, encode, decode)


def _decode_text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedMessage(f"{name} is not UTF-8") from None


# Addresses: a zero byte, the family (1 or 2), the port and 4 or 16 bytes.


def _pack_host(host: str) -> bytes:
    """Return the bytes of an address; a scope ID is left out, as it means nothing elsewhere."""
    return IPv6Address(host).packed if ":" in host else IPv4Address(host).packed


def _host_text(packed: bytes) -> str:
    if len(packed) == 4:
        return f"{packed[0]}.{packed[1]}.{packed[2]}.{packed[3]}"
    if packed.startswith(_MAPPED_PREFIX):
        # As sockets write it; Python 3.11's IPv6Address writes it otherwise than 3.13's.
        return f"::ffff:{_host_text(packed[12:])}"
    return str(IPv6Address(packed))


def _xor_host(packed: bytes, transaction_id: bytes) -> bytes:
    size = len(packed)
    mask = (_COOKIE_BYTES + transaction_id)[:size]
    return (int.from_bytes(packed, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


def _encode_address(packed: bytes, port: int) -> bytes:
    if not 0 <= port <= 0xFFFF:
        raise ValueError("a port has 16 bits")
    return _ADDRESS.pack(1 if len(packed) == 4 else 2, port) + packed


def _split_address(name: str, data: bytes) -> tuple[int, bytes]:
    if (len(data) == 8 and data[1] == 1) or (len(data) == 20 and data[1] == 2):
        port: int = _ADDRESS.unpack_from(data)[1]
        return port, data[4:]
    raise MalformedMessage(f"{name} is no address")


# The values with a shape of their own.


class ErrorCode(NamedTuple):
    """Why a request failed: a number from 300 to 699 and a phrase for people."""

    code: int
    reason: str = ""


class PasswordAlgorithmNumber(IntEnum):
    """How a long-term key is made (RFC 8489, section 18.5)."""

    MD5 = 1
    SHA256 = 2


class PasswordAlgorithm(NamedTuple):
    """A password algorithm by its number, known here or not, with its parameters."""

    number: int
    parameters: bytes = b""


class ChangeRequest(IntFlag):
    """From where else a server is asked to answer (RFC 5780, section 7.2)."""

    PORT = 2
    ADDRESS = 4


def _error_code_attribute(code: int, name: str) -> AttributeType[ErrorCode]:
    reason_attribute = text_attribute(code, name)

    def encode(value: ErrorCode, transaction_id: bytes) -> bytes:
        if not 300 <= value.code <= 699:
            raise ValueError(f"{value.code} is no STUN error")
        return bytes((0, 0, *divmod(value.code, 100))) + reason_attribute.encode(
            value.reason, transaction_id
        )

    def decode(data: bytes, transaction_id: bytes) -> ErrorCode:
        # The upper 21 bits are reserved and ignored.
        if len(data) < 4 or not 3 <= data[2] & 7 <= 6 or data[3] > 99:
            raise MalformedMessage(f"{name} has no error number")
        number = 100 * (data[2] & 7) + data[3]
        return ErrorCode(number, reason_attribute.decode(data[4:], transaction_id))

    return AttributeType(code, name, encode, decode)


def _codes_attribute(code: int, name: str) -> AttributeType[tuple[int, ...]]:
    one_code = uint16_attribute(code, name)

    def encode(value: tuple[int, ...], transaction_id: bytes) -> bytes:
        return b"".join(one_code.encode(number, transaction_id) for number in value)

    def decode(data: bytes, _transaction_id: bytes) -> tuple[int, ...]:
        if len(data) % 2:
            raise MalformedMessage(f"{name} has {len(data)} bytes")
        return Struct(f"!{len(data) // 2}H").unpack(data)

    return AttributeType(code, name, encode, decode)


def _algorithms_attribute(code: int, name: str) -> AttributeType[tuple[PasswordAlgorithm, ...]]:
    # An algorithm is written just as an attribute is: number, length, parameters, padding.
    def encode(value: tuple[PasswordAlgorithm, ...], _transaction_id: bytes) -> bytes:
        return b"".join(encode_attribute(*algorithm) for algorithm in value)

    def decode(data: bytes, _transaction_id: bytes) -> tuple[PasswordAlgorithm, ...]:
        return tuple(PasswordAlgorithm(*pair) for pair in decode_attributes(data))

    return AttributeType(code, name, encode, decode)


def _algorithm_attribute(code: int, name: str) -> AttributeType[PasswordAlgorithm]:
    def encode(value: PasswordAlgorithm, _transaction_id: bytes) -> bytes:
        return encode_attribute(*value)

    def decode(data: bytes, _transaction_id: bytes) -> PasswordAlgorithm:
        pairs = decode_attributes(data)
        if len(pairs) != 1:
            raise MalformedMessage(f"{name} has {len(pairs)} algorithms")
        return PasswordAlgorithm(*pairs[0])

    return AttributeType(code, name, encode, decode)


def _change_request_attribute(code: int, name: str) -> AttributeType[ChangeRequest]:
    number = uint32_attribute(code, name)

    def decode(data: bytes, transaction_id: bytes) -> ChangeRequest:
        return ChangeRequest(number.decode(data, transaction_id) & 6)

    return AttributeType(code, name, number.encode, decode)


def _response_port_attribute(code: int, name: str) -> AttributeType[int]:
    # RFC 5780, section 7.5, has two bytes of padding follow the port; some count them as value.
    port = uint16_attribute(code, name)

    def decode(data: bytes, transaction_id: bytes) -> int:
        return port.decode(data[:2] if len(data) == 4 else data, transaction_id)

    return AttributeType(code, name, port.encode, decode)


# A run of attributes.


def encode_attribute(code: int, value: bytes) -> bytes:
    """Return one attribute with its header and padding.

    Raises `ValueError` when the code or the length does not fit 16 bits.
    """
    if not 0 <= code <= 0xFFFF or len(value) > MAXIMUM_LENGTH:
        raise ValueError(f"attribute 0x{code:04x} of {len(value)} bytes does not fit 16 bits")
    return _TYPE_LENGTH.pack(code, len(value)) + value + _PADDING[len(value) & 3]


def encode_attributes(
    pairs: Iterable[tuple[AttributeType[Any], Any]], transaction_id: bytes = bytes(12)
) -> bytes:
    """Return a bare run of attributes: pairs of type and value, in this order.

    ``transaction_id`` masks XOR addresses; a run outside a message has none of its own.
    """
    return b"".join(
        encode_attribute(kind.code, kind.encode(value, transaction_id)) for kind, value in pairs
    )


def decode_attributes(data: bytes, start: int = 0) -> tuple[tuple[int, bytes], ...]:
    """Return the pairs of code and unpadded value from ``data[start:]``.

    Raises `MalformedMessage` when an attribute or its padding runs over the end.
    """
    size = len(data)
    if (size - start) & 3:
        raise MalformedMessage("attributes fill a multiple of four bytes")
    attributes = []
    unpack = _TYPE_LENGTH.unpack_from
    while start < size:
        code, length = unpack(data, start)
        start += 4
        end = start + length
        if end > size:
            raise MalformedMessage("an attribute runs over the end")
        attributes.append((code, data[start:end]))
        start = end + (-length & 3)
    return tuple(attributes)


# RFC 8489, section 18.3.
MAPPED_ADDRESS = address_attribute(0x0001, "MAPPED-ADDRESS")
USERNAME = text_attribute(0x0006, "USERNAME", maximum_characters=508, maximum_bytes=508)
MESSAGE_INTEGRITY = bytes_attribute(0x0008, "MESSAGE-INTEGRITY", 20, 20)
ERROR_CODE = _error_code_attribute(0x0009, "ERROR-CODE")
UNKNOWN_ATTRIBUTES = _codes_attribute(0x000A, "UNKNOWN-ATTRIBUTES")
REALM = text_attribute(0x0014, "REALM")
NONCE = text_attribute(0x0015, "NONCE")
MESSAGE_INTEGRITY_SHA256 = bytes_attribute(0x001C, "MESSAGE-INTEGRITY-SHA256", 16, 32)
PASSWORD_ALGORITHM = _algorithm_attribute(0x001D, "PASSWORD-ALGORITHM")
USERHASH = bytes_attribute(0x001E, "USERHASH", 32, 32)
XOR_MAPPED_ADDRESS = xor_address_attribute(0x0020, "XOR-MAPPED-ADDRESS")
PASSWORD_ALGORITHMS = _algorithms_attribute(0x8002, "PASSWORD-ALGORITHMS")
ALTERNATE_DOMAIN = text_attribute(
    0x8003, "ALTERNATE-DOMAIN", maximum_characters=255, maximum_bytes=255
)
SOFTWARE = text_attribute(0x8022, "SOFTWARE")
ALTERNATE_SERVER = address_attribute(0x8023, "ALTERNATE-SERVER")
FINGERPRINT = uint32_attribute(0x8028, "FINGERPRINT")

# ICE: RFC 8445, section 16.1.
PRIORITY = uint32_attribute(0x0024, "PRIORITY")
USE_CANDIDATE = flag_attribute(0x0025, "USE-CANDIDATE")
ICE_CONTROLLED = uint64_attribute(0x8029, "ICE-CONTROLLED")
ICE_CONTROLLING = uint64_attribute(0x802A, "ICE-CONTROLLING")

# TURN: RFC 8656, section 18; LIFETIME is in seconds.
LIFETIME = uint32_attribute(0x000D, "LIFETIME")
XOR_PEER_ADDRESS = xor_address_attribute(0x0012, "XOR-PEER-ADDRESS")

# NAT behaviour discovery: RFC 5780, section 7.
CHANGE_REQUEST = _change_request_attribute(0x0003, "CHANGE-REQUEST")
PADDING = bytes_attribute(0x0026, "PADDING")
RESPONSE_PORT = _response_port_attribute(0x0027, "RESPONSE-PORT")
RESPONSE_ORIGIN = address_attribute(0x802B, "RESPONSE-ORIGIN")
OTHER_ADDRESS = address_attribute(0x802C, "OTHER-ADDRESS")
