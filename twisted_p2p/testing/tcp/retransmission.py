"""How long to wait for an acknowledgement (RFC 6298)."""

from __future__ import annotations

from twisted_p2p.testing.tcp.settings import TCPSettings


class RetransmissionTimeout:
    """The timeout of one connection, in seconds."""

    def __init__(self, settings: TCPSettings) -> None:
        self._settings = settings
        self._smoothed: float | None = None
        self._variation = 0.0
        self.repeats = 0
        """How often it has run out since there was an answer."""

    @property
    def seconds(self) -> float:
        """The timeout now: doubled each time that it ran out (5.5)."""
        return min(self._base() * 2.0**self.repeats, self._settings.maximum_timeout)

    def add_round_trip(self, seconds: float) -> None:
        """Take a measured round trip into account (2.2, 2.3)."""
        if self._smoothed is None:
            self._smoothed, self._variation = seconds, seconds / 2
        else:
            deviation = abs(self._smoothed - seconds)
            self._variation += (deviation - self._variation) / 4
            self._smoothed += (seconds - self._smoothed) / 8

    def _base(self) -> float:
        if self._smoothed is None:
            return self._settings.initial_timeout
        # As Linux: the least that may be is a margin above the round trip.
        return self._smoothed + max(4 * self._variation, self._settings.minimum_timeout)
