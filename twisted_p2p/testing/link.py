"""What befalls packets on their way."""

from __future__ import annotations

from random import Random

from attrs import define, field, frozen


@frozen
class Link:
    """What befalls packets between one host and the middle of its network, either way.

    Times are seconds, sizes are bytes with all headers from IP upward, the others are shares of
    all packets from 0 to 1.

    :raises ValueError: when so great a loss needs longer bursts.
    """

    delay: float = 0.0
    jitter: float = 0.0
    """The most that is added to the delay, at random; it puts no two packets out of order."""
    loss: float = 0.0
    """The mean share that is lost."""
    burst: float | None = None
    """How many packets in a row are lost, in the mean (Gilbert's model); None: each packet is
    lost, or not, whatever befell the one before."""
    duplication: float = 0.0
    reordering: float = 0.0
    """The share that is held back by up to one more delay and jitter, and so overtaken."""
    rate: float | None = None
    """Bytes a second, each way; None: no limit."""
    queue: int = 128 * 1024
    """How much may wait for the `rate`, each way; what comes when it is full is dropped."""
    mtu: int | None = None
    """The size above which packets are dropped, for there are no fragments; None: no limit."""
    tells_too_big: bool = False
    """Whether the sender of such a packet hears of it by ICMP, or nothing at all."""
    is_steady: bool = field(init=False, repr=False, eq=False)
    """Whether there is nothing but a delay."""
    is_narrow: bool = field(init=False, repr=False, eq=False)
    """Whether the rate or the size of packets is limited."""

    @is_narrow.default
    def _narrow(self) -> bool:
        return self.rate is not None or self.mtu is not None

    @is_steady.default
    def _steady(self) -> bool:
        by_chance = self.jitter or self.loss or self.duplication or self.reordering
        return not by_chance and self.rate is None and self.mtu is None

    def __attrs_post_init__(self) -> None:
        if self.burst is not None and self.loss < 1 and self.burst_share > 1.000_001:
            raise ValueError(f"a loss of {self.loss} needs longer bursts than {self.burst}")

    @property
    def burst_share(self) -> float:
        """The share of packets, outside of bursts, with which a burst begins."""
        assert self.burst is not None
        return self.loss / (1 - self.loss) / self.burst


@define(eq=False)
class Lane:
    """One direction of a link: what waits there, and whether a burst of losses goes on."""

    _random: Random
    _free_at: float = 0.0
    _is_in_burst: bool = False

    def departure(self, link: Link, size: int, now: float) -> float | None:
        """Return when a packet that comes now has passed a narrow place; None: its queue is full.

        A packet that need not wait finds room, however long it is.
        """
        if link.rate is None:
            return now
        waiting = max(0.0, self._free_at - now) * link.rate
        if waiting and waiting + size > link.queue:
            return None
        self._free_at = max(self._free_at, now) + size / link.rate
        return self._free_at

    def loses(self, link: Link) -> bool:
        """Whether the next packet is lost."""
        if link.burst is None or link.loss >= 1:
            return self._happens(link.loss)
        share = 1 - 1 / link.burst if self._is_in_burst else link.burst_share
        self._is_in_burst = self._happens(share)
        return self._is_in_burst

    def duplicates(self, link: Link) -> bool:
        """Whether the next packet gets a twin."""
        return self._happens(link.duplication)

    def travel(self, link: Link) -> tuple[float, bool]:
        """Return how long the next packet needs, and whether it may be overtaken."""
        time = link.delay
        if link.jitter:
            time += link.jitter * self._random.random()
        if link.reordering and self._happens(link.reordering):
            return time + (link.delay + link.jitter) * self._random.random(), True
        return time, False

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share
