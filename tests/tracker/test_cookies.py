from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.stun.strategies import ADDRESSES
from twisted_p2p.addresses import HostPort
from twisted_p2p.tracker.cookies import COOKIE_LIFETIME, Cookies

KEY = bytes(range(32))
ADDRESS = HostPort("11.1.1.1", 4000)
PEER = b"\1" * 32


class CookieTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cookies = Cookies(KEY)

    @given(ADDRESSES, st.floats(0, 1e9), st.floats(0, COOKIE_LIFETIME - 1))
    def test_a_cookie_is_good_at_its_address_for_its_lifetime(
        self, address: HostPort, now: float, age: float
    ) -> None:
        cookie = self.cookies.cookie(address, now)
        self.assertEqual(len(cookie), 16)
        self.assertTrue(self.cookies.is_fresh(cookie, address, now + age))
        self.assertFalse(self.cookies.is_fresh(cookie, address, now + COOKIE_LIFETIME + 1))

    def test_a_cookie_from_later_than_now_is_worthless(self) -> None:
        cookie = self.cookies.cookie(ADDRESS, 101)
        self.assertFalse(self.cookies.is_fresh(cookie, ADDRESS, 100))

    @given(st.integers(0, 127))
    def test_a_cookie_with_any_bit_changed_is_worthless(self, bit: int) -> None:
        cookie = int.from_bytes(self.cookies.cookie(ADDRESS, 100), "big") ^ 1 << bit
        self.assertFalse(self.cookies.is_fresh(cookie.to_bytes(16, "big"), ADDRESS, 100))

    def test_a_cookie_is_worthless_elsewhere_under_another_key_and_cut(self) -> None:
        cookie = self.cookies.cookie(ADDRESS, 100)
        for other in (HostPort("11.1.1.1", 4001), HostPort("11.1.1.2", 4000)):
            self.assertFalse(self.cookies.is_fresh(cookie, other, 100))
        self.assertFalse(Cookies(KEY[::-1]).is_fresh(cookie, ADDRESS, 100))
        self.assertFalse(self.cookies.is_fresh(cookie[:8], ADDRESS, 100))

    def test_a_token_is_good_for_its_peer_at_its_address_until_it_expires(self) -> None:
        token = self.cookies.token(PEER, ADDRESS, 145)
        self.assertTrue(self.cookies.is_valid_token(token, PEER, ADDRESS, 145))
        self.assertFalse(self.cookies.is_valid_token(token, PEER, ADDRESS, 147))
        self.assertFalse(self.cookies.is_valid_token(token, bytes(32), ADDRESS, 145))
        self.assertFalse(self.cookies.is_valid_token(token, PEER, HostPort("11.1.1.1", 4001), 145))

    def test_a_cookie_is_no_token_and_a_token_no_cookie(self) -> None:
        cookie = self.cookies.cookie(ADDRESS, 100)
        self.assertFalse(self.cookies.is_valid_token(cookie, b"", ADDRESS, 100))
        token = self.cookies.token(b"", ADDRESS, 100)
        self.assertFalse(self.cookies.is_fresh(token, ADDRESS, 100))
