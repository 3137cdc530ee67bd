"""Networks, and what is plugged into them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from attrs import Factory, define

from twisted_p2p.testing.link import Link
from twisted_p2p.testing.packet import ICMPError, Packet, PacketLog
from twisted_p2p.testing.schedule import Schedule

if TYPE_CHECKING:
    from twisted_p2p.testing.gateway import Gateway


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

    def bounce(self, packet: Packet, error: ICMPError) -> None:
        """Let the sender of a packet hear of an ICMP error, if it wants to.

        The error goes back the way the packet came, through every NAT (RFC 4787, REQ-10).
        """
        if packet.icmp_error is not None:
            travelled = self.schedule.now - packet.sent_at
            self.schedule.at(self.schedule.now + travelled, packet.icmp_error, error)

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
