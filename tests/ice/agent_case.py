"""A test case in which the test speaks for one agent's peer."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.ice.world import INITIATOR, RESPONDER, make_agent
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.agent import ICEAgent
from twisted_p2p.ice.candidate import Candidate
from twisted_p2p.ice.checks import NOMINATION
from twisted_p2p.ice.events import (
    ICEEvent,
)
from twisted_p2p.ice.settings import ICESettings
from twisted_p2p.stun.attributes import (
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    PRIORITY,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    bytes_attribute,
)
from twisted_p2p.stun.message import (
    BINDING,
    MessageClass,
    STUNMessage,
    decode_message,
)

SOCKET = HostPort("192.168.1.2", 4000)
REMOTE = HostPort("11.0.2.1", 4000)
OWN_MAPPED = HostPort("11.0.1.1", 5000)
PATH = DatagramPath(SOCKET, REMOTE)
STRANGE = bytes_attribute(0x7777, "STRANGE")


def remote_candidate(address: HostPort = REMOTE, local_preference: int = 65535) -> Candidate:
    return Candidate.host(address, base=None, local_preference=local_preference)


class AgentCase(SynchronousTestCase):
    """An agent of either role; the test speaks for the peer."""

    def start(
        self,
        *,
        controlling: bool = True,
        tie_breaker: int = 100,
        settings: ICESettings | None = None,
        remote: bool = True,
    ) -> ICEAgent:
        self.random = Random(5)
        self.now = 0.0
        agent = make_agent(controlling=controlling, tie_breaker=tie_breaker, settings=settings)
        agent.add_local_candidate(Candidate.host(SOCKET, base=SOCKET))
        if remote:
            agent.add_remote_candidate(remote_candidate(), self.now)
        self.agent = agent
        self.own, self.peer = (INITIATOR, RESPONDER) if controlling else (RESPONDER, INITIATOR)
        return agent

    def sent(self) -> list[tuple[STUNMessage, DatagramPath]]:
        """What the agent sends now, each message as the peer reads it."""
        messages = []
        for data, path in self.agent.datagrams_to_send(self.now):
            assert isinstance(path, DatagramPath)
            messages.append((decode_message(data), path))
        return messages

    def events(self) -> list[ICEEvent]:
        events = []
        while (event := self.agent.next_event()) is not None:
            events.append(event)
        return events

    def pass_time(self, seconds: float) -> list[tuple[float, STUNMessage, DatagramPath]]:
        """Let time pass from deadline to deadline, and return what was sent when."""
        end = self.now + seconds
        log = []
        while True:
            log += [(self.now, message, path) for message, path in self.sent()]
            timer = self.agent.get_timer()
            if timer is None or timer > end:
                self.now = end
                return log
            self.now = max(timer, self.now)
            self.agent.handle_timer(self.now)

    def receive(self, data: bytes, path: DatagramPath = PATH) -> None:
        self.agent.receive_datagram(data, path, self.now)

    def request(
        self,
        *extra: tuple[object, object],
        username: str | None = None,
        password: str | None = None,
        controlling: bool | None = None,
        tie_breaker: int = 50,
        priority: bool = True,
    ) -> bytes:
        """A check of the peer, by default as it should be."""
        if controlling is None:
            controlling = not self.agent.controlling
        role = ICE_CONTROLLING if controlling else ICE_CONTROLLED
        message = STUNMessage.build(
            BINDING,
            MessageClass.REQUEST,
            self.random.randbytes(12),
            (
                USERNAME,
                username or f"{self.own.username_fragment}:{self.peer.username_fragment}",
            ),
            *([(PRIORITY, 1_000)] if priority else []),
            (role, tie_breaker),
            *extra,  # type: ignore[arg-type]
        )
        key = (self.own.password if password is None else password).encode()
        return message.encode(integrity_key=key or None, fingerprint=True)

    def nomination(self, number: int) -> bytes:
        return self.request((USE_CANDIDATE, True), (NOMINATION, number))

    def answer(self, request: STUNMessage, *extra: tuple[object, object]) -> bytes:
        mapped = (XOR_MAPPED_ADDRESS, OWN_MAPPED)
        response = request.success_response(mapped, *extra)  # type: ignore[arg-type]
        return self.encode(response)

    def encode(self, response: STUNMessage) -> bytes:
        return response.encode(integrity_key=self.peer.password.encode(), fingerprint=True)

    def assert_dropped(self, **reasons: int) -> None:
        self.assertEqual(self.agent.dropped, Counter(reasons))

    def assert_untouched(self) -> None:
        """Nothing was believed and nothing is sent."""
        self.assertEqual(self.events(), [])
        self.assertEqual(self.agent.authenticated_paths, frozenset())
        self.assertIsNone(self.agent.selected_path)
        self.assertEqual(self.sent(), [])
