"""How a node comes to be registered with one tracker, and stays so for as long as it runs.

=========== ============================================ =======================================
state       what it means                                left
=========== ============================================ =======================================
IDLE        not started                                  started, or in a hurry: REGISTERING
REGISTERING asking for a cookie, then signing over it    taken: REGISTERED; no answer: SILENT;
                                                         refused or put off: WAITING; the tracker
                                                         is back and has many to serve: SPREADING
REGISTERED  known to the tracker; holds a token          no answer: SILENT; forgotten: REGISTERING
SILENT      no answer; asked again, ever more seldom     refreshed: REGISTERED; forgotten, or asked
                                                         for proof: REGISTERING or SPREADING
SPREADING   waiting for this node's turn to register     its turn, or in a hurry: REGISTERING
WAITING     told to come later, or refused               the time is over: REGISTERING
LEAVING     unregistering                                any end of that: CLOSED
CLOSED      nothing more happens
=========== ============================================ =======================================

A changed record is registered without leaving REGISTERED, since the token stays good meanwhile.
In a hurry is a node that has a request for the tracker and no proof of its address to show.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Any

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.machine import TimerTable
from twisted_p2p.errors import P2PError, TrackerUnreachable
from twisted_p2p.tracker.attributes import NO_CAPACITY, STALE_SEQUENCE, TOO_MANY
from twisted_p2p.tracker.client_events import (
    NodeLeft,
    NodeRegistered,
    PathWanted,
    RegistrationFailed,
    RegistrationLost,
    TrackerEvent,
)
from twisted_p2p.tracker.exchange import LEAVING, PROMPT, QUIET, TrackerExchange
from twisted_p2p.tracker.messages import (
    Challenge,
    CookieRequest,
    Failure,
    Refresh,
    Register,
    Registered,
    Response,
    Unregister,
)
from twisted_p2p.tracker.pacing import LONGEST_INTERVAL, Pacing
from twisted_p2p.tracker.requests import PeerRequests, Proof, tracker_error
from twisted_p2p.tracker.standing import Standing


class State(Enum):
    """What a registration is at; see the module's table."""

    IDLE = auto()
    REGISTERING = auto()
    REGISTERED = auto()
    SILENT = auto()
    SPREADING = auto()
    WAITING = auto()
    LEAVING = auto()
    CLOSED = auto()


class Errand(Enum):
    """What an enrolment itself asks of the tracker, one thing at a time."""

    REGISTER = auto()
    REFRESH = auto()
    UNREGISTER = auto()


class _Timer(Enum):
    REFRESH = auto()
    RETRY = auto()  # in SILENT, SPREADING and WAITING: to try again
    RECORD = auto()  # in REGISTERED: to try again to register a changed record


_BUSY = 1.0
"""Seconds by which a refresh gives way to another errand."""

_MOST_ROUNDS = 4
"""How many challenges and stale sequences in a row one registration takes."""

_BUSY_ERRORS = (TOO_MANY, NO_CAPACITY)


