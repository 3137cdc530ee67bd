"""The links of one node: dialling peers, and one live link to each, whoever began it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from ..errors import P2PError
from ..identity.peer_id import PeerID
from ..rendezvous.session import PeerSession
from .link import LinkOwner, PeerLink


class Links:
    """Every link of a node, being made or up."""

    def __init__(
        self,
        dial: Callable[[PeerID], PeerSession],
        make_link: Callable[[PeerSession, LinkOwner], PeerLink],
        factory_for: Callable[[PeerID, str], IProtocolFactory],
        on_success: Callable[[], object],
    ) -> None:
        """Prepare.

        ``dial`` begins a session with a peer, ``make_link`` joins a link to a session,
        ``factory_for`` is that of `LinkOwner`, and ``on_success`` is called for each dial of this
        node that led to a live link.
        """
        self.factory_for = factory_for
        self._dial = dial
        self._make_link = make_link
        self._on_success = on_success
        self._stopped: Deferred[None] | None = None
        self._live: dict[PeerID, PeerLink] = {}
        self._coming: dict[PeerID, set[PeerLink]] = {}
        self._waiting: dict[PeerID, list[Deferred[PeerLink]]] = {}

    def live(self, peer_id: str) -> PeerLink | None:
        """Return the live link to a peer, or None."""
        return self._live.get(PeerID(peer_id))

    def link_to(self, peer_id: PeerID) -> Deferred[PeerLink]:
        """Return a Deferred of a live link to a peer, which is dialled unless there is one.

        Cancelling it gives the dial up when nobody else waits for it.
        """
        live = self._live.get(peer_id)
        if live is not None:
            return succeed(live)
        waiting: Deferred[PeerLink] = Deferred(lambda cancelled: self._give_up(peer_id, cancelled))
        self._waiting.setdefault(peer_id, []).append(waiting)
        if not self._coming.get(peer_id):
            self._begin(self._dial(peer_id))
        return waiting

    def offered(self, session: PeerSession) -> None:
        """Take a session that a peer began."""
        self._begin(session)

    def close(self) -> Deferred[None]:
        """Close all links; the Deferred fires when the last one is down."""
        self._stopped = Deferred()
        stopped = self._stopped
        waiting, self._waiting = self._waiting, {}
        for each in chain.from_iterable(waiting.values()):
            each.errback(P2PError("This node is stopping."))
        for link in [*self._live.values(), *chain.from_iterable(self._coming.values())]:
            link.close()
        self._stop_if_empty()
        return stopped

    def _stop_if_empty(self) -> None:
        if self._stopped is not None and not self._live and not self._coming:
            self._stopped.callback(None)
            self._stopped = None

    def _begin(self, session: PeerSession) -> None:
        link = self._make_link(session, self)
        self._coming.setdefault(session.peer_id, set()).add(link)

    # What links tell.

    def link_up(self, link: PeerLink) -> None:
        """Use the new link from now on: were the old one good, the peer would not have made it."""
        self._leave_coming(link)
        old, self._live[link.peer_id] = self._live.get(link.peer_id), link
        if link.is_initiator:
            self._on_success()
        for waiting in self._waiting.pop(link.peer_id, []):
            waiting.callback(link)
        if old is not None:
            old.close()

    def link_down(self, link: PeerLink, reason: Failure) -> None:
        """Forget the link; whoever waits for that peer fails unless another one is coming."""
        peer_id = link.peer_id
        self._leave_coming(link)
        if self._live.get(peer_id) is link:
            del self._live[peer_id]
        if peer_id not in self._coming and peer_id not in self._live:
            for waiting in self._waiting.pop(peer_id, []):
                waiting.errback(reason)
        self._stop_if_empty()

    def _leave_coming(self, link: PeerLink) -> None:
        coming = self._coming.get(link.peer_id, set())
        coming.discard(link)
        if not coming:
            self._coming.pop(link.peer_id, None)

    def _give_up(self, peer_id: PeerID, cancelled: Deferred[PeerLink]) -> None:
        """Fail one who waits no more, and close the links that nobody waits for."""
        waiting = self._waiting.get(peer_id, [])
        waiting.remove(cancelled)
        cancelled.errback(Failure(CancelledError()))
        if not waiting:
            self._waiting.pop(peer_id, None)
            for link in list(self._coming.get(peer_id, ())):
                if link.is_initiator:
                    link.close()
