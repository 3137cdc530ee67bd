"""What the tables of NATs and of firewalls have in common, and the table of a firewall."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat.behaviour import FilterBehaviour, Firewall
from twisted_p2p.testing.nat.mapping import Mapping, UDPMapping
from twisted_p2p.testing.nat.memory import ExpiringSet, PrunedDict
from twisted_p2p.testing.nat.sessions import TCPMapping, begins_connection
from twisted_p2p.testing.nat.words import Unsolicited
from twisted_p2p.testing.tcp.segment import TCPFlags

BehaviourT = TypeVar("BehaviourT", bound=FilterBehaviour)


class FilterTable(Generic[BehaviourT]):
    """Who is let in, for one protocol."""

    def __init__(self, behaviour: BehaviourT, protocol: str) -> None:
        """Make an empty table for ``udp`` or ``tcp``."""
        self.behaviour = behaviour if protocol == "udp" else behaviour.for_tcp()
        """What is true for the protocol of this table."""
        self.destination_ports = (
            behaviour.udp_destination_ports
            if protocol == "udp"
            else behaviour.tcp_destination_ports
        )
        """The only remote ports that may be talked to; None for all."""
        self._mapping_class: type[Mapping] = UDPMapping if protocol == "udp" else TCPMapping
        self._shut_out: ExpiringSet[str] = ExpiringSet(behaviour.blacklist_time)

    def begins(self, flags: TCPFlags | None = None) -> bool:
        """Whether a packet with these flags from inside makes a mapping where there is none."""
        return self._mapping_class is UDPMapping or begins_connection(self.behaviour, flags)

    def _lets_in(
        self, mapping: Mapping, remote: HostPort, now: float, flags: TCPFlags | None
    ) -> bool:
        """Pass a packet from outside to a live mapping; return whether it gets through."""
        if not self._shut_out or not self._shut_out.has(remote.host, now):
            if mapping.enter(remote, now, flags):
                return True
        elif mapping.admits(remote, now, flags):
            return False
        self._note_unsolicited(remote, now)
        return False

    def _note_unsolicited(self, remote: HostPort, now: float) -> None:
        if self.behaviour.unsolicited is Unsolicited.BLACKLISTS:
            self._shut_out.add(remote.host, now)


class FirewallTable(FilterTable[Firewall]):
    """What one firewall lets in, for one protocol."""

    def __init__(self, behaviour: Firewall, protocol: str = "udp") -> None:
        """Make an empty table for ``udp`` or ``tcp``."""
        super().__init__(behaviour, protocol)
        self._open: PrunedDict[Hashable, Mapping] = PrunedDict()

    def outbound(
        self, internal: HostPort, remote: HostPort, now: float, flags: TCPFlags | None = None
    ) -> HostPort | None:
        """Return the endpoint from which a packet leaves, which is its own; None if it may not."""
        mapping = self._open.get(internal)
        if mapping is None or now >= mapping.expires_at:
            if not self.begins(flags):
                return None
            mapping = self._new_mapping(internal, now)
        return internal if mapping.leave(remote, now, flags) else None

    def inbound(
        self, remote: HostPort, internal: HostPort, now: float, flags: TCPFlags | None = None
    ) -> HostPort | None:
        """Return the endpoint that a packet is for; None if it may not come in."""
        mapping = self._live_mapping(internal, now)
        if mapping is None:
            self._note_unsolicited(remote, now)
            return None
        return internal if self._lets_in(mapping, remote, now, flags) else None

    def expects(
        self, remote: HostPort, internal: HostPort, now: float, flags: TCPFlags | None = None
    ) -> bool:
        """Whether a packet would come in, were it to come now."""
        mapping = self._live_mapping(internal, now)
        return mapping is not None and mapping.admits(remote, now, flags)

    def restart(self) -> None:
        """Forget everything."""
        self._open.clear()
        self._shut_out.clear()

    def _live_mapping(self, internal: HostPort, now: float) -> Mapping | None:
        mapping = self._open.get(internal)
        return mapping if mapping is not None and now < mapping.expires_at else None

    def _new_mapping(self, internal: HostPort, now: float) -> Mapping:
        if len(self._open) > self._open.many:
            self._open.prune(lambda mapping: mapping.expires_at <= now)
        mapping = self._mapping_class(internal, internal, internal, self.behaviour, now)
        self._open[internal] = mapping
        return mapping
