"""The vectors of the wire protocol: read from the file, and written as the file has them."""

from __future__ import annotations

import json
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from tests.docs import vectors
from twisted_p2p.connection import wire
from twisted_p2p.connection.authentication import check_proof
from twisted_p2p.connection.certificate import check_certificate
from twisted_p2p.identity.keys import IdentityKey, SignatureLabel, verify
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.record import decode_record
from twisted_p2p.rendezvous.offer import ice_credentials, open_answer, open_offer
from twisted_p2p.stun.attributes import USERNAME, XOR_MAPPED_ADDRESS
from twisted_p2p.stun.message import check_fingerprint, check_integrity, decode_message
from twisted_p2p.tracker import attributes, messages
from twisted_p2p.tracker.wire import read_message


class VectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file: dict[str, Any] = json.loads(vectors.FILE.read_text())
        self.initiator, self.responder = (
            IdentityKey.from_seed(bytes.fromhex(self.file["keys"][name]["seed"]))
            for name in ("initiator", "responder")
        )

    def test_each_is_written_as_the_file_has_it(self) -> None:
        made = json.loads(json.dumps(vectors.make_vectors()))
        self.assertEqual(set(made), set(self.file))
        for name, value in made.items():
            self.assertEqual(value, self.file[name], name)

    def test_the_page_says_how_to_read_it(self) -> None:
        told = re.findall(
            r"(?m)^``(\w+)``$", (vectors.FILE.parent / "wire-protocol.rst").read_text()
        )
        self.assertEqual(told, list(self.file))

    def test_the_keys_are_those_of_their_seeds(self) -> None:
        for identity, name in ((self.initiator, "initiator"), (self.responder, "responder")):
            told = self.file["keys"][name]
            self.assertEqual(identity.peer_id, told["peer_id"])
            public_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(told["seed"]))
            self.assertEqual(public_key.public_key().public_bytes_raw().hex(), told["public_key"])

    def test_messages_are_read(self) -> None:
        for vector in self.file["stun"]:
            message = read_message(bytes.fromhex(vector["bytes"]))
            self.assertEqual(message.transaction_id.hex(), self.file["transaction_id"])
            self.assertEqual(message.message_class.name.lower(), vector["class"])
            kind = getattr(messages, vector["kind"])
            parsed = kind.parse(message)
            self.assertEqual(parsed.method, vector["method"])
            self.assertEqual(vectors.described(parsed, "method"), vector["fields"])
            self.assertEqual(parsed.encode(message.transaction_id).hex(), vector["bytes"])

    def test_every_message_is_there(self) -> None:
        there = {vector["kind"] for vector in self.file["stun"]}
        responses, indications = messages._SUCCESSES, messages._INDICATIONS
        kinds = [*messages.REQUESTS.values(), *responses.values(), *indications.values()]
        self.assertEqual({kind.__name__ for kind in kinds} - there, set())
        methods = {vector["method"] for vector in self.file["stun"]}
        self.assertEqual(methods, {*messages.REQUESTS, attributes.OFFER})

    def test_signatures_verify(self) -> None:
        for vector in (*self.file["signatures"], self.file["certificate"]["initiator_proof"]):
            label = SignatureLabel(bytes.fromhex(vector["label"]))
            signature, *parts = map(bytes.fromhex, (vector["signature"], *vector["parts"]))
            self.assertTrue(verify(self.initiator.peer_id, label, signature, *parts))

    def test_the_record_is_read(self) -> None:
        data = bytes.fromhex(self.file["signatures"][0]["record"])
        record = decode_record(data)
        self.assertEqual(record.peer_id, self.initiator.peer_id)
        self.assertEqual(record.services, ("echo", "Grüße"))
        self.assertEqual(record.topics, ("chess",))
        self.assertEqual(record.sign(self.initiator), data)
        [register] = [each for each in self.file["stun"] if each["kind"] == "Register"]
        self.assertEqual(register["fields"]["record"], data.hex())
        self.assertEqual(register["fields"]["signature"], self.file["signatures"][1]["signature"])

    def test_boxes_are_opened(self) -> None:
        offer, *answers = self.file["boxes"]
        opened = open_offer(self.responder, self.initiator.peer_id, bytes.fromhex(offer["box"]))
        self.assertEqual(vectors.described(opened), offer["fields"])
        for answer in answers:
            box = bytes.fromhex(answer["box"])
            read = open_answer(self.initiator, self.responder.peer_id, box)
            self.assertEqual(vectors.described(read), answer["fields"])
        for vector in self.file["boxes"]:
            self.assertTrue(vector["box"].startswith(vector["nonce"]))
            size = len(vector["nonce"]) + 2 * 16 + len(vector["plain"])
            self.assertEqual(len(vector["box"]), size)

    def test_ice_goes_by_the_secret(self) -> None:
        told = self.file["ice"]
        initiator, responder = ice_credentials(bytes.fromhex(told["secret"]))
        self.assertEqual(vectors.described(initiator), told["initiator"])
        self.assertEqual(vectors.described(responder), told["responder"])
        for name in ("check", "nominating check", "response"):
            message = decode_message(bytes.fromhex(told[name]))
            self.assertTrue(check_fingerprint(message), name)
            self.assertTrue(check_integrity(message, responder.password.encode()), name)
        fragments = f"{responder.username_fragment}:{initiator.username_fragment}"
        check = decode_message(bytes.fromhex(told["check"]))
        self.assertEqual(check.get(USERNAME), fragments)
        response = decode_message(bytes.fromhex(told["response"]))
        self.assertEqual(response.get(XOR_MAPPED_ADDRESS), vectors.SEEN_AT)

    def test_certificate_and_proof_pass(self) -> None:
        told = self.file["certificate"]
        der = bytes.fromhex(told["der"])
        responder: PeerID = self.responder.peer_id
        check_certificate(der, responder)
        proof = self.initiator.peer_id.public_key + bytes.fromhex(
            told["initiator_proof"]["signature"]
        )
        check_proof(proof, responder, der, self.initiator.peer_id)
        [control] = [each for each in self.file["control"] if each["kind"] == "Proof"]
        self.assertEqual(control["proof"], proof.hex())

    def test_control_messages_are_read(self) -> None:
        stream = bytes.fromhex("".join(each["bytes"] for each in self.file["control"]))
        read = list(wire.ControlReader().messages(stream))
        self.assertEqual(len(read), len(wire._CODES))
        for message, vector in zip(read, self.file["control"], strict=True):
            told = {"kind": type(message).__name__, **vectors.described(message)}
            self.assertEqual(told | {"bytes": vector["bytes"]}, vector)

    def test_streams_begin_so(self) -> None:
        told = {name: bytes.fromhex(value) for name, value in self.file["streams"].items()}
        self.assertEqual(wire.decode_opening(told["opening of echo"]), ("echo", 6))
        replies = wire.Reply.ACCEPTED, wire.Reply.UNKNOWN_SERVICE, wire.Reply.REFUSED
        for name, reply, reason in zip(
            ("accepted", "unknown service", "refused"), replies, ("", "no echo", ""), strict=True
        ):
            self.assertEqual(wire.decode_reply(told[name]), (reply, reason, len(told[name])))
