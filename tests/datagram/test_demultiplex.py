"""What shares a port is told apart by its first bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.datagram.demultiplex import Kind, classify

COOKIE = bytes.fromhex("2112a442")


def stun_header(first: int = 0) -> bytes:
    return bytes([first, 1, 0, 0]) + COOKIE + bytes(12)


class ClassifyTests(SynchronousTestCase):
    def test_a_stun_header_is_stun(self) -> None:
        for first in range(4):
            self.assertIs(classify(stun_header(first)), Kind.STUN)

    def test_small_first_bytes_without_the_cookie_are_not_stun(self) -> None:
        self.assertIs(classify(bytes(20)), Kind.OTHER)

    def test_a_stun_header_cut_short_is_not_stun(self) -> None:
        self.assertIs(classify(stun_header()[:19]), Kind.OTHER)

    def test_first_bytes_from_4_are_not_stun_even_with_the_cookie(self) -> None:
        self.assertIs(classify(stun_header(4)), Kind.OTHER)

    def test_the_fixed_bit_is_quic(self) -> None:
        kinds = [classify(bytes([first]) + bytes(30)) for first in range(256)]
        quic = {first for first, kind in enumerate(kinds) if kind is Kind.QUIC}
        self.assertEqual(quic, {*range(64, 128), *range(192, 256)})

    def test_the_cookie_does_not_make_quic_stun(self) -> None:
        self.assertIs(classify(stun_header(0x40)), Kind.QUIC)

    def test_an_empty_datagram_is_neither(self) -> None:
        self.assertIs(classify(b""), Kind.OTHER)

    @given(st.binary(max_size=64))
    def test_any_bytes_have_one_kind(self, data: bytes) -> None:
        self.assertIsInstance(classify(data), Kind)
