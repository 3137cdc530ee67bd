"""The tracker as a machine: it answers nodes, remembers them and introduces them.

The checks of a request run from cheap to dear: length, form, version, cookie or token, rate, and
only then signatures.  Whoever has not shown a fresh cookie or a token gets no more bytes than it
sent, in one datagram for one; the bare answer to a Binding request is the exception, as STUN
fixes it, and is limited by source.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from typing import cast

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.errors import InvalidSignature, MalformedMessage
from twisted_p2p.stun.attributes import (
    FINGERPRINT,
    UNKNOWN_ATTRIBUTES,
    USERNAME,
)
from twisted_p2p.stun.message import BINDING, MessageClass, check_fingerprint, decode_message
from twisted_p2p.tracker.attributes import (
    ANSWER,
    BAD_REQUEST,
    CHALLENGE_MINIMUM,
    COOKIE,
    COOKIE_NEEDED,
    FORBIDDEN,
    INTRODUCE,
    KNOWN_ATTRIBUTES,
    LIST,
    MAXIMUM_SIZE,
    PEER_ID,
    PROTOCOL_VERSION,
    REFRESH,
    STALE_TOKEN,
    TOKEN,
    TOO_MANY,
    UNKNOWN_ATTRIBUTE,
    VERSION,
    VERSION_NOT_SUPPORTED,
)
from twisted_p2p.tracker.cookies import Cookies
from twisted_p2p.tracker.directory import (
    Asked,
    Directory,
    Reply,
    StreamSocket,
    Undecided,
)
from twisted_p2p.tracker.introductions import Introductions
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, Rates, Refusal, TrackerLimits, prefix
from twisted_p2p.tracker.listings import Listings
from twisted_p2p.tracker.messages import REQUESTS
from twisted_p2p.tracker.quick_answers import encode_binding_success, encode_challenge
from twisted_p2p.tracker.registry import Registry
from twisted_p2p.tracker.server_events import (
    PeerCame,
    PeerLeft,
    PermissionWanted,
    TrackerServerEvent,
    WishFulfilled,
)
from twisted_p2p.tracker.store import IPeerStore

_KNOWN_IN_BINDING = frozenset({USERNAME.code})
_SHOW_TOKEN = frozenset({REFRESH, INTRODUCE, ANSWER, LIST})

DECISION_TIME = 10.0
"""Seconds after which a request that nobody has decided on is forgotten, as its sender does."""

_MOST_UNDECIDED = 1_000


class _Dropped(Exception):
    """A datagram gets no answer; the text is the reason that is counted."""


class TrackerService:
    """Speaks STUN and the tracker's methods; its ``addr`` is a `DatagramPath`.

    The local end of a path is the `HostPort` of a UDP socket bound to one address, which answers
    leave from, or a `StreamSocket`.  Each frame of a stream is a datagram here.
    """

    def __init__(
        self,
        *,
        random_bytes: Callable[[int], bytes],
        store: IPeerStore,
        now: float,
        limits: TrackerLimits = DEFAULT_LIMITS,
        public_hosts: Collection[str] = (),
        asks_permission: bool = False,
    ) -> None:
        """Start at ``now``; ``random_bytes`` gives keys and transaction IDs.

        ``public_hosts`` are addresses by which nodes reach this tracker through a NAT or a
        forwarder, besides the addresses of its sockets.  With ``asks_permission`` every
        registration, introduction and listing waits for `decide`, and their events are told.
        """
        self.dropped: Counter[str] = Counter()
        """Datagrams without an answer, by reason."""
        self.refused: Counter[int] = Counter()
        """Requests answered with an error, by its number."""
        self.bytes_in_total = 0
        self.bytes_out_total = 0
        self._started_at = now
        self._random_bytes = random_bytes
        self._limits = limits
        self._cookies = Cookies(random_bytes(32))
        self._rates = Rates(random_bytes(32), 1)
        self._asks_permission = asks_permission
        self._undecided: dict[int, tuple[Asked, Undecided]] = {}
        self._undecided_requests: dict[tuple[DatagramPath, bytes], int] = {}
        self._decisions_wanted = 0
        self._events: deque[TrackerServerEvent] = deque()
        self._registry = Registry(store, limits, self._presence_changed)
        self._introductions = Introductions(random_bytes(32), limits)
        self._listings = Listings(self._registry.index, limits, random_bytes)
        self._directory = Directory(
            self._registry,
            self._introductions,
            self._listings,
            self._cookies,
            frozenset(public_hosts),
            asks_permission=asks_permission,
        )
        self._to_send: Datagrams = []
        self._unproven_at_once = 0

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        """Take a datagram, or a frame of a stream; bad ones are counted and dropped."""
        self.bytes_in_total += len(data)
        self.handle_timer(now)
        try:
            self._receive(data, cast(DatagramPath, addr), now)
        except MalformedMessage:
            self.dropped["malformed"] += 1
        except _Dropped as dropped:
            self.dropped[str(dropped)] += 1

    def handle_timer(self, now: float) -> None:
        """Let expire what is due."""
        self._registry.expire(now)
        self._introductions.expire(now)
        if self._undecided:
            self._forget_undecided(now)

    def get_timer(self) -> float | None:
        """Return the time at which something may expire, or None."""
        oldest = next(iter(self._undecided.values()), None)
        times = (
            self._registry.next_expiry(),
            self._introductions.next_expiry(),
            oldest[0].now + DECISION_TIME if oldest else None,
        )
        return min((time for time in times if time is not None), default=None)

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the datagrams and frames to send now."""
        self._unproven_at_once = 0
        datagrams, self._to_send = self._to_send, []
        return datagrams

    def next_event(self) -> TrackerServerEvent | None:
        """Return what whoever runs the tracker should know or decide, or None."""
        return self._events.popleft() if self._events else self._directory.next_event()

    def is_reached_at(self, hosts: Iterable[str]) -> None:
        """Take further addresses for this tracker's own, beside the ``public_hosts``."""
        self._directory.is_reached_at(hosts)

    def decide(self, number: int, allowed: bool, now: float) -> None:
        """Say whether the request of a `PermissionWanted` is granted; too late is harmless."""
        undecided = self._take_undecided(number)
        if undecided is None:
            return
        asked, request = undecided
        if allowed:
            self._answer(asked, lambda: request.grant(now))
        else:
            self._refuse(asked, Refusal(FORBIDDEN, "this tracker does not permit it"))

    def stream_lost(self, stream: StreamSocket) -> None:
        """End what was registered over a stream that is gone."""
        self._registry.stream_lost(stream)

    def status(self, now: float) -> dict[str, object]:
        """Return the numbers of the status page."""
        return {
            "nodes": self._registry.peer_count,
            "registrations": len(self._registry),
            "registrations_total": self._directory.registrations_total,
            "introductions_total": self._introductions.total,
            "introductions_succeeded_total": self._introductions.succeeded_total,
            "topics": self._registry.index.topics,
            "listings_total": self._listings.total,
            "datagrams_dropped_total": dict(self.dropped),
            "requests_refused_total": {str(code): n for code, n in self.refused.items()},
            "signature_checks_total": self._directory.signature_checks,
            "bytes_in_total": self.bytes_in_total,
            "bytes_out_total": self.bytes_out_total,
            "uptime_s": round(now - self._started_at, 3),
        }

    # What everybody can do.

    def _receive(self, data: bytes, path: DatagramPath, now: float) -> None:
        if len(data) > MAXIMUM_SIZE:
            raise _Dropped("too_long")
        message = decode_message(data)
        if message.message_class is not MessageClass.REQUEST:
            raise _Dropped("not_a_request")
        asked = Asked(message, len(data), path, now)
        if message.method == BINDING:
            self._binding(asked)
        elif message.method not in REQUESTS:
            raise _Dropped("unknown_method")
        else:
            self._receive_own(asked)

    def _binding(self, asked: Asked) -> None:
        """Tell anybody its address, with a fingerprint if the request had one (RFC 8489, 7.3).

        An error answer that is longer than the request is left out: a client of RFC 5780 sees
        from the missing OTHER-ADDRESS already that its attributes are not known here.
        """
        message = asked.message
        self._limit_backlog()
        if not self._admits(asked, self._limits.binding_requests):
            raise _Dropped("rate")
        has_fingerprint = message.get(FINGERPRINT) is not None
        unknown = message.unknown_required(_KNOWN_IN_BINDING)
        if not unknown:
            source = asked.path.remote
            data = encode_binding_success(message.transaction_id, source, has_fingerprint)
        else:
            answer = message.error_response(UNKNOWN_ATTRIBUTE, "", (UNKNOWN_ATTRIBUTES, unknown))
            data = answer.encode(fingerprint=has_fingerprint)
            if len(data) > asked.size:
                raise _Dropped("would_amplify")
        self._send(data, asked.path)

    def _receive_own(self, asked: Asked) -> None:
        message = asked.message
        if not check_fingerprint(message):
            raise _Dropped("bad_fingerprint")
        if message.require(PROTOCOL_VERSION) != VERSION:
            self._refuse_unproven(asked, VERSION_NOT_SUPPORTED)
        elif self._is_proven(asked):
            self._serve(asked)
        elif message.get(TOKEN) is not None:
            self._refuse_unproven(asked, STALE_TOKEN)
        else:
            self._challenge(asked)

    def _is_proven(self, asked: Asked) -> bool:
        """Return whether a fresh cookie or a token shows that the source receives there."""
        message, source, now = asked.message, asked.path.remote, asked.now
        if message.method in _SHOW_TOKEN:
            token, peer_key = message.get(TOKEN), message.get(PEER_ID)
            if token is None or peer_key is None:
                return False
            return self._cookies.is_valid_token(token, peer_key, source, now)
        cookie = message.get(COOKIE)
        return cookie is not None and self._cookies.is_fresh(cookie, source, now)

    def _challenge(self, asked: Asked) -> None:
        self._admit_unproven(asked)
        message, source = asked.message, asked.path.remote
        cookie = self._cookies.cookie(source, asked.now)
        self.refused[COOKIE_NEEDED] += 1
        self._send(
            encode_challenge(message.method, message.transaction_id, cookie, source), asked.path
        )

    def _refuse_unproven(self, asked: Asked, code: int) -> None:
        self._admit_unproven(asked)
        self._refuse(asked, Refusal(code))

    def _admit_unproven(self, asked: Asked) -> None:
        if asked.size < CHALLENGE_MINIMUM:
            raise _Dropped("too_short")
        self._limit_backlog()

    def _limit_backlog(self) -> None:
        """Drop what is unproven when so much of it has come between two chances to answer.

        That is a flood beyond what can be answered.  Dropping costs half of answering, so the
        proven behind it are reached, which the system would drop with the rest otherwise.
        """
        self._unproven_at_once += 1
        if self._unproven_at_once > self._limits.unproven_at_once:
            raise _Dropped("overload")

    def _admits(self, asked: Asked, limit: int) -> bool:
        return self._rates.admits(prefix(asked.path.remote.host, 32, 64), limit, asked.now)

    # What those can do whose address is proven.

    def _serve(self, asked: Asked) -> None:
        if (asked.path, asked.message.transaction_id) in self._undecided_requests:
            raise _Dropped("undecided")
        self._answer(asked, lambda: self._fulfil(asked))

    def _answer(self, asked: Asked, fulfil: Callable[[], Reply | Undecided]) -> None:
        """Answer a proven request, whatever the answer is; it leaves before what it causes."""
        try:
            reply = fulfil()
        except MalformedMessage as error:
            self._refuse(asked, Refusal(BAD_REQUEST, str(error)))
        except InvalidSignature:
            self._refuse(asked, Refusal(FORBIDDEN, "the signature is wrong"))
        except Refusal as refusal:
            self._refuse(asked, refusal)
        else:
            if isinstance(reply, Undecided):
                self._await_decision(asked, reply)
            else:
                self._send_reply(asked, reply)

    def _send_reply(self, asked: Asked, reply: Reply) -> None:
        self._send(reply.answer.encode(asked.message.transaction_id), asked.path)
        for message, path in reply.hand_overs:
            self._send(message.encode(self._random_bytes(12)), path)
        if self._asks_permission and reply.fulfilled is not None:
            self._events.append(WishFulfilled(reply.fulfilled))

    def _await_decision(self, asked: Asked, request: Undecided) -> None:
        if len(self._undecided) >= _MOST_UNDECIDED:
            raise _Dropped("too_many_undecided")
        self._decisions_wanted += 1
        number = self._decisions_wanted
        self._undecided[number] = (asked, request)
        self._undecided_requests[asked.path, asked.message.transaction_id] = number
        self._events.append(PermissionWanted(number, request.wish))

    def _forget_undecided(self, now: float) -> None:
        for number, (asked, _) in list(self._undecided.items()):
            if asked.now + DECISION_TIME > now:
                break
            self._take_undecided(number)
            self.dropped["undecided"] += 1

    def _take_undecided(self, number: int) -> tuple[Asked, Undecided] | None:
        undecided = self._undecided.pop(number, None)
        if undecided is not None:
            asked, _ = undecided
            del self._undecided_requests[asked.path, asked.message.transaction_id]
        return undecided

    def _presence_changed(self, peer_id: str, is_here: bool) -> None:
        if self._asks_permission:
            self._events.append(PeerCame(peer_id) if is_here else PeerLeft(peer_id))

    def _fulfil(self, asked: Asked) -> Reply | Undecided:
        if not self._admits(asked, self._limits.requests):
            wait = self._rates.retry_after(asked.now)
            raise Refusal(TOO_MANY, "your network asks too often", retry_after=wait)
        message = asked.message
        unknown = message.unknown_required(KNOWN_ATTRIBUTES)
        if unknown:
            raise Refusal(UNKNOWN_ATTRIBUTE, unknown=unknown)
        return self._directory.fulfil(REQUESTS[message.method].parse(message), asked)

    def _refuse(self, asked: Asked, refusal: Refusal) -> None:
        failure = refusal.failure(asked.message.method)
        self.refused[failure.error.code] += 1
        self._send(failure.encode(asked.message.transaction_id), asked.path)

    def _send(self, data: bytes, path: DatagramPath) -> None:
        self.bytes_out_total += len(data)
        self._to_send.append((data, path))
