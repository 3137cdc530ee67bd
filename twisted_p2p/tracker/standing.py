"""What a node holds of one tracker: cookie, token, address; and the messages made of that."""

from __future__ import annotations

from collections.abc import Callable

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.tracker.attributes import REGISTER, UNREGISTER
from twisted_p2p.tracker.messages import (
    Challenge,
    CookieRequest,
    Failure,
    Refresh,
    Register,
    Registered,
    Unregister,
)

Describe = Callable[[int, HostPort], bytes]
"""Makes a signed record of a sequence and of the address that the tracker observed."""

_HIGHEST_SEQUENCE = 2**64 - 1


class Standing:
    """A node's standing with one tracker.  It sends nothing and knows no time of its own."""

    def __init__(
        self, identity: IdentityKey, describe: Describe, next_sequence: Callable[[], int]
    ) -> None:
        self.cookie: bytes | None = None
        """Proves this node's address for a minute or so."""
        self.token: bytes | None = None
        """Stands for a registration."""
        self.expiry = 0.0
        """When the registration ends without another refresh."""
        self.mapped_address: HostPort | None = None
        """Where the tracker saw this node last."""
        self.succeeded = 0
        """Introductions of this node's that led to a connection and were not reported yet."""
        self._identity = identity
        self._describe = describe
        self._next_sequence = next_sequence
        self._lowest_sequence = 0
        self._reported = 0
        self._registered_at: HostPort | None = None
        self._full_lifetime = 0

    def take_challenge(self, challenge: Challenge) -> None:
        """Keep a new cookie and the address that it proves."""
        self.cookie = challenge.cookie
        self.mapped_address = challenge.mapped_address

    def take_registration(self, registered: Registered, now: float) -> None:
        """Keep the token of a new registration."""
        self._registered_at = registered.mapped_address
        self._full_lifetime = registered.lifetime
        self._take(registered, now)

    def take_refresh(self, refreshed: Registered, now: float) -> bool:
        """Keep the next token, and return whether the registration is as good as a new one.

        It is not when the tracker sees this node elsewhere, or keeps it for a shorter time than
        at first: then the lifetime of the record is about to end.
        """
        self.succeeded -= self._reported
        self._reported = 0
        self._take(refreshed, now)
        return (
            refreshed.mapped_address == self._registered_at
            and refreshed.lifetime >= self._full_lifetime
        )

    def _take(self, registered: Registered, now: float) -> None:
        self.token = registered.token
        self.cookie = registered.cookie
        self.expiry = now + registered.lifetime
        self.mapped_address = registered.mapped_address

    def take_stale_sequence(self, failure: Failure) -> bool:
        """Go above the sequence that a tracker has seen; False if there is no higher one."""
        if failure.sequence >= _HIGHEST_SEQUENCE:
            return False
        self._lowest_sequence = max(self._lowest_sequence, failure.sequence + 1)
        return True

    def lose(self) -> None:
        """Forget what was bound to a path that is gone."""
        self.cookie = self.token = None

    def has_stayed(self, *, on_a_stream: bool) -> bool:
        """Return whether this node is where it was registered last.

        Each stream has another port, so there the host must do.
        """
        now, before = self.mapped_address, self._registered_at
        if now is None or before is None:
            return False
        return now.host == before.host if on_a_stream else now == before

    def registration(self, path: DatagramPath) -> Register | CookieRequest:
        """Return the next message of a registration: the signed one, given a cookie."""
        if self.cookie is None or self.mapped_address is None:
            return CookieRequest(REGISTER)
        sequence = min(max(self._next_sequence(), self._lowest_sequence), _HIGHEST_SEQUENCE)
        self._lowest_sequence = sequence + 1
        return Register.sign(
            self._identity,
            cookie=self.cookie,
            mapped_address=self.mapped_address,
            server_address=path.remote,
            record=self._describe(sequence, self.mapped_address),
        )

    def refresh(self, token: bytes) -> Refresh:
        """Return what keeps the registration of this token alive."""
        self._reported = self.succeeded
        return Refresh(self._identity.peer_id.public_key, token, self.succeeded)

    def removal(self, path: DatagramPath) -> Unregister | CookieRequest:
        """Return the next message of the end of a registration, as `registration` does."""
        if self.cookie is None or self.mapped_address is None:
            return CookieRequest(UNREGISTER)
        return Unregister.sign(
            self._identity,
            cookie=self.cookie,
            mapped_address=self.mapped_address,
            server_address=path.remote,
            succeeded=self.succeeded,
        )
