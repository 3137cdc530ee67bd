"""All sessions of one node: making them, and leading STUN messages to the one they are for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.ice.agent import ICEAgent
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.rendezvous.gathering import LocalCandidates
from twisted_p2p.rendezvous.offer import ice_credentials
from twisted_p2p.rendezvous.session import PeerSession
from twisted_p2p.stun.attributes import USERNAME
from twisted_p2p.stun.message import MessageClass, STUNMessage, decode_message

KeyT = TypeVar("KeyT")

_TAG_SIZE = 4
_TRANSACTION_ID_SIZE = 12


class SessionTable:
    """The sessions of one node that have not ended."""

    def __init__(
        self,
        reactor: Any,
        *,
        candidates: LocalCandidates,
        send: Callable[[bytes, DatagramPath], object],
        local_address: Callable[[DatagramPath], HostPort],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.dropped: Counter[str] = Counter()
        """STUN messages that were for no session, by reason."""
        self.reached: Callable[[PeerID, HostPort], object] = lambda *_: None
        """Takes a peer and its address each time that a path is agreed on."""
        self._reactor = reactor
        self._candidates = candidates
        self._send = send
        self._local_address = local_address
        self._random_bytes = random_bytes
        self._by_session_id: dict[bytes, PeerSession] = {}
        self._by_username: dict[str, PeerSession] = {}
        self._by_tag: dict[bytes, PeerSession] = {}

    def find(self, session_id: bytes, peer_id: PeerID) -> PeerSession | None:
        """Return the session with a peer that has this ID, or None."""
        session = self._by_session_id.get(session_id)
        return session if session is not None and session.peer_id == peer_id else None

    def unproven_count(self) -> int:
        """Return how many sessions that peers began have heard nothing authentic yet."""
        sessions = self._by_session_id.values()
        return sum(not one.is_initiator and one.datagram_path is None for one in sessions)

    def open(
        self, peer_id: PeerID, session_id: bytes, secret: bytes, *, is_initiator: bool
    ) -> PeerSession:
        """Return a new session whose credentials come from an offer's secret."""
        initiator, responder = ice_credentials(secret)
        local, remote = (initiator, responder) if is_initiator else (responder, initiator)
        tag = self._random_bytes(_TAG_SIZE)
        username = f"{local.username_fragment}:{remote.username_fragment}"
        agent = ICEAgent(
            controlling=is_initiator,
            local=local,
            remote=remote,
            tie_breaker=int.from_bytes(self._random_bytes(8), "big"),
            # The tag leads the answer back here; the rest is what nobody can foresee.
            new_transaction_id=lambda: tag + self._random_bytes(_TRANSACTION_ID_SIZE - _TAG_SIZE),
            random=lambda: int.from_bytes(self._random_bytes(4), "big") / 2**32,
        )
        for candidate in self._candidates.for_checks():
            agent.add_local_candidate(candidate)

        session = PeerSession(
            self._reactor,
            peer_id=peer_id,
            session_id=session_id,
            is_initiator=is_initiator,
            agent=agent,
            send=self._send,
            local_address=self._local_address,
            ours=self._candidates.side,
        )
        session.on_selected = lambda address: self.reached(peer_id, address)
        self._remember(self._by_session_id, session_id, session)
        self._remember(self._by_tag, tag, session)
        self._remember(self._by_username, username, session)
        return session

    @staticmethod
    def _remember(table: dict[KeyT, PeerSession], key: KeyT, session: PeerSession) -> None:
        table[key] = session
        session.when_closed(lambda: table.pop(key))

    def candidates_changed(self) -> None:
        """Let every session use the candidates that were found since it began."""
        for session in list(self._by_session_id.values()):
            session.we_are_at(self._candidates.for_checks())

    def live(self) -> list[PeerSession]:
        """Return the sessions that have a path, or had one."""
        return [one for one in self._by_session_id.values() if one.datagram_path is not None]

    def stun_received(self, data: bytes, path: DatagramPath) -> None:
        """Give a STUN message to the session that it is for; others are counted and dropped."""
        try:
            session = self._session_of(decode_message(data))
        except MalformedMessage:
            self.dropped["malformed"] += 1
            return
        if session is None:
            self.dropped["unknown_session"] += 1
        else:
            session.receive_check(data, path)

    def authentic_received(self, data: bytes, path: DatagramPath) -> bool:
        """Take a STUN message if its integrity is some session's, and return whether it is."""
        try:
            message = decode_message(data)
        except MalformedMessage:
            return False
        session = self._session_of(message)
        if session is None or not session.agent.is_authentic(message):
            return False
        session.receive_check(data, path)
        return True

    def close(self) -> None:
        """Close all sessions."""
        for session in list(self._by_session_id.values()):
            session.close()

    def _session_of(self, message: STUNMessage) -> PeerSession | None:
        if message.message_class is MessageClass.REQUEST:
            return self._by_username.get(message.get(USERNAME) or "")
        return self._by_tag.get(message.transaction_id[:_TAG_SIZE])
