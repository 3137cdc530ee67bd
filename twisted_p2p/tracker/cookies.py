"""Cookies and tokens: what a tracker gives out so that it need not remember who is who.

Both are keyed BLAKE2b over what they prove, with the time in front.  A cookie proves that its
holder receives at an address; a token, that a peer has registered from there.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest

from twisted_p2p.addresses import HostPort

COOKIE_LIFETIME = 60
"""Seconds for which a cookie is good."""

_MAC_SIZE = 12
_TIME_SIZE = 4


class Cookies:
    """Makes and checks cookies and tokens; with another key, all earlier ones are worthless.

    ``now`` is seconds of a monotonic clock, which is read as whole seconds below 2**32.
    """

    def __init__(self, key: bytes) -> None:
        """Take a secret key of 16 to 64 random bytes."""
        self._key = key

    def cookie(self, address: HostPort, now: float) -> bytes:
        """Return a cookie for an address, 16 bytes."""
        time = int(now).to_bytes(_TIME_SIZE, "big")
        return time + self._mac(b"cookie", address, time)

    def is_fresh(self, cookie: bytes, address: HostPort, now: float) -> bool:
        """Return whether a cookie was made for this address, `COOKIE_LIFETIME` ago at most."""
        time = cookie[:_TIME_SIZE]
        age = int(now) - int.from_bytes(time, "big")
        return compare_digest(cookie[_TIME_SIZE:], self._mac(b"cookie", address, time)) and (
            0 <= age <= COOKIE_LIFETIME
        )

    def token(self, peer_key: bytes, address: HostPort, expiry: float) -> bytes:
        """Return a token, 16 bytes, for a peer at an address; good until ``expiry``."""
        time = int(expiry).to_bytes(_TIME_SIZE, "big")
        return time + self._mac(b"token", address, time, peer_key)

    def is_valid_token(self, token: bytes, peer_key: bytes, address: HostPort, now: float) -> bool:
        """Return whether a token was made for this peer and address, and has not expired."""
        time = token[:_TIME_SIZE]
        mac = self._mac(b"token", address, time, peer_key)
        return compare_digest(token[_TIME_SIZE:], mac) and now <= int.from_bytes(time, "big") + 1

    def _mac(self, use: bytes, address: HostPort, time: bytes, peer_key: bytes = b"") -> bytes:
        # Time has a fixed size, a key has one as well or is absent, the address is the rest.
        data = b"%b%b%b %d" % (time, peer_key, address[0].encode(), address[1])
        return blake2b(data, key=self._key, person=use, digest_size=_MAC_SIZE).digest()
