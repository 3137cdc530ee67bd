"""A node's trackers: it is registered with all of them, and asks them as if they were one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Iterator,
    Sequence,
)
from functools import partial
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import P2PError, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.tracker.carriers import Carrier, DatagramCarrier, is_address
from twisted_p2p.tracker.client_events import (
    HandedOver,
    NodeRegistered,
    RegistrationFailed,
    RegistrationLost,
    TrackerEvent,
)
from twisted_p2p.tracker.first_success import GRACE, first_success
from twisted_p2p.tracker.messages import (
    AnswerTaken,
    Indication,
    Introduced,
    OfferHandedOver,
    Presence,
)
from twisted_p2p.tracker.present_peers import PresentPeer
from twisted_p2p.tracker.standing import Describe
from twisted_p2p.tracker.stream_client import StreamCarrier
from twisted_p2p.tracker.tracker_client import TrackerClient

T = TypeVar("T")

_REMEMBERED_INITIATORS = 256

MOST_LISTINGS = 16
"""How often a tracker is asked for one list of peers at most.

Even of 20 honest peers that share one network, beside a flood from another one, each is told in 99
lists of 100: an answer leaves one of them out in 14 of 20 times.
"""


@define(eq=False)
class _Tracker:
    """One tracker, and the clients that reach it, each over a socket or streams of its own."""

    address: HostPort
    ways: list[Callable[[], Sequence[Carrier]]] = field(factory=list)
    """Each makes carriers, once the node's sockets are open."""
    clients: list[TrackerClient] = field(factory=list)

    async def ask(self, ask: Callable[[TrackerClient], Awaitable[T]]) -> T:
        """Ask by one way after the other until there is an answer, by those that work first."""
        error = TrackerUnreachable(f"No socket of this node can reach {self.address}.")
        for client in sorted(self.clients, key=lambda client: not client.is_registered):
            try:
                return await ask(client)
            except TrackerUnreachable as unreachable:
                error = unreachable
        raise error


