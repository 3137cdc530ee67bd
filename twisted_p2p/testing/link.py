"""What befalls packets on their way."""

from __future__ import annotations

from attrs import frozen


@frozen
class Link:
    """What befalls packets between one host and the middle of its network, either way.

    Times are seconds, the others are shares of all packets from 0 to 1.
    """

    delay: float = 0.0
    jitter: float = 0.0
    """The most that is added to the delay, at random; it puts no two packets out of order."""
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    """The share that is held back by up to one more delay and jitter, and so overtaken."""

    @property
    def is_steady(self) -> bool:
        """Whether there is nothing but a delay."""
        return not (self.jitter or self.loss or self.duplication or self.reordering)
