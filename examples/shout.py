"""A `LineReceiver` that knows nothing of peers: it runs over whatever endpoint it is told.

Over TCP, and then the same program through two NATs::

    python shout.py serve tcp:8007
    python shout.py call tcp:localhost:8007 "hello there"

    twist p2ptracker
    python shout.py serve p2p:shout:tracker=TRACKER:identity=server.pem
    python shout.py call p2p:PEER:service=shout:tracker=TRACKER:identity=client.pem "hello there"
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver


class Shouter(LineReceiver):
    """Says everything louder."""

    def lineReceived(self, line):
        self.sendLine(line.upper())


class Caller(LineReceiver):
    """Says one line and waits for the answer."""

    def __init__(self, line):
        self.answered = Deferred()
        self._line = line

    def connectionMade(self):
        self.sendLine(self._line.encode())

    def lineReceived(self, line):
        self.answered.callback(line.decode())
        self.transport.loseConnection()

    def connectionLost(self, reason):
        if not self.answered.called:
            self.answered.errback(reason)


async def serve(reactor, endpoint):
    port = await serverFromString(reactor, endpoint).listen(Factory.forProtocol(Shouter))
    print(f"listening at {port.getHost()}", flush=True)
    await Deferred()  # until it is interrupted


async def call(reactor, endpoint, line):
    caller = await connectProtocol(clientFromString(reactor, endpoint), Caller(line))
    print(await caller.answered, flush=True)


async def main(reactor, what, *arguments):
    await {"serve": serve, "call": call}[what](reactor, *arguments)


if __name__ == "__main__":
    react(main, sys.argv[1:])