class Trackers:
    """All trackers of one node; assign `handed_over` and `observed` to be told."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        identity: IdentityKey,
        *,
        send: Callable[[bytes, DatagramPath], object],
        sockets: Callable[[], Iterable[HostPort]],
        describe: Describe,
        next_sequence: Callable[[], int],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """Prepare; nothing happens before `start`.

        :param reactor: provides `IReactorTime` and, for trackers that are given by name,
            `IReactorPluggableNameResolver`.
        :param send: sends a datagram along a path of one of the node's sockets.
        :param sockets: returns the addresses that these are bound to; they must be when `start`
            is called.
        :param describe: makes the signed record of a sequence and of the address that a tracker
            observed; it must not raise.
        :param next_sequence: returns a higher number each time.
        """
        self.handed_over: Callable[[Indication], object] = lambda _: None
        """Takes what trackers hand over: offers and answers of peers."""
        self.observed: Callable[[str, Hashable, HostPort], object] = lambda *_: None
        """Takes a tracker's IP address, a socket of this node, and where the one sees the other.

        It is called each time that the node has been registered from that socket.
        """
        self._reactor = reactor
        self._send = send
        self._sockets = sockets
        self._is_started = False
        self._trackers: dict[HostPort, _Tracker] = {}
        self._over_udp: set[HostPort] = set()
        self._client_of = partial(
            TrackerClient,
            reactor,
            identity,
            describe=describe,
            next_sequence=next_sequence,
            random_bytes=random_bytes,
        )
        self._initiators: OrderedDict[bytes, list[_Tracker]] = OrderedDict()
        self._last_introducer: TrackerClient | None = None

    def add(self, tracker: HostPort) -> None:
        """Use a tracker, given by a name or an IP address, from the node's UDP sockets.

        Adding it again changes nothing.
        """
        if tracker not in self._over_udp:
            self._over_udp.add(tracker)
            self._add_way(tracker, lambda: self._datagram_carriers(tracker))

    def add_stream(self, tracker: HostPort, endpoint: IStreamClientEndpoint) -> None:
        """Use a tracker over an endpoint that leads to it, besides UDP if that was added too."""
        self._add_way(tracker, lambda: [StreamCarrier(self._reactor, endpoint)])

    def start(self) -> None:
        """Begin to register with all trackers, from all sockets that may reach them."""
        self._is_started = True
        for tracker in self._trackers.values():
            for way in tracker.ways:
                self._open(tracker, way)

    def stop(self) -> Deferred[None]:
        """Unregister everywhere; the Deferred fires within two seconds, tracker or not."""
        left: Deferred[Any] = gatherResults([client.stop() for client in self._clients()])
        return left.addCallback(lambda _: None)

    def abandon(self) -> None:
        """Stop at once, since the sockets are closed: no tracker is told."""
        for client in self._clients():
            client.abandon()

    def when_registered(self) -> Deferred[None]:
        """Return a Deferred that fires once a tracker knows this node as it is now.

        It fails with `TrackerUnreachable` or `TrackerBusy` when an attempt at each of them, made
        now, has failed; the node goes on trying.
        """
        return first_success(
            self._reactor, [client.when_registered() for client in self._clients()]
        )

    def record_changed(self) -> None:
        """Have the record made anew and registered everywhere."""
        for client in self._clients():
            client.record_changed()

    def network_changed(self) -> None:
        """Prove this node's addresses again, as they may be others now."""
        for client in self._clients():
            client.network_changed()

    def succeeded(self) -> None:
        """Count an introduction that led to a connection, for a tracker's statistics."""
        if self._last_introducer is not None:
            self._last_introducer.introduction_succeeded()

    @property
    def is_any(self) -> bool:
        """Whether there is a tracker at all, reachable or not."""
        return bool(self._trackers)

    @property
    def addresses(self) -> frozenset[HostPort]:
        """Where the trackers are, as far as they have been found."""
        return frozenset(client.path.remote for client in self._clients() if client.path)

    def datagram_received(self, data: bytes, path: DatagramPath) -> bool:
        """Take a datagram if it comes from a tracker, and return whether it does."""
        for client in self._clients():
            if client.path == path:
                client.carried(data, path)
                return True
        return False

    # What is asked of them.

    def look_up(self, peer_id: PeerID) -> Deferred[Presence]:
        """Ask whether a peer is there.

        The first tracker that knows it decides.  Otherwise the Deferred fails with `PeerOffline`
        when each tracker that answers says so, `TrackerBusy` when one of them is, and
        `TrackerUnreachable` when none answers.
        """
        return first_success(
            self._reactor,
            _ask_each(self._trackers.values(), lambda client: client.look_up(peer_id)),
        )

    def peers(self, topic: str = "") -> Deferred[list[PresentPeer]]:
        """Ask all trackers who is here and lets this node know, of a topic or of all.

        Each is asked again until it has told all, or `MOST_LISTINGS` times.  Every peer is told
        once, in the order in which they were drawn.  Fails with `TrackerBusy` or
        `TrackerUnreachable` when no tracker tells, and with `ValueError` when it is no topic.
        """
        return Deferred.fromCoroutine(self._peers(topic))

    async def _peers(self, topic: str) -> list[PresentPeer]:
        present: dict[str, PresentPeer] = {}

        async def gather(client: TrackerClient) -> None:
            async for peer in _listed_by(client, topic):
                present.setdefault(peer.peer_id, peer)

        gathering = _ask_each(self._trackers.values(), gather)
        await first_success(self._reactor, gathering, cancel_rest=False)
        await DeferredList(gathering).addTimeout(GRACE, self._reactor, lambda *_: None)
        return list(present.values())

    def introduce(self, target: PeerID, box: bytes) -> Deferred[Introduced]:
        """Have a boxed offer, 1 to 900 bytes, handed to a peer by every tracker that knows it.

        The first one's answer is told.  The others go on even so, since one that lies may be
        the fastest.  Fails as `look_up` does, and with `PeerRefused` when the peer does not want
        to be introduced to this node.
        """

        async def introduce(client: TrackerClient) -> Introduced:
            introduced = await client.introduce(target, box)
            self._last_introducer = client
            return introduced

        introductions = _ask_each(self._trackers.values(), introduce)
        return first_success(self._reactor, introductions, cancel_rest=False)

    def answer(self, initiator: PeerID, box: bytes, accepting: bool) -> Deferred[AnswerTaken]:
        """Have a boxed answer handed to a peer, by the trackers that handed over its offer.

        ``accepting`` lets them tell that peer this node's observed addresses.  Fails as
        `look_up` does.
        """
        trackers = self._initiators.get(initiator.public_key) or self._trackers.values()
        answers = _ask_each(trackers, lambda client: client.answer(initiator, box, accepting))
        return first_success(self._reactor, answers, cancel_rest=False)

    # How they are reached, and what they tell.

    def _clients(self) -> Iterator[TrackerClient]:
        return (client for tracker in self._trackers.values() for client in tracker.clients)

    def _add_way(self, address: HostPort, way: Callable[[], Sequence[Carrier]]) -> None:
        tracker = self._trackers.setdefault(address, _Tracker(address))
        tracker.ways.append(way)
        if self._is_started:
            self._open(tracker, way)

    def _open(self, tracker: _Tracker, way: Callable[[], Sequence[Carrier]]) -> None:
        for carrier in way():
            client = self._client_of(carrier, on_event=partial(self._event, tracker))
            tracker.clients.append(client)
            client.start()

    def _datagram_carriers(self, tracker: HostPort) -> list[Carrier]:
        """Return a carrier for each socket that can reach a tracker; of a name, both may."""
        return [
            DatagramCarrier(self._reactor, tracker, socket, self._send)
            for socket in self._sockets()
            if not is_address(tracker.host) or tracker.is_ipv6 == socket.is_ipv6
        ]

    def _event(self, tracker: _Tracker, client: TrackerClient, event: TrackerEvent) -> None:
        if isinstance(event, HandedOver):
            if isinstance(event.message, OfferHandedOver):
                self._remember_initiator(event.message.peer_key, tracker)
            self.handed_over(event.message)
        elif isinstance(event, NodeRegistered):
            if client.path is not None and client.socket is not None:
                self.observed(client.path.remote.host, client.socket, event.mapped_address)
        elif isinstance(event, RegistrationFailed | RegistrationLost):
            self._log.info(
                "Not registered with the tracker {tracker} at the moment: {error}",
                tracker=tracker.address,
                error=event.error,
            )

    def _remember_initiator(self, peer_key: bytes, tracker: _Tracker) -> None:
        trackers = self._initiators.setdefault(peer_key, [])
        if tracker not in trackers:
            trackers.append(tracker)
        self._initiators.move_to_end(peer_key)
        if len(self._initiators) > _REMEMBERED_INITIATORS:
            self._initiators.popitem(last=False)


async def _listed_by(client: TrackerClient, topic: str) -> AsyncIterator[PresentPeer]:
    """Yield each peer that a tracker lists, asking until it has told all."""
    seen: set[str] = set()
    for _ in range(MOST_LISTINGS):
        try:
            listing = await client.list_peers(topic)
        except P2PError:
            if seen:
                return  # what was told is good all the same
            raise
        for peer in listing.peers:
            if peer.peer_id not in seen:
                seen.add(peer.peer_id)
                yield peer
        if len(seen) >= listing.in_all:
            return


def _ask_each(
    trackers: Iterable[_Tracker], ask: Callable[[TrackerClient], Awaitable[T]]
) -> list[Deferred[T]]:
    return [Deferred.fromCoroutine(tracker.ask(ask)) for tracker in trackers]
