"""Values and messages for the properties of STUN."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import strategies as st

from twisted_p2p.addresses import HostPort
from twisted_p2p.stun import attributes
from twisted_p2p.stun.attributes import (
    AttributeType,
    ChangeRequest,
    ErrorCode,
    PasswordAlgorithm,
)
from twisted_p2p.stun.message import MessageClass, STUNMessage

TRANSACTION_IDS = st.binary(min_size=12, max_size=12)
HOSTS = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number))),
    # From 2**48, as Python's versions differ in how they write mapped IPv4 addresses.
    st.integers(2**48, 2**128 - 1).map(lambda number: str(IPv6Address(number))),
)
ADDRESSES = st.builds(HostPort, HOSTS, st.integers(0, 0xFFFF))
SHORT_TEXTS = st.text(max_size=127)
UINT16 = st.integers(0, 0xFFFF)
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
ALGORITHMS = st.builds(PasswordAlgorithm, UINT16, st.binary(max_size=40))

VALUES: dict[AttributeType[Any], st.SearchStrategy[Any]] = {
    attributes.MAPPED_ADDRESS: ADDRESSES,
    attributes.USERNAME: st.text(max_size=127),
    attributes.MESSAGE_INTEGRITY: st.binary(min_size=20, max_size=20),
    attributes.ERROR_CODE: st.builds(ErrorCode, st.integers(300, 699), SHORT_TEXTS),
    attributes.UNKNOWN_ATTRIBUTES: st.lists(UINT16, max_size=20).map(tuple),
    attributes.REALM: SHORT_TEXTS,
    attributes.NONCE: SHORT_TEXTS,
    attributes.MESSAGE_INTEGRITY_SHA256: st.binary(min_size=16, max_size=32),
    attributes.PASSWORD_ALGORITHM: ALGORITHMS,
    attributes.USERHASH: st.binary(min_size=32, max_size=32),
    attributes.XOR_MAPPED_ADDRESS: ADDRESSES,
    attributes.PASSWORD_ALGORITHMS: st.lists(ALGORITHMS, max_size=4).map(tuple),
    attributes.ALTERNATE_DOMAIN: st.text("abc.-", max_size=255),
    attributes.SOFTWARE: SHORT_TEXTS,
    attributes.ALTERNATE_SERVER: ADDRESSES,
    attributes.FINGERPRINT: UINT32,
    attributes.PRIORITY: UINT32,
    attributes.USE_CANDIDATE: st.just(True),
    attributes.ICE_CONTROLLED: UINT64,
    attributes.ICE_CONTROLLING: UINT64,
    attributes.LIFETIME: UINT32,
    attributes.XOR_PEER_ADDRESS: ADDRESSES,
    attributes.CHANGE_REQUEST: st.sampled_from([ChangeRequest(bits) for bits in (0, 2, 4, 6)]),
    attributes.PADDING: st.binary(max_size=200),
    attributes.RESPONSE_PORT: UINT16,
    attributes.RESPONSE_ORIGIN: ADDRESSES,
    attributes.OTHER_ADDRESS: ADDRESSES,
}
"""Every attribute type of the package with the values that it takes."""

_TRAILERS = (
    attributes.MESSAGE_INTEGRITY,
    attributes.MESSAGE_INTEGRITY_SHA256,
    attributes.FINGERPRINT,
)


def pairs(*kinds: AttributeType[Any]) -> st.SearchStrategy[tuple[AttributeType[Any], Any]]:
    """Return pairs of one of these types and a value of it."""
    return st.sampled_from(kinds).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))


CONTENT_PAIRS = pairs(*(kind for kind in VALUES if kind not in _TRAILERS))
"""What a message carries, its integrity and fingerprint left to `STUNMessage.encode`."""

MESSAGES = st.builds(
    lambda method, message_class, transaction_id, content: STUNMessage.build(
        method, message_class, transaction_id, *content
    ),
    st.integers(0, 0xFF),
    st.sampled_from(MessageClass),
    TRANSACTION_IDS,
    st.lists(CONTENT_PAIRS, max_size=6),
)