class Enrolment:
    """The part of `TrackerRegistration` that registers the node, in the states above.

    It shares the owner's exchange, requests and events.  ``on_a_stream`` says that each path is a
    stream, which is reliable and comes from another port each time.
    """

    def __init__(
        self,
        standing: Standing,
        exchange: TrackerExchange[Any],
        requests: PeerRequests,
        events: deque[TrackerEvent],
        pacing: Pacing,
        *,
        on_a_stream: bool,
    ) -> None:
        self.state = State.IDLE
        self.refusal: P2PError = TrackerUnreachable()
        """Why a request cannot be served, in WAITING, LEAVING and CLOSED."""
        self._standing = standing
        self._exchange = exchange
        self._requests = requests
        self._events = events
        self._pacing = pacing
        self._on_a_stream = on_a_stream
        self._timers: TimerTable[_Timer] = TimerTable()
        self._errand: Errand | None = None
        self._errand_id = b""
        self._schedule = PROMPT
        self._asking_since: float | None = None
        self._rounds = 0
        self._failures = 0
        self._turn = 0.0
        self._is_record_current = False

    def hurry(self, now: float) -> None:
        """Register at once unless that is under way, or the tracker does not want it."""
        if self.state is State.WAITING:
            self._events.append(RegistrationFailed(self.refusal))
        elif self.state in (State.IDLE, State.SILENT, State.SPREADING):
            self._turn = 0.0
            self._register(now)

    def record_changed(self, now: float) -> None:
        """Register with a new record."""
        self._is_record_current = False
        if self.state is State.REGISTERED or self._errand is Errand.REGISTER:
            self._register(now)

    def network_changed(self, now: float) -> None:
        """Prove the address again at once."""
        if self.state not in (State.REGISTERED, State.SILENT, State.SPREADING):
            return
        self._turn = 0.0
        if self._on_a_stream:
            self._drop_path()
            self._register(now, because=TrackerUnreachable("The network has changed."))
        else:
            self._standing.cookie = None
            self._register(now)

    def forgotten(self, silence: float, now: float) -> None:
        """Register anew with a tracker that does not take the token; prove the address first."""
        if self.state in (State.LEAVING, State.CLOSED):
            return
        self._standing.lose()
        self._turn = self._wait_for_turn(silence)
        self._register(now, because=TrackerUnreachable("The tracker has forgotten this node."))

    def path_found(self, path: DatagramPath, now: float) -> None:
        """Go on along this path."""
        if self.state is State.CLOSED:
            return
        self._exchange.path = path
        if self.state in (State.REGISTERING, State.SILENT):
            self._approach(now)

    def path_lost(self, error: P2PError, now: float) -> None:
        """Find another path, at once if there are requests that it carried, else after a while."""
        self._drop_path()
        if self.state is State.LEAVING:
            self._leave()
        elif self.state is State.REGISTERED and self._requests.waiting(*Proof):
            self._register(now, because=error)
        elif self.state in (State.REGISTERING, State.REGISTERED, State.SILENT):
            self._fall_silent(error, now)

    def close(self, refusal: P2PError, now: float) -> None:
        """End the registration, if there is one; later requests get this refusal."""
        if self.state in (State.LEAVING, State.CLOSED):
            return
        self.refusal = refusal
        self._clear_timers()
        self._stop_errand()
        self._rounds = 0
        self._schedule = LEAVING
        self.state = State.LEAVING
        self._sign_off(now)

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` is wanted, or None."""
        return self._timers.earliest()

    def handle_timer(self, now: float) -> None:
        """Refresh, or try again."""
        for timer in self._timers.pop_due(now):
            if timer is _Timer.REFRESH and self._errand is not None:
                self._timers.set(_Timer.REFRESH, now + _BUSY)
            elif timer is _Timer.REFRESH or self.state is State.SILENT:
                self._schedule = QUIET
                self._approach(now, refreshing=True)
            else:
                self._turn = 0.0
                self._register(now)

    # Asking.

    def _register(self, now: float, *, because: P2PError | None = None) -> None:
        """Set out to register this node as it is now; ``because`` its registration is lost."""
        if because is not None and self.state is State.REGISTERED:
            self._events.append(RegistrationLost(because))
        if because is not None or self.state is not State.REGISTERED:
            self.state = State.REGISTERING
            self._clear_timers()
        self._timers.clear(_Timer.RECORD)
        self._schedule = PROMPT
        self._rounds = 0
        self._approach(now)

    def _approach(self, now: float, *, refreshing: bool = False) -> None:
        """Take the next step to being registered, or to staying so with the token there is."""
        if self._asking_since is None:
            self._asking_since = now
        path, token = self._exchange.path, self._standing.token
        if path is None:
            self._events.append(PathWanted())
        elif refreshing and token is not None:
            self._ask(Errand.REFRESH, self._standing.refresh(token), now)
        else:
            self._is_record_current = True
            self._ask(Errand.REGISTER, self._standing.registration(path), now)

    def _sign_off(self, now: float) -> None:
        """Take the next step to not being registered, if there is one."""
        path = self._exchange.path
        if path is None or self._standing.token is None or self._rounds > 1:
            self._leave()
        else:
            self._ask(Errand.UNREGISTER, self._standing.removal(path), now)

    def _ask(
        self, errand: Errand, message: CookieRequest | Register | Refresh | Unregister, now: float
    ) -> None:
        """Send an errand's message; the one that was under way is given up."""
        self._stop_errand()
        self._errand = errand
        self._errand_id = self._exchange.ask(message, now, context=errand, schedule=self._schedule)

    # Answers.

    def answered(self, errand: Errand, response: Response, now: float) -> None:
        """Take the answer to an errand."""
        self._errand = None
        silence = 0.0 if self._asking_since is None else now - self._asking_since
        self._asking_since = None
        if errand is Errand.UNREGISTER:
            self._end_of_registration(response, now)
        elif errand is Errand.REFRESH:
            self._refresh_answered(response, silence, now)
        elif isinstance(response, Challenge):
            self._challenged(response, silence, now)
        elif isinstance(response, Registered):
            self._standing.take_registration(response, now)
            self._stand(response, now, is_first=True)
            self._events.append(NodeRegistered(response.mapped_address))
        else:
            assert isinstance(response, Failure)  # nothing else has the method of the request
            self._registration_refused(response, now)

    def _refresh_answered(self, response: Response, silence: float, now: float) -> None:
        if isinstance(response, Registered):
            self._refreshed(response, now)
        elif isinstance(response, Failure) and response.error.code in _BUSY_ERRORS:
            timer = _Timer.REFRESH if self.state is State.REGISTERED else _Timer.RETRY
            self._timers.set(timer, now + self._pacing.retry_after(response.retry_after_ms / 1000))
        else:
            self.forgotten(silence, now)

    def _refreshed(self, refreshed: Registered, now: float) -> None:
        was_registered = self.state is State.REGISTERED
        is_good = self._standing.take_refresh(refreshed, now)
        self._stand(refreshed, now, is_first=False)
        if not is_good or not (was_registered or self._is_record_current):
            self._register(now)
        elif not was_registered:
            self._events.append(NodeRegistered(refreshed.mapped_address))

    def _stand(self, registered: Registered, now: float, *, is_first: bool) -> None:
        self.state = State.REGISTERED
        self._failures = 0
        self._turn = 0.0
        self._timers.clear(_Timer.RETRY)
        wait = self._pacing.until_refresh(registered.lifetime, is_first=is_first)
        self._timers.set(_Timer.REFRESH, now + wait)

    def _challenged(self, challenge: Challenge, silence: float, now: float) -> None:
        """Go on with the new cookie, unless a tracker that is back has others to serve first."""
        self._standing.take_challenge(challenge)
        self._rounds += 1
        if self.state is State.SILENT:
            self._turn = self._wait_for_turn(silence)
            self.state = State.REGISTERING
            self._clear_timers()
        if self._rounds > _MOST_ROUNDS:
            error = TrackerUnreachable("The tracker takes no proof of this node's address.")
            self._postpone(error, self._pacing.refused(), now)
        elif self._turn and self._has_stayed() and not self._requests.waiting(Proof.TOKEN):
            self.state = State.SPREADING
            self._timers.set(_Timer.RETRY, now + self._turn)
        else:
            self._approach(now)

    def _registration_refused(self, failure: Failure, now: float) -> None:
        code = failure.error.code
        if code in _BUSY_ERRORS:
            wait = self._pacing.retry_after(failure.retry_after_ms / 1000)
            self._postpone(tracker_error(failure, wait), wait, now)
        elif (
            code == STALE_SEQUENCE
            and self._rounds < _MOST_ROUNDS
            and self._standing.take_stale_sequence(failure)
        ):
            self._rounds += 1
            self._approach(now)
        else:
            wait = self._pacing.refused()
            self._postpone(tracker_error(failure, wait), wait, now)

    def _end_of_registration(self, response: Response, now: float) -> None:
        if isinstance(response, Challenge):
            self._standing.take_challenge(response)
            self._rounds += 1
            self._sign_off(now)
        else:
            self._leave()

    # What goes wrong.

    def unanswered(self, errand: Errand | None, now: float) -> None:
        """Take note that an errand was given up, or another request (None)."""
        if errand is None:
            if self.state is State.REGISTERED:
                self._fall_silent(TrackerUnreachable(), now)
        elif errand is not self._errand:
            pass  # what was given up in the same instant has been the end of it already
        elif errand is Errand.UNREGISTER:
            self._leave()
        else:
            self._fall_silent(TrackerUnreachable(), now)

    def _postpone(self, error: P2PError, wait: float, now: float) -> None:
        """Register later, since the tracker does not want it now."""
        self._is_record_current = False
        self._events.append(RegistrationFailed(error))
        if self.state is State.REGISTERED:
            self._timers.set(_Timer.RECORD, now + wait)
        else:
            self.state = State.WAITING
            self.refusal = error
            self._clear_timers()
            self._timers.set(_Timer.RETRY, now + wait)

    def _fall_silent(self, error: P2PError, now: float) -> None:
        """Count the tracker as dead for now, and ask again after a while."""
        lost = self.state is State.REGISTERED
        self._events.append(RegistrationLost(error) if lost else RegistrationFailed(error))
        if self._errand is Errand.REGISTER:
            self._is_record_current = False
        if self._asking_since is None:
            self._asking_since = now
        if self._on_a_stream or self._standing.token is None or now >= self._standing.expiry:
            # Another try may find the tracker elsewhere, or get a stream that works.
            self._drop_path()
        self._requests.fail(self._requests.waiting(*Proof), error)
        self._stop_errand()
        self._clear_timers()
        self.state = State.SILENT
        self._timers.set(_Timer.RETRY, now + self._pacing.back_off(self._failures))
        self._failures += 1

    def _leave(self) -> None:
        self._drop_path()
        self.state = State.CLOSED
        self._events.append(NodeLeft())

    def _drop_path(self) -> None:
        """Forget the path and what was proven along it; let wait again what was asked."""
        for request in self._requests.under_way():
            self._requests.wait_again(request)
        self._exchange.lose_path()
        self._standing.lose()
        self._errand = None

    def _stop_errand(self) -> None:
        self._exchange.forget(self._errand_id)
        self._errand = None

    def _clear_timers(self) -> None:
        for timer in _Timer:
            self._timers.clear(timer)

    def _has_stayed(self) -> bool:
        return self._standing.has_stayed(on_a_stream=self._on_a_stream)

    def _wait_for_turn(self, silence: float) -> float:
        # The streams of a tracker that restarts end all at once: there is nobody to let pass.
        return self._pacing.turn(LONGEST_INTERVAL if self._on_a_stream else silence)
