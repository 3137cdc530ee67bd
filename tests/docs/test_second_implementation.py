"""The page on the wire protocol is enough to read the vectors: nothing of this package is used."""

from __future__ import annotations

import hmac
import json
import struct
from base64 import b32decode, b64encode
from collections.abc import Sequence
from hashlib import blake2b, sha1, sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zlib import crc32

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.public import Box
from nacl.signing import SigningKey, VerifyKey
from twisted.trial.unittest import SynchronousTestCase

FILE = Path(__file__).resolve().parents[2] / "docs" / "test-vectors.json"
COOKIE = 0x2112A442
CLASSES = {0x000: "request", 0x010: "indication", 0x100: "success", 0x110: "error"}
EXTENSION = x509.ObjectIdentifier("2.25.14844927323251391452927851275204195278")

FIELDS = {
    0x0009: "error",
    0x000D: "lifetime",
    0x0020: "mapped_address",
    0x7402: "cookie",
    0x7403: "peer_key",
    0x7404: "target_key",
    0x7405: "record",
    0x7406: "signature",
    0x7407: "token",
    0x7408: "box",
    0x740B: "sequence",
    0x740D: "server_address",
    0x740E: "topic",
    0xF401: "retry_after_ms",
    0xF403: "succeeded",
    0xF404: "in_all",
}
NUMBERS = {0x000D, 0x740B, 0xF401, 0xF403, 0xF404}
ADDRESSES = {0x0012, 0x0020, 0x740D}


def run(data: bytes) -> list[tuple[int, bytes]]:
    """Return the attributes of a run (RFC 8489, section 14)."""
    attributes = []
    while data:
        code, size = struct.unpack_from(">HH", data)
        attributes.append((code, data[4 : 4 + size]))
        data = data[4 + size + -size % 4 :]
    return attributes


def xor_address(value: bytes, transaction_id: bytes) -> str:
    """Return the address of XOR-MAPPED-ADDRESS (RFC 8489, section 14.2)."""
    mask = struct.pack(">I", COOKIE) + transaction_id
    port = int.from_bytes(value[2:4], "big") ^ COOKIE >> 16
    host = ip_address(bytes(a ^ b for a, b in zip(value[4:], mask, strict=False)))
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


def listed_peer(value: bytes) -> dict[str, Any]:
    """Return what LISTED-PEER says."""
    services, rest = [], value[33:]
    while rest:
        services.append(rest[1 : 1 + rest[0]].decode())
        rest = rest[1 + rest[0] :]
    return {
        "peer_key": value[:32].hex(),
        "accepting": bool(value[32] & 1),
        "services": services,
        "has_more_services": bool(value[32] & 2),
    }


