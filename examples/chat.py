"""Chats with any number of peers; the first one names nobody, the others name anybody there::

twist p2ptracker
python chat.py TRACKER alice
python chat.py TRACKER bob PEER
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver

import twisted_p2p as p2p
from twisted_p2p.node.defaults import parse_tracker


class ChatStream(p2p.PeerProtocol, LineOnlyReceiver):
    """One other person, who tells whom else to meet: ``name``, ``knows`` and ``says``."""

    delimiter, name = b"\n", "somebody"

    def peer_connected(self, address):
        self.peer_id = address.peer_id
        self.sendLine(b"name " + self.factory.name.encode())
        for peer_id in self.factory.people():
            self.sendLine(b"knows " + peer_id.encode())
        self.factory.streams.append(self)

    def lineReceived(self, line):
        word, _, text = line.decode(errors="replace").partition(" ")
        text = "".join(filter(str.isprintable, text))  # nobody else steers this terminal
        if word == "name":
            self.name = text
            self.factory.show(f"* {text} is here")
        elif word == "knows":
            Deferred.fromCoroutine(self.factory.meet(text))
        elif word == "says":
            self.factory.show(f"{self.name}: {text}")

    def connectionLost(self, reason):
        self.factory.streams.remove(self)
        if self.peer_id not in self.factory.people():
            self.factory.show(f"* {self.name} is gone")


class ChatRoom(p2p.PeerFactory):
    """Everybody whom this node is connected with, whoever dialled."""

    protocol = ChatStream

    def __init__(self, node, name, show=print):
        self.node, self.name, self.show = node, name, show
        self.streams = []

    def people(self):
        """Return one stream for each peer, even if both dialled."""
        return {stream.peer_id: stream for stream in self.streams}

    async def meet(self, peer_id):
        """Dial a peer, unless it is there already."""
        if peer_id == self.node.peer_id or peer_id in self.people():
            return
        try:
            await p2p.PeerClientEndpoint(self.node, peer_id, "chat").connect(self)
        except p2p.P2PError as error:
            self.show(f"* {peer_id}: {error}")

    def say(self, text):
        for stream in self.people().values():
            stream.sendLine(b"says " + text.encode())


class Keyboard(LineOnlyReceiver):
    """Says what is typed."""

    delimiter, room = b"\n", None

    def lineReceived(self, line):
        self.room.say(line.decode())


async def main(reactor, tracker, name, *peers):
    identity = p2p.load_or_create_identity(f"{name}.pem")
    node = p2p.P2PNode(reactor, identity, trackers=[parse_tracker(tracker)])
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    Keyboard.room = room = ChatRoom(node, name)
    await p2p.PeerServerEndpoint(node, "chat").listen(room)
    print(f"* you are {node.peer_id}", flush=True)
    for peer in peers:
        await room.meet(peer)
    StandardIO(Keyboard())
    await Deferred()  # until it is interrupted


if __name__ == "__main__":
    react(main, sys.argv[1:])
