"""The messages printed in RFC 5769 and in RFC 8489, appendix B: read, checked and written."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import (
    FINGERPRINT,
    ICE_CONTROLLED,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    NONCE,
    PASSWORD_ALGORITHM,
    PRIORITY,
    REALM,
    SOFTWARE,
    USERHASH,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    PasswordAlgorithm,
    PasswordAlgorithmNumber,
)
from twisted_p2p.stun.credentials import long_term_key, short_term_key, userhash
from twisted_p2p.stun.message import (
    BINDING,
    Integrity,
    MessageClass,
    STUNMessage,
    check_fingerprint,
    check_integrity,
    decode_message,
)

SHORT_TERM_PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"

# RFC 5769, section 2.1; the padding of USERNAME is spaces.
SAMPLE_REQUEST = bytes.fromhex("""
    00010058 2112a442 b7e7a701bc34d686fa87dfae
    80220010 5354554e207465737420636c69656e74
    00240004 6e0001ff
    80290008 932ff9b151263b36
    00060009 6576746a3a68367659202020
    00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
    80280004 e57a3bcf
""")

# Section 2.2; the padding of SOFTWARE is a space.
SAMPLE_IPV4_RESPONSE = bytes.fromhex("""
    0101003c 2112a442 b7e7a701bc34d686fa87dfae
    8022000b 7465737420766563746f7220
    00200008 0001a147e112a643
    00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7
    80280004 c07d4c96
""")

# Section 2.3.
SAMPLE_IPV6_RESPONSE = bytes.fromhex("""
    01010048 2112a442 b7e7a701bc34d686fa87dfae
    8022000b 7465737420766563746f7220
    00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
    00080014 a382954e4be67bf11784c97c8292c275bfe3ed41
    80280004 c8fb0b4c
""")

# Section 2.4.
SAMPLE_LONG_TERM_REQUEST = bytes.fromhex("""
    00010060 2112a442 78ad3433c6ad72c029da412e
    00060012 e3839ee38388e383aae38383e382afe382b90000
    0015001c 662f2f3439396b39353464364f4c33346f4c39465354767936347341
    0014000b 6578616d706c652e6f726700
    00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666
""")

# RFC 8489, appendix B.1, as erratum 6268 corrects it.
SAMPLE_SHA256_REQUEST = bytes.fromhex("""
    00010090 2112a442 78ad3433c6ad72c029da412e
    001e0020 4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704
    00150029 6f624d61744a6f733241414143662f2f3439396b3935346436
             4f4c33346f4c39465354767936347341000000
    0014000b 6578616d706c652e6f726700
    001d0004 00020000
    001c0020 b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65
