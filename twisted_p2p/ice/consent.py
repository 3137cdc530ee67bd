"""Consent freshness (RFC 7675): whether the peer still wants what is sent to it."""

from __future__ import annotations

from collections.abc import Callable

SILENCE = 1.0
"""Seconds without data after which a path that carried some is checked: a transfer that stalls
since a NAT has given the peer another port need not wait for the next check of consent."""

_QUICK_CHECKS = 4
"""How many checks follow one another as fast while none is answered."""


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
        self._silent_at: float | None = None
        self._quick_checks = 0
        self._unanswered = 0

    def begin(self, now: float, confirmed_at: float) -> None:
        """Watch a path whose answered check was sent at ``confirmed_at``."""
        self.expires_at = confirmed_at + self._lifetime
        self._silent_at = None
        self.checked(now)
        self._unanswered = 0

    def data_heard(self, now: float) -> bool:
        """Take note of data from the peer; return whether `get_timer` must be asked anew."""
        was_quiet, self._silent_at = self._silent_at is None, now + SILENCE
        self._quick_checks = _QUICK_CHECKS
        return was_quiet

    def is_check_due(self, now: float) -> bool:
        """Return whether to send a check now."""
        return any(due is not None and due <= now for due in (self.next_check, self._silent_at))

    def checked(self, now: float) -> None:
        """Plan the next check; the jitter keeps many nodes from asking in step."""
        self._unanswered += 1
        if self._silent_at is not None and self._silent_at <= now:
            self._quick_checks -= 1
            self._silent_at = now + SILENCE if self._quick_checks else None
        self.next_check = now + self._interval * (0.8 + 0.4 * self._random())

    def confirm(self, confirmed_at: float) -> bool:
        """Take the answer to a check that was sent at ``confirmed_at``.

        Return whether the path carries again after it did not: an earlier check has no answer.
        """
        self.expires_at = max(self.expires_at, confirmed_at + self._lifetime)
        self._silent_at = None
        was_dead, self._unanswered = self._unanswered > 1, 0
        return was_dead

    def get_timer(self) -> float | None:
        """Return when something is due, or None."""
        if self.next_check is None:
            return None
        timer = min(self.next_check, self.expires_at)
        return timer if self._silent_at is None else min(timer, self._silent_at)
