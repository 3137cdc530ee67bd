"""What one NAT does to UDP, found out by sending through it, in either world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from attrs import asdict, frozen

from tests.kernel.agreement.pairs import Pair
from tests.kernel.agreement.probes import Probe, ProbedWorld
from tests.kernel.udp_probe import Endpoint
from twisted_p2p.network_namespaces.lab import LEFT
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

PUBLIC: Final = LEFT.outside.address
INDEPENDENT: Final = "endpoint-independent"
BY_ADDRESS: Final = "address-dependent"
BY_PORT: Final = "address and port-dependent"


@frozen
class FoundNAT:
    """What was found out about a NAT, in the words of RFC 4787."""

    mapping: str
    filtering: str
    keeps_port: str
    """Whether the public port was the inside one, which was free."""
    early_packet_moves_mapping: str
    """Whether a packet that came before its sender was sent to makes that sender see another
    port; of a NAT that takes a port for each remote endpoint, this cannot be told."""
    hairpinning: str

    def facts(self) -> Iterator[tuple[str, str]]:
        """Return the name of each fact as the table has it, and the fact."""
        for name, found in asdict(self).items():
            yield name.replace("_", " "), found


def find_out(world_class: Callable[[Pair], ProbedWorld], flavour: NATFlavour) -> FoundNAT:
    """Send through a NAT in a world of its own, and return what it did."""
    world = world_class(Pair(flavour, None))
    try:
        return _Examination(world).find_out()
    finally:
        world.close()


class _Examination:
    """A host behind the NAT on the left; the tracker and a public host beyond it.

    Each question has an inside port of its own, so that none changes the answer to another.
    """

    def __init__(self, world: ProbedWorld) -> None:
        self._inside: Probe = world.probe_left(*range(4000, 4005))
        self._tracker: Probe = world.probe_tracker(3478, 3479)
        self._outside: Probe = world.probe_right(5000, 5001)

    def find_out(self) -> FoundNAT:
        mapping, keeps_port = self._mapping()
        return FoundNAT(
            mapping,
            self._filtering(),
            _yes_or_no(keeps_port),
            self._early_packet() if mapping == INDEPENDENT else "cannot be told",
            self._hairpinning(),
        )

    def _mapping(self) -> tuple[str, bool]:
        first = self._mapped(4000, self._tracker, 3478)
        other_port = self._mapped(4000, self._tracker, 3479)
        other_address = self._mapped(4000, self._outside, 5000)
        if first != other_port:
            found = BY_PORT
        else:
            found = INDEPENDENT if first == other_address else BY_ADDRESS
        return found, first == (PUBLIC, 4000)

    def _filtering(self) -> str:
        mapped = self._mapped(4001, self._outside, 5000)
        self._outside.send(5001, mapped, "from another port")
        self._tracker.send(3479, mapped, "from another address")
        self._outside.send(5000, mapped, "the last")
        passed = self._received(4001)
        if "from another address" in passed:
            return INDEPENDENT
        return BY_ADDRESS if "from another port" in passed else BY_PORT

    def _early_packet(self) -> str:
        usual = self._mapped(4002, self._tracker, 3478)
        self._outside.send(5000, usual, "too early")
        return _yes_or_no(self._mapped(4002, self._outside, 5000) != usual)

    def _hairpinning(self) -> str:
        one = self._mapped(4003, self._tracker, 3478)
        other = self._mapped(4004, self._tracker, 3478)
        self._inside.send(4003, other, "opens the way")
        self._inside.send(4004, one, "comes around")
        self._tracker.send(3478, one, "the last")
        return _yes_or_no("comes around" in self._received(4003))

    def _mapped(self, inside_port: int, probe: Probe, port: int) -> Endpoint:
        """Send from inside to a port outside, and return the source that is seen there."""
        self._inside.send(inside_port, (probe.host, port), "who am I?")
        return probe.receive(port)[1]

    def _received(self, inside_port: int) -> set[str]:
        """Return what came to an inside port before the last that was sent there."""
        texts: set[str] = set()
        while (text := self._inside.receive(inside_port)[0]) != "the last":
            texts.add(text)
        return texts


def _yes_or_no(fact: bool) -> str:
    return "yes" if fact else "no"
