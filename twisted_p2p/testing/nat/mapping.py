"""One mapping, and the filter that belongs to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from math import inf

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat.behaviour import FilterBehaviour
from twisted_p2p.testing.nat.memory import PrunedDict
from twisted_p2p.testing.tcp.segment import TCPFlags


class Mapping(ABC):
    """A public endpoint lent to an internal one; what a firewall keeps is one to itself."""

    __slots__ = ("ends_at", "expires_at", "internal", "is_static", "key", "public", "rules")

    def __init__(
        self,
        key: Hashable,
        internal: HostPort,
        public: HostPort,
        rules: FilterBehaviour,
        now: float,
    ) -> None:
        self.key = key
        self.internal = internal
        self.public = public
        self.rules = rules
        self.ends_at = now + rules.lifetime
        """When it is forgotten whatever comes and goes."""
        self.expires_at = min(now + self._first_timeout(rules), self.ends_at)
        """When it is forgotten if nothing more comes and goes."""
        self.is_static = False

    @staticmethod
    def _first_timeout(rules: FilterBehaviour) -> float:
        return rules.timeout

    @abstractmethod
    def leave(self, remote: HostPort, now: float, flags: TCPFlags | None) -> bool:
        """Take note of a packet from inside; return whether it may go."""

    @abstractmethod
    def admits(self, remote: HostPort, now: float, flags: TCPFlags | None) -> bool:
        """Whether a packet from outside may come in."""

    @abstractmethod
    def enter(self, remote: HostPort, now: float, flags: TCPFlags | None) -> bool:
        """Take note of a packet from outside if it may come in; return whether it may."""

    def make_static(self, expires_at: float | None) -> None:
        """Let anyone in, until a moment, or for ever."""
        self.is_static = True
        self.ends_at = self.expires_at = inf if expires_at is None else expires_at


class UDPMapping(Mapping):
    """A mapping whose filter lets in for a time who was written to."""

    __slots__ = ("_passes",)

    def __init__(
        self,
        key: Hashable,
        internal: HostPort,
        public: HostPort,
        rules: FilterBehaviour,
        now: float,
    ) -> None:
        super().__init__(key, internal, public, rules, now)
        self._passes: PrunedDict[Hashable, float] = PrunedDict()
        """Who may send in, as far as the filtering looks, and until when."""

    def leave(self, remote: HostPort, now: float, flags: TCPFlags | None = None) -> bool:
        """Keep the mapping, and let the remote endpoint in."""
        if not self.is_static:
            rules = self.rules
            expires_at, ends_at = now + rules.timeout, self.ends_at
            expires_at = ends_at if ends_at < expires_at else expires_at
            passes = self._passes
            self.expires_at = passes[rules.filtering.of(remote)] = expires_at
            if len(passes) > passes.many:
                passes.prune(lambda until: until <= now)
        return True

    def admits(self, remote: HostPort, now: float, flags: TCPFlags | None = None) -> bool:
        """Whether the remote endpoint has been written to, as far as the filtering looks."""
        return self.is_static or now < self._passes.get(self.rules.filtering.of(remote), now)

    def enter(self, remote: HostPort, now: float, flags: TCPFlags | None = None) -> bool:
        """Keep the mapping if inbound packets do that."""
        rules = self.rules
        if now < self._passes.get(rules.filtering.of(remote), now):
            if rules.inbound_refresh:
                self.leave(remote, now)
            return True
        return self.is_static
