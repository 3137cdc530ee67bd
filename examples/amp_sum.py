"""AMP, as Twisted has it, over whatever endpoint it is told: both sides may ask at any time.

Over TCP, and then the same program through two NATs::

    python amp_sum.py serve tcp:8007
    python amp_sum.py call tcp:localhost:8007 19 23

    twist p2ptracker
    python amp_sum.py serve p2p:sum:tracker=TRACKER:identity=server.pem
    python amp_sum.py call p2p:PEER:service=sum:tracker=TRACKER:identity=client.pem 19 23
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.amp import AMP, Command, Integer, String


class Sum(Command):
    """Asks for a sum."""

    arguments = ((b"a", Integer()), (b"b", Integer()))
    response = ((b"total", Integer()),)


class Sign(Command):
    """Asks whoever asked for a sum to put a name to it."""

    arguments = ((b"total", Integer()),)
    response = ((b"name", String()),)


class Adder(AMP):
    """Adds, once it is told for whom."""

    @Sum.responder
    async def sum(self, a, b):
        name = (await self.callRemote(Sign, total=a + b))["name"].decode()
        print(f"{a} + {b} for {name!r} at {self.transport.getPeer()}", flush=True)
        return {"total": a + b}


class Asker(AMP):
    """Signs what it is told."""

    @Sign.responder
    def sign(self, total):
        return {"name": f"who wants {total}".encode()}


async def serve(reactor, endpoint):
    port = await serverFromString(reactor, endpoint).listen(Factory.forProtocol(Adder))
    print(f"listening at {port.getHost()}", flush=True)
    await Deferred()  # until it is interrupted


async def call(reactor, endpoint, a, b):
    asker = await connectProtocol(clientFromString(reactor, endpoint), Asker())
    print((await asker.callRemote(Sum, a=int(a), b=int(b)))["total"], flush=True)
    asker.transport.loseConnection()


async def main(reactor, what, *arguments):
    await {"serve": serve, "call": call}[what](reactor, *arguments)


if __name__ == "__main__":
    react(main, sys.argv[1:])
