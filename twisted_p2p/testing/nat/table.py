"""The table of one NAT, for one protocol."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from random import Random

from attrs import frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat.behaviour import NATBehaviour
from twisted_p2p.testing.nat.filter_table import FilterTable
from twisted_p2p.testing.nat.mapping import Mapping
from twisted_p2p.testing.nat.memory import ExpiringSet, PrunedDict
from twisted_p2p.testing.nat.ports import PortPool
from twisted_p2p.testing.nat.words import Pooling, Unsolicited
from twisted_p2p.testing.tcp.segment import TCPFlags


class PortTaken(ValueError):
    """The public port is lent already, or there is none to lend."""


@frozen
class StaticMapping:
    """A mapping that somebody asked for; anyone may send to its public endpoint."""

    protocol: str
    internal: HostPort
    public: HostPort
    expires_at: float
    """The moment at which it ends; infinite for never."""


class NATTable(FilterTable[NATBehaviour]):
    """The mappings and filters of one protocol on one NAT.

    Every moment is given as ``now``, in seconds of any clock that does not go back. ``flags``
    are those of a TCP segment.
    """

    def __init__(
        self,
        behaviour: NATBehaviour,
        address: str,
        random: Random,
        *,
        more_addresses: Iterable[str] = (),
        protocol: str = "udp",
    ) -> None:
        """Make an empty table; ``more_addresses`` are the public ones besides ``address``."""
        super().__init__(behaviour, protocol)
        self._protocol = protocol
        self._random = random
        self._by_key: PrunedDict[Hashable, Mapping] = PrunedDict()
        self._by_host: dict[str, dict[Hashable, Mapping]] = {}
        self._static: dict[HostPort, Mapping] = {}
        self._taken: ExpiringSet[tuple[HostPort, HostPort]] = ExpiringSet(behaviour.timeout)
        self._make_pools((address, *more_addresses))

    @property
    def address(self) -> str:
        """The public IP address, or the first one."""
        return self._first_pool.address

    @property
    def addresses(self) -> Sequence[str]:
        """All public IP addresses."""
        return tuple(self._pools)

    def outbound(
        self, internal: HostPort, remote: HostPort, now: float, flags: TCPFlags | None = None
    ) -> HostPort | None:
        """Return the public endpoint from which a packet leaves.

        None when no port is free, or when the packet begins nothing; see `begins`.
        """
        behaviour = self.behaviour
        mapping = self._by_key.get((internal, behaviour.mapping.of(remote)))
        if mapping is None or now >= mapping.expires_at or self._static or self._taken:
            mapping = self._mapping(internal, remote, now, flags)
        if mapping is None or not mapping.leave(remote, now, flags):
            return None
        return mapping.public

    def inbound(
        self,
        remote: HostPort,
        port: int,
        now: float,
        flags: TCPFlags | None = None,
        *,
        address: str | None = None,
    ) -> HostPort | None:
        """Return the internal endpoint that a packet to a public port is for; None if nobody's.

        ``address`` is the public address, the first one unless told otherwise.
        """
        pool = self._first_pool if address is None else self._pools[address]
        mapping = pool.lent.get(port)
        if mapping is not None and (now >= mapping.expires_at or self._taken):
            mapping = self._open_mapping(pool, remote, port, now)
        if mapping is not None and self._lets_in(mapping, remote, now, flags):
            return mapping.internal
        if mapping is None:
            self._note_unsolicited(remote, now)
        if self.behaviour.unsolicited is Unsolicited.TAKES_PORT:
            self._taken.add((HostPort(pool.address, port), remote), now)
        return None

    def expects(
        self, remote: HostPort, public: HostPort, now: float, flags: TCPFlags | None = None
    ) -> bool:
        """Whether a packet to a public endpoint would come in, were it to come now."""
        pool = self._pools.get(public.host)
        mapping = self._open_mapping(pool, remote, public.port, now) if pool else None
        return mapping is not None and mapping.admits(remote, now, flags)

    def add_static(
        self,
        internal: HostPort,
        port: int,
        now: float,
        expires_at: float | None = None,
        *,
        address: str | None = None,
    ) -> HostPort:
        """Lend a public port, any for 0, until a moment or for ever; return the public endpoint.

        What the internal endpoint sends leaves from there too. Asked again, it moves the moment.

        :raises PortTaken: when the port is lent to another endpoint, or none is free for 0.
        """
        pool = self._first_pool if address is None else self._pools[address]
        known = self._live(pool.lent.get(port), now)
        if known is not None and known.internal == internal:
            mapping = known
        elif port and not pool.is_free(port, now):
            raise PortTaken(f"{self._protocol} port {port} is lent to another endpoint")
        else:
            free_port = port or pool.pick(internal.port, now)
            if free_port is None:
                raise PortTaken(f"no {self._protocol} port is free")
            key = (internal, HostPort(pool.address, free_port), "static")
            mapping = self._link(key, internal, pool, free_port, now)
        mapping.make_static(expires_at)
        self._static[internal] = mapping
        return mapping.public

    def remove_static(self, port: int, *, address: str | None = None) -> bool:
        """Take a public port back that `add_static` has lent; return whether it had."""
        pool = self._first_pool if address is None else self._pools[address]
        mapping = pool.lent.get(port)
        if mapping is None or not mapping.is_static:
            return False
        self._forget(mapping)
        return True

    def static_mappings(self, now: float) -> Iterator[StaticMapping]:
        """Yield what `add_static` has lent, in the order of public addresses and ports."""
        for pool in self._pools.values():
            for _, mapping in sorted(pool.lent.items()):
                if mapping.is_static and now < mapping.expires_at:
                    yield StaticMapping(
                        self._protocol, mapping.internal, mapping.public, mapping.expires_at
                    )

    def rebind(self) -> None:
        """Forget all mappings but static ones, and preserve no port from now on."""
        for mapping in list(self._by_key.values()):
            if not mapping.is_static:
                self._forget(mapping)
        self._taken.clear()
        for pool in self._pools.values():
            pool.stop_preserving()

    def restart(self, address: str | None = None) -> None:
        """Forget everything, and perhaps have another first public address from now on."""
        for forgotten in (self._by_key, self._by_host, self._static, self._taken, self._shut_out):
            forgotten.clear()
        self._make_pools((address or self.address, *self.addresses[1:]))

    def _make_pools(self, addresses: Iterable[str]) -> None:
        self._pools = {each: PortPool(each, self.behaviour, self._random) for each in addresses}
        self._first_pool = next(iter(self._pools.values()))

    def _open_mapping(
        self, pool: PortPool, remote: HostPort, port: int, now: float
    ) -> Mapping | None:
        mapping = pool.lent.get(port)
        if mapping is None or now >= mapping.expires_at:
            return None
        if self._taken and self._is_taken(mapping.public, remote, now):
            return None
        return mapping

    def _mapping(
        self, internal: HostPort, remote: HostPort, now: float, flags: TCPFlags | None
    ) -> Mapping | None:
        static = self._live(self._static.get(internal), now)
        if static is not None:
            return static
        part = self.behaviour.mapping.of(remote)
        mapping = self._live_or_new((internal, part), internal, now, flags)
        if mapping is not None and self._is_taken(mapping.public, remote, now):
            # This remote endpoint alone sees another port; everyone else the usual one.
            key = (internal, remote, Unsolicited.TAKES_PORT)
            mapping = self._live_or_new(key, internal, now, flags)
        return mapping

    def _live_or_new(
        self, key: Hashable, internal: HostPort, now: float, flags: TCPFlags | None
    ) -> Mapping | None:
        known = self._by_key.get(key)
        mapping = self._live(known, now)
        if mapping is not None or not self.begins(flags):
            return mapping
        if known is not None:
            self._forget(known)
        if self._is_at_quota(internal.host, now):
            return None
        for pool in self._pools_for(internal.host, now):
            port = pool.pick(internal.port, now)
            if port is not None:
                return self._link(key, internal, pool, port, now)
        return None

    def _link(
        self, key: Hashable, internal: HostPort, pool: PortPool, port: int, now: float
    ) -> Mapping:
        expired = pool.lent.get(port)
        if expired is not None:
            self._forget(expired)
        if len(self._by_key) > self._by_key.many:
            for dead in self._by_key.prune(lambda mapping: mapping.expires_at <= now):
                self._forget(dead)
        public = HostPort(pool.address, port)
        mapping = self._mapping_class(key, internal, public, self.behaviour, now)
        self._by_key[key] = pool.lent[port] = mapping
        self._by_host.setdefault(internal.host, {})[key] = mapping
        return mapping

    def _forget(self, mapping: Mapping) -> None:
        self._by_key.pop(mapping.key, None)
        self._pools[mapping.public.host].lent.pop(mapping.public.port)
        of_host = self._by_host[mapping.internal.host]
        del of_host[mapping.key]
        if not of_host:
            del self._by_host[mapping.internal.host]
        if self._static.get(mapping.internal) is mapping:
            del self._static[mapping.internal]

    def _is_at_quota(self, host: str, now: float) -> bool:
        quota = self.behaviour.port_quota
        of_host = self._by_host.get(host, {})
        if quota is None or len(of_host) < quota:
            return False
        for mapping in list(of_host.values()):
            if now >= mapping.expires_at:
                self._forget(mapping)
        return len(of_host) >= quota

    def _pools_for(self, host: str, now: float) -> Sequence[PortPool]:
        """Return the pools that may lend a port to an internal host, in the order to be asked."""
        pools = list(self._pools.values())
        if len(pools) == 1:
            return pools
        if self.behaviour.pooling is Pooling.PAIRED:
            for mapping in self._by_host.get(host, {}).values():
                if now < mapping.expires_at:
                    return [self._pools[mapping.public.host]]
        self._random.shuffle(pools)
        return pools

    def _is_taken(self, public: HostPort, remote: HostPort, now: float) -> bool:
        return self._taken.has((public, remote), now)

    @staticmethod
    def _live(mapping: Mapping | None, now: float) -> Mapping | None:
        return mapping if mapping is not None and now < mapping.expires_at else None
