"""Sends a peer one line and shows its echo: ``python echo_client.py TRACKER PEER``."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, quoteStringArgument
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from twisted_p2p.errors import P2PError


class Caller(LineReceiver):
    """Sends one line and waits for it to come back."""

    def __init__(self):
        self.echoed = Deferred()

    def connectionMade(self):
        self.sendLine(b"Is anybody there?")

    def lineReceived(self, line):
        self.echoed.callback(line.decode())
        self.transport.loseConnection()

    def connectionLost(self, reason):
        if not self.echoed.called:
            self.echoed.errback(reason)


async def main(reactor, tracker, peer):
    tracker = quoteStringArgument(tracker)
    description = f"p2p:{peer}:service=echo:tracker={tracker}:identity=echo_client.pem"
    try:
        caller = await connectProtocol(clientFromString(reactor, description), Caller())
        path = caller.transport.getPeer().path
        print(f"connected over a {path.kind} path to {path.remote}")
        print(await caller.echoed)
    except P2PError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    react(main, sys.argv[1:])
