"""What a node offers to its peers: its listeners, and who may reach them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from zope.interface import implementer

from ..addresses import PeerAddress
from ..connection.wire import encode_opening
from ..errors import PeerRefused, ServiceInUse, UnknownService
from ..identity.peer_id import PeerID
from ..rendezvous.offer import Refusal


def check_service(service: str) -> None:
    """Return if this can be the name of a service: 1 to 255 bytes of UTF-8.

    :raises ValueError: otherwise.
    """
    encode_opening(service)


@implementer(IListeningPort)
@define(eq=False)
class PeerListener:
    """One service of a node."""

    service: str
    factory: IProtocolFactory
    allow: frozenset[PeerID] | None
    """Who may connect; None is every authenticated peer."""
    _own: PeerAddress
    _on_stop: Callable[[PeerListener], object]

    def startListening(self) -> None:
        """Do nothing: a listener listens from the start."""

    def stopListening(self) -> Deferred[None]:
        """Accept no more streams; those that are open go on."""
        self._on_stop(self)
        return succeed(None)

    def getHost(self) -> Any:
        """Return this node's own address: its peer ID and the service."""
        return self._own

    def admits(self, peer_id: PeerID) -> bool:
        """Return whether this peer may connect."""
        return self.allow is None or peer_id in self.allow


class Listeners:
    """The services of one node by name."""

    def __init__(self, peer_id: PeerID, on_change: Callable[[], object]) -> None:
        """Prepare; ``on_change`` is called when a service comes or goes."""
        self._peer_id = peer_id
        self._on_change = on_change
        self._by_service: dict[str, PeerListener] = {}

    def add(
        self, service: str, factory: IProtocolFactory, allow: Collection[str] | None
    ) -> PeerListener:
        """Return a new listener.

        :raises ServiceInUse: when the service has one.
        :raises InvalidPeerID: when ``allow`` has something else.
        :raises ValueError: for a name of no bytes, or of more than 255.
        """
        check_service(service)
        if service in self._by_service:
            raise ServiceInUse(f"This node listens for {service!r} already.")
        listener = PeerListener(
            service,
            factory,
            None if allow is None else frozenset(map(PeerID, allow)),
            PeerAddress(self._peer_id, service, lambda: None),
            self._remove,
        )
        self._by_service[service] = listener
        factory.doStart()
        self._on_change()
        return listener

    def refusal_for(self, peer_id: PeerID) -> Refusal | None:
        """Return why a peer's offer is not taken, or None."""
        if not self._by_service:
            return Refusal.NOT_ACCEPTING
        if any(listener.admits(peer_id) for listener in self._by_service.values()):
            return None
        return Refusal.NOT_ALLOWED

    def factory_for(self, peer_id: PeerID, service: str) -> IProtocolFactory:
        """Return the factory for a stream that a peer opens.

        :raises UnknownService: when nobody listens for it.
        :raises PeerRefused: when the peer may not have it.
        """
        listener = self._by_service.get(service)
        if listener is None:
            raise UnknownService
        if not listener.admits(peer_id):
            raise PeerRefused
        return listener.factory

    @property
    def is_empty(self) -> bool:
        """Whether this node accepts no connections."""
        return not self._by_service

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the services."""
        return tuple(self._by_service)

    @property
    def allowed(self) -> frozenset[PeerID] | None:
        """Whom any of the services admits; None is every authenticated peer."""
        allows = [listener.allow for listener in self._by_service.values()]
        if None in allows:
            return None
        return frozenset(peer for allow in allows for peer in allow or ())

    @property
    def open_services(self) -> tuple[str, ...]:
        """The names of the services that are for every peer."""
        listeners = self._by_service.values()
        return tuple(each.service for each in listeners if each.allow is None)

    def close(self) -> None:
        """Remove all."""
        for listener in list(self._by_service.values()):
            self._remove(listener)

    def _remove(self, listener: PeerListener) -> None:
        if self._by_service.get(listener.service) is listener:
            del self._by_service[listener.service]
            listener.factory.doStop()
            self._on_change()
