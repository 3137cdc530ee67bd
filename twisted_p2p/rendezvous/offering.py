"""An offer under way to one peer: handed over again until something of that peer is heard."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import P2PError, TrackerBusy, TrackerUnreachable
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.interfaces import IDiscoveredPeer, IPeerDiscovery
from twisted_p2p.rendezvous.direct import DirectSignalling
from twisted_p2p.rendezvous.session import PeerSession
from twisted_p2p.tracker.messages import Introduced

OFFER_REPEATS = (0.25, 0.5, 1.0, 2.0)
"""Seconds before each repeat of an offer of which nothing was heard.

A tracker hands an offer over by one datagram, which may be lost; it counts the same box once.
"""

CROSSING_TIME = 5.0
"""Seconds for which an offer of the peer may have crossed ours: as long as repeats of one that
was given up may arrive, and a little more.  A later one is from a peer that began anew."""

LAN_PATIENCE = 1.5
"""Seconds within which a peer on a link of this host is found, if it is there.

An answer takes 0.12 s at most, and a question that was lost is repeated after a second."""

MOST_ADDRESSES = 8
"""How many addresses one offer is sent to, a tracker's hand-over not counted."""


class Offering:
    """What a node offers to one peer, and the session that it is for.

    It goes by all ways at once: by the trackers, and straight to each address at which the peer
    may be.  It has failed when all of them have, and the error is then the trackers'.
    """

    def __init__(
        self,
        reactor: Any,
        session: PeerSession,
        secret: bytes,
        *,
        introduce: Callable[[PeerID, bytes], Deferred[Introduced]],
        found: Callable[[PeerSession, Collection[HostPort]], object],
        direct: DirectSignalling,
    ) -> None:
        """Prepare; ``introduce`` hands a box over, ``found`` is told where the peer was seen."""
        self.session = session
        self.secret = secret
        self.sequence = 0
        """The offer's."""
        self.has_overtaken = False
        """Whether it was made anew with a sequence above one that the peer remembered."""
        self._reactor = reactor
        self._introduce = introduce
        self._found = found
        self._direct = direct
        self._box = b""
        self._addresses: list[HostPort] = []
        self._hopes: set[Hashable] = set()
        self._error: P2PError | None = None
        self._was_introduced = False
        self._next: IDelayedCall | None = None
        self._looking: Deferred[IDiscoveredPeer] | None = None
        self._patience: IDelayedCall | None = None

    @property
    def may_cross(self) -> bool:
        """Whether an offer that comes from the peer now may have been made before it had ours."""
        session = self.session
        return session.datagram_path is None or session.now < session.started_at + CROSSING_TIME

    def start(self, box: bytes) -> None:
        """Hand a boxed offer over, instead of the one before, from the reactor's next turn on."""
        self._withdraw()
        self._box = box
        self._schedule(box, (0.0, *OFFER_REPEATS))
        for address in self._addresses:
            self._direct.offer(self.session.peer_id, box, address)

    def send_to(self, address: HostPort) -> None:
        """Send the offer to an address too, where the peer may be."""
        if address in self._addresses or len(self._addresses) >= MOST_ADDRESSES:
            return
        if self._direct.offer(self.session.peer_id, self._box, address):
            self._addresses.append(address)
            self._hopes.add(address)

    def look_for_peer(self, discovery: IPeerDiscovery, is_on_link: Callable[[str], bool]) -> None:
        """Send the offer to where a discovery finds the peer too.

        Anybody there can say anything, so only addresses for which ``is_on_link`` holds count.
        """

        def found(peer: IDiscoveredPeer) -> None:
            self._looking = None
            for address in peer.addresses:
                if is_on_link(address.host):
                    self.send_to(address)

        self._hopes.add(discovery)
        self._patience = self._reactor.callLater(LAN_PATIENCE, self._not_found, discovery)
        self._looking = discovery.look_for(self.session.peer_id)
        self._looking.addCallbacks(found, lambda cancelled: None)

    def _not_found(self, discovery: IPeerDiscovery) -> None:
        self._patience = None
        self.lose_hope(discovery)

    def stop(self) -> None:
        """Hand nothing over any more."""
        self._withdraw()
        if self._looking is not None:
            self._looking.cancel()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _withdraw(self) -> None:
        self._direct.withdraw(self.session.peer_id)
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def lose_hope(self, what: Hashable) -> None:
        """Expect nothing from an address any more; give up if all else has failed too."""
        self._hopes.discard(what)
        if self._error is not None:
            self._failed(self._error)

    def _schedule(self, box: bytes, delays: tuple[float, ...]) -> None:
        if delays:
            self._next = self._reactor.callLater(delays[0], self._hand_over, box, delays[1:])

    def _hand_over(self, box: bytes, delays: tuple[float, ...]) -> None:
        self._next = None
        if not self.session.was_answered:
            self._schedule(box, delays)
            Deferred.fromCoroutine(self._have_introduced(box))

    async def _have_introduced(self, box: bytes) -> None:
        try:
            introduced = await self._introduce(self.session.peer_id, box)
        except P2PError as error:
            self._failed(error)
        else:
            self._was_introduced = True
            self._error = None
            self._found(self.session, introduced.addresses)

    def _failed(self, error: P2PError) -> None:
        """Give up, unless the offer was handed over before and only its repeat was not."""
        is_trackers = isinstance(error, TrackerBusy | TrackerUnreachable)
        if self.session.was_answered or (is_trackers and self._was_introduced):
            return
        if self._hopes:
            self._error = error
        else:
            self.session.fail(error)
