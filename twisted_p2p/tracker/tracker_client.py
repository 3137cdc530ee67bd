"""One registration machine on a reactor: its commands as Deferreds, its path from a carrier."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.driver import MachineDriver, one_by_one
from twisted_p2p.errors import P2PError, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.tracker.carriers import Carrier
from twisted_p2p.tracker.client_events import (
    NodeLeft,
    NodeRegistered,
    PathWanted,
    RegistrationFailed,
    RegistrationLost,
    RequestAnswered,
    RequestFailed,
    TrackerEvent,
)
from twisted_p2p.tracker.enrolment import State
from twisted_p2p.tracker.messages import AnswerTaken, Introduced, Presence
from twisted_p2p.tracker.present_peers import Listing, read_listing
from twisted_p2p.tracker.registration import TrackerRegistration
from twisted_p2p.tracker.standing import Describe

T = TypeVar("T")


class TrackerClient:
    """Registers with one tracker, over one socket or one stream at a time, and asks it.

    What nobody waits for is told to ``on_event``: `NodeRegistered`, `RegistrationLost`,
    `RegistrationFailed` and `HandedOver`.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        identity: IdentityKey,
        carrier: Carrier,
        *,
        describe: Describe,
        next_sequence: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        on_event: Callable[[TrackerClient, TrackerEvent], object],
    ) -> None:
        """Prepare a client; nothing happens before `start`.  See `TrackerRegistration`."""
        self.path: DatagramPath | None = None
        """The way to the tracker that was found last."""
        self._carrier = carrier
        self._on_event = on_event
        self._machine = TrackerRegistration(
            identity,
            describe,
            next_sequence=next_sequence,
            random_bytes=random_bytes,
            on_a_stream=carrier.on_a_stream,
        )
        self._driver: MachineDriver[TrackerEvent] = MachineDriver(
            reactor, self._machine, one_by_one(carrier.send), self._event
        )
        self._finding: Deferred[None] = succeed(None)
        self._is_finding = False
        self._answers: dict[int, Deferred[Any]] = {}
        self._until_registered: list[Deferred[None]] = []
        self._until_left: list[Deferred[None]] = []
        self._is_current = False
        self._has_left = False

    @property
    def socket(self) -> Hashable:
        """The socket that is registered; None when it is a stream."""
        return self._carrier.local

    @property
    def is_registered(self) -> bool:
        """Whether the tracker knows this node."""
        return self._machine.state is State.REGISTERED

    def start(self) -> None:
        """Begin to register, at once if that was put off, and stay so until `stop`."""
        self._machine.start(self._driver.now())
        self._driver.pump()

    def stop(self) -> Deferred[None]:
        """Unregister; the Deferred fires, within two seconds, when nothing is left to do."""
        if self._has_left:
            return succeed(None)
        left: Deferred[None] = Deferred()
        self._until_left.append(left)
        self._machine.close(self._driver.now())
        self._driver.pump()
        return left

    def abandon(self) -> None:
        """Stop at once, without unregistering."""
        if not self._has_left:
            self._left()

    def when_registered(self) -> Deferred[None]:
        """Return a Deferred that fires once the tracker knows this node as it is now.

        Unless it does already, or an attempt is under way, one is made now.  The Deferred fails
        with `TrackerUnreachable` or `TrackerBusy` when that does; others follow by themselves.
        """
        if self._is_current:
            return succeed(None)
        if self._has_left:
            return fail(_stopped())
        waiting: Deferred[None] = Deferred(self._until_registered.remove)
        self._until_registered.append(waiting)
        self.start()
        return waiting

    def record_changed(self) -> None:
        """Have the record made anew and registered."""
        self._is_current = False
        self._machine.record_changed(self._driver.now())
        self._driver.pump()

    def network_changed(self) -> None:
        """Prove this node's address again, as it may be another one now."""
        self._machine.network_changed(self._driver.now())
        self._driver.pump()

    def introduction_succeeded(self) -> None:
        """Count an introduction that led to a connection, for the tracker's statistics."""
        self._machine.introduction_succeeded()

    def look_up(self, peer_id: PeerID) -> Deferred[Presence]:
        """Ask whether a peer is there; see `Trackers.look_up`."""
        return cast("Deferred[Presence]", self._ask(self._machine.look_up, peer_id))

    def list_peers(self, topic: str = "") -> Deferred[Listing]:
        """Ask who is here, of a topic or of all; some of them are told."""
        return self._ask(self._machine.list_peers, topic).addCallback(read_listing)

    def introduce(self, target: PeerID, box: bytes) -> Deferred[Introduced]:
        """Have an offer handed to a peer; see `Trackers.introduce`."""
        return cast("Deferred[Introduced]", self._ask(self._machine.introduce, target, box))

    def answer(self, initiator: PeerID, box: bytes, accepting: bool) -> Deferred[AnswerTaken]:
        """Have an answer handed to the peer that was introduced; see `Trackers.answer`."""
        return cast(
            "Deferred[AnswerTaken]", self._ask(self._machine.answer, initiator, box, accepting)
        )

    def _ask(self, command: Callable[..., int], *arguments: object) -> Deferred[Any]:
        if self._has_left:
            return fail(_stopped())
        number = command(*arguments, self._driver.now())
        answer: Deferred[Any] = Deferred(lambda _: self._cancel(number))
        self._answers[number] = answer
        self._driver.pump()
        return answer

    def _cancel(self, number: int) -> None:
        del self._answers[number]
        self._machine.cancel(number)

    # What the carrier brings.

    def carried(self, data: bytes, path: DatagramPath) -> None:
        """Take a message that arrived along a path."""
        self._driver.datagram_received(data, path)

    def path_lost(self, error: P2PError) -> None:
        """Take note that the path found last is gone."""
        self.path = None
        self._machine.path_lost(error, self._driver.now())
        self._driver.pump()

    def _find_path(self) -> None:
        if not self._is_finding:
            self._is_finding = True
            self._finding = Deferred.fromCoroutine(self._find())

    async def _find(self) -> None:
        try:
            path = await self._carrier.find_path(self)
        except P2PError as error:
            self._is_finding = False
            self.path_lost(error)
        else:
            self._is_finding = False
            self.path = path
            self._machine.path_found(path, self._driver.now())
            self._driver.pump()

    # What the machine tells.

    def _event(self, event: TrackerEvent) -> None:
        if isinstance(event, PathWanted):
            self._find_path()
        elif isinstance(event, RequestAnswered | RequestFailed):
            self._request_ended(event)
        elif isinstance(event, NodeLeft):
            self._left()
        else:
            # First what follows from it, for whoever waits may go on from there.
            self._on_event(self, event)
            self._registration_changed(event)

    def _request_ended(self, event: RequestAnswered | RequestFailed) -> None:
        answer = self._answers.pop(event.number, None)
        if answer is None:
            return  # it was cancelled after the end had come
        if isinstance(event, RequestAnswered):
            answer.callback(event.response)
        else:
            answer.errback(event.error)

    def _registration_changed(self, event: TrackerEvent) -> None:
        if isinstance(event, NodeRegistered):
            self._is_current = True
            for waiting in _take_all(self._until_registered):
                waiting.callback(None)
        elif isinstance(event, RegistrationLost):
            self._is_current = False
        elif isinstance(event, RegistrationFailed):
            for waiting in _take_all(self._until_registered):
                waiting.errback(event.error)

    def _left(self) -> None:
        self._has_left = True
        self._is_current = False
        self._finding.cancel()
        self._driver.stop()
        self._carrier.close()
        for waiting in _take_all(self._until_registered):
            waiting.errback(_stopped())
        for left in _take_all(self._until_left):
            left.callback(None)
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer.errback(_stopped())


def _take_all(waiting: list[Deferred[None]]) -> list[Deferred[None]]:
    """Empty a list and return what was in it: whoever is told may wait again."""
    taken = waiting.copy()
    waiting.clear()
    return taken


def _stopped() -> TrackerUnreachable:
    return TrackerUnreachable("This node is stopping.")
