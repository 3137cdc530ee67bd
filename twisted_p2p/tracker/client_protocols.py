"""Clients of one tracker to be subclassed, for a UDP port or a stream of their own.

A program that wants paths to its peers takes `P2PNode` or `HolePunchProtocol`, which use trackers
by themselves; these are for programs that want a tracker's services alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.path_protocol import PathDatagramProtocol
from twisted_p2p.errors import P2PError, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.record import check_topics, sign_own_record
from twisted_p2p.identity.sequence import RisingSequence
from twisted_p2p.tracker.carriers import Carrier, CarrierUser, DatagramCarrier
from twisted_p2p.tracker.client_events import (
    HandedOver,
    NodeRegistered,
    RegistrationFailed,
    RegistrationLost,
    TrackerEvent,
)
from twisted_p2p.tracker.messages import AnswerTaken, Introduced, OfferHandedOver, Presence
from twisted_p2p.tracker.present_peers import Listing
from twisted_p2p.tracker.stream_client import TrackerStream
from twisted_p2p.tracker.tracker_client import TrackerClient
from twisted_p2p.tracker.watch import Watch


@frozen
class Introduction:
    """What the tracker handed over from another peer; it proves nothing by itself."""

    peer_id: str
    """Whose registration it came through."""

    addresses: tuple[HostPort, ...]
    """Where the tracker sees that peer, as far as it lets others know."""

    box: bytes
    """What that peer wants to say, 1 to 900 bytes; the tracker does not look at it."""

    is_answer: bool
    """Whether it answers an introduction that this client asked for."""


@frozen
class ClientSettings:
    """Who registers, and as what; the defaults let everybody be introduced."""

    reactor: IReactorTime
    identity: IdentityKey
    services: tuple[str, ...] = ()
    accepting: bool = True
    allow: frozenset[PeerID] | None = None
    """The peers that may be introduced, or None for all."""
    topics: tuple[str, ...] = ()
    random_bytes: Callable[[int], bytes] = os.urandom
    wall_clock: Callable[[], float] = field(default=time.time)

    def describe(self, sequence: int, mapped_address: HostPort) -> bytes:
        """Return the signed record."""
        return sign_own_record(
            self.identity,
            sequence,
            mapped_address,
            allowed=self.allow,
            accepting=self.accepting,
            services=self.services,
            topics=self.topics,
        )


def client_settings(
    reactor: IReactorTime,
    identity: IdentityKey,
    *,
    services: Collection[str] = (),
    accepting: bool = True,
    allow: Collection[str] | None = None,
    topics: Iterable[str] = (),
    random_bytes: Callable[[int], bytes] = os.urandom,
    wall_clock: Callable[[], float] = time.time,
) -> ClientSettings:
    """Return the settings of a client, whose options these are.

    :param services: the names of what this peer offers, for others to look up.
    :param accepting: whether this peer wants to be connected to at all.
    :param allow: the peers that may be introduced to this one, or None for all.
    :param topics: what this peer is listed under, eight topics of 1 to 32 bytes at most.
    :param random_bytes: returns so many unforeseeable bytes.
    :param wall_clock: returns seconds; a wrong clock is no harm.
    :raises InvalidPeerID: when ``allow`` has something else.
    :raises ValueError: for other topics.
    """
    allowed = None if allow is None else frozenset(map(PeerID, allow))
    return ClientSettings(
        reactor,
        identity,
        tuple(services),
        accepting,
        allowed,
        check_topics(topics),
        random_bytes,
        wall_clock,
    )


class TrackerClientHooks:
    """What both kinds of client have: hooks to override, and what can be asked of the tracker."""

    _log = Logger()
    _client: TrackerClient
    _watch: Watch

    peer_id: str
    """The text form of this client's own public key."""

    # Hooks.

    def registered(self, address: HostPort) -> None:
        """Take the public address at which the tracker sees this client, which knows it now."""

    def registration_lost(self, error: P2PError) -> None:
        """Take it that the tracker does not know this client; it goes on trying by itself."""

    def introduced(self, introduction: Introduction) -> None:
        """Take what another peer had handed over, or answered."""

    def peer_online(self, peer_id: str) -> None:
        """Take it that a peer that is watched is there."""

    def peer_offline(self, peer_id: str) -> None:
        """Take it that a peer that is watched is not there."""

    # Commands.

    def when_registered(self) -> Deferred[None]:
        """Return a Deferred that fires once the tracker knows this client.

        It fails with `TrackerUnreachable` or `TrackerBusy` when an attempt has failed.
        """
        return self._client.when_registered()

    def look_up(self, peer_id: str) -> Deferred[Presence]:
        """Ask whether a peer is there and what it offers.

        The Deferred fails with `PeerOffline`, `TrackerBusy` or `TrackerUnreachable`.

        :raises InvalidPeerID: when it is none.
        """
        return self._client.look_up(PeerID(peer_id))

    def list_peers(self, topic: str = "") -> Deferred[Listing]:
        """Ask who is here and lets this client know, of a topic or of all.

        The Deferred tells some of them, drawn at random, and how many there are; ask again for
        others.  It fails with `TrackerBusy` or `TrackerUnreachable`.

        :raises ValueError: when it is no topic.
        """
        return self._client.list_peers(topic)

    def introduce(self, peer_id: str, box: bytes) -> Deferred[Introduced]:
        """Have 1 to 900 bytes handed to a peer, with this client's address.

        The Deferred tells the peer's addresses, if it lets this client know them.  It fails with
        `PeerOffline`, `PeerRefused`, `TrackerBusy` or `TrackerUnreachable`, and with `ValueError`
        for a box of another size.

        :raises InvalidPeerID: when it is none.
        """
        return self._client.introduce(PeerID(peer_id), box)

    def answer(self, peer_id: str, box: bytes, *, accepting: bool = True) -> Deferred[AnswerTaken]:
        """Answer an introduction with 1 to 900 bytes.

        ``accepting`` lets the peer know this client's addresses.  The Deferred fires when the
        tracker has the answer, and fails as that of `introduce`: with `PeerRefused` when the peer
        has not asked, or not within 30 seconds.

        :raises InvalidPeerID: when it is none.
        """
        return self._client.answer(PeerID(peer_id), box, accepting)

    def watch(self, peer_id: str) -> None:
        """Have `peer_online` and `peer_offline` called for a peer, first for how it is now.

        :raises InvalidPeerID: when it is none.
        """
        self._watch.add(peer_id)

    def unwatch(self, peer_id: str) -> None:
        """Watch a peer no more."""
        self._watch.remove(peer_id)

    # How it works.

    def _begin(self, settings: ClientSettings, carrier: Carrier) -> None:
        self._client = TrackerClient(
            settings.reactor,
            settings.identity,
            carrier,
            describe=settings.describe,
            next_sequence=RisingSequence(settings.wall_clock).next,
            random_bytes=settings.random_bytes,
            on_event=self._happened,
        )
        self._watch = Watch(settings.reactor, self._client.look_up, self._presence_changed)
        self._client.start()

    def _end(self) -> None:
        self._watch.stop()
        self._client.abandon()

    def _happened(self, client: TrackerClient, event: TrackerEvent) -> None:
        if isinstance(event, NodeRegistered):
            self._tell(self.registered, event.mapped_address)
        elif isinstance(event, RegistrationLost | RegistrationFailed):
            self._tell(self.registration_lost, event.error)
        elif isinstance(event, HandedOver):
            message = event.message
            try:
                peer_id = str(PeerID.from_public_key(message.peer_key))
            except P2PError:
                return
            is_answer = not isinstance(message, OfferHandedOver)
            introduction = Introduction(peer_id, message.addresses, message.box, is_answer)
            self._tell(self.introduced, introduction)

    def _presence_changed(self, peer_id: str, is_here: bool) -> None:
        self._tell(self.peer_online if is_here else self.peer_offline, peer_id)

    def _tell(self, hook: Callable[..., object], *arguments: object) -> None:
        try:
            hook(*arguments)
        except Exception:
            self._log.failure("A hook of {protocol} failed", protocol=type(self).__name__)


