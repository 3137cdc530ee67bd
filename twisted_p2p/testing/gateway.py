"""The gateway between a private network and the one that it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeAlias

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.ip import is_same_family
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.nat import (
    Firewall,
    FirewallTable,
    HairpinSource,
    NATBehaviour,
    NATTable,
    StaticMapping,
    Unsolicited,
)
from twisted_p2p.testing.network import Attachment, Network
from twisted_p2p.testing.packet import ICMPError, Packet
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment, refusal

_PROTOCOLS = ("udp", "tcp")

_Table: TypeAlias = NATTable | FirewallTable


class Gateway:
    """Joins a private network to another one: translates what has its address's family.

    The rest is routed as it is, through a firewall if there is one.
    """

    def __init__(
        self,
        inside_network: Network,
        outside_network: Network,
        addresses: Sequence[str],
        nat: NATBehaviour | None,
        firewall: Firewall | None,
        link: Link,
        random: Callable[[str], Random],
    ) -> None:
        """Attach a gateway; ``random`` makes the random source of a given name.

        The first of the addresses outside is the gateway's own, and a NAT lends ports of all.
        """
        name = inside_network.name
        on_the_way = random(f"link of the NAT of {name}")
        self.inside = Attachment(
            inside_network, Link(), on_the_way, self._leave, outside_network.holder_of
        )
        self.outside = Attachment(
            outside_network, link, on_the_way, self._enter, inside_network.holder_behind_nat
        )
        self._addresses = tuple(addresses)
        self.tables: dict[str, NATTable] = {}
        """What a NAT knows, for ``udp`` and for ``tcp``; empty without one."""
        if nat is not None:
            sources = {"udp": random(f"NAT of {name}"), "tcp": random(f"NAT of {name} for TCP")}
            self.tables = {
                protocol: NATTable(
                    nat, addresses[0], source, more_addresses=addresses[1:], protocol=protocol
                )
                for protocol, source in sources.items()
            }
        self.firewalls: dict[str, FirewallTable] = {}
        """What the firewall for untranslated packets knows, likewise."""
        if firewall is not None:
            self.firewalls = {each: FirewallTable(firewall, each) for each in _PROTOCOLS}
        self.started_at = self._now
        """When it was switched on, or came up after the latest reboot."""
        self.when_up: list[Callable[[], None]] = []
        """Called after each reboot, when packets pass again."""
        for address in addresses:
            outside_network.attach(self.outside, address)
        inside_network.gateway = self

    @property
    def table(self) -> NATTable:
        """The table of the NAT for UDP."""
        return self.tables["udp"]

    @property
    def public_address(self) -> str:
        """The gateway's own address outside."""
        return self._addresses[0]

    def translates(self, address: str) -> bool:
        """Whether an address inside is hidden behind the gateway's own."""
        return bool(self.tables) and is_same_family(address, self._addresses[0])

    def add_mapping(
        self,
        protocol: str,
        internal: HostPort,
        public_port: int,
        expires_at: float | None = None,
    ) -> HostPort:
        """Let anyone send to an endpoint inside by a public port, as by UPnP, NAT-PMP or PCP.

        0 stands for any public port; time is virtual time, and None is for ever. The endpoint's
        own packets leave from there too. Asked for again, the mapping has the new end.

        :raises PortTaken: when the port is lent to another endpoint.
        """
        return self.tables[protocol].add_static(internal, public_port, self._now, expires_at)

    def remove_mapping(self, protocol: str, public_port: int) -> bool:
        """Take back what `add_mapping` has given; return whether there was anything."""
        return self.tables[protocol].remove_static(public_port)

    def mappings(self) -> list[StaticMapping]:
        """Return what `add_mapping` has given and has not ended."""
        return [each for table in self.tables.values() for each in table.static_mappings(self._now)]

    def rebind(self) -> None:
        """Forget all mappings but those of `add_mapping`; the next ones have other ports."""
        for table in self.tables.values():
            table.rebind()

    def reboot(self, new_address: str | None = None, seconds: float = 0.0) -> None:
        """Forget everything, let nothing pass for some seconds, and perhaps get another address.

        :raises ValueError: when the address is somebody else's.
        """
        if new_address is not None and new_address != self.public_address:
            outside = self.outside.network
            outside.attach(self.outside, new_address)
            outside.detach(self.public_address)
            self._addresses = (new_address, *self._addresses[1:])
        for table in self.tables.values():
            table.restart(new_address)
        for firewall in self.firewalls.values():
            firewall.restart()
        self.started_at = self._now + seconds
        if seconds:
            self.inside.network.schedule.at(self.started_at, self._come_up, self.started_at)
        else:
            self._come_up(self.started_at)

    @property
    def _now(self) -> float:
        return self.inside.network.schedule.now

    def _come_up(self, started_at: float) -> None:
        if started_at == self.started_at:  # else it has been rebooted while it rebooted
            for call in self.when_up:
                call()

    def _record(self, packet: Packet, fate: str) -> None:
        self.inside.network.record(packet, fate)

    def _leave(self, packet: Packet) -> None:
        """Take a packet from inside."""
        now = self._now
        if now < self.started_at:
            self._record(packet, "rebooting")
            return
        is_translated = self.translates(packet.source.host)
        tables: Mapping[str, _Table] = self.tables if is_translated else self.firewalls
        table = tables.get(packet.protocol)
        if table is None:
            self.outside.send(packet)
            return
        if _is_blocked(table, packet.destination):
            self._record(packet, "blocked")
            return
        flags = packet.segment.flags if packet.segment is not None else None
        public = table.outbound(packet.source, packet.destination, now, flags)
        if public is None:
            self._record(packet, "out of ports" if table.begins(flags) else "out of state")
            return
        if not table.behaviour.icmp_errors:
            packet.icmp_error = None
        internal, packet.source = packet.source, public
        if is_translated and packet.destination.host in self._addresses:
            self._hairpin(packet, internal)
        else:
            self.outside.send(packet)

    def _hairpin(self, packet: Packet, internal: HostPort) -> None:
        behaviour = self.tables[packet.protocol].behaviour
        if not behaviour.hairpinning:
            self._record(packet, "not hairpinned")
            return
        is_external = behaviour.hairpin_source is HairpinSource.EXTERNAL
        self._translate_in(packet, packet.source if is_external else internal)

    def _enter(self, packet: Packet) -> None:
        """Take a packet from outside."""
        if self._now < self.started_at:
            self._record(packet, "rebooting")
        elif self.tables and packet.destination.host in self._addresses:
            self._translate_in(packet, packet.source)
        elif self.firewalls:
            self._pass_firewall(packet)
        else:
            self.inside.send(packet)

    def _translate_in(self, packet: Packet, shown_source: HostPort) -> None:
        table, public = self.tables[packet.protocol], packet.destination
        flags = packet.segment.flags if packet.segment is not None else None
        if _is_blocked(table, packet.source):
            self._record(packet, "blocked")
            return
        internal = table.inbound(packet.source, public.port, self._now, flags, address=public.host)
        if internal is None:
            self._refuse(packet, table)
            return
        packet.source, packet.destination = shown_source, internal
        self.inside.send(packet)

    def _pass_firewall(self, packet: Packet) -> None:
        table = self.firewalls[packet.protocol]
        flags = packet.segment.flags if packet.segment is not None else None
        if _is_blocked(table, packet.source):
            self._record(packet, "blocked")
        elif table.inbound(packet.source, packet.destination, self._now, flags) is None:
            self._refuse(packet, table)
        else:
            self.inside.send(packet)

    def _refuse(self, packet: Packet, table: _Table) -> None:
        """Drop an unsolicited packet, and see to its answer if there is one."""
        self._record(packet, "filtered")
        behaviour = table.behaviour
        if behaviour.unsolicited not in (Unsolicited.RESET, Unsolicited.ICMP_ERROR):
            return
        if packet.segment is None or packet.segment.flags is not TCPFlags.SYN:
            self._answer(packet, table)
        elif behaviour.tcp.syn_hold:
            # Held, it is as if it came that much later, having travelled no longer.
            packet.sent_at += behaviour.tcp.syn_hold
            until = self._now + behaviour.tcp.syn_hold
            self.inside.network.schedule.at(until, self._answer_held, (packet, table))
        else:
            self._answer(packet, table)

    def _answer_held(self, held: tuple[Packet, _Table]) -> None:
        packet, table = held
        if not table.expects(packet.source, packet.destination, self._now, TCPFlags.SYN):
            self._answer(packet, table)

    def _answer(self, packet: Packet, table: _Table) -> None:
        if table.behaviour.unsolicited is Unsolicited.ICMP_ERROR:
            is_nat = isinstance(table, NATTable)
            error = ICMPError.PORT_UNREACHABLE if is_nat else ICMPError.PROHIBITED
            self.inside.network.bounce(packet, error)
        elif packet.segment is not None:
            segment = refusal(packet.segment, len(packet.data))
            if segment is not None:
                self._send_reset(packet, segment)

    def _send_reset(self, packet: Packet, segment: TCPSegment) -> None:
        source, destination = packet.destination, packet.source
        reset = Packet(
            protocol="tcp",
            data=b"",
            source=source,
            destination=destination,
            sender=self.inside.network.name,
            sent_at=self._now,
            sent_from=source,
            sent_to=destination,
            segment=segment,
        )
        if destination.host in self._addresses:
            self._enter(reset)
        else:
            self.outside.send(reset)


def _is_blocked(table: _Table, remote: HostPort) -> bool:
    ports = table.destination_ports
    return ports is not None and remote.port not in ports
