"""Networks, and what is plugged into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_p2p.testing.attachment import Attachment
from twisted_p2p.testing.ip import is_link_local, is_multicast
from twisted_p2p.testing.packet import ICMPError, Packet
from twisted_p2p.testing.packet_log import PacketLog
from twisted_p2p.testing.schedule import Schedule

if TYPE_CHECKING:
    from twisted_p2p.testing.gateway import Gateway

__all__ = ["Attachment", "Network"]


class Network:
    """Addresses that reach each other, and perhaps a gateway to the rest of the world."""

    def __init__(self, name: str, schedule: Schedule, log: PacketLog) -> None:
        self.name = name
        self.schedule = schedule
        self.log = log
        self.gateway: Gateway | None = None
        self.router: str | None = None
        """The address of the gateway inside, if something answers there."""
        self._attachments: dict[str, Attachment] = {}
        self._groups: dict[str, dict[Attachment, int]] = {}

    def attach(self, attachment: Attachment, address: str) -> None:
        """Let packets to an address go to an attachment.

        :raises ValueError: when the address is somebody else's.
        """
        if address in self._attachments:
            raise ValueError(f"{address} is taken in the network {self.name!r}")
        self._attachments[address] = attachment
        if self.gateway is not None and self._is_seen_outside(address):
            self.gateway.outside.network.attach(self.gateway.outside, address)

    def detach(self, address: str) -> None:
        """Let packets to an address go nowhere any more."""
        del self._attachments[address]
        if self.gateway is not None and self._is_seen_outside(address):
            self.gateway.outside.network.detach(address)

    def forward(self, sender: Attachment, packet: Packet) -> None:
        """Carry a packet from one attachment to the one that has its destination."""
        receiver = self._attachments.get(packet.destination.host)
        if receiver is None:
            if is_multicast(packet.destination.host):
                self._forward_to_group(sender, packet)
                return
            receiver = self._way_out(packet)
        if receiver is None or receiver is sender:
            self.record(packet, "unreachable")
        elif sender.link.is_steady and receiver.link.is_steady:
            arrival = self.schedule.now + sender.link.delay + receiver.link.delay
            self.schedule.at(arrival, receiver.take, packet)
        else:
            for crossing in sender.leave(packet):
                receiver.approach(sender, crossing)

    def join(self, attachment: Attachment, group: str) -> None:
        """Let packets to a group go to an attachment too, until it has left as often."""
        members = self._groups.setdefault(group, {})
        members[attachment] = members.get(attachment, 0) + 1

    def leave(self, attachment: Attachment, group: str) -> None:
        """Undo `join` once."""
        members = self._groups[group]
        members[attachment] -= 1
        if not members[attachment]:
            del members[attachment]

    def _forward_to_group(self, sender: Attachment, packet: Packet) -> None:
        members = [each for each in self._groups.get(packet.destination.host, ()) if each != sender]
        if not members:
            self.record(packet, "unheard")
            return
        for twin, time, is_held in sender.leave(packet):
            for member in members:
                member.approach(sender, (twin.copy(), time, is_held))

    def _way_out(self, packet: Packet) -> Attachment | None:
        """Return where packets leave the network, if that is open to a packet."""
        if self.gateway is None or is_link_local(packet.destination.host):
            return None
        return None if is_link_local(packet.source.host) else self.gateway.inside

    def _is_seen_outside(self, address: str) -> bool:
        assert self.gateway is not None
        return not self.gateway.translates(address) and not is_link_local(address)

    def holder_of(self, address: str) -> str:
        """Return the name of the host that packets to an address are for, as seen from here.

        An address that nobody has is its own name.
        """
        attachment = self._attachments.get(address)
        if attachment is not None:
            return attachment.holder(address)
        return self.gateway.outside.network.holder_of(address) if self.gateway else address

    def holder_behind_nat(self, address: str) -> str:
        """Return the same as seen by the gateway, whose own address may be anyone's in here.

        That is the only host here, or the name of the network when there are several.
        """
        attachment = self._attachments.get(address)
        if attachment is not None:
            return attachment.holder(address)
        holders = {each.holder(own) for own, each in self._attachments.items()}
        return holders.pop() if len(holders) == 1 else self.name

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
