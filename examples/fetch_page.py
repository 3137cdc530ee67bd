"""Fetches a page from a peer's web server by Twisted's own `Agent`.

Any Twisted web server is reached by its key; its peer ID is what ``p2p id`` says there::

    twist p2ptracker
    twist web --path . --listen=p2p:web:tracker=TRACKER:identity=web.pem
    p2p --identity web.pem id
    python fetch_page.py TRACKER PEER /README.rst
"""

import sys

from twisted.internet.endpoints import clientFromString, quoteStringArgument
from twisted.internet.task import react
from twisted.web.client import Agent, readBody
from twisted.web.error import Error
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twisted_p2p.errors import P2PError


@implementer(IAgentEndpointFactory)
class PeerWeb:
    """Takes the host of a URL for a peer ID."""

    def __init__(self, reactor, tracker):
        self._reactor = reactor
        self._tracker = quoteStringArgument(tracker)

    def endpointForURI(self, uri):  # noqa: N802  (Twisted's own name)
        peer = uri.host.decode()
        text = f"p2p:{peer}:service=web:tracker={self._tracker}:identity=browser.pem"
        return clientFromString(self._reactor, text)


async def main(reactor, tracker, peer, path="/"):
    agent = Agent.usingEndpointFactory(reactor, PeerWeb(reactor, tracker))
    try:
        # The key is the host, and the connection is encrypted although this says http.
        response = await agent.request(b"GET", f"http://{peer}{path}".encode())
        if response.code != 200:
            raise Error(response.code, response.phrase)
        body = await readBody(response)
    except (P2PError, Error) as error:
        sys.exit(str(error))
    sys.stdout.write(body.decode())


if __name__ == "__main__":
    react(main, sys.argv[1:])
