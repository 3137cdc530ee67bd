"""The options of PCP messages (RFC 6887, sections 7.3 and 13), and how addresses are written."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import ClassVar

from attrs import frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.portmap.pcp_results import RefusedRequest, ResultCode

_OPTION = Struct("!BxH")
_FILTER = Struct("!xBH16s")
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_FIRST_OPTIONAL = 128


@frozen
class ThirdParty:
    """The mapping is for another host than the one that asks (section 13.1)."""

    code: ClassVar[int] = 1

    host: str

    def encode(self) -> bytes:
        """Return the value."""
        return pack_host(self.host)


@frozen
class PreferFailure:
    """The suggested external address and port, or nothing (section 13.2)."""

    code: ClassVar[int] = 2

    def encode(self) -> bytes:
        """Return the value, which is empty."""
        return b""


@frozen
class Filter:
    """Only these remote endpoints are let in (section 13.3)."""

    code: ClassVar[int] = 3

    prefix_length: int
    """Of the address as 128 bits; 0 removes all filters."""
    remote: HostPort
    """Port 0 is every port."""

    def encode(self) -> bytes:
        """Return the value."""
        return _FILTER.pack(self.prefix_length, self.remote.port, pack_host(self.remote.host))


@frozen
class UnknownOption:
    """An option that is not of RFC 6887."""

    code: int
    value: bytes

    def encode(self) -> bytes:
        """Return the value."""
        return self.value


Option = ThirdParty | PreferFailure | Filter | UnknownOption


def is_mandatory(option: Option) -> bool:
    """Return whether who does not support the option must refuse the request."""
    return option.code < _FIRST_OPTIONAL


def encode_options(options: Iterable[Option]) -> bytes:
    """Return the options as they stand at the end of a message."""
    parts = []
    for option in options:
        value = option.encode()
        parts.append(_OPTION.pack(option.code, len(value)) + value + bytes(-len(value) % 4))
    return b"".join(parts)


def decode_options(data: bytes) -> tuple[Option, ...]:
    """Return the options that these bytes are.

    :raises RefusedRequest: when they are none; that is a `MalformedMessage`.
    """
    options = []
    start = 0
    while start < len(data):
        value_start = start + _OPTION.size
        if value_start > len(data):
            raise RefusedRequest(ResultCode.MALFORMED_OPTION)
        code, length = _OPTION.unpack_from(data, start)
        end = value_start + length
        if end > len(data):
            raise RefusedRequest(ResultCode.MALFORMED_OPTION)
        options.append(_decode_option(code, data[value_start:end]))
        start = end + -length % 4
    return tuple(options)


def pack_host(host: str) -> bytes:
    """Return the 16 bytes of an address; an IPv4 one is mapped."""
    return IPv6Address(host).packed if ":" in host else _MAPPED_PREFIX + IPv4Address(host).packed


def unpack_host(data: bytes) -> str:
    """Return the address that 16 bytes are, as text."""
    if data.startswith(_MAPPED_PREFIX):
        return str(IPv4Address(data[12:]))
    return str(IPv6Address(data))


def _decode_option(code: int, value: bytes) -> Option:
    sizes = {ThirdParty.code: 16, PreferFailure.code: 0, Filter.code: _FILTER.size}
    if sizes.get(code, len(value)) != len(value):
        raise RefusedRequest(ResultCode.MALFORMED_OPTION)
    if code == ThirdParty.code:
        return ThirdParty(unpack_host(value))
    if code == PreferFailure.code:
        return PreferFailure()
    if code != Filter.code:
        return UnknownOption(code, value)
    prefix_length, port, host = _FILTER.unpack(value)
    if prefix_length > 128:
        raise RefusedRequest(ResultCode.MALFORMED_OPTION)
    return Filter(prefix_length, HostPort(unpack_host(host), port))