class TrackerClientDatagramProtocol(TrackerClientHooks, PathDatagramProtocol):
    """Registers with a tracker by UDP: listen with it by `IReactorUDP.listenUDP`."""

    def __init__(
        self, reactor: Any, identity: IdentityKey, tracker: tuple[str, int], **options: Any
    ) -> None:
        """Prepare; nothing happens before the port listens.

        :param reactor: provides `IReactorTime` and, for a tracker that is given by name,
            `IReactorPluggableNameResolver`.
        :param tracker: ``(host, port)``.
        :param options: those of `client_settings`.
        """
        super().__init__()
        self.peer_id = identity.peer_id
        self._settings = client_settings(reactor, identity, **options)
        self._tracker = HostPort(*tracker)

    def other_datagram_received(self, data: bytes, address: HostPort) -> None:
        """Take a datagram that came from elsewhere than the tracker."""

    def stop(self) -> Deferred[Any]:
        """Unregister, which takes two seconds at most, and stop listening."""
        transport: Any = self.transport
        self._watch.stop()
        return self._client.stop().addCallback(lambda _: maybeDeferred(transport.stopListening))

    def startProtocol(self) -> None:
        """Begin to register."""
        super().startProtocol()
        reactor: Any = self._settings.reactor
        carrier = DatagramCarrier(reactor, self._tracker, self.address, self.send)
        self._begin(self._settings, carrier)

    def stopProtocol(self) -> None:
        """End it all."""
        super().stopProtocol()
        self._end()

    def path_datagram_received(self, data: bytes, path: DatagramPath) -> None:
        """Tell the tracker's datagrams from others."""
        if path == self._client.path:
            self._client.carried(data, path)
        else:
            self.other_datagram_received(data, path.remote)


