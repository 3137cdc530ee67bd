"""A node's side of one tracker, as a machine: its registration, and what it asks about peers.

How it registers, refreshes, notices a dead tracker and comes back is `enrolment`'s; how its
look-ups, listings, introductions and answers wait for a proof of its address and fare, `requests`'.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.errors import P2PError, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.record import check_topics
from twisted_p2p.tracker.attributes import MAXIMUM_BOX, STALE_TOKEN
from twisted_p2p.tracker.client_events import HandedOver, TrackerEvent
from twisted_p2p.tracker.enrolment import Enrolment, Errand, State
from twisted_p2p.tracker.exchange import TrackerExchange
from twisted_p2p.tracker.messages import (
    Answer,
    Challenge,
    Failure,
    Introduce,
    ListPeers,
    LookUp,
    Request,
    Response,
)
from twisted_p2p.tracker.pacing import Pacing
from twisted_p2p.tracker.requests import PeerRequest, PeerRequests, Proof, request_error
from twisted_p2p.tracker.standing import Describe, Standing


class TrackerRegistration:
    """One node's registration with one tracker, along one path at a time.

    Times are seconds of one monotonic clock.  Commands may be given in any state.
    """

    def __init__(
        self,
        identity: IdentityKey,
        describe: Describe,
        *,
        next_sequence: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        on_a_stream: bool = False,
    ) -> None:
        """Prepare a registration; nothing happens before `start`.

        ``describe`` makes the signed record of a sequence and of the address that the tracker
        observed; it must not raise.  ``next_sequence`` gives a higher number each time; all
        registrations of an identity share it.  ``on_a_stream`` says that each path is a stream.
        """
        self._peer_key = identity.peer_id.public_key
        self._events: deque[TrackerEvent] = deque()
        self._exchange: TrackerExchange[Errand | PeerRequest] = TrackerExchange(
            random_bytes, on_a_stream=on_a_stream
        )
        self._requests = PeerRequests(self._exchange, self._events)
        self._standing = Standing(identity, describe, next_sequence)
        self._enrolment = Enrolment(
            self._standing,
            self._exchange,
            self._requests,
            self._events,
            Pacing(random_bytes),
            on_a_stream=on_a_stream,
        )

    @property
    def state(self) -> State:
        """What the registration is at."""
        return self._enrolment.state

    @property
    def mapped_address(self) -> HostPort | None:
        """Where the tracker saw this node last."""
        return self._standing.mapped_address

    @property
    def dropped(self) -> Counter[str]:
        """Datagrams that were not taken, by reason."""
        return self._exchange.dropped

    # Commands.

    def start(self, now: float) -> None:
        """Begin to register; `PathWanted` follows, and in the end `NodeRegistered`.

        Later it hurries: a node that would try again by itself after a while tries now, and one
        that the tracker put off is told so again.
        """
        self._enrolment.hurry(now)

    def path_found(self, path: DatagramPath, now: float) -> None:
        """Take the way to the tracker that `PathWanted` asked for."""
        self._enrolment.path_found(path, now)

    def path_lost(self, error: P2PError, now: float) -> None:
        """Take note that there is no way to the tracker, or that its stream has ended."""
        self._enrolment.path_lost(error, now)
        self._serve(now)

    def record_changed(self, now: float) -> None:
        """Have the record made anew and registered; `NodeRegistered` follows."""
        self._enrolment.record_changed(now)

    def network_changed(self, now: float) -> None:
        """Prove the address again at once, as it may be another one now."""
        self._enrolment.network_changed(now)

    def introduction_succeeded(self) -> None:
        """Count an introduction that led to a connection, for the tracker's statistics."""
        self._standing.succeeded += 1

    def look_up(self, target: PeerID, now: float) -> int:
        """Ask whether a peer is there; return the number that the event about it has."""
        key = target.public_key
        return self._submit(Proof.COOKIE, lambda cookie: LookUp(cookie, key), now)

    def list_peers(self, topic: str, now: float) -> int:
        """Ask who is here, of a topic or "" for all; return the number as `look_up` does.

        Raises `ValueError` for a topic that can be none.
        """
        if topic:
            check_topics([topic])
        own = self._peer_key
        return self._submit(Proof.TOKEN, lambda token: ListPeers(own, token, topic), now)

    def introduce(self, target: PeerID, box: bytes, now: float) -> int:
        """Have a boxed offer handed to a peer; return the number as `look_up` does.

        Raises `ValueError` when the box has not 1 to 900 bytes.
        """
        _check_box(box)
        own, key = self._peer_key, target.public_key
        return self._submit(Proof.TOKEN, lambda token: Introduce(own, token, key, box), now)

    def answer(self, initiator: PeerID, box: bytes, accepting: bool, now: float) -> int:
        """Have a boxed answer handed to the peer that was introduced, as `introduce` does.

        ``accepting`` lets the tracker tell that peer this node's observed addresses.
        """
        _check_box(box)
        own, key = self._peer_key, initiator.public_key
        return self._submit(Proof.TOKEN, lambda token: Answer(own, token, key, box, accepting), now)

    def cancel(self, number: int) -> None:
        """Give up what was asked about peers; no event but one that is due already."""
        self._requests.cancel(number)

    def close(self, now: float) -> None:
        """End the registration, if there is one, and all requests; `NodeLeft` is the last event."""
        error = TrackerUnreachable("This node is stopping.")
        self._requests.fail(self._requests.under_way(), error)
        self._requests.fail(self._requests.waiting(*Proof), error)
        self._enrolment.close(error, now)

    # The five names.

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        """Take a datagram; what is not from the tracker or not asked for is dropped."""
        read = self._exchange.read(data, addr)
        if isinstance(read, tuple):
            context, response = read
            if isinstance(context, Errand):
                self._enrolment.answered(context, response, now)
            else:
                self._request_answered(context, response, now)
            self._serve(now)
        elif read is not None:
            self._events.append(HandedOver(read))

    def handle_timer(self, now: float) -> None:
        """Send again, give up, refresh or try again: what is due."""
        for context in self._exchange.handle_timer(now):
            if isinstance(context, PeerRequest):
                self._requests.fail([context], TrackerUnreachable())
            self._enrolment.unanswered(context if isinstance(context, Errand) else None, now)
        self._enrolment.handle_timer(now)

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` is wanted, or None."""
        deadlines = (self._exchange.get_timer(), self._enrolment.get_timer())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the datagrams to send now."""
        return self._exchange.datagrams_to_send(now)

    def next_event(self) -> TrackerEvent | None:
        """Return the next thing that happened, or None."""
        return self._events.popleft() if self._events else None

    # Requests about peers.

    def _submit(self, needs: Proof, build: Callable[[bytes], Request], now: float) -> int:
        number = self._requests.add(needs, build)
        self._serve(now)
        return number

    def _serve(self, now: float) -> None:
        """Send the requests that wait, or get them the proof that they wait for."""
        if self._standing.cookie is not None:
            self._requests.send(Proof.COOKIE, self._standing.cookie, now)
        if self._standing.token is not None:
            self._requests.send(Proof.TOKEN, self._standing.token, now)
        waiting = self._requests.waiting(*Proof)
        if self.state in (State.WAITING, State.LEAVING, State.CLOSED):
            self._requests.fail(waiting, self._enrolment.refusal)
        elif waiting:
            self._enrolment.hurry(now)

    def _request_answered(self, request: PeerRequest, response: Response, now: float) -> None:
        if isinstance(response, Challenge):
            self._standing.take_challenge(response)
            self._requests.wait_again(request)
        elif not isinstance(response, Failure):
            self._requests.end(request, response)
        elif response.error.code == STALE_TOKEN:
            self._requests.wait_again(request)
            if request.shown == self._standing.token:
                self._enrolment.forgotten(0.0, now)
        else:
            self._requests.fail([request], request_error(response))


def _check_box(box: bytes) -> None:
    if not 1 <= len(box) <= MAXIMUM_BOX:
        raise ValueError(f"a box has 1 to {MAXIMUM_BOX} bytes, not {len(box)}")
