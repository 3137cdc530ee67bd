"""The gateway between a private network and the one that it is in."""

from __future__ import annotations

from random import Random

from twisted_p2p.testing.ip import is_same_family
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.nat import NATTable
from twisted_p2p.testing.network import Attachment, Network
from twisted_p2p.testing.packet import Packet


class Gateway:
    """Joins a private network to another one: translates what has its address's family.

    Packets of the other family are routed as they are.
    """

    def __init__(
        self,
        inside_network: Network,
        outside_network: Network,
        table: NATTable,
        link: Link,
        random: Random,
    ) -> None:
        self.table = table
        self.inside = Attachment(
            inside_network, Link(), random, self._leave, outside_network.holder_of
        )
        self.outside = Attachment(
            outside_network, link, random, self._enter, inside_network.holder_behind_nat
        )
        outside_network.attach(self.outside, table.address)
        inside_network.gateway = self

    def translates(self, address: str) -> bool:
        """Whether an address inside is hidden behind the gateway's own."""
        return is_same_family(address, self.table.address)

    def _leave(self, packet: Packet) -> None:
        """Take a packet from inside."""
        if not self.translates(packet.source.host):
            self.outside.send(packet)
            return
        schedule = self.inside.network.schedule
        public = self.table.outbound(packet.source, packet.destination, schedule.now)
        if public is None:
            self.inside.network.record(packet, "out of ports")
            return
        packet.source = public
        if packet.destination.host != self.table.address:
            self.outside.send(packet)
        elif self.table.behaviour.hairpinning:
            self._enter(packet)
        else:
            self.inside.network.record(packet, "not hairpinned")

    def _enter(self, packet: Packet) -> None:
        """Take a packet from outside."""
        if packet.destination.host == self.table.address:
            now = self.inside.network.schedule.now
            internal = self.table.inbound(packet.source, packet.destination.port, now)
            if internal is None:
                self.inside.network.record(packet, "filtered")
                return
            packet.destination = internal
        self.inside.send(packet)
