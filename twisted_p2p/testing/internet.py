"""The simulated internet: everything is added here, and time goes on from here."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_p2p.testing.gateway import Gateway
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.testing.ip import canonical_address, is_loopback
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.names import NameTable
from twisted_p2p.testing.nat import PORT_RESTRICTED, Firewall, NATBehaviour
from twisted_p2p.testing.network import Network
from twisted_p2p.testing.packet_log import PacketLog
from twisted_p2p.testing.schedule import Schedule
from twisted_p2p.testing.traffic import TrafficTable

T = TypeVar("T")

INTERNET_LINK = Link(delay=0.02)
"""The way to the middle of the internet, unless told otherwise: 80 ms for a round trip."""

LAN_LINK = Link(delay=0.000_25)
"""The way to the middle of a private network, unless told otherwise: 1 ms for a round trip."""


class SimulatedInternet:
    """Hosts, networks and NATs in virtual time; the same seed gives the same packets.

    Nothing happens but in `run_for` and `run_until`.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.hosts: dict[str, SimulatedHost] = {}
        """All hosts by their names."""
        self.log = PacketLog(receiver_of=self._receiver_of)
        """What became of every packet."""
        self._schedule = Schedule()
        self._names = NameTable()
        self.public = Network("public", self._schedule, self.log)
        """The network without a gateway, where public addresses are."""

    @property
    def now(self) -> float:
        """Seconds of virtual time since the beginning."""
        return self._schedule.now

    @property
    def traffic(self) -> TrafficTable:
        """How much each host has sent to each other one: ``internet.traffic["a", "b"]``."""
        return self.log.traffic

    def story(self, last: int = 50) -> str:
        """Return what to tell of a failure: the moment, the seed and the latest packets."""
        return f"{self.now:.6f} s, seed {self.seed}; the latest packets:\n{self.log.dump(last)}"

    def add_host(
        self,
        name: str,
        *addresses: str,
        network: Network | None = None,
        link: Link | None = None,
    ) -> SimulatedHost:
        """Add a host with its IP addresses, to the public network unless told otherwise.

        :raises ValueError: when the name or an address is taken.
        """
        if name in self.hosts:
            raise ValueError(f"there is a host {name!r} already")
        if link is None:
            link = INTERNET_LINK if network is None else LAN_LINK
        host = SimulatedHost(
            name, addresses, network or self.public, link, self._random, self._names
        )
        self.hosts[name] = host
        return host

    def add_network(
        self,
        name: str,
        address: str,
        nat: NATBehaviour | None = PORT_RESTRICTED,
        *,
        more_addresses: Sequence[str] = (),
        firewall: Firewall | None = None,
        behind: Network | None = None,
        link: Link = INTERNET_LINK,
    ) -> Network:
        """Add a private network behind a gateway that has an address in another network.

        The gateway's NAT has that address and ``more_addresses``. Hosts may have addresses of the
        other family too, or without a NAT of both; those are not translated, and reachable from
        outside unless the gateway has a ``firewall``.

        :raises ValueError: when an address is taken.
        """
        network = Network(name, self._schedule, self.log)
        addresses = [canonical_address(each) for each in (address, *more_addresses)]
        outside = behind or self.public
        Gateway(network, outside, addresses, nat, firewall, link, self._random)
        return network

    def add_name(self, name: str, *addresses: str) -> None:
        """Let a name stand for IP addresses on every host; without any, nobody knows it.

        A host is not known by its own name.
        """
        self._names.add(name, *addresses)

    def run_for(self, seconds: float) -> None:
        """Let time pass, from one thing that happens to the next."""
        self._schedule.run_to(self.now + seconds)

    def run_until(self, deferred: Deferred[T], limit: float = 60.0) -> T:
        """Let time pass until a Deferred has a result; return it, or raise its failure.

        :raises TimeoutError: after ``limit`` seconds of virtual time; the message has the seed
            and the latest packets.
        """
        results: list[T | Failure] = []
        deferred.addBoth(results.append)
        until = self.now + limit
        while not results and self._schedule.step(until):
            pass
        if not results:
            self._schedule.run_to(until)
            raise TimeoutError(f"no result at {self.story()}")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def _receiver_of(self, sender: str, address: str, place: str) -> str:
        """Return the name of the host that a packet was for; see `PacketLog`."""
        if place in self.hosts and (place != sender or is_loopback(address)):
            return place
        network = self.hosts[sender].network if sender in self.hosts else self.public
        return network.holder_of(address)

    def _random(self, name: str) -> Random:
        """Return the random source of one named thing, which no other thing disturbs."""
        return Random(f"{self.seed} {name}")  # noqa: S311  (chance that repeats is the point)
