"""When a node turns to its tracker again: refreshing, backing off, and taking its turn.

A tracker restarts, and ten thousand nodes notice.  These rules keep them under 500 registrations
a second, all back within 90 s, although no node knows how many there are:

- Refreshes lie anywhere within the interval from the first one on, so they stay spread, about 425
  a second.  A node that learns by a refresh in time that it was forgotten registers at once.
- A node that got no answer for a while does not know who else waits for the tracker to return.
  It first lets those pass that are still to refresh, and then takes a turn in a window of the
  length of an interval.  In each second one window or the other has its rate, never both.
"""

from __future__ import annotations

from collections.abc import Callable

LONGEST_INTERVAL = 25.0
"""Seconds between refreshes at most: NATs forget a UDP mapping after 30 s (RFC 4787, 4.3, asks
for 120, and many do not care).
"""

SHORTEST_INTERVAL = 5.0
"""Seconds between refreshes at least, whatever lifetime a tracker tells."""

PROMPT_ANSWER = 1.0
"""Seconds within which an answer counts as one to the first packet, so as no silence."""

REFUSED_WAIT = 60.0
"""Seconds until another try after a refusal that time alone will not mend."""

_FIRST_BACK_OFF = 2.0
_LONGEST_BACK_OFF = 30.0
_RETRY_AFTER_RANGE = (1.0, 600.0)


class Pacing:
    """The waits of one registration, in seconds, with the jitter that spreads many of them."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    def until_refresh(self, lifetime: float, *, is_first: bool) -> float:
        """Return the wait until the next refresh: 50 to 55 % of the lifetime, or less.

        The first wait after a registration is anything up to that: nodes that have registered
        together do not refresh together.
        """
        longest = min(max(lifetime * 0.55, SHORTEST_INTERVAL), LONGEST_INTERVAL)
        interval = longest * self._uniform(0.9, 1.0)
        return max(1.0, interval * self._uniform(0.0, 1.0)) if is_first else interval

    def back_off(self, failures: int) -> float:
        """Return the wait after so many failures in a row: doubling, from 2 s to 30, +- half."""
        longest = min(_FIRST_BACK_OFF * 2.0 ** min(failures, 10), _LONGEST_BACK_OFF)
        return longest * self._uniform(0.5, 1.5)

    def turn(self, silence: float) -> float:
        """Return the wait before registering with a tracker that has forgotten this node.

        ``silence`` is for how long the tracker did not answer.
        """
        if silence < PROMPT_ANSWER:
            return 0.0
        return max(0.0, LONGEST_INTERVAL - silence) + self._uniform(0.0, LONGEST_INTERVAL)

    def retry_after(self, seconds: float) -> float:
        """Return how long to wait when a tracker says so: not forever, and not all at once."""
        shortest, longest = _RETRY_AFTER_RANGE
        return min(max(seconds, shortest), longest) * self._uniform(1.0, 1.25)

    def refused(self) -> float:
        """Return the wait after a refusal."""
        return REFUSED_WAIT * self._uniform(1.0, 1.25)

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * int.from_bytes(self._random_bytes(4), "big") / 2**32
