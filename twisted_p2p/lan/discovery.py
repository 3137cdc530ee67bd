"""Finding peers on the local network, for Twisted programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import classImplements, implementer

from twisted_p2p.addresses import NetworkInterface
from twisted_p2p.datagram.network_interfaces import network_interfaces
from twisted_p2p.interfaces import (
    IDiscoveredPeer,
    IDiscoveryObserver,
    IPeerDiscovery,
)
from twisted_p2p.lan.peer import LANPeer


@implementer(IPeerDiscovery, IDiscoveryObserver)
class LANDiscovery:
    """Finds peers on the links of this host, by DNS-SD over multicast DNS.

    To be subclassed, for `peer_found`, `peer_updated` and `peer_lost`, or to be observed.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        interfaces: Callable[[], Iterable[NetworkInterface]] = network_interfaces,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Prepare a discovery; nothing is sent before it was started and asked for something.

        :param reactor: provides `IReactorMulticast` and `IReactorTime`.
        :param interfaces: returns the interfaces of this host; loopback is left out.
        :param random_bytes: returns so many random bytes.
        """

    # Hooks.

    def peer_found(self, peer: IDiscoveredPeer) -> None:
        """Take a peer that was not known."""

    def peer_updated(self, peer: IDiscoveredPeer) -> None:
        """Take what has changed about a known peer: all that is known of it now."""

    def peer_lost(self, peer: IDiscoveredPeer) -> None:
        """Take what was known last of a peer that has gone."""

    # Commands.

    def start(self) -> None:
        """Go on the network, as far as there is one."""
        raise NotImplementedError

    def stop(self) -> Deferred[None]:
        """Withdraw, browse no more and leave the network; fires when it is left."""
        raise NotImplementedError

    def announce(
        self,
        peer_id: str,
        port: int,
        services: Collection[str],
        accepting: bool,
        *,
        unlinkable_name: bool = False,
    ) -> None:
        """Let peers find this node; another call changes what they are told."""
        raise NotImplementedError

    def withdraw(self) -> None:
        """Let peers know that this node is gone; harmless when it is not announced."""
        raise NotImplementedError

    def browse(self) -> None:
        """Look for all peers, from now on."""
        raise NotImplementedError

    def stop_browsing(self) -> None:
        """Look for all peers no more, and forget those that nobody looks for."""
        raise NotImplementedError

    def look_for(self, peer_id: str) -> Deferred[IDiscoveredPeer]:
        """Look for one peer, until it is found or the Deferred is cancelled."""
        raise NotImplementedError

    def find(self, peer_id: str) -> IDiscoveredPeer | None:
        """Return what is known of a peer now, or None."""
        raise NotImplementedError

    def peers(self) -> list[IDiscoveredPeer]:
        """Return all peers that are known now."""
        raise NotImplementedError

    def add_observer(self, observer: IDiscoveryObserver) -> None:
        """Tell an observer too what becomes of peers, from now on."""
        raise NotImplementedError

    def remove_observer(self, observer: IDiscoveryObserver) -> None:
        """Tell it no more."""
        raise NotImplementedError

    def interfaces_changed(self) -> None:
        """Look at this host's interfaces again, and ask again who is there."""
        raise NotImplementedError


classImplements(LANPeer, IDiscoveredPeer)
