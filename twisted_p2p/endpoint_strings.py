"""The parsers of ``p2p:`` endpoint strings, which Twisted finds as plugins.

- client: ``p2p:PEER:service=NAME[:tracker=HOST\\:PORT][:identity=FILE]``
- server: ``p2p:NAME[:tracker=HOST\\:PORT][:identity=FILE][:allow=PEER,PEER]``

Several trackers are separated by commas; without any, those of ``P2P_TRACKER`` are used.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from .endpoints import PeerClientEndpoint, PeerServerEndpoint
from .identity.peer_id import PeerID
from .node.accepting import check_service
from .node.defaults import default_identity_path, default_trackers, parse_trackers
from .node.service import P2PNode
from .node.sharing import shared_node


def parse_client(
    reactor: Any, peer: str, *, service: str, tracker: str = "", identity: str = ""
) -> IStreamClientEndpoint:
    """Return the endpoint that a client string describes.

    :raises InvalidPeerID: when ``peer`` is not a peer ID.
    :raises ValueError: when ``service`` can be no name or ``tracker`` names none.
    :raises IdentityFileError: when the identity file cannot be used.
    """
    peer_id = PeerID(peer)
    check_service(service)
    return PeerClientEndpoint(_node(reactor, tracker, identity), peer_id, service)


def parse_server(
    reactor: Any, name: str, *, tracker: str = "", identity: str = "", allow: str = ""
) -> IStreamServerEndpoint:
    """Return the endpoint that a server string describes; raises as `parse_client` does."""
    check_service(name)
    allowed = frozenset(PeerID(peer) for peer in allow.split(",")) if allow else None
    return PeerServerEndpoint(_node(reactor, tracker, identity), name, allowed)


def _node(reactor: Any, tracker: str, identity: str) -> P2PNode:
    trackers = parse_trackers(tracker) if tracker else default_trackers()
    return shared_node(reactor, identity or default_identity_path(), trackers)
