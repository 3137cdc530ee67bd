"""What a tracker tells whoever runs it, and what it asks."""

from __future__ import annotations

from attrs import frozen

from twisted_p2p.addresses import HostPort


@frozen
class ForeignServerAddress:
    """A node has sent to the tracker by an address that is none of its sockets'.

    Either the tracker stands behind a NAT and was not told its public address, or somebody
    passes on its cookies.
    """

    address: HostPort


@frozen
class RegistrationWanted:
    """A peer that holds its key and receives at its address wants to be registered."""

    peer_id: str
    address: HostPort
    """Where it is seen."""

    services: tuple[str, ...]
    """The names of what it offers."""


@frozen
class IntroductionWanted:
    """A registered peer wants to be introduced to another one, whose own list lets it."""

    initiator: str
    target: str


@frozen
class ListingWanted:
    """A registered peer wants to know who is here and lets it know."""

    peer_id: str
    topic: str
    """What it asks for; "" is everything."""


Wish = RegistrationWanted | IntroductionWanted | ListingWanted


@frozen
class PermissionWanted:
    """A request waits for `TrackerService.decide` to be told its number, within some seconds."""

    number: int
    wish: Wish


@frozen
class WishFulfilled:
    """A peer was registered, or two were introduced; a repeated request counts again."""

    wish: Wish


@frozen
class PeerCame:
    """A peer is registered that was not."""

    peer_id: str


@frozen
class PeerLeft:
    """A peer is registered from nowhere any more."""

    peer_id: str


TrackerServerEvent = ForeignServerAddress | PermissionWanted | WishFulfilled | PeerCame | PeerLeft