def signed(label: str, parts: Sequence[str]) -> bytes:
    """Return what a signature covers."""
    framed = (struct.pack(">I", len(part) // 2) + bytes.fromhex(part) for part in parts)
    return bytes.fromhex(label) + b"".join(framed)


class SecondImplementationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file: dict[str, Any] = json.loads(FILE.read_text())
        self.keys = self.file["keys"]

    def read(self, data: bytes) -> tuple[str, int, list[tuple[int, bytes]]]:
        """Return class, method and attributes of a STUN message, whose fingerprint is right."""
        kind, size, cookie = struct.unpack_from(">HHI", data)
        self.assertEqual((size, cookie), (len(data) - 20, COOKIE))
        attributes = run(data[20:])
        fingerprint = struct.pack(">I", crc32(data[:-8]) ^ 0x5354554E)
        self.assertEqual(attributes[-1], (0x8028, fingerprint))
        method = kind & 0xF | (kind & 0xE0) >> 1 | (kind & 0x3E00) >> 2
        return CLASSES[kind & 0x110], method, attributes

    def value(self, code: int, data: bytes) -> Any:
        if code == 0x0009:
            return 100 * data[2] + data[3]
        if code in ADDRESSES:
            return xor_address(data, bytes.fromhex(self.file["transaction_id"]))
        if code == 0x740E:
            return data.decode()
        return int.from_bytes(data, "big") if code in NUMBERS else data.hex()

    def test_messages(self) -> None:
        for vector in self.file["stun"]:
            kind, method, attributes = self.read(bytes.fromhex(vector["bytes"]))
            self.assertEqual((kind, method), (vector["class"], vector["method"]))
            self.assertEqual(attributes[0], (0x7401, b"\x00\x01"))
            told = {name: value for name, value in vector["fields"].items() if value}
            read: dict[str, Any] = {}
            for code, data in attributes[1:-1]:
                if code == 0x740A:
                    read["accepting"] = True
                elif code == 0x7409:
                    read.setdefault("services", []).append(data.decode())
                elif code == 0x0012:
                    read.setdefault("addresses", []).append(self.value(code, data))
                elif code == 0x740F:
                    read.setdefault("peers", []).append(listed_peer(data))
                elif code != 0x0026:
                    read[FIELDS[code]] = self.value(code, data)
            self.assertEqual(read, told)
            if kind == "request":
                self.assertGreaterEqual(len(vector["bytes"]), 2 * 128)

    def test_peer_ids(self) -> None:
        for key in self.keys.values():
            padded = key["peer_id"].upper() + "===="
            self.assertEqual(b32decode(padded).hex(), key["public_key"])

    def test_signatures(self) -> None:
        key = VerifyKey(bytes.fromhex(self.keys["initiator"]["public_key"]))
        for each in (*self.file["signatures"], self.file["certificate"]["initiator_proof"]):
            signature = bytes.fromhex(each["signature"])
            key.verify(signed(each["label"], each["parts"]), signature)

    def test_boxes(self) -> None:
        private, public = (
            SigningKey(bytes.fromhex(self.keys[name]["seed"]))
            for name in ("initiator", "responder")
        )
        box = Box(private.to_curve25519_private_key(), public.verify_key.to_curve25519_public_key())
        for each in self.file["boxes"]:
            plain = box.decrypt(bytes.fromhex(each["box"]))
            self.assertEqual(plain.hex(), each["plain"])
            values = dict(run(plain))
            self.assertEqual(values[0x7443].hex(), each["fields"]["session_id"])
            kind = {b"\x01": "offer", b"\x02": "answer"}[values[0x7440]]
            self.assertEqual(kind, each["name"].split()[0])
            candidates = [value for code, value in run(plain) if code == 0x7446]
            self.assertEqual(
                [(value[0], value[12 if value[1] == 1 else 24 :]) for value in candidates],
                [
                    (told["type"], told["foundation"].encode())
                    for told in each["fields"]["candidates"]
                ],
            )

    def test_ice(self) -> None:
        ice = self.file["ice"]
        secret = bytes.fromhex(ice["secret"])
        for role in ("initiator", "responder"):
            made = blake2b(key=secret, digest_size=30, person=f"p2p {role}".encode()).digest()
            text = b64encode(made).decode()
            credentials = {"username_fragment": text[:8], "password": text[8:]}
            self.assertEqual(credentials, ice[role])
        for name in ("check", "nominating check", "response"):
            data = bytes.fromhex(ice[name])
            self.read(data)
            # RFC 8489, section 14.5: the length counts up to the end of this attribute.
            covered = data[:2] + struct.pack(">H", len(data) - 28) + data[4:-32]
            mac = hmac.new(ice["responder"]["password"].encode(), covered, sha1).digest()
            self.assertEqual(data[-32:-8], struct.pack(">HH", 8, 20) + mac)
        nomination = dict(run(bytes.fromhex(ice["nominating check"])[20:]))
        self.assertEqual((nomination[0x0025], nomination[0xF440]), (b"", b"\x00\x00\x00\x01"))

    def test_certificate(self) -> None:
        der = bytes.fromhex(self.file["certificate"]["der"])
        certificate = x509.load_der_x509_certificate(der)
        tls_key = certificate.public_key()
        assert isinstance(tls_key, Ed25519PublicKey)
        extension = certificate.extensions.get_extension_for_oid(EXTENSION).value
        assert isinstance(extension, x509.UnrecognizedExtension)
        identity, signature = extension.value[:32], extension.value[32:]
        self.assertEqual(identity.hex(), self.keys["responder"]["public_key"])
        label = b"twisted_p2p 1 responder certificate\0".hex()
        VerifyKey(identity).verify(signed(label, [tls_key.public_bytes_raw().hex()]), signature)
        proof = self.file["certificate"]["initiator_proof"]
        expected = [b"p2p/1".hex(), *(key["public_key"] for key in self.keys.values())]
        self.assertEqual(proof["parts"], [*expected, sha256(der).hexdigest()])
