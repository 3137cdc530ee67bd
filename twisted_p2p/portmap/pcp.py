"""Port Control Protocol (RFC 6887), version 2: its messages, written and read.

A client writes a `Request` to `PORT` of its router, which is NAT-PMP's, and reads a `Response`;
an unasked response with `Announce` to `ANNOUNCEMENTS` tells that the router has restarted.  All
times are whole seconds.  IPv4 addresses are written as IPv4-mapped ones, and are IPv4 text here.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import ClassVar

from attrs import frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.portmap.pcp_options import (
    Option,
    decode_options,
    encode_options,
    pack_host,
    unpack_host,
)
from twisted_p2p.portmap.pcp_results import RefusedRequest, ResultCode

PORT = 5351
"""The UDP port of the router."""

ANNOUNCEMENTS = HostPort("224.0.0.1", 5350)
"""Where clients hear of a router that has restarted; over IPv6 it is ``ff02::1``."""

VERSION = 2

LARGEST = 1_100
"""The most bytes of a message (section 7)."""

_RESPONSE = 0x80
_HEADER_SIZE = 24
_REQUEST_HEADER = Struct("!BBHI16s")
_RESPONSE_HEADER = Struct("!BBBBII12x")
_MAPPING = Struct("!12sB3xHH16s")
_PEER = Struct("!12sB3xHH16sH2x16s")


class TransportProtocol(IntEnum):
    """The protocols that a router can be expected to map, by their number with IANA."""

    ALL = 0
    TCP = 6
    UDP = 17


@frozen
class Announce:
    """Asks whether the router still knows its mappings, or tells that it does not (14.1)."""

    opcode: ClassVar[int] = 0

    def encode(self) -> bytes:
        """Return the bytes of the opcode's own."""
        return b""


@frozen
class Mapping:
    """A mapping that lets anyone in (opcode MAP, section 11)."""

    opcode: ClassVar[int] = 1

    nonce: bytes
    """12 bytes that only the client knows: whoever changes the mapping must repeat them."""
    protocol: int
    """A `TransportProtocol`, or another number of IANA's."""
    internal_port: int
    """0 for all ports."""
    external: HostPort
    """In a request what is suggested: port 0 and an unspecified host for anything."""

    def encode(self) -> bytes:
        """Return the bytes of the opcode's own."""
        host, port = self.external
        return _MAPPING.pack(self.nonce, self.protocol, self.internal_port, port, pack_host(host))


@frozen
class Peer:
    """A mapping for traffic with one remote endpoint (opcode PEER, section 12)."""

    opcode: ClassVar[int] = 2

    nonce: bytes
    """As that of `Mapping`."""
    protocol: int
    internal_port: int
    external: HostPort
    """As that of `Mapping`."""
    remote: HostPort

    def encode(self) -> bytes:
        """Return the bytes of the opcode's own."""
        return _PEER.pack(
            self.nonce,
            self.protocol,
            self.internal_port,
            self.external.port,
            pack_host(self.external.host),
            self.remote.port,
            pack_host(self.remote.host),
        )


Body = Announce | Mapping | Peer

_SIZES = {Announce.opcode: 0, Mapping.opcode: _MAPPING.size, Peer.opcode: _PEER.size}


@frozen
class Request:
    """What a client asks; a lifetime of 0 ends a mapping."""

    client: str
    """The client's address, as it knows it itself."""
    lifetime: int
    body: Body
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes to send."""
        header = _REQUEST_HEADER.pack(
            VERSION, self.body.opcode, 0, self.lifetime, pack_host(self.client)
        )
        return header + self.body.encode() + encode_options(self.options)


@frozen
class Response:
    """What a router answers."""

    result: int
    lifetime: int
    """Of the mapping, or of the error: how long another try makes no sense."""
    epoch: int
    """How long the router has known its mappings: it forgot them when this falls behind."""
    opcode: int
    body: Body | None
    """None when an error has no body that can be read."""
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return (
            _response_header(self.opcode, self.result, self.lifetime, self.epoch)
            + (self.body.encode() if self.body else b"")
            + encode_options(self.options)
        )


def decode_request(data: bytes) -> Request:
    """Return the request that these bytes are.

    :raises RefusedRequest: when the client is to be told so, with `encode_refusal`; that is a
        `MalformedMessage`.
    :raises MalformedMessage: when it is no request.
    """
    if len(data) < 2 or data[1] & _RESPONSE:
        raise MalformedMessage("this is not a PCP request")
    if data[0] != VERSION:
        raise RefusedRequest(ResultCode.UNSUPP_VERSION)
    if not _HEADER_SIZE <= len(data) <= LARGEST or len(data) % 4:
        raise RefusedRequest(ResultCode.MALFORMED_REQUEST)
    _, opcode, _, lifetime, client = _REQUEST_HEADER.unpack_from(data)
    if opcode not in _SIZES:
        raise RefusedRequest(ResultCode.UNSUPP_OPCODE)
    end = _HEADER_SIZE + _SIZES[opcode]
    if len(data) < end:
        raise RefusedRequest(ResultCode.MALFORMED_REQUEST)
    body = _decode_body(opcode, data[_HEADER_SIZE:end])
    return Request(unpack_host(client), lifetime, body, decode_options(data[end:]))


def encode_refusal(request: bytes, result: ResultCode, *, lifetime: int, epoch: int) -> bytes:
    """Return the response to a request that `decode_request` refused.

    It repeats what follows the request's header, as far as a message can be long (section 8.2).
    """
    rest = request[_HEADER_SIZE:LARGEST]
    header = _response_header(request[1] & ~_RESPONSE, result, lifetime, epoch)
    return header + rest + bytes(-len(rest) % 4)


def decode_response(data: bytes) -> Response:
    """Return the response that these bytes are; raises `MalformedMessage` and nothing else."""
    if not _HEADER_SIZE <= len(data) <= LARGEST or len(data) % 4:
        raise MalformedMessage("this is not a PCP message")
    version, kind, _, result, lifetime, epoch = _RESPONSE_HEADER.unpack_from(data)
    if version != VERSION or not kind & _RESPONSE:
        raise MalformedMessage("this is not a PCP response")
    opcode = kind & ~_RESPONSE
    end = _HEADER_SIZE + _SIZES.get(opcode, len(data))
    if end > len(data):
        if result == ResultCode.SUCCESS:
            raise MalformedMessage(f"a PCP response of {len(data)} bytes to opcode {opcode}")
        return Response(result, lifetime, epoch, opcode, None)
    body = _decode_body(opcode, data[_HEADER_SIZE:end])
    return Response(result, lifetime, epoch, opcode, body, decode_options(data[end:]))


def _response_header(opcode: int, result: int, lifetime: int, epoch: int) -> bytes:
    return _RESPONSE_HEADER.pack(VERSION, _RESPONSE | opcode, 0, result, lifetime, epoch)


def _decode_body(opcode: int, data: bytes) -> Body:
    if opcode == Announce.opcode:
        return Announce()
    if opcode == Mapping.opcode:
        nonce, protocol, internal_port, port, host = _MAPPING.unpack(data)
        return Mapping(nonce, protocol, internal_port, HostPort(unpack_host(host), port))
    nonce, protocol, internal_port, port, host, remote_port, remote = _PEER.unpack(data)
    return Peer(
        nonce,
        protocol,
        internal_port,
        HostPort(unpack_host(host), port),
        HostPort(unpack_host(remote), remote_port),
    )
