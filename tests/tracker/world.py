"""A tracker machine and nodes that talk to it, for the tests of the tracker's side."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from random import Random
from typing import Any

from attrs import evolve

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.stun.message import STUNMessage, decode_message
from twisted_p2p.tracker.attributes import REGISTER
from twisted_p2p.tracker.limits import DEFAULT_LIMITS, TrackerLimits
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.messages import (
    Answer,
    Challenge,
    CookieRequest,
    Failure,
    Indication,
    Introduce,
    ListPeers,
    LookUp,
    Refresh,
    Register,
    Registered,
    Response,
    Unregister,
    read_indication,
    read_response,
)
from twisted_p2p.tracker.service import TrackerService
from twisted_p2p.tracker.wire import TrackerMessage

SERVER = HostPort("11.9.9.9", 3478)


@cache
def identity(number: int) -> IdentityKey:
    """Return the identity of this number, the same in every run."""
    return IdentityKey.from_seed(number.to_bytes(32, "big"))


class World:
    """One tracker, its time, and everything it has sent."""

    def __init__(self, limits: TrackerLimits = DEFAULT_LIMITS, **options: Any) -> None:
        self.random = Random(20260)
        self.now = 1000.0
        self.limits = limits
        self.tracker = TrackerService(
            random_bytes=self.random.randbytes,
            store=MemoryPeerStore(),
            now=self.now,
            limits=limits,
            **options,
        )
        self.sent: list[tuple[bytes, DatagramPath]] = []

    def deliver(self, data: bytes, path: DatagramPath) -> list[tuple[bytes, DatagramPath]]:
        """Give the tracker a datagram, and return what it sends in consequence."""
        self.tracker.receive_datagram(data, path, self.now)
        sent: list[Any] = self.tracker.datagrams_to_send(self.now)
        self.sent += sent
        return sent

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with the timer called whenever the tracker asked for it."""
        end = self.now + seconds
        while (deadline := self.tracker.get_timer()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.tracker.handle_timer(self.now)
        self.now = end

    def status(self) -> dict[str, Any]:
        return self.tracker.status(self.now)


class Node:
    """A node behind one address, which says exactly what a test wants."""

    def __init__(
        self,
        world: World,
        number: int,
        host: str | None = None,
        *,
        port: int = 4000,
        local: Hashable = SERVER,
        **record: Any,
    ) -> None:
        self.world = world
        self.identity = identity(number)
        self.key = self.identity.peer_id.public_key
        self.address = HostPort(host or f"11.1.{number // 250}.{number % 250 + 1}", port)
        self.path = DatagramPath(local, self.address)
        self.server_address = SERVER
        fields: dict[str, Any] = {"sequence": 1, "lifetime": 3600, "accepting": True, **record}
        fields.setdefault("address_policy", AddressPolicy.ANYONE)
        self.record = PeerRecord(self.identity.peer_id, **fields)
        self.cookie = b""
        self.token = bytes(16)
        self.inbox: list[Indication] = []

    def new_transaction_id(self) -> bytes:
        return self.world.random.randbytes(12)

    def ask(self, request: TrackerMessage, transaction_id: bytes | None = None) -> Response:
        """Send a request, hand what it causes to the nodes of the test, return the response."""
        first, *rest = self.ask_raw(request.encode(transaction_id or self.new_transaction_id()))
        self.hand_overs = rest
        return read_response(first[0])

    def ask_raw(self, data: bytes) -> list[tuple[STUNMessage, DatagramPath]]:
        """Send bytes, and return what is sent in consequence, read and with its path."""
        sent = self.world.deliver(data, self.path)
        return [(decode_message(answer), path) for answer, path in sent]

    def fetch_cookie(self) -> Challenge:
        """Ask for a cookie and keep it."""
        challenge = self.ask(CookieRequest(REGISTER))
        assert isinstance(challenge, Challenge)
        self.cookie = challenge.cookie
        return challenge

    def registration(self, **changes: Any) -> Register:
        """Return the signed request to register."""
        values: dict[str, Any] = {
            "cookie": self.cookie,
            "mapped_address": self.address,
            "server_address": self.server_address,
            "record": self.record.sign(self.identity),
        }
        return Register.sign(self.identity, **{**values, **changes})

    def register(self, **changes: Any) -> Response:
        """Register with a fresh cookie; changes are to the record."""
        self.record = evolve(self.record, **changes)
        self.fetch_cookie()
        response = self.ask(self.registration())
        if isinstance(response, Registered):
            self.token = response.token
        return response

    def refresh(self, succeeded: int = 0, transaction_id: bytes | None = None) -> Response:
        response = self.ask(Refresh(self.key, self.token, succeeded), transaction_id)
        if isinstance(response, Registered):
            self.token = response.token
        return response

    def unregistration(self, **changes: Any) -> Unregister:
        """Return the signed request to unregister."""
        values: dict[str, Any] = {
            "cookie": self.cookie,
            "mapped_address": self.address,
            "server_address": self.server_address,
        }
        return Unregister.sign(self.identity, **{**values, **changes})

    def unregister(self, **changes: Any) -> Response:
        self.fetch_cookie()
        return self.ask(self.unregistration(**changes))

    def look_up(self, target: Node) -> Response:
        self.fetch_cookie()
        return self.ask(LookUp(self.cookie, target.key))

    def list_peers(self, topic: str = "") -> Response:
        return self.ask(ListPeers(self.key, self.token, topic))

    def introduce(
        self, target: Node, box: bytes = b"", transaction_id: bytes | None = None
    ) -> Response:
        """Ask with this box, or with one that was never seen before."""
        box = box or self.world.random.randbytes(100)
        return self.ask(Introduce(self.key, self.token, target.key, box), transaction_id)

    def answer(
        self,
        initiator: Node,
        box: bytes = b"answer",
        transaction_id: bytes | None = None,
        *,
        accepting: bool = True,
    ) -> Response:
        return self.ask(Answer(self.key, self.token, initiator.key, box, accepting), transaction_id)

    def handed_over(self) -> list[tuple[Indication, DatagramPath]]:
        """Return what the last request made the tracker hand to others."""
        return [(read_indication(message), path) for message, path in self.hand_overs]


def registered_node(world: World, number: int, *arguments: Any, **options: Any) -> Node:
    """Return a node that has registered."""
    node = Node(world, number, *arguments, **options)
    response = node.register()
    assert isinstance(response, Registered), response
    return node


def error_of(response: Response) -> int:
    """Return the number of an error response, or 0."""
    return response.error.code if isinstance(response, Challenge | Failure) else 0
