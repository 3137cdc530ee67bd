"""What a node's registration with a tracker tells its owner."""

from __future__ import annotations

from attrs import frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import P2PError
from twisted_p2p.tracker.messages import Indication, Success


@frozen
class PathWanted:
    """There is no way to the tracker yet: answer by `path_found` or `path_lost`.

    Its name is to be resolved, again each time, or a stream to it opened.
    """


@frozen
class NodeRegistered:
    """The tracker knows this node as it describes itself at present."""

    mapped_address: HostPort
    """Where the tracker sees this node."""


@frozen
class RegistrationFailed:
    """An attempt to register has failed; another one follows by itself."""

    error: P2PError


@frozen
class RegistrationLost:
    """The tracker forgot this node or is silent; it will be registered again by itself."""

    error: P2PError


@frozen
class RequestAnswered:
    """A look-up, listing, introduction or answer of this node's was taken."""

    number: int
    """As the command returned it."""

    response: Success
    """`Presence`, `Listed`, `Introduced` or `AnswerTaken`, as was asked."""


@frozen
class RequestFailed:
    """A look-up, listing, introduction or answer of this node's was not taken."""

    number: int
    error: P2PError


@frozen
class HandedOver:
    """The tracker handed over another peer's boxed offer or answer.

    It proves nothing: who boxed it, the box alone tells.
    """

    message: Indication


@frozen
class NodeLeft:
    """The registration has ended, as `close` asked; nothing follows."""


TrackerEvent = (
    PathWanted
    | NodeRegistered
    | RegistrationFailed
    | RegistrationLost
    | RequestAnswered
    | RequestFailed
    | HandedOver
    | NodeLeft
)
