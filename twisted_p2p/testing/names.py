"""Names of a simulated internet, and the resolver that each host asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import InvalidAddressError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from twisted_p2p.testing.ip import canonical_address

if TYPE_CHECKING:
    from twisted_p2p.testing.host import SimulatedHost

LOOK_UP_TIME = 0.02
"""Seconds until a name server has answered."""

PATIENCE = 5.0
"""Seconds until a host that is on no network gives up."""


class NameTable:
    """Names and their IP addresses; names know no case."""

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[str, ...]] = {}
        self.add("localhost", "127.0.0.1", "::1")

    def add(self, name: str, *addresses: str) -> None:
        """Let a name stand for addresses, and for no others; without any, nobody knows it."""
        self._addresses[_canonical_name(name)] = tuple(map(canonical_address, addresses))

    def addresses_of(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a name, in the order in which they were given."""
        return self._addresses.get(_canonical_name(name), ())


def _canonical_name(name: str) -> str:
    return name.lower().removesuffix(".")


@implementer(IHostResolution)
class Resolution:
    """A name on its way to becoming addresses."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_cancelled = False

    def cancel(self) -> None:
        """Tell its receiver nothing more."""
        self.is_cancelled = True


@implementer(IHostnameResolver)
class SimulatedResolver:
    """Looks names up in virtual time, and without threads."""

    def __init__(self, host: SimulatedHost, names: NameTable) -> None:
        self._host = host
        self._names = names

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803  (as the interface has it)
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> Resolution:
        """Tell a receiver the addresses of a name, or none when there is none."""
        semantics: Any = transportSemantics
        resolution = Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        def answer(known: Sequence[str]) -> None:
            if resolution.is_cancelled:
                return
            for address in known:
                kind = IPv6Address if ":" in address else IPv4Address
                if addressTypes is None or kind in addressTypes:
                    resolutionReceiver.addressResolved(kind(semantics, address, portNumber))
            resolutionReceiver.resolutionComplete()

        known, delay = self._look_up(hostName)
        self._host.reactor.call_soon(answer, known, delay=delay)
        return resolution

    def _look_up(self, name: str) -> tuple[Sequence[str], float]:
        """Return the addresses of a name, and the seconds until they are there."""
        try:
            return [canonical_address(name)], 0.0
        except InvalidAddressError:
            known = self._names.addresses_of(name)
        if _canonical_name(name) == "localhost":
            return known, 0.0
        return (known, LOOK_UP_TIME) if self._host.is_connected else ((), PATIENCE)
