"""Sends back whatever peers send: ``python echo_server.py TRACKER``."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react


class Echo(Protocol):
    """One peer's stream."""

    def connectionMade(self):
        peer = self.transport.getPeer()
        print(f"{peer.peer_id} is here, over a {peer.path.kind} path", flush=True)

    def dataReceived(self, data):
        self.transport.write(data)


async def main(reactor, tracker):
    tracker = quoteStringArgument(tracker)
    endpoint = serverFromString(reactor, f"p2p:echo:tracker={tracker}:identity=echo_server.pem")
    listening = await endpoint.listen(Factory.forProtocol(Echo))
    print(f"listening as {listening.getHost().peer_id}", flush=True)
    await Deferred()  # until it is interrupted


if __name__ == "__main__":
    react(main, sys.argv[1:])
