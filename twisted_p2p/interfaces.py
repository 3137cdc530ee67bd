# ruff: noqa: N805  (the methods of an Interface are declared without self)
"""What the parts promise one another, and what users may put in their place.

Peers are named by the text form of their public key throughout.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress
from zope.interface import Attribute, Interface, classImplements

from .addresses import PeerAddress

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory

    from .addresses import HostPort, Path


class IPeerNode(Interface):
    """A program's presence among the peers: it dials them and is dialled by them."""

    peer_id = Attribute("The text form of this node's own public key, a `str`.")

    def connect(peer_id: str, service: str, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a stream to a peer's service and join a protocol to it.

        @param peer_id: the peer to reach; nobody else is ever reached.
        @param service: the name under which the peer listens.
        @param factory: builds the protocol; its transport's ``getPeer()`` is a
            `twisted_p2p.addresses.PeerAddress`.

        @return: a `Deferred` that fires with the protocol once the peer has accepted the stream,
            which is also when the protocol is built and connected, unless the factory is an
            `IEarlyFactory`.
            Cancelling it gives the attempt up.  It fails with
            `twisted_p2p.errors.TrackerUnreachable`, `PeerOffline`, `PeerRefused`,
            `UnknownService`, `NoPath`, `WrongIdentity` or `DialTimedOut`, and when peer or service
            cannot be any, with `InvalidPeerID` or `ValueError`.
        """

    def listen(
        service: str,
        factory: IProtocolFactory,
        allow: Collection[str] | None,
    ) -> Deferred[IListeningPort]:
        """Accept streams for a service.

        @param service: the name that peers ask for, 1 to 255 bytes of UTF-8; one listener has it
            at a time.
        @param factory: builds a protocol for each stream; None from its ``buildProtocol`` refuses
            the stream.
        @param allow: the peers that may connect, or None for every authenticated peer.

        @return: a `Deferred` that fires with the listening port once this node can be reached.
            The port's ``stopListening`` leaves streams alone that are already open.  It fails
            with `ServiceInUse`, with `TrackerUnreachable` or `TrackerBusy` when an attempt at
            each tracker has failed, and when service or peers cannot be any, with `ValueError` or
            `InvalidPeerID`.
        """

    def connection_with(peer_id: str) -> IPeerLink | None:
        """Return the live connection with a peer, or None."""


class IPeerConnection(Interface):
    """An authenticated connection to one peer, which carries any number of streams."""

    peer_id = Attribute("The text form of the peer's verified public key, a `str`.")
    path = Attribute("The live `twisted_p2p.addresses.Path`, or None once there is none.")

    def open_stream(service: str, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a stream to a service of the peer.

        @return: a `Deferred` that fires with the protocol once the peer has accepted the stream;
            it fails with `twisted_p2p.errors.UnknownService` or `PeerRefused` when the peer did
            not, and with the connection's own error when that ended first.
        """

    def close() -> None:
        """End the connection and every stream on it; harmless when it has ended."""


class IPeerLink(IPeerConnection):
    """A connection, and how it came about."""

    elapsed = Attribute("Seconds from the dial or the offer until the peer was authenticated.")
    strategy = Attribute(
        "How the two came together: ``introduction`` by a tracker, ``lan`` on a link of both, or"
        " ``remembered`` from an earlier connection."
    )


class IPeerFactory(Interface):
    """A protocol factory that decides who may connect to it."""

    def may_connect(peer_id: str, service: str) -> bool | Deferred[bool]:
        """Return whether a peer may open a stream to a service; no protocol is built before.

        @param peer_id: the peer's verified public key, in its text form.
        @param service: the name of the service that it asks for.

        @return: True or False, or a `Deferred` of it.  Meanwhile the peer waits, and what it
            sends waits with it.  An exception refuses the peer and is logged.
        """


class IEarlyFactory(Interface):
    """Marks a factory whose protocols begin before the peer has accepted the stream.

    Such a protocol is connected as soon as the peer has proven its key, and what it writes is sent
    with the request for the stream, so that the first answer is there one round trip earlier.
    Does the peer not accept, the protocol loses its connection with the error that the Deferred of
    the attempt fails with.  Not for Twisted's ``ClientService``, which expects a protocol to be
    connected only when the attempt has succeeded.
    """


class ITrackerPolicy(Interface):
    """Decides what a tracker does, and is told what it did.

    What it is asked may be answered by a `Deferred` within 10 seconds, after which the node that
    waits is as one whose request was lost.  An exception forbids and is logged.
    """

    def may_register(peer_id: str, address: HostPort) -> bool | Deferred[bool]:
        """Return whether a peer, which has proved its key and address, may register."""

    def may_introduce(initiator: str, target: str) -> bool | Deferred[bool]:
        """Return whether a peer's offer may be handed to another one, which lists it if it lists.

        A peer that goes on asking is asked about again.
        """

    def may_list(peer_id: str, topic: str) -> bool | Deferred[bool]:
        """Return whether a registered peer may be told who is here and lets it know.

        @param topic: what the peers must have named; ``""`` when it asks for all.
        """

    def registered(peer_id: str, address: HostPort) -> None:
        """Take it that a peer is registered from an address, anew or again."""

    def introduced(initiator: str, target: str) -> None:
        """Take it that a peer's offer was handed to another one; a repetition counts again."""

    def peer_online(peer_id: str) -> None:
        """Take it that a peer is registered that was not."""

    def peer_offline(peer_id: str) -> None:
        """Take it that a peer is registered from nowhere any more."""


class IDiscoveredPeer(Interface):
    """What a discovery knows of a peer; a hint, until the peer has proved its key."""

    peer_id = Attribute("The text form of the public key that the peer claims, a `str`.")
    addresses = Attribute("Where its UDP port is: a tuple of `HostPort`, never empty.")
    services = Attribute("The names of what it offers, as far as it tells: a tuple of `str`.")
    accepting = Attribute("Whether it accepts connections, a `bool`.")


class IDiscoveryObserver(Interface):
    """Who wants to know which peers come and go; see `IPeerDiscovery`."""

    def peer_found(peer: IDiscoveredPeer) -> None:
        """Take a peer that was not known."""

    def peer_updated(peer: IDiscoveredPeer) -> None:
        """Take what has changed about a known peer: all that is known of it now."""

    def peer_lost(peer: IDiscoveredPeer) -> None:
        """Take what was known last of a peer that has gone."""


class IPeerDiscovery(Interface):
    """Finds peers without being told where they are, and lets them find this node.

    Nothing is sent before `announce`, `browse` or `look_for`.
    """

    def start() -> None:
        """Go on the network, as far as there is one."""

    def stop() -> Deferred[None]:
        """Withdraw, browse no more and leave the network; the `Deferred` fires when it is left.

        What `look_for` and `when_announced` returned is cancelled; no `peer_lost` follows.
        """

    def announce(
        peer_id: str,
        port: int,
        services: Collection[str],
        accepting: bool,
        *,
        unlinkable_name: bool = False,
    ) -> None:
        """Let peers find this node; another call changes what they are told.

        @param peer_id: this node's own.
        @param port: the UDP port at which it is reached.
        @param services: the names of what it offers.
        @param accepting: whether it accepts connections.
        @param unlinkable_name: announce nothing from which somebody who does not know the peer ID
            can tell that it is the same node as elsewhere or earlier.
        """

    def when_announced() -> Deferred[None]:
        """Return a `Deferred` that fires when peers can find this node, which may be at once."""

    def withdraw() -> None:
        """Let peers know that this node is gone; harmless when it is not announced."""

    def browse() -> None:
        """Look for all peers, from now on."""

    def stop_browsing() -> None:
        """Look for all peers no more; those that are known are so for as long as they said."""

    def look_for(peer_id: str) -> Deferred[IDiscoveredPeer]:
        """Look for one peer, until it is found.

        @return: a `Deferred` that fires when the peer is known, which may be at once.  It does
            not fail by itself: cancel it to look no more.
        """

    def find(peer_id: str) -> IDiscoveredPeer | None:
        """Return what is known of a peer now, or None."""

    def peers() -> list[IDiscoveredPeer]:
        """Return all peers that are known now."""

    def add_observer(observer: IDiscoveryObserver) -> None:
        """Tell an observer too what becomes of peers, from now on."""

    def remove_observer(observer: IDiscoveryObserver) -> None:
        """Tell it no more."""

    def interfaces_changed() -> None:
        """Look at this host's interfaces again, and ask again who is there.

        To be called when interfaces or addresses have changed, and when the host was asleep.
        """


class IPathObserver(Interface):
    """A protocol that wants to know how its stream's packets travel."""

    def path_changed(path: Path | None) -> None:
        """Take the path that carries the stream from now on, or None when there is none."""


# Said here, since addresses know nothing of Twisted.
classImplements(PeerAddress, IAddress)
