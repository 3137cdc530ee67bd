"""Makes ``docs/test-vectors.json``: ``python -m tests.docs.vectors``, from the top folder.

Everything in it comes of fixed keys and fixed randomness, so that a second implementation can
compare its bytes with ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

from attrs import evolve, fields

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.connection import wire
from twisted_p2p.connection.authentication import ALPN, make_proof
from twisted_p2p.connection.certificate import make_certificate
from twisted_p2p.ice.candidate import Candidate
from twisted_p2p.ice.checks import Check, Checks
from twisted_p2p.identity.keys import IdentityKey, SignatureLabel
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.rendezvous.offer import Answer as BoxedAnswer
from twisted_p2p.rendezvous.offer import Offer, Refusal, ice_credentials
from twisted_p2p.stun.attributes import MAPPED_ADDRESS, XOR_MAPPED_ADDRESS, ErrorCode
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage
from twisted_p2p.tracker import messages as m
from twisted_p2p.tracker.attributes import REGISTER
from twisted_p2p.tracker.listed_peer import ListedPeer

FILE = Path(__file__).resolve().parents[2] / "docs" / "test-vectors.json"

INITIATOR = IdentityKey.from_seed(bytes(range(32)))
RESPONDER = IdentityKey.from_seed(bytes(range(32, 64)))
TRACKER_HOST = HostPort("11.0.0.1", 3478)
SEEN_AT = HostPort("11.0.1.1", 49664)
SEEN_AT_IPV6 = HostPort("2001:db8::7", 49665)
TRANSACTION_ID = bytes(range(0xA0, 0xAC))
COOKIE = bytes(range(16))
TOKEN = bytes(range(16, 32))
SECRET = bytes(range(64, 96))
SESSION_ID = bytes(range(96, 112))
NONCE = bytes(range(112, 136))
TLS_KEY = bytes(range(136, 168))
SERIAL = bytes(range(168, 187))
SEQUENCE = 1_700_000_000_000
HOST_CANDIDATE = Candidate.host(HostPort("192.168.1.2", 49664), base=None)
SEEN_CANDIDATE = Candidate.server_reflexive(
    SEEN_AT, base=None, related_address=HOST_CANDIDATE.address, server_host=TRACKER_HOST.host
)

RECORD = PeerRecord(
    peer_id=INITIATOR.peer_id,
    sequence=SEQUENCE,
    lifetime=300,
    accepting=True,
    services=("echo", "Grüße"),
    addresses=(SEEN_AT, SEEN_AT_IPV6),
    address_policy=AddressPolicy.LISTED,
    listed_keys=(RESPONDER.peer_id.public_key,),
    topics=("chess",),
).sign(INITIATOR)

LISTED = (
    ListedPeer(RESPONDER.peer_id.public_key, True, ("echo", "Grüße"), has_more_services=True),
    ListedPeer(INITIATOR.peer_id.public_key),
)

OFFER = Offer(
    sender=INITIATOR.peer_id,
    recipient=RESPONDER.peer_id,
    session_id=SESSION_ID,
    sequence=SEQUENCE + 1,
    secret=SECRET,
    candidates=(HOST_CANDIDATE, SEEN_CANDIDATE),
)
ACCEPTED = BoxedAnswer(
    sender=RESPONDER.peer_id,
    recipient=INITIATOR.peer_id,
    session_id=SESSION_ID,
    candidates=(evolve(HOST_CANDIDATE, address=SEEN_AT_IPV6),),
)
REFUSED = evolve(
    ACCEPTED, candidates=(), refusal=Refusal.STALE_SEQUENCE, last_sequence=SEQUENCE + 9
)
BOXED: dict[str, tuple[IdentityKey, Offer | BoxedAnswer]] = {
    "offer": (INITIATOR, OFFER),
    "answer that accepts": (RESPONDER, ACCEPTED),
    "answer that refuses": (RESPONDER, REFUSED),
}


def seal(identity: IdentityKey, content: Offer | BoxedAnswer) -> bytes:
    """Return the box that has the fixed nonce."""
    with patch("nacl.public.random", lambda size: NONCE[:size]):
        return content.seal(identity)


def tracker_messages() -> Iterator[Any]:
    """Return one message of each kind."""
    key, target = INITIATOR.peer_id.public_key, RESPONDER.peer_id.public_key
    proof: dict[str, Any] = {"mapped_address": SEEN_AT, "server_address": TRACKER_HOST}
    box = seal(INITIATOR, OFFER)
    yield m.CookieRequest(REGISTER)
    yield m.Challenge(REGISTER, ErrorCode(401, ""), COOKIE, SEEN_AT)
    yield m.Register.sign(INITIATOR, cookie=COOKIE, record=RECORD, **proof)
    yield m.Registered(TOKEN, COOKIE, 45, SEEN_AT)
    yield m.Refresh(key, TOKEN, succeeded=3)
    yield m.Refreshed(TOKEN, COOKIE, 45, SEEN_AT_IPV6)
    yield m.Unregister.sign(INITIATOR, cookie=COOKIE, **proof)
    yield m.Unregistered()
    yield m.LookUp(COOKIE, target)
    yield m.Presence(target, accepting=True, services=("echo",))
    yield m.Introduce(key, TOKEN, target, box)
    yield m.Introduced((SEEN_AT, SEEN_AT_IPV6))
    yield m.OfferHandedOver(key, box, (SEEN_AT,))
    yield m.Answer(target, TOKEN, key, seal(RESPONDER, ACCEPTED), accepting=True)
    yield m.AnswerTaken()
    yield m.AnswerHandedOver(target, seal(RESPONDER, ACCEPTED), (SEEN_AT_IPV6,))
    yield m.ListPeers(key, TOKEN)
    yield m.ListPeers(key, TOKEN, "chess")
    yield m.Listed(1000, LISTED)
    yield m.Failure(REGISTER, ErrorCode(409, ""), sequence=SEQUENCE)
    yield m.Failure(REGISTER, ErrorCode(429, ""), retry_after_ms=1500)


def control_messages() -> Iterator[wire.ControlMessage]:
    """Return one message of each kind, with numbers of each length."""
    certificate = make_certificate(RESPONDER, random_bytes=fixed_random()).der
    yield wire.Proof(make_proof(INITIATOR, RESPONDER.peer_id, certificate))
    yield wire.Credit(4, 131_072)
    yield wire.Delivered(63)
    yield wire.Goodbye(0x1000)
    yield wire.Ping(16_383)
    yield wire.Pong(1_073_741_824)
    yield wire.End(8, 1_000_000)


def fixed_random() -> Any:
    """Return what a certificate takes its randomness from: the key, then the serial number."""
    parts = iter((TLS_KEY, SERIAL))
    return lambda size: next(parts)


def plain(value: Any) -> Any:
    """Return a value as the file has it: bytes in hexadecimal, addresses as text."""
    if isinstance(value, bytes | HostPort):
        return value.hex() if isinstance(value, bytes) else str(value)
    if isinstance(value, ErrorCode):
        return value.code
    if isinstance(value, ListedPeer):
        return described(value)
    if isinstance(value, Candidate):
        return {
            "type": value.candidate_type.value,
            "address": str(value.address),
            "priority": value.priority,
            "foundation": value.foundation,
        }
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def described(value: Any, *without: str) -> dict[str, Any]:
    """Return the fields of a value by name."""
    names = [field.name for field in fields(type(value)) if field.name not in without]
    return {name: plain(getattr(value, name)) for name in names}


def make_vectors() -> dict[str, Any]:
    """Return the whole file."""
    return {
        "keys": {
            name: {
                "seed": seed.hex(),
                "public_key": plain(identity.peer_id.public_key),
                "peer_id": str(identity.peer_id),
            }
            for name, identity, seed in (
                ("initiator", INITIATOR, bytes(range(32))),
                ("responder", RESPONDER, bytes(range(32, 64))),
            )
        },
        "transaction_id": plain(TRANSACTION_ID),
        "stun": [_stun(message) for message in tracker_messages()],
        "signatures": [_record_signature(), _register_signature()],
        "boxes": [_box(name, *content) for name, content in BOXED.items()],
        "ice": _ice(),
        "certificate": _certificate(),
        "control": [
            {"kind": type(each).__name__, **described(each), "bytes": plain(encoded)}
            for each in control_messages()
            for encoded in [wire.encode_control(each)]
        ],
        "streams": {
            "opening of echo": plain(wire.encode_opening("echo")),
            "accepted": plain(wire.encode_reply(wire.Reply.ACCEPTED)),
            "unknown service": plain(wire.encode_reply(wire.Reply.UNKNOWN_SERVICE, "no echo")),
            "refused": plain(wire.encode_reply(wire.Reply.REFUSED, "")),
        },
    }


def _stun(message: Any) -> dict[str, Any]:
    return {
        "kind": type(message).__name__,
        "method": message.method,
        "class": message.message_class.name.lower(),
        "fields": described(message, "method"),
        "bytes": plain(message.encode(TRANSACTION_ID)),
    }


def _signature(label: SignatureLabel, parts: list[bytes], signature: bytes) -> dict[str, Any]:
    return {
        "label": plain(label.value),
        "parts": [plain(part) for part in parts],
        "signature": plain(signature),
    }


def _record_signature() -> dict[str, Any]:
    return _signature(SignatureLabel.RECORD, [RECORD[:-68]], RECORD[-64:]) | {
        "record": plain(RECORD)
    }


def _register_signature() -> dict[str, Any]:
    addresses = [MAPPED_ADDRESS.encode(address, b"") for address in (SEEN_AT, TRACKER_HOST)]
    parts = [COOKIE, *addresses, sha256(RECORD).digest()]
    return _signature(
        SignatureLabel.REGISTER, parts, INITIATOR.sign(SignatureLabel.REGISTER, *parts)
    )


def _box(name: str, identity: IdentityKey, content: Offer | BoxedAnswer) -> dict[str, Any]:
    box = seal(identity, content)
    return {
        "name": name,
        "fields": described(content),
        "nonce": plain(NONCE),
        "plain": plain(identity.box_with(content.recipient).open(box)),
        "box": plain(box),
    }


def _ice() -> dict[str, Any]:
    initiator, responder = ice_credentials(SECRET)
    path = DatagramPath(None, SEEN_AT)
    tie_breaker = 0x0102030405060708
    checks = Checks(
        local=initiator,
        remote=responder,
        tie_breaker=tie_breaker,
        new_transaction_id=lambda: TRANSACTION_ID,
    )
    seen = STUNMessage.build(
        BINDING, MessageClass.SUCCESS, TRANSACTION_ID, (XOR_MAPPED_ADDRESS, SEEN_AT)
    )
    return {
        "secret": plain(SECRET),
        "initiator": described(initiator),
        "responder": described(responder),
        "tie_breaker": tie_breaker,
        "priority": 1_845_501_695,
        "check": plain(checks.request(Check(path, 0.0, True, None), 1_845_501_695)),
        "nominating check": plain(checks.request(Check(path, 0.0, True, 1), 1_845_501_695)),
        "response": plain(seen.encode(integrity_key=responder.password.encode(), fingerprint=True)),
    }


def _certificate() -> dict[str, Any]:
    certificate = make_certificate(RESPONDER, random_bytes=fixed_random()).der
    proof = make_proof(INITIATOR, RESPONDER.peer_id, certificate)
    parts = [
        ALPN.encode(),
        INITIATOR.peer_id.public_key,
        RESPONDER.peer_id.public_key,
        sha256(certificate).digest(),
    ]
    return {
        "tls_key": plain(TLS_KEY),
        "serial_number": plain(b"\x40" + SERIAL),
        "der": plain(certificate),
        "initiator_proof": _signature(SignatureLabel.INITIATOR_PROOF, parts, proof[32:]),
    }


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(make_vectors(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