class TrackerClientProtocol(TrackerClientHooks, TrackerStream):
    """Registers with a tracker over one stream, as long as that lasts."""

    factory: TrackerClientFactory

    def connectionMade(self) -> None:
        """Begin to register."""
        self.peer_id = self.factory.settings.identity.peer_id
        self._begin(self.factory.settings, _OneStream(self))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End it all; the tracker has forgotten this client too."""
        super().connectionLost(reason)
        self._end()

    def stop(self) -> Deferred[None]:
        """Unregister, which takes two seconds at most, and close the connection."""
        self._watch.stop()
        return self._client.stop()


class TrackerClientFactory(Factory):
    """Makes a `TrackerClientProtocol` for each connection to a tracker, by any client endpoint."""

    protocol: Any = TrackerClientProtocol
    noisy = False

    def __init__(self, reactor: IReactorTime, identity: IdentityKey, **options: Any) -> None:
        """Take who registers; ``options`` are those of `client_settings`."""
        self.settings = client_settings(reactor, identity, **options)


class _OneStream:
    """The only path of a client that ends with its stream."""

    on_a_stream = True
    local: Hashable = None

    def __init__(self, stream: TrackerStream) -> None:
        self._stream = stream
        self._was_found = False

    def find_path(self, user: CarrierUser) -> Deferred[DatagramPath]:
        """Give the stream once; whoever wants another one had better connect again."""
        if self._was_found:
            self.close()
            return fail(TrackerUnreachable("The tracker has not answered on this connection."))
        self._was_found = True
        return succeed(self._stream.serve(user))

    def send(self, data: bytes, path: DatagramPath) -> None:
        """Write a message."""
        self._stream.send(data)

    def close(self) -> None:
        """End the connection once everything is written."""
        self._stream.finish()
