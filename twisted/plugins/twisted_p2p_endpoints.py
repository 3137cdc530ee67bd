"""Endpoint strings that begin with ``p2p:``.

Twisted reads this file whenever any plugin is looked for, so it imports Twisted alone; the package
is imported when a string is parsed.
"""

from typing import Any

from twisted.internet.interfaces import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class _ClientParser:
    prefix = "p2p"

    def parseStreamClient(self, reactor: Any, *args: str, **kwargs: str) -> IStreamClientEndpoint:
        from twisted_p2p.endpoint_strings import parse_client

        return parse_client(reactor, *args, **kwargs)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class _ServerParser:
    prefix = "p2p"

    def parseStreamServer(self, reactor: Any, *args: str, **kwargs: str) -> IStreamServerEndpoint:
        from twisted_p2p.endpoint_strings import parse_server

        return parse_server(reactor, *args, **kwargs)


peer_client_parser = _ClientParser()
peer_server_parser = _ServerParser()
