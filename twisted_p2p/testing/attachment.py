"""Where a host or a gateway is plugged into a network."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from attrs import Factory, define, field

from twisted_p2p.testing.link import Lane, Link
from twisted_p2p.testing.packet import ICMPError, Packet

if TYPE_CHECKING:
    from twisted_p2p.testing.network import Network

Crossing: TypeAlias = tuple[Packet, float, bool]
"""A packet, when it is somewhere, and whether later ones may overtake it."""


@define(eq=False)
class Attachment:
    """Where a host or a gateway is plugged into a network."""

    network: Network
    link: Link
    """May be replaced at any time; packets under way are not affected."""
    random: Random
    receive: Callable[[Packet], None]
    """Takes each packet that arrives."""
    holder: Callable[[str], str] = str
    """Tells the name of the host that packets to an address here are for."""
    is_plugged: bool = True
    """Whether the cable is in; assignable."""
    _up: Lane = field(init=False)
    _down: Lane = field(init=False)
    _latest_arrivals: dict[Attachment, float] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self._up, self._down = Lane(self.random), Lane(self.random)

    def send(self, packet: Packet) -> None:
        """Send a packet into the network."""
        if self.is_plugged:
            self.network.forward(self, packet)
        else:
            self.network.record(packet, "unplugged")

    def leave(self, packet: Packet) -> list[Crossing]:
        """Return what of a packet reaches the middle of the network."""
        departure = self._pass(self._up, packet)
        return [] if departure is None else self._cross(self._up, (packet, departure, False))

    def approach(self, sender: Attachment, crossing: Crossing) -> None:
        """Carry a packet from the middle of the network to this end."""
        for packet, arrival, may_be_overtaken in self._cross(self._down, crossing):
            if not may_be_overtaken:
                arrival = sender.in_order(self, arrival)  # noqa: PLW2901
            self.network.schedule.at(arrival, self.take, packet)

    def in_order(self, receiver: Attachment, arrival: float) -> float:
        """Return the arrival of a packet, put off until what was sent there before has arrived."""
        arrival = max(arrival, self._latest_arrivals.get(receiver, 0.0))
        self._latest_arrivals[receiver] = arrival
        return arrival

    def take(self, packet: Packet) -> None:
        """Take a packet at the end of its way through the network."""
        if not self.link.is_narrow:
            self._hand_over(packet)
            return
        departure = self._pass(self._down, packet)
        if departure is not None:
            self.network.schedule.at(departure, self._hand_over, packet)

    def _hand_over(self, packet: Packet) -> None:
        if self.is_plugged:
            self.receive(packet)
        else:
            self.network.record(packet, "unplugged")

    def _pass(self, lane: Lane, packet: Packet) -> float | None:
        """Return when a packet is through a narrow place; None when it is not."""
        now = self.network.schedule.now
        if not self.link.is_narrow:
            return now
        if self.link.mtu is not None and packet.size > self.link.mtu:
            self.network.record(packet, "too big")
            if self.link.tells_too_big:
                self.network.bounce(packet, ICMPError.PACKET_TOO_BIG)
            return None
        departure = lane.departure(self.link, packet.size, now)
        if departure is None:
            self.network.record(packet, "queue full")
        return departure

    def _cross(self, lane: Lane, crossing: Crossing) -> list[Crossing]:
        """Return what comes of a packet on one half of its way: itself, its twin, or nothing."""
        link = self.link
        packet, departure, is_held = crossing
        if link.is_steady:
            return [(packet, departure + link.delay, is_held)]
        if link.loss and lane.loses(link):
            self.network.record(packet, "lost")
            return []
        time, is_held_here = lane.travel(link)
        crossed = [(packet, departure + time, is_held or is_held_here)]
        if link.duplication and lane.duplicates(link):
            time, is_held_here = lane.travel(link)
            crossed.append((packet.copy(), departure + time, is_held or is_held_here))
        return crossed
