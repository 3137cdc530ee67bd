"""`P2PNode`: everything that a program needs to reach peers and be reached, as one service."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory
from zope.interface import implementer

from ..addresses import HostPort, Path
from ..datagram.shared_socket import SharedSocket, local_address_towards
from ..identity.keys import IdentityKey
from ..identity.peer_id import PeerID
from ..identity.record import PeerRecord
from ..identity.sequence import RisingSequence
from ..interfaces import IPeerConnection, IPeerNode
from ..rendezvous.gathering import LocalCandidates, interface_addresses
from ..rendezvous.introduction import Rendezvous
from ..rendezvous.session_table import SessionTable
from .accepting import Listeners
from .dialing import Connections


@frozen
class Pong:
    """The answer to a ping."""

    round_trip: float
    """Seconds."""
    path: Path
    accepting: bool
    """Whether the peer accepts connections, as the tracker has it."""


@implementer(IPeerNode)
class P2PNode(Service):
    """One identity's presence among its peers: registered with trackers, dialling and dialled.

    Works while it is started; a node that was stopped is not started again.
    """

    name = "p2pnode"

    def __init__(
        self,
        reactor: Any,
        identity: IdentityKey,
        *,
        trackers: Iterable[HostPort] = (),
        port: int = 0,
        interfaces: Callable[[], Iterable[str]] = interface_addresses,
        random_bytes: Callable[[int], bytes] = os.urandom,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare a node.

        :param reactor: provides `IReactorTime`, `IReactorUDP` and, for trackers by name,
            `IReactorPluggableNameResolver`.
        :param trackers: pairs ``(host, port)``; see also `add_tracker`.
        :param port: the UDP port, 0 for any that is free.
        :param interfaces: returns the IP addresses of this host, as text.
        """
