"""Finding peers on the local network, for Twisted programs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from zope.interface import classImplements, implementer

from twisted_p2p.addresses import DatagramPath, NetworkInterface
from twisted_p2p.datagram.driver import MachineDriver, one_by_one
from twisted_p2p.datagram.multicast_socket import MulticastSocket
from twisted_p2p.datagram.network_interfaces import network_interfaces
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.interfaces import IDiscoveredPeer, IDiscoveryObserver, IPeerDiscovery
from twisted_p2p.lan.events import DiscoveryEvent, NodeAnnounced, PeerFound, PeerUpdated
from twisted_p2p.lan.link import Link, LinkID, links_of
from twisted_p2p.lan.multicast_dns import MulticastDNS
from twisted_p2p.lan.peer import LANPeer
from twisted_p2p.lan.service_records import Announcement

classImplements(LANPeer, IDiscoveredPeer)


@implementer(IPeerDiscovery, IDiscoveryObserver)
class LANDiscovery:
    """Finds peers on the links of this host, by DNS-SD over multicast DNS.

    To be subclassed, for `peer_found`, `peer_updated` and `peer_lost`, or to be observed.  It is a
    port of its own for each interface and address family, opened when there is something to send.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        interfaces: Callable[[], Iterable[NetworkInterface]] = network_interfaces,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Prepare a discovery; nothing is sent before it is started and asked for something.

        :param reactor: provides `IReactorTime`, and `IReactorSocket` or `IReactorMulticast`.
        :param interfaces: returns the interfaces of this host; loopback is left out.
        :param random_bytes: returns so many random bytes.
        """
        self._reactor = reactor
        self._interfaces = interfaces
        self._random_bytes = random_bytes
        self._observers: list[IDiscoveryObserver] = []
        self._is_running = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._machine = MulticastDNS(self._random_bytes)
        self._driver: MachineDriver[DiscoveryEvent] = MachineDriver(
            self._reactor, self._machine, one_by_one(self._send), self._happened
        )
        self._sockets: dict[LinkID, tuple[Link, MulticastSocket]] = {}
        self._is_wanted = False
        self._is_announced = False
        self._sought: dict[str, list[Deferred[IDiscoveredPeer]]] = {}
        self._announced: list[Deferred[None]] = []

    # Hooks.

    def peer_found(self, peer: IDiscoveredPeer) -> None:
        """Take a peer that was not known; a `LANPeer`."""

    def peer_updated(self, peer: IDiscoveredPeer) -> None:
        """Take what has changed about a known peer: all that is known of it now."""

    def peer_lost(self, peer: IDiscoveredPeer) -> None:
        """Take what was known last of a peer that has gone."""

    # What is known.

    @property
    def instance(self) -> str | None:
        """The name under which this node is announced, or is about to be; None if it is not."""
        return self._machine.instance

    @property
    def dropped(self) -> Counter[str]:
        """Datagrams and records of which nothing was taken, by reason."""
        return self._machine.dropped

    def find(self, peer_id: str) -> LANPeer | None:
        """Return what is known of a peer now, or None."""
        return self._machine.find(peer_id)

    def peers(self) -> list[IDiscoveredPeer]:
        """Return all peers that are known now."""
        return list(self._machine.peers)

    # Commands.

    def start(self) -> None:
        """Go on the network, as far as there is one."""
        self._is_running = True
        if self._is_wanted:
            self.interfaces_changed()

    def stop(self) -> Deferred[None]:
        """Say goodbye, browse no more and leave the network; fires when it is left.

        What `look_for` and `when_announced` have returned is cancelled.  It can be started again.
        """
        self._is_running = False
        self._machine.withdraw()
        self._driver.stop()
        waiting: list[Deferred[Any]] = [*self._announced]
        for deferreds in self._sought.values():
            waiting += deferreds
        closed = gatherResults([socket.stop() for _, socket in self._sockets.values()])
        self._begin_anew()
        for deferred in waiting:
            deferred.cancel()
        return closed.addCallback(lambda _: None)

    def announce(
        self,
        peer_id: str,
        port: int,
        services: Collection[str],
        accepting: bool,
        *,
        unlinkable_name: bool = False,
    ) -> None:
        """Let peers find this node; another call changes what they are told.

        :param services: the names of what is offered; those with a comma, and those beyond 246
            bytes of them together, are not told.
        :raises InvalidPeerID: when ``peer_id`` is none.
        :raises ValueError: when ``port`` is none.
        """
        if not 0 < port < 1 << 16:
            raise ValueError(f"a UDP port is from 1 to 65535, not {port}")
        announcement = Announcement(
            PeerID(peer_id), port, tuple(services), accepting, unlinkable_name
        )
        self._machine.announce(announcement, self._driver.now())
        self._wanted()

    def withdraw(self) -> None:
        """Let peers know that this node is gone; harmless when it is not announced."""
        self._is_announced = False
        self._machine.withdraw()
        self._driver.pump()

    def when_announced(self) -> Deferred[None]:
        """Return a Deferred that fires when this node is announced on any interface."""
        deferred: Deferred[None] = Deferred(self._wait_no_more)
        self._announced.append(deferred)
        if self._is_announced:
            self._tell_announced()
        return deferred

    def browse(self) -> None:
        """Look for all peers, from now on."""
        self._machine.browse(self._driver.now())
        self._wanted()

    def stop_browsing(self) -> None:
        """Look for all peers no more; those that are known are so for as long as they said."""
        self._machine.stop_browsing(self._driver.now())
        self._driver.pump()

    def look_for(self, peer_id: str) -> Deferred[IDiscoveredPeer]:
        """Look for one peer until it is found, or the Deferred is cancelled.

        :raises InvalidPeerID: when ``peer_id`` is none.
        """
        wanted = PeerID(peer_id)
        deferred: Deferred[IDiscoveredPeer] = Deferred(lambda it: self._look_no_more(wanted, it))
        self._sought.setdefault(wanted, []).append(deferred)
        self._machine.look_for(wanted, self._driver.now())
        known = self.find(wanted)
        if known is not None:
            self._tell_found(known)
        self._wanted()
        return deferred

    def add_observer(self, observer: IDiscoveryObserver) -> None:
        """Tell an observer too what becomes of peers, from now on."""
        self._observers.append(observer)

    def remove_observer(self, observer: IDiscoveryObserver) -> None:
        """Tell it no more."""
        self._observers.remove(observer)

    def interfaces_changed(self) -> None:
        """Look at this host's interfaces again, and ask again who is there.

        To be called when interfaces or addresses have changed, and when the host was asleep.
        """
        if not (self._is_running and self._is_wanted):
            return
        links = {link.id: link for link in links_of(self._interfaces())}
        for link_id, (link, socket) in list(self._sockets.items()):
            if links.get(link_id) != link:
                del self._sockets[link_id]
                socket.stop()
        for link in links.values():
            if link.id not in self._sockets:
                self._open(link)
        self._machine.links_changed(
            [link for link, _ in self._sockets.values()], self._driver.now()
        )
        self._driver.pump()

    # Sockets.

    def _wanted(self) -> None:
        if self._is_wanted or not self._is_running:
            self._is_wanted = True
            self._driver.pump()
        else:
            self._is_wanted = True
            self.interfaces_changed()

    def _open(self, link: Link) -> None:
        socket = MulticastSocket(
            link.group, link.interface, link.id, self._driver.datagram_received
        )
        try:
            socket.start(self._reactor)
        except CannotListenError as error:
            # Not every interface knows groups; and it may yet be on its way.
            self._log.debug("No multicast DNS on {link}: {error}", link=link.id, error=error)
        else:
            self._sockets[link.id] = link, socket

    def _send(self, data: bytes, path: DatagramPath) -> None:
        assert isinstance(path.local, LinkID)
        _, socket = self._sockets[path.local]
        socket.send(data, path)

    # Events.

    def _happened(self, event: DiscoveryEvent) -> None:
        if isinstance(event, NodeAnnounced):
            self._is_announced = True
            self._tell_announced()
            return
        for observer in (self, *self._observers):
            try:
                _tell(observer, event)
            except Exception:
                self._log.failure("The observer {observer!r} failed", observer=observer)
        if isinstance(event, PeerFound | PeerUpdated):
            self._tell_found(event.peer)

    def _tell_announced(self) -> None:
        waiting, self._announced = self._announced, []
        for deferred in waiting:
            deferred.callback(None)

    def _tell_found(self, peer: LANPeer) -> None:
        waiting = self._sought.pop(peer.peer_id, None)
        if waiting is not None:
            self._machine.look_no_more(peer.peer_id, self._driver.now())
            for deferred in waiting:
                deferred.callback(peer)

    def _wait_no_more(self, deferred: Deferred[None]) -> None:
        if deferred in self._announced:
            self._announced.remove(deferred)

    def _look_no_more(self, peer_id: str, deferred: Deferred[IDiscoveredPeer]) -> None:
        waiting = self._sought.get(peer_id, [])
        if deferred in waiting:
            waiting.remove(deferred)
            if not waiting:
                del self._sought[peer_id]
                self._machine.look_no_more(peer_id, self._driver.now())
                self._driver.pump()


def _tell(observer: IDiscoveryObserver, event: DiscoveryEvent) -> None:
    if isinstance(event, PeerFound):
        observer.peer_found(event.peer)
    elif isinstance(event, PeerUpdated):
        observer.peer_updated(event.peer)
    else:
        assert not isinstance(event, NodeAnnounced)
        observer.peer_lost(event.peer)
