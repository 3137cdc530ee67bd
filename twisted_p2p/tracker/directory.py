"""What a tracker does for those whose address is proven: it registers, tells and introduces.

The service has checked cookie or token, form and rate; signatures and permissions are checked
here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from attrs import frozen

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import InvalidSignature
from twisted_p2p.identity.record import AddressPolicy, decode_record
from twisted_p2p.stun.message import STUNMessage
from twisted_p2p.tracker.attributes import (
    BAD_REQUEST,
    FORBIDDEN,
    PEER_OFFLINE,
    STALE_TOKEN,
)
from twisted_p2p.tracker.cookies import Cookies
from twisted_p2p.tracker.introductions import Introductions
from twisted_p2p.tracker.limits import Refusal
from twisted_p2p.tracker.listings import Listings
from twisted_p2p.tracker.messages import (
    Answer,
    AnswerHandedOver,
    AnswerTaken,
    Indication,
    Introduce,
    Introduced,
    ListPeers,
    LookUp,
    OfferHandedOver,
    Presence,
    Refresh,
    Refreshed,
    Register,
    Registered,
    Request,
    Success,
    Unregister,
    Unregistered,
)
from twisted_p2p.tracker.registry import Registry
from twisted_p2p.tracker.server_events import (
    ForeignServerAddress,
    IntroductionWanted,
    ListingWanted,
    RegistrationWanted,
    Wish,
)
from twisted_p2p.tracker.store import RegisteredPeer, Registration

_MOST_FOREIGN_ADDRESSES = 4


@frozen
class StreamSocket:
    """The local end of a stream to the tracker, as the ``local`` of a `DatagramPath`."""

    address: HostPort
    """The tracker's address that the node connected to."""

    number: int
    """Tells it from all other streams, later ones too."""


@frozen
class Asked:
    """A request as it came: the message, its bytes, its path and its time."""

    message: STUNMessage
    size: int
    path: DatagramPath
    now: float

    @property
    def is_stream(self) -> bool:
        """Whether it came over a stream."""
        return isinstance(self.path.local, StreamSocket)


@frozen
class Reply:
    """What follows from a request that was fulfilled."""

    answer: Success
    hand_overs: tuple[tuple[Indication, DatagramPath], ...] = ()
    fulfilled: Wish | None = None
    """What whoever runs the tracker is told of it."""


@frozen
class Undecided:
    """A request that is in order, and granted once somebody outside says so."""

    wish: Wish
    grant: Callable[[float], Reply]
    """Fulfils it, given the time then; raises `Refusal`."""


