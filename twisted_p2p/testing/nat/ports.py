"""The ports of one public address: which are lent, and which is lent next."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, sqrt
from random import Random

from twisted_p2p.testing.nat.behaviour import NATBehaviour
from twisted_p2p.testing.nat.mapping import Mapping
from twisted_p2p.testing.nat.memory import ExpiringSet
from twisted_p2p.testing.nat.words import PortAllocation

FIRST_PORT = 1_024
LAST_PORT = 65_535


class PortPool:
    """The ports of one public address."""

    def __init__(self, address: str, behaviour: NATBehaviour, random: Random) -> None:
        self.address = address
        self.lent: dict[int, Mapping] = {}
        """Mappings by their public ports; some may have expired."""
        self._behaviour = behaviour
        self._random = random
        self._ports = behaviour.port_set or range(FIRST_PORT, LAST_PORT + 1)
        self._is_sequential = behaviour.allocation is PortAllocation.SEQUENTIAL
        self._preserves = behaviour.allocation is PortAllocation.PRESERVING
        self._position = random.randrange(len(self._ports))
        self._of_others: ExpiringSet[int] = ExpiringSet(behaviour.timeout)
        self._next_of_others: float | None = None

    def stop_preserving(self) -> None:
        """Give no mapping its internal port from now on."""
        self._preserves = False

    def is_free(self, port: int, now: float) -> bool:
        """Whether a port is nobody's; it need not be one that is ever lent."""
        mapping = self.lent.get(port)
        return (mapping is None or now >= mapping.expires_at) and not self._of_others.has(port, now)

    def pick(self, internal_port: int, now: float) -> int | None:
        """Return the port for a new mapping; None when none is free."""
        self._let_others_come(now)
        if self._preserves and self._may_keep(internal_port) and self.is_free(internal_port, now):
            return internal_port
        return self._pick(internal_port % 2 if self._behaviour.port_parity else None, now)

    def _may_keep(self, port: int) -> bool:
        return self._behaviour.port_set is None or port in self._behaviour.port_set

    def _pick(self, parity: int | None, now: float) -> int | None:
        for position in self._positions():
            port = self._ports[position]
            if parity in (None, port % 2) and self.is_free(port, now):
                self._position = position
                return port
        return None

    def _positions(self) -> Iterator[int]:
        """Yield each position once, in the order in which they are tried."""
        count, step = len(self._ports), 1
        if self._is_sequential:
            step = self._behaviour.port_step
        else:
            self._position = self._random.randrange(count)
        first, rounds = self._position, gcd(step, count)
        for shift in range(rounds):
            for number in range(1, count // rounds + 1):
                yield (first + shift + number * step) % count

    def _let_others_come(self, now: float) -> None:
        """Let others take the ports that they have taken until now."""
        rate, kept = self._behaviour.other_traffic, self._behaviour.timeout
        if not rate:
            return
        gap = self._random.expovariate
        since = now - kept if self._next_of_others is None else self._next_of_others
        if since < now - kept:
            # Whatever they took before that is free again; only how many it were still matters.
            self._skip((now - kept - since) * rate)
            since = now - kept + gap(rate)
        while since <= now:
            port = self._pick(None, since)
            if port is not None:
                self._of_others.add(port, since)
            since += gap(rate)
        self._next_of_others = since

    def _skip(self, mean: float) -> None:
        if self._is_sequential:
            taken = max(0, round(self._random.gauss(mean, sqrt(mean))))
            self._position = (self._position + taken * self._behaviour.port_step) % len(self._ports)
