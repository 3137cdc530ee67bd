"""`P2PNode`: everything that a program needs to reach peers and be reached, as one service."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.task import deferLater
from zope.interface import implementer

from ..addresses import DatagramPath, HostPort, Path
from ..connection.quic_connection import PeerConnection
from ..connection.quic_library import warm_up
from ..connection.quic_router import QUICRouter
from ..datagram.network_interfaces import interfaces_of
from ..errors import PeerOffline, PeerRefused, TrackerUnreachable
from ..identity.keys import IdentityKey
from ..identity.peer_id import PeerID
from ..identity.record import check_topics, sign_own_record
from ..interfaces import IPeerDiscovery, IPeerLink, IPeerNode
from ..lan.discovery import LANDiscovery
from ..rendezvous.meeting_place import MeetingPlace
from ..rendezvous.offer import Refusal
from ..rendezvous.session import PeerSession
from ..tracker.first_success import first_success
from ..tracker.present_peers import PresentPeer
from .accepting import Listeners, check_service
from .dialing import Links
from .link import LinkOwner, PeerLink
from .local_network import LocalNetwork
from .sockets import NodeSockets


@frozen
class Pong:
    """The answer to a ping."""

    round_trip: float
    """Seconds."""
    path: Path
    """What it travelled along."""
    accepting: bool
    """Whether the peer accepts connections, as the tracker has it."""


@implementer(IPeerNode)
class P2PNode(Service):
    """One identity's presence among its peers: registered with trackers, dialling and dialled.

    What is asked of it before it is started waits; a node that was stopped is not started again.
    """

    name = "p2pnode"

    def __init__(
        self,
        reactor: Any,
        identity: IdentityKey,
        *,
        trackers: Iterable[tuple[str, int]] = (),
        port: int = 0,
        topics: Iterable[str] = (),
        lan: bool | IPeerDiscovery = True,
        unlinkable: bool = False,
        random_bytes: Callable[[int], bytes] = os.urandom,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare a node.

        :param reactor: provides `IReactorTime`, `IReactorUDP` and, for trackers that are given by
            name, `IReactorPluggableNameResolver`; see `LANDiscovery` for the local network.
        :param trackers: pairs ``(host, port)``; see also `add_tracker`.
        :param port: the UDP port, 0 for any that is free.
        :param topics: what this node is listed under while it listens; see `peers`.
        :param lan: whether peers are looked for on the local network, and this node is announced
            there while it listens; or what does that in place of a `LANDiscovery`.
        :param unlinkable: have nothing in what is announced there show to others than those who
            know its peer ID that it is the same node as elsewhere or earlier.
        :param random_bytes: returns so many unforeseeable bytes.
        :param wall_clock: returns seconds; a wrong clock is no harm.
        :raises ValueError: for more than eight topics, or one that has not 1 to 32 bytes.
        """
        self.peer_id = identity.peer_id
        self._reactor = reactor
        self._identity = identity
        self._topics = check_topics(topics)
        self._until_started: list[Deferred[None]] | None = []
        self._router: QUICRouter[PeerLink] = QUICRouter()
        self._listeners = Listeners(identity.peer_id, self._describe_anew)
        self._sockets = NodeSockets(reactor, port)
        self._place = MeetingPlace(
            reactor,
            identity,
            self._sockets,
            describe=self._describe,
            refusal_for=self._refusal_for,
            on_offered=self._offered,
            random_bytes=random_bytes,
            wall_clock=wall_clock,
        )
        self._trackers = self._place.trackers
        self._links = Links(
            self._place.rendezvous.dial,
            self._make_link,
            self._listeners.factory_for,
            self._trackers.succeeded,
        )
        self._unlinkable = unlinkable
        self._make_discovery = partial(
            LANDiscovery,
            reactor,
            interfaces=interfaces_of(reactor),
            random_bytes=random_bytes,
        )
        self._lan: LocalNetwork | None = None
        self._place.network_changed = self._network_changed
        if lan:
            self.use_lan(None if lan is True else lan)
        for tracker in trackers:
            self.add_tracker(tracker)

    # The service.

    def startService(self) -> None:
        """Open the sockets and begin to register.

        :raises PortInUse: when another program has the port.
        """
        self._sockets.start(stun=self._place.stun_received, quic=self._quic_received)
        super().startService()  # type: ignore[no-untyped-call]
        self._place.start()
        if self._lan is not None:
            self._lan.start(self.udp_port)
        waiting, self._until_started = self._until_started or [], None
        for started in waiting:
            started.callback(None)
        warm_up()  # while the trackers' first answers are under way

    def stopService(self) -> Deferred[None]:
        """Close all connections, unregister and close the sockets."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        leaving = [self._links.close(), self._place.leave()]
        if self._lan is not None:
            leaving.append(self._lan.stop())
        await gatherResults(leaving)
        # In this turn of the reactor the connections still tell their peers.
        await deferLater(self._reactor, 0)
        self._place.close()
        self._listeners.close()
        await self._sockets.stop()

    @property
    def udp_port(self) -> int:
        """The UDP port, since the node was started."""
        return self._sockets.addresses[0].port

    def add_tracker(
        self, tracker: tuple[str, int], endpoint: IStreamClientEndpoint | None = None
    ) -> None:
        """Register with another tracker too; ``(host, port)``.  One known already is no matter.

        It is asked by UDP.  With an ``endpoint`` that leads to it, it is asked over that instead,
        for networks that block UDP to it; a path to a peer still takes UDP.
        """
        if endpoint is None:
            self._trackers.add(HostPort(*tracker))
        else:
            self._trackers.add_stream(HostPort(*tracker), endpoint)

    def use_lan(self, discovery: IPeerDiscovery | None = None) -> None:
        """Look for peers on the local network too, and be announced there while listening.

        It is no matter if that was so before.
        """
        if self._lan is None:
            self._lan = LocalNetwork(
                discovery or self._make_discovery(),
                self.peer_id,
                self._listeners,
                unlinkable=self._unlinkable,
            )
            self._place.rendezvous.discovery = self._lan.discovery
            if self.running:
                self._lan.start(self.udp_port)

    @property
    def lan(self) -> IPeerDiscovery | None:
        """What finds peers on the local network, or None."""
        return self._lan.discovery if self._lan else None

    def when_ready(self) -> Deferred[None]:
        """Return a Deferred that fires once this node can be reached.

        That is when a tracker knows it or, on the local network, when it is announced there; a
        node that does not listen need not be.  It fails with `TrackerUnreachable` when there is a
        tracker or no local network to look at, and every way has been tried in vain.
        """
        return Deferred.fromCoroutine(self._be_ready())

    async def _be_ready(self) -> None:
        await self._be_started()
        if self._lan is None:
            await self._trackers.when_registered()
        elif not self._trackers.is_any:
            await self._lan.when_ready()
        else:
            ways = [self._trackers.when_registered(), self._lan.ready_soon(self._reactor)]
            await first_success(self._reactor, ways)

    async def _be_started(self) -> None:
        """Wait until this node is started, as services that depend on it may be so before it."""
        waiting = self._until_started
        if waiting is not None:
            started: Deferred[None] = Deferred(waiting.remove)
            waiting.append(started)
            await started

    # What users ask.

    def connect(self, peer_id: str, service: str, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a stream; see `IPeerNode.connect`."""
        return Deferred.fromCoroutine(self._connect(peer_id, service, factory))

    async def _connect(self, peer_id: str, service: str, factory: IProtocolFactory) -> IProtocol:
        check_service(service)
        link = await self._link_to(peer_id)
        return await link.open_stream(service, factory)

    async def _link_to(self, peer_id: str) -> PeerLink:
        wanted = PeerID(peer_id)
        if wanted == self.peer_id:
            raise PeerRefused("This peer ID is the node's own.")
        await self._be_started()
        return await self._links.link_to(wanted)

    def listen(
        self, service: str, factory: IProtocolFactory, allow: Collection[str] | None = None
    ) -> Deferred[IListeningPort]:
        """Accept streams; see `IPeerNode.listen`."""
        return Deferred.fromCoroutine(self._listen(service, factory, allow))

    async def _listen(
        self, service: str, factory: IProtocolFactory, allow: Collection[str] | None
    ) -> IListeningPort:
        listener = self._listeners.add(service, factory, allow)
        try:
            await self._be_ready()
        except BaseException:
            await listener.stopListening()
            raise
        return listener

    def ping(self, peer_id: str) -> Deferred[Pong]:
        """Measure a round trip to a peer; fails as `connect` does."""
        return Deferred.fromCoroutine(self._ping(peer_id))

    async def _ping(self, peer_id: str) -> Pong:
        link = await self._link_to(peer_id)
        round_trip = await link.ping()
        path = link.path
        assert path is not None, "the answer came along it"
        return Pong(round_trip, path, await self._is_accepting(link))

    async def _is_accepting(self, link: PeerLink) -> bool:
        announced = None if self._lan is None else self._lan.is_accepting(link.peer_id)
        if announced is not None:
            return announced
        try:
            presence = await self._trackers.look_up(link.peer_id)
        except (PeerOffline, TrackerUnreachable):
            return link.is_initiator  # whose offer the peer has accepted
        return presence.accepting

    def peers(self, topic: str = "") -> Deferred[list[PresentPeer]]:
        """Return a Deferred of the peers that are here and let this node know.

        They are those that some tracker knows, and that let everybody in or allow this node; with
        a ``topic``, those that have named it.  Each is told once, this node is not.  Fails with
        `TrackerUnreachable` or `TrackerBusy`, and with `ValueError` when it is no topic.
        """
        return Deferred.fromCoroutine(self._peers(topic))

    async def _peers(self, topic: str) -> list[PresentPeer]:
        await self._be_started()
        return await self._trackers.peers(topic)

    def connection_with(self, peer_id: str) -> IPeerLink | None:
        """Return the live connection with a peer, or None."""
        return self._links.live(PeerID(peer_id))

    # How the parts are joined.

    def _quic_received(self, datagrams: list[bytes], path: DatagramPath) -> None:
        for link, batch in self._router.route(datagrams, path):
            link.datagrams_received(batch)

    def _refusal_for(self, peer_id: PeerID) -> Refusal | None:
        if not self.running:
            return Refusal.NOT_ACCEPTING
        return self._listeners.refusal_for(peer_id)

    def _offered(self, session: PeerSession) -> None:
        self._links.offered(session)

    def _make_link(self, session: PeerSession, owner: LinkOwner) -> PeerLink:
        return PeerLink(
            session,
            router=self._router,
            send_all=self._sockets.send_all,
            connect=self._make_connection,
            owner=owner,
        )

    def _make_connection(self, link: PeerLink) -> PeerConnection:
        return PeerConnection(
            self._reactor,
            is_client=link.is_initiator,
            identity=self._identity,
            peer_id=link.peer_id,
            owner=link,
        )

    def _describe_anew(self) -> None:
        self._trackers.record_changed()
        if self._lan is not None:
            self._lan.describe_anew()

    def _network_changed(self) -> None:
        if self._lan is not None:
            self._lan.discovery.interfaces_changed()

    def _describe(self, sequence: int, mapped_address: HostPort) -> bytes:
        """Return this node's signed record."""
        return sign_own_record(
            self._identity,
            sequence,
            mapped_address,
            allowed=self._listeners.allowed,
            accepting=not self._listeners.is_empty,
            services=self._listeners.services,
            topics=self._topics,
        )
