"""Connectivity checks as messages: built, authenticated both ways, and matched to their answers.

Each probe is a transaction of its own and none is sent twice.  So an answer tells its round-trip
time exactly, consent checks are nothing special (RFC 7675, section 5.1, forbids to repeat them),
and a transaction ID that comes from a second address is a replay, not a repetition.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from twisted_p2p.addresses import DatagramPath
from twisted_p2p.ice.credentials import ICECredentials
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    PRIORITY,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    uint32_attribute,
)
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage, check_integrity

NOMINATION = uint32_attribute(0xF440, "NOMINATION")
"""Beside USE-CANDIDATE: a number that rises with every nomination, so that nominations that
overtake one another leave both sides with the same pair.  Peers that know RFC 8445 alone ignore
it."""

KNOWN_ATTRIBUTES = frozenset(
    kind.code
    for kind in (
        USERNAME,
        PRIORITY,
        USE_CANDIDATE,
        XOR_MAPPED_ADDRESS,
        ERROR_CODE,
        UNKNOWN_ATTRIBUTES,
    )
)

_ANSWERS_AWAITED_FOR = 30.0
"""Seconds; as long as consent lasts, after which an answer would say nothing."""

_REQUESTS_REMEMBERED = 512


@frozen
class Check:
    """A probe that waits for its answer."""

    path: DatagramPath
    sent_at: float
    controlling: bool
    """The role in which it was sent."""
    nomination: int | None
    """The number of the nomination that it carries."""


class Checks:
    """The messages of one agent, and those it waits for."""

    def __init__(
        self,
        *,
        local: ICECredentials,
        remote: ICECredentials,
        tie_breaker: int,
        new_transaction_id: Callable[[], bytes],
    ) -> None:
        # RFC 8445, section 7.2.2: a request names its receiver first and takes its password.
        self._request_username = f"{remote.username_fragment}:{local.username_fragment}"
        self._expected_username = f"{local.username_fragment}:{remote.username_fragment}"
        self._local_key = local.password.encode("ascii")
        self._remote_key = remote.password.encode("ascii")
        self._tie_breaker = tie_breaker
        self._new_transaction_id = new_transaction_id
        self._awaited: dict[bytes, Check] = {}
        self._requests: dict[bytes, DatagramPath] = {}

    def request(self, check: Check, priority: int) -> bytes:
        """Return the bytes of a new check, whose answer is awaited from now on.

        ``priority`` is that of the peer-reflexive candidate the peer may learn from it.
        """
        transaction_id = self._new_transaction_id()
        self._forget_unanswered(check.sent_at)
        self._awaited[transaction_id] = check
        role = ICE_CONTROLLING if check.controlling else ICE_CONTROLLED
        nomination = (
            ()
            if check.nomination is None
            else ((USE_CANDIDATE, True), (NOMINATION, check.nomination))
        )
        message = STUNMessage.build(
            BINDING,
            MessageClass.REQUEST,
            transaction_id,
            (USERNAME, self._request_username),
            (PRIORITY, priority),
            (role, self._tie_breaker),
            *nomination,
        )
        return message.encode(integrity_key=self._remote_key, fingerprint=True)

    def answer(self, response: STUNMessage) -> bytes:
        """Return the bytes of the response to a request of the peer."""
        return response.encode(integrity_key=self._local_key, fingerprint=True)

    def is_authentic(self, message: STUNMessage) -> bool:
        """Return whether the integrity of a message is the peer's."""
        is_answer = message.message_class in (MessageClass.SUCCESS, MessageClass.ERROR)
        return check_integrity(message, self._remote_key if is_answer else self._local_key)

    def refuse_request(self, request: STUNMessage, path: DatagramPath) -> str | None:
        """Return why a request is none of the peer's, or None if it is one."""
        if request.get(USERNAME) != self._expected_username:
            return "wrong_username"
        if not self.is_authentic(request):
            return "unauthenticated"
        # Who copies a check and sends it on from an address of its choice would have that address
        # taken for the peer's.
        if self._requests.setdefault(request.transaction_id, path) != path:
            return "replayed"
        if len(self._requests) > _REQUESTS_REMEMBERED:
            del self._requests[next(iter(self._requests))]
        return None

    def peer_should_switch(self, request: STUNMessage, controlling: bool) -> bool | None:
        """Return who gives way in a conflict of roles, by tie-breaker; None if there is none.

        RFC 8445, section 7.3.1.1: the larger one controls, and of equals the receiver.
        """
        theirs = request.get(ICE_CONTROLLING if controlling else ICE_CONTROLLED)
        return None if theirs is None else (self._tie_breaker >= theirs) is controlling

    def take_answer(self, response: STUNMessage, path: DatagramPath) -> Check | str:
        """Return the check that the peer has answered, once, or why this is no answer.

        It may come from another port than the check went to, which the agent must judge.  Cheap
        tests first: a forger who has not seen the check fails at the transaction ID.
        """
        check = self._awaited.get(response.transaction_id)
        if check is None:
            return "unknown_transaction"
        if not _is_from_same_host(check.path, path):
            return "asymmetric"
        if not self.is_authentic(response):
            return "unauthenticated"
        del self._awaited[response.transaction_id]
        return check

    def _forget_unanswered(self, now: float) -> None:
        while self._awaited:
            transaction_id, oldest = next(iter(self._awaited.items()))
            if oldest.sent_at + _ANSWERS_AWAITED_FOR > now:
                break
            del self._awaited[transaction_id]


def _is_from_same_host(sent: DatagramPath, received: DatagramPath) -> bool:
    return (sent.local, sent.remote.host) == (received.local, received.remote.host)
