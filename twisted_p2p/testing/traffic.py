"""How much the hosts of a simulated internet have sent to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from attrs import frozen


class Tally(NamedTuple):
    """A number of packets, and their bytes of payload."""

    packets: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        """Return both in words."""
        return f"{self.packets} packets ({self.bytes} bytes)"


@frozen
class Traffic:
    """What has become of the packets that one host sent to another; without those under way."""

    by_fate: Mapping[str, Tally]
    """Tallies by the words of `LoggedPacket.fate`."""

    @property
    def sent(self) -> Tally:
        """Everything, whatever became of it; a duplicate that a link made counts too."""
        return _sum(*self.by_fate.values())

    @property
    def delivered(self) -> Tally:
        """What arrived at a port."""
        return self.by_fate.get("delivered", Tally())

    @property
    def lost(self) -> Tally:
        """What did not arrive, for whatever reason."""
        return _sum(*(tally for fate, tally in self.by_fate.items() if fate != "delivered"))

    def __str__(self) -> str:
        """Return one line."""
        return ", ".join(f"{tally} {fate}" for fate, tally in self.by_fate.items()) or "nothing"


class TrafficTable(dict[tuple[str, str], Traffic]):
    """The `Traffic` of each pair ``(sender, receiver)`` of names; one that never spoke has none.

    A packet that got lost on its way counts for the host that had its destination address.  When
    that was a NAT's, it is the host behind that NAT, or the NAT's network when it has several.
    """

    def __missing__(self, pair: tuple[str, str]) -> Traffic:
        return Traffic({})

    def between(self, one: str, other: str) -> Tally:
        """Return what two hosts have sent to each other."""
        return _sum(self[one, other].sent, self[other, one].sent)

    def __str__(self) -> str:
        """Return one line a pair."""
        return "\n".join(f"{one} -> {other}: {traffic}" for (one, other), traffic in self.items())


def _sum(*tallies: Tally) -> Tally:
    return Tally(sum(each.packets for each in tallies), sum(each.bytes for each in tallies))
