"""One tracker on a reactor: what all its ports and streams share."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterable
from functools import partial
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.driver import MachineDriver, monotonic_clock, one_by_one
from twisted_p2p.interfaces import ITrackerPolicy
from twisted_p2p.tracker.directory import StreamSocket
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.server_events import (
    ForeignServerAddress,
    IntroductionWanted,
    ListingWanted,
    PeerCame,
    PeerLeft,
    PermissionWanted,
    RegistrationWanted,
    TrackerServerEvent,
    WishFulfilled,
)
from twisted_p2p.tracker.service import TrackerService
from twisted_p2p.tracker.store import IPeerStore

Send = Callable[[bytes, DatagramPath], object]


class Tracker:
    """Remembers peers and introduces them, whichever of its ports and streams they use."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        policy: ITrackerPolicy | None = None,
        store: IPeerStore | None = None,
        limits: TrackerLimits = DEFAULT_LIMITS,
        public_hosts: Collection[str] = (),
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Begin with nobody.

        :param policy: decides and is told what happens; None lets everybody in.
        :param store: where the peers are kept; None is a new one in memory.
        :param public_hosts: addresses by which nodes reach this tracker through a NAT or a
            forwarder, besides those of its ports.
        :param random_bytes: returns so many unforeseeable bytes.
        """
        self._policy = policy
        self._now = monotonic_clock(reactor)
        self._machine = TrackerService(
            random_bytes=random_bytes,
            store=store or MemoryPeerStore(),
            now=self._now(),
            limits=limits,
            public_hosts=public_hosts,
            asks_permission=policy is not None,
        )
        self._driver: MachineDriver[TrackerServerEvent] = MachineDriver(
            reactor, self._machine, one_by_one(self._send), self._happened
        )
        self._ways: dict[Hashable, Send] = {}
        self.datagram_received = self._driver.datagram_received
        """Takes a datagram, or a frame of a stream, and the `DatagramPath` that it came along."""

    def attach(self, local: Hashable, send: Send) -> None:
        """Send by this function along paths with this local end."""
        self._ways[local] = send

    def detach(self, local: Hashable) -> None:
        """Forget a way; what was registered over it, if it is a stream, ends."""
        self._ways.pop(local, None)
        if isinstance(local, StreamSocket):
            self._machine.stream_lost(local)
            self._driver.pump()

    def is_reached_at(self, hosts: Iterable[str]) -> None:
        """Take these addresses for this tracker's own, beside those of its ports."""
        self._machine.is_reached_at(hosts)

    def status(self) -> dict[str, object]:
        """Return counters by name, as ``/status.json`` has them."""
        return self._machine.status(self._now())

    def close(self) -> None:
        """Answer nobody any more."""
        self._driver.stop()

    def _send(self, data: bytes, path: DatagramPath) -> None:
        send = self._ways.get(path.local)
        if send is not None:
            send(data, path)

    def _happened(self, event: TrackerServerEvent) -> None:
        if isinstance(event, ForeignServerAddress):
            self._log.warn(
                "A node has sent to {address}, which is no address of this host.  If this tracker"
                " is reached by it, add: --public-address {host}",
                address=event.address,
                host=event.address.host,
            )
        elif isinstance(event, PermissionWanted):
            self._ask(event)
        else:
            self._tell(event)

    def _ask(self, event: PermissionWanted) -> None:
        policy: Any = self._policy
        match event.wish:
            case RegistrationWanted(peer_id, address):
                answer = maybeDeferred(policy.may_register, peer_id, address)
            case IntroductionWanted(initiator, target):
                answer = maybeDeferred(policy.may_introduce, initiator, target)
            case ListingWanted(peer_id, topic):
                answer = maybeDeferred(policy.may_list, peer_id, topic)
        answer.addErrback(self._log_failure)
        answer.addCallback(partial(self._decide, event.number))

    def _decide(self, number: int, allowed: object) -> None:
        self._machine.decide(number, bool(allowed), self._now())
        self._driver.pump()

    def _tell(self, event: WishFulfilled | PeerCame | PeerLeft) -> None:
        policy: Any = self._policy
        match event:
            case WishFulfilled(RegistrationWanted(peer_id, address)):
                told = maybeDeferred(policy.registered, peer_id, address)
            case WishFulfilled(IntroductionWanted(initiator, target)):
                told = maybeDeferred(policy.introduced, initiator, target)
            case PeerCame(peer_id):
                told = maybeDeferred(policy.peer_online, peer_id)
            case PeerLeft(peer_id):
                told = maybeDeferred(policy.peer_offline, peer_id)
        told.addErrback(self._log_failure)

    def _log_failure(self, failure: Any) -> None:
        self._log.failure("The policy of a tracker failed", failure=failure)
