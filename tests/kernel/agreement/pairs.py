"""The NATs of the labs beside those that stand for them in the simulation, and their pairs.

The tests of this folder take their NATs from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from typing import Final

from attrs import evolve, frozen

from twisted_p2p.network_namespaces.nat_rules import OTHER_PORTS, NATFlavour
from twisted_p2p.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    PORT_TAKING,
    RANDOM_SYMMETRIC,
    NATBehaviour,
    PortAllocation,
)

SIMULATED: Final[dict[NATFlavour | None, NATBehaviour | None]] = {
    None: None,
    NATFlavour.PORT_RESTRICTED: evolve(PORT_RESTRICTED, hairpinning=False),
    NATFlavour.PORT_RESTRICTED_OTHER_PORT: evolve(
        PORT_RESTRICTED,
        allocation=PortAllocation.RANDOM,
        port_set=range(OTHER_PORTS[0], OTHER_PORTS[1] + 1),
        hairpinning=False,
    ),
    NATFlavour.FULL_CONE: evolve(FULL_CONE, hairpinning=False),
    NATFlavour.RANDOM_SYMMETRIC: evolve(RANDOM_SYMMETRIC, hairpinning=False),
    NATFlavour.HOSTILE: evolve(PORT_TAKING, hairpinning=False),
}
"""What each NAT of a lab is in the simulation; None is a public peer, which has no NAT."""

DELAY: Final = 0.05
"""Seconds between a peer and the middle in both worlds: enough for a busy machine to keep time."""


def flavour_name(flavour: NATFlavour | None) -> str:
    """Return what the tables call a NAT."""
    return "public" if flavour is None else flavour.name.lower().replace("_", " ")


@frozen
class Pair:
    """The NATs of two peers, of which the left one dials."""

    left: NATFlavour | None
    right: NATFlavour | None

    def __iter__(self) -> Iterator[NATFlavour | None]:
        return iter((self.left, self.right))

    def __str__(self) -> str:
        return f"{flavour_name(self.left)} and {flavour_name(self.right)}"


PAIRS: Final = tuple(Pair(*both) for both in product(SIMULATED, repeat=2))
"""Every pair, in both orders of dialling."""

TRANSFERS: Final = (
    Pair(NATFlavour.PORT_RESTRICTED, NATFlavour.PORT_RESTRICTED),
    Pair(NATFlavour.PORT_RESTRICTED_OTHER_PORT, NATFlavour.PORT_RESTRICTED_OTHER_PORT),
    Pair(NATFlavour.FULL_CONE, NATFlavour.RANDOM_SYMMETRIC),
    Pair(None, NATFlavour.RANDOM_SYMMETRIC),
    Pair(NATFlavour.RANDOM_SYMMETRIC, None),
    Pair(None, None),
    Pair(NATFlavour.HOSTILE, NATFlavour.HOSTILE),
)
"""The pairs between which the suite moves 64 MiB through the kernel."""

MEETINGS: Final = tuple(
    pair
    for pair in (Pair(*both) for both in combinations_with_replacement(SIMULATED, 2))
    if not {pair, Pair(pair.right, pair.left)} & set(TRANSFERS)
)
"""The other pairs, in one order of dialling: the suite lets them meet on the kernel, no more."""
