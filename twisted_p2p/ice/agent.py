"""The ICE agent: finds a path between two peers, agrees on it, and knows while it lasts.

A machine of the five names over RFC 8445 and RFC 7675, for one component and one session.  What
differs from RFC 8445, and why:

- Both sides know both credentials from the start, so an inbound check is authenticated at once,
  and data may flow along its path (`PathAuthenticated`) before any answer or nomination.
- The controlling side nominates the first pair that it hears on, with the very check that it owes
  this pair.  The controlled side takes the pair only when its own check of it was answered too:
  both directions are proven as with a later nomination, and a round trip is saved.
- Another nomination may follow, numbered (`checks.NOMINATION`), without an ICE restart: the path
  moves to a clearly better pair, or when a NAT has given the peer another address.
- Where no pair answers from the port that was checked, one that answers from another port of that
  address will do.
- Repetitions come as fast as a punch needs (`ICESettings.probe_gaps`), but few to a stranger.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import cast

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.ice.candidate import Candidate
from twisted_p2p.ice.checklist import CandidatePair, Checklist, PairState
from twisted_p2p.ice.checks import KNOWN_ATTRIBUTES, NOMINATION, Check, Checks
from twisted_p2p.ice.consent import Consent
from twisted_p2p.ice.credentials import ICECredentials
from twisted_p2p.ice.events import (
    CheckedPath,
    ConnectivityFailed,
    ConsentLost,
    ICEEvent,
    PathAuthenticated,
    PathRevived,
    PathSelected,
)
from twisted_p2p.ice.nomination import Nomination
from twisted_p2p.ice.pacing import Following, Pacer
from twisted_p2p.ice.settings import ICESettings
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    PRIORITY,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    XOR_MAPPED_ADDRESS,
)
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage, decode_message

_DEFAULT_SETTINGS = ICESettings()


class ICEAgent:
    """One side of one session; ``addr`` of its datagrams is a `DatagramPath`.

    The peer's candidates must have passed a `twisted_p2p.ice.filter.CandidateFilter` before.
    After `ConsentLost`, `ConnectivityFailed` or `close` the agent sends nothing, whatever comes.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        local: ICECredentials,
        remote: ICECredentials,
        tie_breaker: int,
        new_transaction_id: Callable[[], bytes],
        random: Callable[[], float],
        settings: ICESettings = _DEFAULT_SETTINGS,
    ) -> None:
        """Make an agent.

        ``tie_breaker`` has 64 random bits, ``new_transaction_id`` returns 12 unforeseeable bytes,
        and ``random`` a number from 0 to 1, for jitter.
        """
        self.controlling = controlling
        self.dropped: Counter[str] = Counter()
        """Datagrams and candidates that were not taken, by reason."""
        self._settings = settings
        self._checks = Checks(
            local=local,
            remote=remote,
            tie_breaker=tie_breaker,
            new_transaction_id=new_transaction_id,
        )
        self._checklist = Checklist(
            max_remote_candidates=settings.max_remote_candidates,
            max_peer_reflexive=settings.max_peer_reflexive,
        )
        self._pacer = Pacer(pace=settings.pace, limit=len(settings.probe_gaps) + 1)
        self._following = Following(
            most=settings.max_peer_reflexive, interval=settings.consent_interval
        )
        self._nomination = Nomination()
        self._consent = Consent(
            interval=settings.consent_interval,
            lifetime=settings.consent_lifetime,
            random=random,
        )
        self._selected: CandidatePair | None = None
        self._fail_at: float | None = None
        self._searching_until = 0.0
        self._is_peer_here = False
        self._closed = False
        self._events: deque[ICEEvent] = deque()
        self._outgoing: Datagrams = []

    # Commands.

    def add_local_candidate(self, candidate: Candidate) -> None:
        """Take an address of this node; its ``base`` is the socket to send from."""
        self._checklist.add_local(candidate)

    def add_remote_candidate(self, candidate: Candidate, now: float) -> None:
        """Take an address of the peer and begin to check it; one too many is dropped.

        The checks leave by `datagrams_to_send`, so of several candidates added in one go the
        most promising is probed first: by priority, as RFC 8445 has it, that is host before server
        reflexive.  For the filter has left private addresses only where they may be of this very
        network, and a public host address needs no punch; between two NATs in different networks
        the server-reflexive ones are all that is left, and go at once.
        """
        refusal = self._checklist.add_remote(candidate)
        if refusal:
            self.dropped[refusal] += 1
        elif self._selected is None:
            self._be_patient(now)

    def search_again(self, now: float) -> None:
        """Check all pairs again, and new ones whatever their priority, since the path may be gone.

        Where this or the other host is in another network, only a check tells what works now.
        """
        self._searching_until = now + self._settings.patience / 2
        self._checklist.forget_unheard()
        for pair in self._checklist.pairs.values():
            if pair.next_probe is None:
                pair.start(now)

    def data_heard(self, now: float) -> bool:
        """Take note of data along a path: when no more comes, it may be the path that is dead.

        Return whether `get_timer` has changed.
        """
        return self._selected is not None and self._consent.data_heard(now)

    def close(self) -> None:
        """Send nothing any more, and answer nothing."""
        self._closed = True
        self._outgoing.clear()

    # What is known.

    @property
    def selected_path(self) -> DatagramPath | None:
        """The path that both sides agreed on, or None."""
        return self._selected.path if self._selected else None

    @property
    def confirmed_at(self) -> float:
        """When the newest check of the selected path was sent that was answered; 0 for none."""
        return self._selected.confirmed_at if self._selected else 0.0

    @property
    def authenticated_paths(self) -> frozenset[DatagramPath]:
        """The paths along which the peer has shown its password."""
        return frozenset(p.path for p in self._checklist.pairs.values() if p.is_authenticated)

    @property
    def mapped_addresses(self) -> dict[DatagramPath, HostPort]:
        """Where the peer sees our sockets, by path, as far as its answers told."""
        pairs = self._checklist.pairs.items()
        return {path: pair.mapped_address for path, pair in pairs if pair.mapped_address}

    def is_authentic(self, message: STUNMessage) -> bool:
        """Return whether the integrity of a message is the peer's; nothing else is looked at."""
        return self._checks.is_authentic(message)

    def is_authenticated(self, path: DatagramPath) -> bool:
        """Return whether the peer has shown its password along this path."""
        pair = self._checklist.pairs.get(path)
        return pair is not None and pair.is_authenticated

    # The five names.

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        """Take a STUN message; what the peer did not authenticate changes nothing."""
        if self._closed:
            self.dropped["closed"] += 1
            return
        try:
            reason = self._receive(decode_message(data), cast(DatagramPath, addr), now)
        except MalformedMessage:
            reason = "malformed"
        if reason:
            self.dropped[reason] += 1

    def handle_timer(self, now: float) -> None:
        """Give up what was not answered in time."""
        if self._closed:
            return
        if self._selected and now >= self._consent.expires_at:
            self._end(ConsentLost(self._selected.path))
        elif self._fail_at is not None and now >= self._fail_at:
            checked = map(CheckedPath.of, self._checklist.pairs.values())
            self._end(ConnectivityFailed(tuple(checked)))
        else:
            for pair in list(self._checklist.pairs.values()):
                if (
                    pair.next_probe is not None
                    and pair.next_probe <= now
                    and self._pacer.is_spent(pair)
                ):
                    self._give_up(pair, now)
            self._nomination.handle_timer(now)

    def get_timer(self) -> float | None:
        """Return when the next probe leaves, or a wait ends; None when the agent only listens."""
        if self._closed:
            return None
        deadlines = [self._fail_at, self._consent.get_timer(), self._nomination.get_timer()]
        deadlines += map(self._pacer.due_at, self._checklist.pairs.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return answers, the probes that are due, and checks for consent."""
        if not self._closed:
            self._send_probes(now)
            self._send_consent_check(now)
        datagrams, self._outgoing = self._outgoing, []
        return datagrams

    def next_event(self) -> ICEEvent | None:
        """Return the next event of `twisted_p2p.ice.events`, or None."""
        return self._events.popleft() if self._events else None

    # Sending.

    def _send_probes(self, now: float) -> None:
        while pair := self._next_pair(now):
            gaps = self._settings.probe_gaps
            pair.state = PairState.IN_PROGRESS
            pair.next_probe = now + gaps[min(pair.probes, len(gaps) - 1)]
            pair.probes += 1
            pair.probes_in_all += 1
            self._pacer.probed(pair, now)
            self._send_check(pair, now)

    def _next_pair(self, now: float) -> CandidatePair | None:
        """Return the pair to probe now, or None."""
        floor = -1
        if self._selected is not None and now >= self._searching_until:
            floor = self._selected.priority(self.controlling)
        self._checklist.thaw(now, floor, self.controlling)
        due = (
            pair
            for pair in self._checklist.pairs.values()
            if (due_at := self._pacer.due_at(pair)) is not None
            and due_at <= now
            and not self._pacer.is_spent(pair)
        )
        return min(due, key=lambda pair: pair.turn(self.controlling), default=None)

    def _send_consent_check(self, now: float) -> None:
        if self._selected and self._consent.is_check_due(now):
            self._consent.checked(now)
            self._send_check(self._selected, now)

    def _send_check(self, pair: CandidatePair, now: float) -> None:
        check = Check(pair.path, now, self.controlling, self._number_for(pair))
        self._outgoing.append((self._checks.request(check, pair.reflexive_priority), pair.path))

    def _answer(self, response: STUNMessage, path: DatagramPath) -> None:
        self._outgoing.append((self._checks.answer(response), path))

    def _number_for(self, pair: CandidatePair) -> int | None:
        """Return the number of the nomination that checks of this pair carry, if any."""
        return self._nomination.number_for(pair) if self.controlling else None

    # Receiving; each returns why a message was dropped, or None.

    def _receive(self, message: STUNMessage, path: DatagramPath, now: float) -> str | None:
        if message.method != BINDING or message.message_class is MessageClass.INDICATION:
            return "unexpected"
        if message.message_class is MessageClass.REQUEST:
            return self._receive_request(message, path, now)
        return self._receive_response(message, path, now)

    def _receive_request(self, request: STUNMessage, path: DatagramPath, now: float) -> str | None:
        refusal = self._checks.refuse_request(request, path)
        if refusal:
            return refusal
        unknown = request.unknown_required(KNOWN_ATTRIBUTES)
        if unknown:
            self._answer(request.error_response(420, "", (UNKNOWN_ATTRIBUTES, unknown)), path)
            return "unknown_attribute"
        peer_should_switch = self._checks.peer_should_switch(request, self.controlling)
        if peer_should_switch:
            self._answer(request.error_response(487), path)
            return "role_conflict"
        if peer_should_switch is False:
            self._switch_role(now)
        pair = self._pair_for(path, request.require(PRIORITY))
        if isinstance(pair, str):
            return pair
        self._answer(request.success_response((XOR_MAPPED_ADDRESS, path.remote)), path)
        self._heard(pair, request, now)
        return None

    def _pair_for(self, path: DatagramPath, priority: int) -> CandidatePair | str:
        pair = self._checklist.pairs.get(path)
        if pair is not None:
            return pair
        keep = {pair.path for pair in (self._selected, *self._nomination.pairs) if pair}
        return self._checklist.learn_remote(path, priority, keep)

    def _receive_response(
        self, response: STUNMessage, path: DatagramPath, now: float
    ) -> str | None:
        check = self._checks.take_answer(response, path)
        if isinstance(check, str):
            return check
        pair = self._checklist.pairs.get(check.path)
        if pair is None:
            return "forgotten_path"
        is_asymmetric = path != check.path
        if is_asymmetric and not self._takes_asymmetric(now):
            return "asymmetric"
        if response.message_class is MessageClass.ERROR:
            # Of all errors only this one says what to do; after others the pair uses up its probes.
            if response.require(ERROR_CODE).code == 487 and check.controlling is self.controlling:
                self._switch_role(now)
                pair.try_again(now)
            return "error_response"
        if response.unknown_required(KNOWN_ATTRIBUTES):
            return "unknown_attribute"
        pair.mapped_address = response.require(XOR_MAPPED_ADDRESS)
        pair.is_asymmetric = is_asymmetric
        self._confirm(pair, check, now)
        return None

    def _takes_asymmetric(self, now: float) -> bool:
        """Return whether to take answers from another port of the peer: as a last resort.

        RFC 8445, section 7.2.5.2.1, never does.  But where both NATs map by port every answer is
        so, and if they let in anyone the two ports are one way.  A quarter of the time is left to
        other pairs.
        """
        if any(not pair.is_asymmetric for pair in self._checklist.valid_pairs):
            return False
        patience = self._settings.patience
        return self._fail_at is None or now >= self._fail_at - 0.75 * patience

    # What follows from it.

    def _heard(self, pair: CandidatePair, request: STUNMessage, now: float) -> None:
        """Take an authentic check of the peer: it shows a path, and may nominate it."""
        nominates, number = request.get(USE_CANDIDATE), request.get(NOMINATION)
        is_first = self._authenticate(pair, now)
        pair.heard_at = now
        if self.controlling:
            owes_proof = self._nomination.is_worth_checking(pair, now)
            if self._nomination.pair is None:
                self._nomination.nominate(pair, now)
        else:
            owes_proof = False
            if nominates and self._nomination.accept(pair, number, now):
                self._select(pair, now)
        # The triggered check of RFC 8445, section 7.3.1.4.  Probes under way may have come before
        # the peer had opened its filter, so the first word from it starts them anew.
        if (
            (pair.state in (PairState.FROZEN, PairState.FAILED) and self._may_follow(now))
            or (pair.state is PairState.IN_PROGRESS and is_first)
            or (pair.state is PairState.SUCCEEDED and owes_proof)
        ):
            pair.start(now)

    def _may_follow(self, now: float) -> bool:
        """Return whether to check where the peer shows up, as always while no path is found."""
        return self._selected is None or self._following.admits(now)

    def _confirm(self, pair: CandidatePair, check: Check, now: float) -> None:
        """Take an authentic answer to a check: the pair is valid, and perhaps agreed on."""
        self._authenticate(pair, now)
        pair.answered_at = now
        pair.confirmed_at = max(pair.confirmed_at, check.sent_at)
        pair.round_trip_time = now - check.sent_at
        if pair is self._selected and self._consent.confirm(check.sent_at):
            self._events.append(PathRevived(pair.path))
        if self._number_for(pair) in (None, check.nomination):
            pair.stop(PairState.SUCCEEDED)
        if self._is_agreed(pair, check, now):
            self._select(pair, now)

    def _is_agreed(self, pair: CandidatePair, check: Check, now: float) -> bool:
        """Return whether an answer to a check makes its pair the one to select."""
        if self.controlling and not pair.is_asymmetric:
            return self._nomination.answered(pair, check.nomination, now)
        nominated = self._nomination.pair
        if pair is nominated:
            return check.nomination == self._number_for(pair)
        if nominated is not None and not nominated.is_valid and pair.is_asymmetric:
            # Such pairs multiply, and none of them is better than another.
            nominated.try_again(now)
        return False

    def _authenticate(self, pair: CandidatePair, now: float) -> bool:
        """Mark the pair's path as the peer's, and return whether that is news."""
        if pair.is_authenticated:
            return False
        pair.is_authenticated = True
        self._events.append(PathAuthenticated(pair.path))
        if not self._is_peer_here:
            self._is_peer_here = True
            self._be_patient(now)
        return True

    def _be_patient(self, now: float) -> None:
        """Begin to wait for a path, or give what has come late half of the time at least."""
        patience = self._settings.patience
        self._fail_at = max(self._fail_at or now + patience, now + patience / 2)

    def _select(self, pair: CandidatePair, now: float) -> None:
        if pair is self._selected:
            return
        self._selected = pair
        self._fail_at = None
        self._consent.begin(now, pair.confirmed_at)
        self._checklist.freeze(pair.priority(self.controlling), self.controlling)
        self._events.append(PathSelected(pair.path, pair))

    def _give_up(self, pair: CandidatePair, now: float) -> None:
        pair.stop(PairState.FAILED)
        pair.answered_at = None
        if self.controlling and pair is self._nomination.pair:
            self._nomination.nominate_best(self._checklist.valid_pairs, now)

    def _switch_role(self, now: float) -> None:
        """Take the other role; the numbers of nominations are the controlling side's own."""
        self.controlling = not self.controlling
        self._nomination = Nomination()
        if self.controlling:
            self._nomination.nominate_best(self._checklist.valid_pairs, now)

    def _end(self, event: ConsentLost | ConnectivityFailed) -> None:
        self._events.append(event)
        self.close()
