"""The numbers of the tracker's part of STUN: methods, error codes, attributes and limits."""

from __future__ import annotations

from twisted_p2p.identity.record import MAXIMUM_TOPIC
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    LIFETIME,
    PADDING,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
    bytes_attribute,
    flag_attribute,
    text_attribute,
    uint16_attribute,
    uint32_attribute,
    uint64_attribute,
    xor_address_attribute,
)
from twisted_p2p.tracker.listed_peer import listed_peer_attribute

VERSION = 1
"""The protocol version spoken here."""

MAXIMUM_SIZE = 1200
"""Bytes of the largest datagram to or from a tracker."""

MAXIMUM_BOX = 900
"""Bytes of the largest boxed offer or answer."""

CHALLENGE_MINIMUM = 128
"""Bytes below which a request without proof of its source gets no answer."""

MAXIMUM_ADDRESSES = 4
"""Observed addresses of one peer that are kept and told."""

MAXIMUM_LISTED = 24
"""Peers that one answer lists."""

# Methods; all stay below 0x100, so that the first byte of a message stays 0 to 3.
REGISTER = 0x0E1
REFRESH = 0x0E2
UNREGISTER = 0x0E3
LOOK_UP = 0x0E4
INTRODUCE = 0x0E5
OFFER = 0x0E6
ANSWER = 0x0E7
LIST = 0x0E8

# Numbers of ERROR-CODE.
BAD_REQUEST = 400
COOKIE_NEEDED = 401
FORBIDDEN = 403
PEER_OFFLINE = 404
STALE_SEQUENCE = 409
UNKNOWN_ATTRIBUTE = 420
VERSION_NOT_SUPPORTED = 426
TOO_MANY = 429
STALE_TOKEN = 438
NO_CAPACITY = 508

# Attributes of our own: up to 0x7FFF they must be understood, from 0x8000 they may be ignored.
PROTOCOL_VERSION = uint16_attribute(0x7401, "PROTOCOL-VERSION")
COOKIE = bytes_attribute(0x7402, "COOKIE", 8, 24)
PEER_ID = bytes_attribute(0x7403, "PEER-ID", 32, 32)
TARGET = bytes_attribute(0x7404, "TARGET", 32, 32)
SIGNED_RECORD = bytes_attribute(0x7405, "SIGNED-RECORD", 1, 1000)
SIGNATURE = bytes_attribute(0x7406, "SIGNATURE", 64, 64)
TOKEN = bytes_attribute(0x7407, "TOKEN", 8, 32)
BOX = bytes_attribute(0x7408, "BOX", 1, MAXIMUM_BOX)
SERVICE_NAME = text_attribute(0x7409, "SERVICE-NAME", maximum_characters=255, maximum_bytes=255)
ACCEPTING = flag_attribute(0x740A, "ACCEPTING")
SEQUENCE = uint64_attribute(0x740B, "SEQUENCE")
SERVER_ADDRESS = xor_address_attribute(0x740D, "SERVER-ADDRESS")
TOPIC = text_attribute(
    0x740E, "TOPIC", maximum_characters=MAXIMUM_TOPIC, maximum_bytes=MAXIMUM_TOPIC
)
LISTED_PEER = listed_peer_attribute(0x740F, "LISTED-PEER")
RETRY_AFTER = uint32_attribute(0xF401, "RETRY-AFTER")  # milliseconds
NAT_FACTS = bytes_attribute(0xF402, "NAT-FACTS", 1, 16)
INTRODUCTIONS_SUCCEEDED = uint32_attribute(0xF403, "INTRODUCTIONS-SUCCEEDED")
PEERS_IN_ALL = uint32_attribute(0xF404, "PEERS-IN-ALL")

KNOWN_ATTRIBUTES = frozenset(
    kind.code
    for kind in (
        PROTOCOL_VERSION,
        COOKIE,
        PEER_ID,
        TARGET,
        SIGNED_RECORD,
        SIGNATURE,
        TOKEN,
        BOX,
        SERVICE_NAME,
        ACCEPTING,
        SEQUENCE,
        SERVER_ADDRESS,
        TOPIC,
        LISTED_PEER,
        ERROR_CODE,
        LIFETIME,
        PADDING,
        UNKNOWN_ATTRIBUTES,
        XOR_MAPPED_ADDRESS,
        XOR_PEER_ADDRESS,
    )
)
"""The codes that must be understood, and are, in messages of ours."""