""")

# In katakana; neither it nor the password after preparation is changed by OpaqueString.
LONG_TERM_USERNAME = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9"
LONG_TERM_PASSWORD = "TheMatrIX"
LONG_TERM_REALM = "example.org"


class ShortTermVectorTests(SynchronousTestCase):
    def check(self, wire: bytes) -> STUNMessage:
        """Return the message, once its integrity and fingerprint are found right."""
        message = decode_message(wire)
        self.assertTrue(check_integrity(message, short_term_key(SHORT_TERM_PASSWORD)))
        self.assertFalse(check_integrity(message, short_term_key("another password")))
        self.assertTrue(check_fingerprint(message))
        self.assertEqual(message.method, BINDING)
        self.assertEqual(message.transaction_id.hex(), "b7e7a701bc34d686fa87dfae")
        return message

    def test_request_is_read(self) -> None:
        message = self.check(SAMPLE_REQUEST)
        self.assertIs(message.message_class, MessageClass.REQUEST)
        self.assertEqual(message.get(SOFTWARE), "STUN test client")
        self.assertEqual(message.get(PRIORITY), 0x6E0001FF)
        self.assertEqual(message.get(ICE_CONTROLLED), 0x932FF9B151263B36)
        self.assertEqual(message.get(USERNAME), "evtj:h6vY")
        self.assertEqual(message.get(FINGERPRINT), 0xE57A3BCF)
        self.assertEqual(message.get(MESSAGE_INTEGRITY), SAMPLE_REQUEST[-28:-8])

    def test_ipv4_response_is_read(self) -> None:
        message = self.check(SAMPLE_IPV4_RESPONSE)
        self.assertIs(message.message_class, MessageClass.SUCCESS)
        self.assertEqual(message.get(SOFTWARE), "test vector")
        self.assertEqual(message.get(XOR_MAPPED_ADDRESS), HostPort("192.0.2.1", 32853))

    def test_ipv6_response_is_read(self) -> None:
        message = self.check(SAMPLE_IPV6_RESPONSE)
        self.assertIs(message.message_class, MessageClass.SUCCESS)
        self.assertEqual(message.get(SOFTWARE), "test vector")
        self.assertEqual(
            message.get(XOR_MAPPED_ADDRESS),
            HostPort("2001:db8:1234:5678:11:2233:4455:6677", 32853),
        )

    def test_every_flipped_bit_is_noticed(self) -> None:
        key = short_term_key(SHORT_TERM_PASSWORD)
        for bit in range(8 * 20, 8 * len(SAMPLE_IPV4_RESPONSE)):
            altered = bytearray(SAMPLE_IPV4_RESPONSE)
            altered[bit // 8] ^= 1 << bit % 8
            try:
                message = decode_message(bytes(altered))
            except MalformedMessage:
                continue
            self.assertFalse(
                check_integrity(message, key) and check_fingerprint(message), f"bit {bit}"
            )


class LongTermVectorTests(SynchronousTestCase):
    def test_request_is_read(self) -> None:
        message = decode_message(SAMPLE_LONG_TERM_REQUEST)
        key = long_term_key(LONG_TERM_USERNAME, LONG_TERM_REALM, LONG_TERM_PASSWORD)
        self.assertTrue(check_integrity(message, key))
        self.assertFalse(check_integrity(message, short_term_key(LONG_TERM_PASSWORD)))
        self.assertFalse(check_fingerprint(message))
        self.assertEqual(message.get(USERNAME), LONG_TERM_USERNAME)
        self.assertEqual(message.get(NONCE), "f//499k954d6OL34oL9FSTvy64sA")
        self.assertEqual(message.get(REALM), LONG_TERM_REALM)

    def test_request_is_written(self) -> None:
        wire = STUNMessage.build(
            BINDING,
            MessageClass.REQUEST,
            bytes.fromhex("78ad3433c6ad72c029da412e"),
            (USERNAME, LONG_TERM_USERNAME),
            (NONCE, "f//499k954d6OL34oL9FSTvy64sA"),
            (REALM, LONG_TERM_REALM),
        ).encode(
            integrity_key=long_term_key(LONG_TERM_USERNAME, LONG_TERM_REALM, LONG_TERM_PASSWORD)
        )
        self.assertEqual(wire, SAMPLE_LONG_TERM_REQUEST)


class SHA256VectorTests(SynchronousTestCase):
    key = long_term_key(
        LONG_TERM_USERNAME, LONG_TERM_REALM, LONG_TERM_PASSWORD, PasswordAlgorithmNumber.SHA256
    )

    def test_request_is_read(self) -> None:
        message = decode_message(SAMPLE_SHA256_REQUEST)
        self.assertTrue(check_integrity(message, self.key))
        self.assertFalse(check_integrity(message, self.key[:16]))
        self.assertEqual(message.get(USERHASH), userhash(LONG_TERM_USERNAME, LONG_TERM_REALM))
        self.assertEqual(message.get(NONCE), "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        self.assertEqual(message.get(REALM), LONG_TERM_REALM)
        self.assertEqual(
            message.get(PASSWORD_ALGORITHM), PasswordAlgorithm(PasswordAlgorithmNumber.SHA256)
        )
        self.assertEqual(message.get(MESSAGE_INTEGRITY_SHA256), SAMPLE_SHA256_REQUEST[-32:])

    def test_request_is_written(self) -> None:
        wire = STUNMessage.build(
            BINDING,
            MessageClass.REQUEST,
            bytes.fromhex("78ad3433c6ad72c029da412e"),
            (USERHASH, userhash(LONG_TERM_USERNAME, LONG_TERM_REALM)),
            (NONCE, "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"),
            (REALM, LONG_TERM_REALM),
            (PASSWORD_ALGORITHM, PasswordAlgorithm(PasswordAlgorithmNumber.SHA256)),
        ).encode(integrity_key=self.key, integrity=Integrity.SHA256)
        self.assertEqual(wire, SAMPLE_SHA256_REQUEST)
