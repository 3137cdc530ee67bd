"""Offers a file to peers, as fast as each of them takes it: name and size come first::

twist p2ptracker
python file_offer.py TRACKER offer holiday.jpg
python file_offer.py TRACKER take PEER
"""

import sys
from pathlib import Path

from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import FileSender, LineReceiver

from twisted_p2p.errors import P2PError

FOLDER = Path()


class Offerer(LineReceiver):
    """Says what there is, and sends it when it is wanted."""

    def connectionMade(self):
        path = self.factory.path
        self.sendLine(f"{path.stat().st_size} {path.name}".encode())

    def lineReceived(self, line):
        if line == b"take":
            self._send()
        self.transport.loseConnection()

    def _send(self):
        file = self.factory.path.open("rb")
        sent = FileSender().beginFileTransfer(file, self.transport)
        sent.addErrback(lambda failure: print(f"interrupted: {failure.value}"))
        sent.addBoth(lambda _: file.close())


class Taker(LineReceiver):
    """Takes what is offered into a folder, where nothing is overwritten."""

    def __init__(self, folder):
        self.taken = Deferred()
        self._folder, self._file = folder, None

    def lineReceived(self, line):
        size, _, name = line.decode().partition(" ")
        self._size, self._path = int(size), self._folder / Path(name).name
        if self._path.exists():
            self.transport.loseConnection()
            return
        self._file = self._path.open("xb")
        print(f"taking {self._path.name!r}, {size} bytes", flush=True)
        self.setRawMode()
        self.sendLine(b"take")

    def rawDataReceived(self, data):  # noqa: N802  (Twisted's own name)
        self._file.write(data)

    def connectionLost(self, reason):
        if self._file is None:
            self.taken.errback(FileExistsError("a file of this name is there already"))
            return
        self._file.close()
        if self._path.stat().st_size == self._size:
            self.taken.callback(self._path)
        else:
            self.taken.errback(reason)


async def main(reactor, tracker, what, argument):
    tracker = endpoints.quoteStringArgument(tracker)
    try:
        if what == "offer":
            text = f"p2p:file:tracker={tracker}:identity=offerer.pem"
            factory = Factory.forProtocol(Offerer)
            factory.path = Path(argument)
            port = await endpoints.serverFromString(reactor, text).listen(factory)
            print(f"this is {port.getHost().peer_id}", flush=True)
            await Deferred()  # until it is interrupted
        text = f"p2p:{argument}:service=file:tracker={tracker}:identity=taker.pem"
        taker = await endpoints.connectProtocol(
            endpoints.clientFromString(reactor, text), Taker(FOLDER)
        )
        print(f"complete: {await taker.taken}", flush=True)
    except (P2PError, ConnectionLost, FileExistsError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    react(main, sys.argv[1:])
