"""When a question is asked again for which new answers are wanted (RFC 6762, section 5.2)."""

from __future__ import annotations

from attrs import define

from twisted_p2p.lan.chance import Chance

FIRST_DELAYS = (0.02, 0.12)
"""Seconds before the first question: many hosts may have had the same reason to ask."""

_FIRST_GAP = 1.0
_LONGEST_GAP = 3_600.0
_SPREAD = 0.1


@define
class QuestionSeries:
    """The times at which one question is asked, further and further apart."""

    due: float
    _chance: Chance
    _gap: float = _FIRST_GAP / 2

    @classmethod
    def beginning(cls, now: float, chance: Chance, *, at_once: bool = False) -> QuestionSeries:
        """Return a series that begins soon, or now."""
        return cls(now if at_once else now + chance.between(*FIRST_DELAYS), chance)

    def asked(self, now: float) -> None:
        """Take it that the question was asked."""
        self._gap = min(2 * self._gap, _LONGEST_GAP)
        # Those who have begun together or have heard the same question do not go on together.
        self.due = now + self._gap * self._chance.between(1.0, 1.0 + _SPREAD)

    def heard(self, now: float) -> None:
        """Take it that another host has asked, which counts if the next time was near (7.3)."""
        if now >= self.due - self._gap / 2:
            self.asked(now)
