"""The parsers of ``p2p:`` endpoint strings, which Twisted finds as plugins.

- client: ``p2p:PEER:service=NAME[:tracker=HOST\\:PORT][:identity=FILE][:lan=no]``
- server: ``p2p:NAME[:tracker=HOST\\:PORT][:identity=FILE][:allow=PEER,PEER][:lan=no]``

Several trackers are separated by commas; without any, those of ``P2P_TRACKER`` are used.  The
local network is used unless every endpoint of an identity says ``lan=no``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from .endpoints import PeerClientEndpoint, PeerServerEndpoint
from .identity.peer_id import PeerID
from .node.accepting import check_service
from .node.defaults import (
    default_identity_path,
    default_lan,
    default_trackers,
    parse_lan,
    parse_trackers,
)
from .node.service import P2PNode
from .node.sharing import shared_node


def parse_client(
    reactor: Any,
    peer: str,
    *more: str,
    service: str = "",
    tracker: str = "",
    identity: str = "",
    lan: str = "",
    **others: str,
) -> IStreamClientEndpoint:
    """Return the endpoint that a client string describes.

    :raises InvalidPeerID: when ``peer`` is not a peer ID.
    :raises ValueError: when ``service`` can be no name, ``tracker`` names none, ``lan`` is neither
        ``yes`` nor ``no``, or there are ``more`` parts or ``others`` than these.
    :raises IdentityFileError: when the identity file cannot be used.
    """
    _refuse(more, others, r"p2p:PEER:service=NAME[:tracker=HOST\:PORT][:identity=FILE][:lan=no]")
    peer_id = PeerID(peer)
    check_service(service)
    return PeerClientEndpoint(_node(reactor, tracker, identity, lan), peer_id, service)


def parse_server(
    reactor: Any,
    name: str,
    *more: str,
    tracker: str = "",
    identity: str = "",
    allow: str = "",
    lan: str = "",
    **others: str,
) -> IStreamServerEndpoint:
    """Return the endpoint that a server string describes; raises as `parse_client` does."""
    form = r"p2p:NAME[:tracker=HOST\:PORT][:identity=FILE][:allow=PEER,PEER][:lan=no]"
    _refuse(more, others, form)
    check_service(name)
    allowed = frozenset(PeerID(peer) for peer in allow.split(",")) if allow else None
    return PeerServerEndpoint(_node(reactor, tracker, identity, lan), name, allowed)


def _refuse(more: Sequence[str], others: Mapping[str, str], form: str) -> None:
    """Say what the form of a string is when it has parts that nobody expects."""
    for part in (*more, *others):
        raise ValueError(
            f"{part!r} is not expected here; write {form}, and each colon within a value as \\:"
        )


def _node(reactor: Any, tracker: str, identity: str, lan: str) -> P2PNode:
    uses_lan = parse_lan(lan) if lan else default_lan()
    trackers = parse_trackers(tracker) if tracker else default_trackers()
    path = identity or default_identity_path()
    return shared_node(reactor, path, trackers, lan=uses_lan)
