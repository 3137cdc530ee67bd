"""NAT Port Mapping Protocol (RFC 6886): its messages, written and read.

A client writes requests to `PORT` of its router and reads responses; the router announces a new
public address, or that it forgot its mappings, by a `PublicAddressResponse` to `ANNOUNCEMENTS`.
All times are whole seconds.
"""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv4Address
from struct import Struct
from typing import Literal

from attrs import frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage

PORT = 5351
"""The UDP port of the router."""

ANNOUNCEMENTS = HostPort("224.0.0.1", 5350)
"""Where clients hear of a router that has restarted or has another public address."""

Protocol = Literal["udp", "tcp"]

_LARGEST = 1_100
_RESPONSE = 128
_ADDRESS_OPCODE = 0
_MAP_OPCODES: dict[Protocol, int] = {"udp": 1, "tcp": 2}
_PROTOCOLS = {opcode: protocol for protocol, opcode in _MAP_OPCODES.items()}

_MAP_REQUEST = Struct("!BBHHHI")
_RESPONSE_HEAD = Struct("!BBH")
_REFUSAL = Struct("!BBHI")
_ADDRESS_RESPONSE = Struct("!BBHI4s")
_MAP_RESPONSE = Struct("!BBHIHHI")


class ResultCode(IntEnum):
    """What became of a request (section 3.5)."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


@frozen
class PublicAddressRequest:
    """Asks for the router's public address (section 3.2)."""

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return bytes((0, _ADDRESS_OPCODE))


@frozen
class MappingRequest:
    """Asks for a mapping, for more time for it, or for its end (sections 3.3 and 3.4)."""

    protocol: Protocol
    internal_port: int
    """0 for all of the client's ports, when they are to be unmapped."""
    suggested_port: int
    """The public port that the client would like; 0 for any."""
    lifetime: int
    """0 to unmap."""

    def encode(self) -> bytes:
        """Return the bytes to send."""
        opcode = _MAP_OPCODES[self.protocol]
        return _MAP_REQUEST.pack(
            0, opcode, 0, self.internal_port, self.suggested_port, self.lifetime
        )


@frozen
class PublicAddressResponse:
    """Tells the public address; unasked, it is an announcement (section 3.2.1)."""

    result: int
    epoch: int
    """How long the router has known its mappings: it forgot them when this falls behind."""
    address: str
    """The public IPv4 address; 0.0.0.0 when there is none."""

    def encode(self) -> bytes:
        """Return the bytes to send."""
        packed = IPv4Address(self.address).packed
        opcode = _RESPONSE | _ADDRESS_OPCODE
        return _ADDRESS_RESPONSE.pack(0, opcode, self.result, self.epoch, packed)


@frozen
class MappingResponse:
    """Tells what was mapped."""

    protocol: Protocol
    result: int
    epoch: int
    internal_port: int
    public_port: int
    """0 when nothing is mapped."""
    lifetime: int
    """0 when nothing is mapped."""

    def encode(self) -> bytes:
        """Return the bytes to send."""
        opcode = _RESPONSE | _MAP_OPCODES[self.protocol]
        return _MAP_RESPONSE.pack(
            0,
            opcode,
            self.result,
            self.epoch,
            self.internal_port,
            self.public_port,
            self.lifetime,
        )


@frozen
class Refusal:
    """Tells that a request was not understood: its version or its opcode."""

    opcode: int
    """That of the request, from 0 to 127."""
    result: int
    epoch: int

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return _REFUSAL.pack(0, _RESPONSE | self.opcode, self.result, self.epoch)


Request = PublicAddressRequest | MappingRequest
Response = PublicAddressResponse | MappingResponse | Refusal


class RefusedRequest(MalformedMessage):
    """The request is of a version or an opcode that this is not written for."""

    def __init__(self, result: ResultCode, opcode: int) -> None:
        super().__init__(f"a NAT-PMP request is refused: {result.name}")
        self.result = result
        """What the client is to be told."""
        self.opcode = opcode


def decode_request(data: bytes) -> Request:
    """Return the request that these bytes are.

    :raises RefusedRequest: when the client is to be told so; that is a `MalformedMessage`.
    :raises MalformedMessage: when it is no request.
    """
    if not 2 <= len(data) <= _LARGEST or data[1] >= _RESPONSE:
        raise MalformedMessage("this is not a NAT-PMP request")
    version, opcode = data[:2]
    if version:
        raise RefusedRequest(ResultCode.UNSUPPORTED_VERSION, opcode)
    if opcode == _ADDRESS_OPCODE:
        return PublicAddressRequest()
    if opcode not in _PROTOCOLS:
        raise RefusedRequest(ResultCode.UNSUPPORTED_OPCODE, opcode)
    if len(data) != _MAP_REQUEST.size:
        raise MalformedMessage(f"a NAT-PMP mapping request of {len(data)} bytes")
    return MappingRequest(_PROTOCOLS[opcode], *_MAP_REQUEST.unpack(data)[3:])


def decode_response(data: bytes) -> Response:
    """Return the response that these bytes are; raises `MalformedMessage` and nothing else.

    A response without success may be cut short, as some routers do: it is a `Refusal` then.
    """
    if not _RESPONSE_HEAD.size <= len(data) <= _LARGEST or data[0] or data[1] < _RESPONSE:
        raise MalformedMessage("this is not a NAT-PMP response")
    opcode, result = data[1] - _RESPONSE, int.from_bytes(data[2:4], "big")
    if opcode == _ADDRESS_OPCODE and len(data) == _ADDRESS_RESPONSE.size:
        epoch, packed = _ADDRESS_RESPONSE.unpack(data)[3:]
        return PublicAddressResponse(result, epoch, str(IPv4Address(packed)))
    if opcode in _PROTOCOLS and len(data) == _MAP_RESPONSE.size:
        return MappingResponse(_PROTOCOLS[opcode], *_MAP_RESPONSE.unpack(data)[2:])
    if result == ResultCode.SUCCESS:
        raise MalformedMessage(f"a NAT-PMP response of {len(data)} bytes to opcode {opcode}")
    epoch = int.from_bytes(data[4:8], "big") if len(data) >= _REFUSAL.size else 0
    return Refusal(opcode, result, epoch)
