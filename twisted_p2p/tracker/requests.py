"""A node's look-ups, listings, introductions and answers: waiting for a proof, under way, answered.

Each needs a proof of this node's address, a cookie or a token.  Until the registration has one,
requests wait; a proof that the tracker no longer takes costs a request one more try.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any

from attrs import define

from twisted_p2p.errors import P2PError, PeerOffline, PeerRefused, TrackerBusy, TrackerUnreachable
from twisted_p2p.tracker.attributes import (
    FORBIDDEN,
    LIST,
    NO_CAPACITY,
    PEER_OFFLINE,
    TOO_MANY,
    VERSION_NOT_SUPPORTED,
)
from twisted_p2p.tracker.client_events import RequestAnswered, RequestFailed, TrackerEvent
from twisted_p2p.tracker.exchange import TrackerExchange
from twisted_p2p.tracker.messages import Failure, Request, Success


class Proof(Enum):
    """What shows a tracker that a request comes from where it says."""

    COOKIE = auto()
    TOKEN = auto()


@define(eq=False)
class PeerRequest:
    """A request about another peer."""

    number: int
    """By which its owner knows it."""

    needs: Proof
    build: Callable[[bytes], Request]
    """Makes the message, given the proof."""

    shown: bytes = b""
    """The proof that it went out with last."""

    transaction_id: bytes | None = None
    """None while it waits."""

    is_repeated: bool = False


class PeerRequests:
    """The requests of one registration that have not been answered yet.

    What becomes of them is appended to the registration's own queue of events.
    """

    def __init__(self, exchange: TrackerExchange[Any], events: deque[TrackerEvent]) -> None:
        self._exchange = exchange
        self._events = events
        self._requests: dict[int, PeerRequest] = {}
        self._last_number = 0

    def add(self, needs: Proof, build: Callable[[bytes], Request]) -> int:
        """Take a new request, which waits; return its number."""
        self._last_number += 1
        self._requests[self._last_number] = PeerRequest(self._last_number, needs, build)
        return self._last_number

    def cancel(self, number: int) -> None:
        """Forget a request; harmless when it has been answered."""
        request = self._requests.pop(number, None)
        if request is not None and request.transaction_id is not None:
            self._exchange.forget(request.transaction_id)

    def waiting(self, *needs: Proof) -> list[PeerRequest]:
        """Return the requests that wait for one of these proofs, oldest first."""
        return [
            request
            for request in self._requests.values()
            if request.transaction_id is None and request.needs in needs
        ]

    def under_way(self) -> list[PeerRequest]:
        """Return the requests that were sent, oldest first."""
        return [request for request in self._requests.values() if request.transaction_id]

    def send(self, needs: Proof, proof: bytes, now: float) -> None:
        """Send the requests that wait for this kind of proof."""
        for request in self.waiting(needs):
            request.shown = proof
            request.transaction_id = self._exchange.ask(request.build(proof), now, context=request)

    def wait_again(self, request: PeerRequest) -> None:
        """Let a request wait for another proof, once; the second time it has failed."""
        if request.is_repeated:
            error = TrackerUnreachable("The tracker takes no proof of this node's address.")
            self.fail([request], error)
        else:
            request.is_repeated = True
            request.transaction_id = None

    def end(self, request: PeerRequest, response: Success) -> None:
        """End a request that the tracker took."""
        del self._requests[request.number]
        self._events.append(RequestAnswered(request.number, response))

    def fail(self, requests: Iterable[PeerRequest], error: P2PError) -> None:
        """End requests with an error; those that have ended already are left alone."""
        for request in requests:
            if request.number in self._requests:
                self.cancel(request.number)
                self._events.append(RequestFailed(request.number, error))


def request_error(failure: Failure) -> P2PError:
    """Return what a user is told about a request that a tracker refused.

    The tracker's own words are left out: nobody vouches for them.
    """
    code = failure.error.code
    if code == PEER_OFFLINE:
        return PeerOffline()
    if code == FORBIDDEN and failure.method != LIST:
        return PeerRefused("The peer takes no introduction from this node.")
    return tracker_error(failure, failure.retry_after_ms / 1000)


def tracker_error(failure: Failure, retry_after: float) -> P2PError:
    """Return what a user is told when a tracker does not serve this node at all.

    ``retry_after`` is in seconds.
    """
    code = failure.error.code
    if code in (TOO_MANY, NO_CAPACITY):
        return TrackerBusy(retry_after=retry_after)
    if code == VERSION_NOT_SUPPORTED:
        return TrackerUnreachable(
            "The tracker speaks another version of this protocol; update the older of the two."
        )
    return TrackerUnreachable(f"The tracker refuses this node (error {code}).")