class Directory:
    """Fulfils requests, or raises `Refusal`, `MalformedMessage` or `InvalidSignature`."""

    def __init__(
        self,
        registry: Registry,
        introductions: Introductions,
        listings: Listings,
        cookies: Cookies,
        public_hosts: frozenset[str],
        *,
        asks_permission: bool,
    ) -> None:
        self.registrations_total = 0
        self.signature_checks = 0
        self._registry = registry
        self._introductions = introductions
        self._listings = listings
        self._cookies = cookies
        self._public_hosts = public_hosts
        self._asks_permission = asks_permission
        self._events: deque[ForeignServerAddress] = deque()
        self._foreign_addresses: set[HostPort] = set()
        self._deeds: dict[type[Request], Callable[[Any, Asked], Reply | Undecided]] = {
            Register: self._register,
            Refresh: self._refresh,
            Unregister: self._unregister,
            LookUp: self._look_up,
            Introduce: self._introduce,
            Answer: self._answer,
            ListPeers: self._list,
        }

    def fulfil(self, request: Request, asked: Asked) -> Reply | Undecided:
        """Do what is asked for by a source whose address is proven."""
        return self._deeds[type(request)](request, asked)

    def is_reached_at(self, hosts: Iterable[str]) -> None:
        """Take further addresses for this tracker's own."""
        self._public_hosts |= frozenset(hosts)

    def _ask(self, wish: Wish, grant: Callable[[float], Reply], now: float) -> Reply | Undecided:
        return Undecided(wish, grant) if self._asks_permission else grant(now)

    def next_event(self) -> ForeignServerAddress | None:
        """Return what the operator should know, or None."""
        return self._events.popleft() if self._events else None

    def _register(self, request: Register, asked: Asked) -> Reply | Undecided:
        self._check_addresses(request, asked)
        self.signature_checks += 1
        record = decode_record(request.record)
        self.signature_checks += 1
        if not request.is_signed_by(record.peer_id):
            raise InvalidSignature
        wish = RegistrationWanted(str(record.peer_id), asked.path.remote, record.services)

        def grant(now: float) -> Reply:
            key = record.peer_id.public_key
            is_new = self._registry.find(key, asked.path.remote, asked.is_stream) is None
            registration = self._registry.register(
                record, request.record, asked.path, asked.is_stream, now
            )
            self.registrations_total += is_new
            return Reply(self._registered(Registered, key, registration, asked), fulfilled=wish)

        return self._ask(wish, grant, asked.now)

    def _refresh(self, request: Refresh, asked: Asked) -> Reply:
        key = request.peer_key
        registration = self._registry.refresh(key, asked.path, asked.is_stream, asked.now)
        if registration is None:
            raise Refusal(STALE_TOKEN)
        self._introductions.report(key, request.succeeded, asked.message.transaction_id)
        return Reply(self._registered(Refreshed, key, registration, asked))

    def _unregister(self, request: Unregister, asked: Asked) -> Reply:
        self._check_addresses(request, asked)
        key = request.peer_key
        peer = self._registry.peer(key)
        registration = self._registry.find(key, asked.path.remote, asked.is_stream)
        if peer is not None and registration is not None:
            self.signature_checks += 1
            if not request.is_signed_by(peer.record.peer_id):
                raise InvalidSignature
            self._introductions.report(key, request.succeeded, asked.message.transaction_id)
            self._registry.remove(key, registration)
        return Reply(Unregistered())

    def _look_up(self, request: LookUp, asked: Asked) -> Reply:
        record = self._peer(request.target_key).record
        return Reply(Presence(request.target_key, record.accepting, record.services))

    def _introduce(self, request: Introduce, asked: Asked) -> Reply | Undecided:
        initiator = self._speaker(request.peer_key, asked)
        if request.target_key == request.peer_key:
            raise Refusal(BAD_REQUEST, "that is yourself")
        target = self._peer(request.target_key)
        is_listed = request.peer_key in target.record.listed_keys
        if target.record.address_policy is AddressPolicy.LISTED and not is_listed:
            raise Refusal(FORBIDDEN, "that peer does not list you")
        wish = IntroductionWanted(str(initiator.record.peer_id), str(target.record.peer_id))

        def grant(now: float) -> Reply:
            self._introductions.begin(request, asked.path, now, is_listed=is_listed)
            return self._hand_over(request, asked, wish)

        return self._ask(wish, grant, asked.now)

    def _hand_over(self, request: Introduce, asked: Asked, wish: Wish) -> Reply:
        """Hand an offer over; both may have gone while somebody decided."""
        initiator = self._speaker(request.peer_key, asked)
        target = self._peer(request.target_key)
        policy = target.record.address_policy
        told = () if policy is AddressPolicy.AFTER_ANSWER else _addresses(target)
        offer = OfferHandedOver(
            request.peer_key,
            request.box,
            _addresses(initiator, asked.path.remote),
            initiator.record.nat_facts,
        )
        hand_overs = tuple((offer, one.path) for one in target.registrations)
        return Reply(Introduced(told, target.record.nat_facts), hand_overs, wish)

    def _answer(self, request: Answer, asked: Asked) -> Reply:
        answerer = self._speaker(request.peer_key, asked)
        path = self._introductions.answer(request, asked.now)
        addresses = _addresses(answerer, asked.path.remote) if request.accepting else ()
        answer = AnswerHandedOver(
            request.peer_key, request.box, addresses, answerer.record.nat_facts
        )
        return Reply(AnswerTaken(), ((answer, path),))

    def _list(self, request: ListPeers, asked: Asked) -> Reply | Undecided:
        asking = self._speaker(request.peer_key, asked)
        self._listings.limit(request, asked.path.remote.host, asked.now)
        wish = ListingWanted(str(asking.record.peer_id), request.topic)
        return self._ask(wish, lambda now: Reply(self._listings.answer(request)), asked.now)

    def _check_addresses(self, request: Register | Unregister, asked: Asked) -> None:
        """Refuse what was signed for another address of the node, or for another tracker."""
        if request.mapped_address != asked.path.remote:
            raise Refusal(FORBIDDEN, f"you send from {asked.path.remote}")
        local: Any = asked.path.local
        server = local.address if asked.is_stream else local
        claimed = request.server_address
        if claimed != server and claimed.host not in self._public_hosts:
            self._tell_foreign(claimed)
            raise Refusal(FORBIDDEN, f"this tracker does not know itself as {claimed}")

    def _tell_foreign(self, address: HostPort) -> None:
        """Tell the operator, of a few addresses, since anybody may claim any."""
        known = self._foreign_addresses
        if address not in known and len(known) < _MOST_FOREIGN_ADDRESSES:
            known.add(address)
            self._events.append(ForeignServerAddress(address))

    def _registered(
        self, kind: type[Registered], key: bytes, registration: Registration, asked: Asked
    ) -> Registered:
        source, now = asked.path.remote, asked.now
        return kind(
            self._cookies.token(key, source, registration.expiry),
            self._cookies.cookie(source, now),
            max(1, round(registration.expiry - now)),
            source,
        )

    def _speaker(self, peer_key: bytes, asked: Asked) -> RegisteredPeer:
        """Return the peer that asks; its token may have outlived its registration."""
        if self._registry.find(peer_key, asked.path.remote, asked.is_stream) is None:
            raise Refusal(STALE_TOKEN)
        return self._peer(peer_key)

    def _peer(self, peer_key: bytes) -> RegisteredPeer:
        peer = self._registry.peer(peer_key)
        if peer is None:
            raise Refusal(PEER_OFFLINE)
        return peer


def _addresses(peer: RegisteredPeer, first: HostPort | None = None) -> tuple[HostPort, ...]:
    """Return where a peer is seen, each address once, ``first`` at the head if it is among them."""
    told = sorted(
        (registration.path.remote != first, number, registration.told_address)
        for number, registration in enumerate(peer.registrations)
    )
    return tuple(dict.fromkeys(address for _, _, address in told))
