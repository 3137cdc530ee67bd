"""Candidates: the addresses at which a peer may be reached, their priority and their wire form."""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from enum import IntEnum
from ipaddress import IPv6Address, ip_address

from attrs import field, frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage

_IPV4, _IPV6 = 1, 2  # the address families of STUN, RFC 8489 section 14.1
_ADDRESS_LENGTHS = {_IPV4: 4, _IPV6: 16}
_FIXED_LENGTH = 8
_ICE_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class CandidateType(IntEnum):
    """How an address was learned, RFC 8445 section 5.1.1; the numbers are those on the wire."""

    HOST = 1
    SERVER_REFLEXIVE = 2
    PEER_REFLEXIVE = 3
    RELAYED = 4


_TYPE_PREFERENCES = {  # RFC 8445 section 5.1.2.2
    CandidateType.HOST: 126,
    CandidateType.PEER_REFLEXIVE: 110,
    CandidateType.SERVER_REFLEXIVE: 100,
    CandidateType.RELAYED: 0,
}


def candidate_priority(candidate_type: CandidateType, local_preference: int = 65535) -> int:
    """Return the priority of a candidate of the one component we have, RFC 8445 section 5.1.2.1.

    ``local_preference`` is from 0 to 65535 and differs between the addresses of one type.
    """
    return (_TYPE_PREFERENCES[candidate_type] << 24) + (local_preference << 8) + 255


def candidate_foundation(
    candidate_type: CandidateType, base_host: str, server_host: str = ""
) -> str:
    """Return text equal for candidates that are likely to work or fail alike.

    That is those of one type, one base address and one server: RFC 8445 section 5.1.1.3.
    """
    return f"{zlib.crc32(f'{candidate_type}|{base_host}|{server_host}'.encode()):x}"


@frozen
class Candidate:
    """An address at which this node or its peer may be reached."""

    address: HostPort
    candidate_type: CandidateType
    priority: int
    foundation: str
    base: Hashable = None
    """The local socket to send from; None for a candidate of the peer."""
    related_address: HostPort | None = field(default=None, eq=False)
    """The address behind a reflexive one, for diagnosis only; it never leaves this node."""

    @classmethod
    def host(cls, address: HostPort, *, base: Hashable, local_preference: int = 65535) -> Candidate:
        """Return the candidate for an address of an own interface."""
        return cls(
            address=address,
            candidate_type=CandidateType.HOST,
            priority=candidate_priority(CandidateType.HOST, local_preference),
            foundation=candidate_foundation(CandidateType.HOST, address.host),
            base=base,
        )

    @classmethod
    def server_reflexive(
        cls,
        address: HostPort,
        *,
        base: Hashable,
        related_address: HostPort,
        server_host: str,
        local_preference: int = 65535,
    ) -> Candidate:
        """Return the candidate for an address that a server saw this node at."""
        candidate_type = CandidateType.SERVER_REFLEXIVE
        return cls(
            address=address,
            candidate_type=candidate_type,
            priority=candidate_priority(candidate_type, local_preference),
            foundation=candidate_foundation(candidate_type, related_address.host, server_host),
            base=base,
            related_address=related_address,
        )


def encode_candidate(candidate: Candidate) -> bytes:
    """Return a candidate as bytes, without what only its own node can use.

    Type (1 byte), STUN address family (1), port (2), priority (4), address (4 or 16), and the
    foundation as the rest: some 20 bytes for IPv4.
    """
    address = ip_address(candidate.address.host)
    return b"".join(
        (
            bytes((candidate.candidate_type, _IPV6 if address.version == 6 else _IPV4)),
            candidate.address.port.to_bytes(2, "big"),
            candidate.priority.to_bytes(4, "big"),
            address.packed,
            candidate.foundation.encode("ascii"),
        )
    )


def decode_candidate(data: bytes) -> Candidate:
    """Return the peer's candidate that `encode_candidate` made bytes of.

    Whether to send there is another question: see `twisted_p2p.ice.filter`.  Raises
    `MalformedMessage` for anything else.
    """
    if len(data) < _FIXED_LENGTH or data[1] not in _ADDRESS_LENGTHS:
        raise MalformedMessage("A candidate is too short or of an unknown address family.")
    try:
        candidate_type = CandidateType(data[0])
    except ValueError:
        raise MalformedMessage("A candidate is of an unknown type.") from None
    end = _FIXED_LENGTH + _ADDRESS_LENGTHS[data[1]]
    foundation = data[end:]
    # RFC 8839 section 5.1: 1 to 32 characters.  An address cut short leaves none.
    if not 1 <= len(foundation) <= 32 or not _ICE_CHARACTERS.issuperset(foundation):
        raise MalformedMessage("A candidate is cut short, or its foundation is none.")
    return Candidate(
        address=HostPort(_host(data[_FIXED_LENGTH:end]), int.from_bytes(data[2:4], "big")),
        candidate_type=candidate_type,
        priority=int.from_bytes(data[4:8], "big"),
        foundation=foundation.decode("ascii"),
    )


def _host(packed: bytes) -> str:
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # Python 3.13 writes these otherwise than 3.11 does; an IPv4 address has one spelling.
        return str(address.ipv4_mapped)
    return str(address)
