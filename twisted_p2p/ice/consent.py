"""Consent freshness (RFC 7675): whether the peer still wants what is sent to it."""

from __future__ import annotations

from collections.abc import Callable


class Consent:
    """When to ask for consent on the selected path, and when it is lost.

    An answer counts from when its question was sent, so nothing is sent to a peer that has been
    gone for ``lifetime`` seconds, however slow its last answer was.
    """

    def __init__(self, *, interval: float, lifetime: float, random: Callable[[], float]) -> None:
        self.next_check: float | None = None
        """When to send the next check; None before a path is selected."""
        self.expires_at = 0.0
        self._interval = interval
        self._lifetime = lifetime
        self._random = random

    def begin(self, now: float, confirmed_at: float) -> None:
        """Watch a path whose answered check was sent at ``confirmed_at``."""
        self.expires_at = confirmed_at + self._lifetime
        self.checked(now)

    def checked(self, now: float) -> None:
        """Plan the next check; the jitter keeps many nodes from asking in step."""
        self.next_check = now + self._interval * (0.8 + 0.4 * self._random())

    def confirm(self, confirmed_at: float) -> None:
        """Take the answer to a check that was sent at ``confirmed_at``."""
        self.expires_at = max(self.expires_at, confirmed_at + self._lifetime)

    def get_timer(self) -> float | None:
        """Return when something is due, or None."""
        return None if self.next_check is None else min(self.next_check, self.expires_at)
