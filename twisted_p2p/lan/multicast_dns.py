"""One node among the peers of its links: announced there, and looking for the others.

DNS-SD (RFC 6763) over multicast DNS (RFC 6762) as one machine, for any number of links.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import cast

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.lan.chance import Chance
from twisted_p2p.lan.events import DiscoveryEvent, NodeAnnounced
from twisted_p2p.lan.link import Link, LinkID
from twisted_p2p.lan.link_machine import LinkMachine
from twisted_p2p.lan.peer import LANPeer
from twisted_p2p.lan.peer_table import PeerTable
from twisted_p2p.lan.records import Name
from twisted_p2p.lan.responder import Outcome
from twisted_p2p.lan.service_records import (
    Announcement,
    Description,
    NodeNames,
    NodeRecords,
    choose_names,
    instance_name,
    node_records,
)

MOST_CONFLICTS = 15
CONFLICT_SECONDS = 10.0
CONFLICT_WAIT = 5.0
"""So many conflicts in so many seconds make a node wait that long before it tries another name
(RFC 6762, section 8.1)."""

_MOST_RECOGNISED = 1_000


class MulticastDNS:
    """The machine: times are seconds of one monotonic clock.

    The ``addr`` of its datagrams is a `DatagramPath` whose ``local`` is a `LinkID`.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self.dropped: Counter[str] = Counter()
        """Datagrams and records of which nothing was taken, by reason."""
        self._chance = Chance(random_bytes)
        self._machines: dict[LinkID, LinkMachine] = {}
        self._announcement: Announcement | None = None
        self._names: NodeNames | None = None
        self._named_at: frozenset[str] = frozenset()
        self._conflicts: deque[float] = deque(maxlen=MOST_CONFLICTS)
        self._is_browsing = False
        self._sought: set[str] = set()
        self._recognised: dict[bytes, str] = {}
        self._table = PeerTable()
        self._events: deque[DiscoveryEvent] = deque()

    # What is known.

    @property
    def peers(self) -> list[LANPeer]:
        """All peers that are known now."""
        return list(self._table.peers.values())

    def find(self, peer_id: str) -> LANPeer | None:
        """Return what is known of a peer, or None."""
        return self._table.peers.get(peer_id)

    @property
    def instance(self) -> str | None:
        """The name under which this node is announced, or is about to be; None if it is not."""
        return self._names.instance if self._names else None

    # Commands.

    def links_changed(self, links: Iterable[Link], now: float) -> None:
        """Take the links that there are now.

        On those that are new or have other addresses everything begins anew.  If there is no such
        link, and none that is gone, it does so on all: the host was asleep, or a cable was pulled.
        """
        current = {link.id: link for link in links}
        before = {link_id: machine.link for link_id, machine in self._machines.items()}
        changed = [link for link in current.values() if before.get(link.id) != link]
        for link_id in before.keys() - current.keys():
            del self._machines[link_id]
            self._table.lose_link(link_id)
        restarted = changed if changed or len(before) > len(current) else list(current.values())
        self._name_anew(current.values())
        for link in restarted:
            self._start_on(link, now)

    def announce(self, announcement: Announcement, now: float) -> None:
        """Announce this node, or what has changed about it; `NodeAnnounced` follows once a link."""
        before, self._announcement = self._announcement, announcement
        if before is None or _named_by(before) != _named_by(announcement):
            self._withdraw_all()
            self._choose_names()
            self._claim_all(now)
        elif before != announcement:
            for machine in self._machines.values():
                machine.responder.update(self._records(machine.link), now)

    def withdraw(self) -> None:
        """Say goodbye."""
        self._announcement = self._names = None
        self._withdraw_all()

    def browse(self, now: float) -> None:
        """Look for all peers."""
        self._is_browsing = True
        self._browse_or_not(now)

    def stop_browsing(self, now: float) -> None:
        """Look for all peers no more; those that are known are so for as long as they said."""
        self._is_browsing = False
        self._browse_or_not(now)

    def look_for(self, peer_id: str, now: float) -> None:
        """Look for a peer by its name, and, if it does not want to be recognised, among all."""
        self._sought.add(peer_id)
        for machine in self._machines.values():
            machine.browser.look_for(instance_name(peer_id), now)
            # Somebody whom nobody has recognised may be it.
            self._look_at(machine, machine.browser.instances)
        self._browse_or_not(now)

    def look_no_more(self, peer_id: str, now: float) -> None:
        """Look for that peer no more."""
        self._sought.discard(peer_id)
        for machine in self._machines.values():
            machine.browser.look_no_more(instance_name(peer_id))
        self._browse_or_not(now)

    # The five names.

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        """Take a datagram that came by a link; what is of no use is counted and dropped."""
        path = cast("DatagramPath", addr)
        machine = self._machines.get(cast("LinkID", path.local))
        if machine is None:
            self.dropped["no such link"] += 1
        elif self._is_own_elsewhere(path.remote.host, machine.link):
            self.dropped["from another interface of this host"] += 1
        else:
            machine.receive_datagram(data, path, now)
            self._follow(machine, now)

    def handle_timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        for machine in list(self._machines.values()):
            machine.handle_timer(now)
            self._follow(machine, now)

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` is wanted, or None."""
        times = (machine.get_timer() for machine in self._machines.values())
        return min((time for time in times if time is not None), default=None)

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the datagrams to send now."""
        return [
            datagram
            for machine in self._machines.values()
            for datagram in machine.datagrams_to_send(now)
        ]

    def next_event(self) -> DiscoveryEvent | None:
        """Return the next thing that happened, or None."""
        return self._events.popleft() if self._events else self._table.next_event()

    # On one link.

    def _start_on(self, link: Link, now: float) -> None:
        machine = self._machines.get(link.id)
        if machine is None:
            machine = self._machines[link.id] = LinkMachine(link, self._chance, self.dropped)
        else:
            machine.link = link
            machine.browser.restart(now)
        if self._announcement is not None:
            self._claim(machine, now)
        if self._is_browsing or self._sought:
            machine.browser.browse(now)
        for peer_id in self._sought:
            machine.browser.look_for(instance_name(peer_id), now)

    def _is_own_elsewhere(self, host: str, link: Link) -> bool:
        """Whether an address is that of another interface here, which is on the same link."""
        return host not in link.hosts and any(
            host in machine.link.hosts for machine in self._machines.values()
        )

    def _follow(self, machine: LinkMachine, now: float) -> None:
        """Draw the conclusions from what a link has told."""
        self._look_at(machine, machine.browser.take_touched())
        while (outcome := machine.next_event()) is not None:
            assert self._names is not None, "nothing is claimed without a name"
            if outcome is Outcome.TAKEN:
                self._rename(now)
            else:
                event = NodeAnnounced(self._names.instance, machine.link.interface.name)
                self._events.append(event)

    # This node.

    def _records(self, link: Link) -> NodeRecords:
        assert self._announcement is not None
        assert self._names is not None
        return node_records(self._announcement, self._names, link.hosts)

    def _claim(self, machine: LinkMachine, now: float, wait: float = 0.0) -> None:
        assert self._names is not None
        machine.browser.ignore(self._names.instance_name)
        self._look_at(machine, machine.browser.take_touched())
        machine.responder.claim(self._records(machine.link), now, wait)

    def _claim_all(self, now: float, wait: float = 0.0) -> None:
        for machine in self._machines.values():
            self._claim(machine, now, wait)

    def _withdraw_all(self) -> None:
        for machine in self._machines.values():
            machine.browser.ignore(None)
            machine.responder.withdraw()

    def _choose_names(self, taken: NodeNames | None = None) -> None:
        assert self._announcement is not None
        self._names = choose_names(self._announcement, self._chance, taken)
        self._named_at = self._own_hosts()

    def _rename(self, now: float) -> None:
        """Try another name, on all links (sections 8.1 and 9)."""
        has_many = len(self._conflicts) == MOST_CONFLICTS
        wait = CONFLICT_WAIT if has_many and self._conflicts[0] > now - CONFLICT_SECONDS else 0.0
        self._conflicts.append(now)
        self._withdraw_all()
        self._choose_names(taken=self._names)
        self._claim_all(now, wait)

    def _name_anew(self, links: Iterable[Link]) -> None:
        """Take other names where no address is as it was, if there is a secret to keep."""
        hosts = {host for link in links for host in link.hosts}
        has_moved = bool(hosts and self._named_at) and self._named_at.isdisjoint(hosts)
        if has_moved and self._announcement and self._announcement.unlinkable_name:
            self._choose_names()
        if hosts:
            self._named_at = frozenset(hosts)

    def _own_hosts(self) -> frozenset[str]:
        return frozenset(host for machine in self._machines.values() for host in machine.link.hosts)

    # The others.

    def _browse_or_not(self, now: float) -> None:
        for machine in self._machines.values():
            if self._is_browsing or self._sought:
                machine.browser.browse(now)
            else:
                machine.browser.stop_browsing()

    def _look_at(self, machine: LinkMachine, names: Iterable[Name]) -> None:
        for name in names:
            sighting = machine.browser.sighting(name)
            peer_id = self._recognise(sighting.description) if sighting else None
            if sighting is None or peer_id is None:
                self._table.lose(machine.link.id, name)
            else:
                self._table.see(machine.link, name, sighting, peer_id)

    def _recognise(self, description: Description) -> str | None:
        if description.peer_id is not None:
            return description.peer_id
        known = self._recognised.get(description.tag)
        if known is None:
            known = next(filter(description.is_of, self._sought), None)
            if known is not None and len(self._recognised) < _MOST_RECOGNISED:
                self._recognised[description.tag] = known
        return known


def _named_by(announcement: Announcement) -> tuple[str, bool]:
    """Return what the names depend on."""
    return announcement.peer_id, announcement.unlinkable_name
