"""Another introduction for sessions whose paths may be gone, since this host has moved."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import P2PError
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.rendezvous.direct import DirectSignalling
from twisted_p2p.rendezvous.offering import OFFER_REPEATS
from twisted_p2p.rendezvous.session import PeerSession
from twisted_p2p.tracker.messages import Introduced


@define(eq=False)
class _Reunion:
    """One session, offered once more, and when it is offered next."""

    session: PeerSession
    box: bytes
    since: float
    next: IDelayedCall | None = None


class Reunions:
    """Offers sessions that exist once more, until their peers are heard along their paths.

    A peer that knows the session tries where the offer says that this node is now, and so opens
    its own NAT again.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        introduce: Callable[[PeerID, bytes], Deferred[Introduced]],
        direct: DirectSignalling,
        found: Callable[[PeerSession, Collection[HostPort]], object],
    ) -> None:
        """Prepare; ``introduce`` hands a box over, ``found`` is told where the peer was seen."""
        self._reactor = reactor
        self._introduce = introduce
        self._direct = direct
        self._found = found
        self._reunions: dict[PeerID, _Reunion] = {}

    def __contains__(self, peer_id: PeerID) -> bool:
        """Return whether a session with a peer was offered once more."""
        return peer_id in self._reunions

    def begin(self, session: PeerSession, box: bytes) -> None:
        """Hand a boxed offer over by all ways, now and again, for a session that has a path."""
        self._end(session.peer_id)
        path = session.datagram_path
        assert path is not None
        self._direct.offer(session.peer_id, box, path.remote)
        reunion = self._reunions[session.peer_id] = _Reunion(session, box, session.now)
        session.when_closed(lambda: self._closed(reunion))
        self._hand_over(reunion, (*OFFER_REPEATS, 0.0))

    def _hand_over(self, reunion: _Reunion, delays: tuple[float, ...]) -> None:
        reunion.next = None
        if delays and not reunion.session.is_confirmed_since(reunion.since):
            Deferred.fromCoroutine(self._have_introduced(reunion))
            reunion.next = self._reactor.callLater(delays[0], self._hand_over, reunion, delays[1:])

    async def _have_introduced(self, reunion: _Reunion) -> None:
        session = reunion.session
        try:
            introduced = await self._introduce(session.peer_id, reunion.box)
        except P2PError:
            return  # it is tried again, and the path may come back by itself
        self._found(session, introduced.addresses)

    def _closed(self, reunion: _Reunion) -> None:
        if self._reunions.get(reunion.session.peer_id) is reunion:
            self._end(reunion.session.peer_id)

    def _end(self, peer_id: PeerID) -> None:
        reunion = self._reunions.pop(peer_id, None)
        if reunion is not None:
            self._direct.withdraw(peer_id)
            if reunion.next is not None:
                reunion.next.cancel()
