"""Networks, the links that attach hosts to them, and the gateways between them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import Factory, define, frozen

from twisted_p2p.testing.ip import is_same_family
from twisted_p2p.testing.nat import NATTable
from twisted_p2p.testing.packet import Packet, PacketLog
from twisted_p2p.testing.schedule import Schedule


@frozen
class Link:
    """What befalls packets between one host and the middle of its network, either way.

    Times are seconds, the others are shares of all packets from 0 to 1.
    """

    delay: float = 0.0
    jitter: float = 0.0
    """The most that is added to the delay, at random; it puts no two packets out of order."""
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    """The share that is held back by up to one more delay and jitter, and so overtaken."""

    @property
    def is_steady(self) -> bool:
        """Whether there is nothing but a delay."""
        return not (self.jitter or self.loss or self.duplication or self.reordering)


@define(eq=False)
class Attachment:
    """Where a host or a gateway is plugged into a network."""

    network: Network
    link: Link
    """May be replaced at any time; packets under way are not affected."""
    random: Random
    receive: Callable[[Packet], None]
    """Takes each packet that arrives."""
    _latest_arrivals: dict[Attachment, float] = Factory(dict)

    def send(self, packet: Packet) -> None:
        """Send a packet into the network."""
        self.network.forward(self, packet)

    def arrive_in_order(self, receiver: Attachment, arrival: float) -> float:
        """Return the arrival of a packet, put off until what was sent there before has arrived."""
        arrival = max(arrival, self._latest_arrivals.get(receiver, 0.0))
        self._latest_arrivals[receiver] = arrival
        return arrival


class Network:
    """Addresses that reach each other, and perhaps a gateway to the rest of the world."""

    def __init__(self, name: str, schedule: Schedule, log: PacketLog) -> None:
        self.name = name
        self.schedule = schedule
        self.log = log
        self.gateway: Gateway | None = None
        self._attachments: dict[str, Attachment] = {}

    def attach(self, attachment: Attachment, address: str) -> None:
        """Let packets to an address go to an attachment.

        :raises ValueError: when the address is somebody else's.
        """
        if address in self._attachments:
            raise ValueError(f"{address} is taken in the network {self.name!r}")
        self._attachments[address] = attachment
        if self.gateway is not None and not self.gateway.translates(address):
            self.gateway.outside.network.attach(self.gateway.outside, address)

    def forward(self, sender: Attachment, packet: Packet) -> None:
        """Carry a packet from one attachment to the one that has its destination."""
        receiver = self._attachments.get(packet.destination.host)
        if receiver is None and self.gateway is not None:
            receiver = self.gateway.inside
        if receiver is None or receiver is sender:
            self.record(packet, "unreachable")
        elif sender.link.is_steady and receiver.link.is_steady:
            arrival = self.schedule.now + sender.link.delay + receiver.link.delay
            self.schedule.at(arrival, receiver.receive, packet)
        else:
            self._forward_by_chance(sender, receiver, packet)

    def record(self, packet: Packet, fate: str) -> None:
        """Log that a packet ended here."""
        self.log.record(packet, self.schedule.now, fate, self.name)

    def _forward_by_chance(self, sender: Attachment, receiver: Attachment, packet: Packet) -> None:
        ends = (sender, receiver)
        if any(_happens(end, end.link.loss) for end in ends):
            self.record(packet, "lost")
            return
        packets = [packet]
        for end in ends:
            if _happens(end, end.link.duplication):
                packets.append(packet.copy())
        for each in packets:
            arrival = self.schedule.now + sum(_travel_time(end) for end in ends)
            if any(_happens(end, end.link.reordering) for end in ends):
                arrival += sum(_hold_back_time(end) for end in ends)
            else:
                arrival = sender.arrive_in_order(receiver, arrival)
            self.schedule.at(arrival, receiver.receive, each)


def _happens(end: Attachment, share: float) -> bool:
    return share > 0 and end.random.random() < share


def _travel_time(end: Attachment) -> float:
    return end.link.delay + end.link.jitter * end.random.random()


def _hold_back_time(end: Attachment) -> float:
    return (end.link.delay + end.link.jitter) * end.random.random()


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
        self.inside = Attachment(inside_network, Link(), random, self._leave)
        self.outside = Attachment(outside_network, link, random, self._enter)
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
