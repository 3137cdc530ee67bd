"""Follows a peer wherever it goes: a `ClientService` that comes back by itself.

Take the laptop that tells the time from the office to the train, and see what happens::

    twist p2ptracker
    python follow.py TRACKER
    python follow.py TRACKER PEER
"""

import sys

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react
from twisted.protocols.basic import LineOnlyReceiver

import twisted_p2p as p2p
from twisted_p2p.node.defaults import parse_tracker


class Teller(p2p.PeerProtocol):
    """Tells the time every second, on each stream."""

    def peer_connected(self, address):
        self._telling = LoopingCall(self._tell)
        self._telling.clock = self.factory.reactor
        self._telling.start(1.0)

    def _tell(self):
        self.transport.write(b"%.0f\r\n" % self.factory.reactor.seconds())

    def connectionLost(self, reason):
        self._telling.stop()


class Follower(p2p.PeerProtocol, LineOnlyReceiver):
    """Shows what it is told, and along which path."""

    def peer_connected(self, address):
        print(f"connected over {address.path.remote}", flush=True)

    def path_changed(self, path):
        print(f"now over {path.remote}" if path else "no path", flush=True)

    def lineReceived(self, line):
        print(line.decode(), flush=True)

    def connectionLost(self, reason):
        print(f"lost: {reason.value}", flush=True)


def follow(reactor, node, peer):
    """Return a service that is connected with a peer whenever that can be."""
    return ClientService(
        p2p.PeerClientEndpoint(node, peer, "time"),
        p2p.PeerFactory.forProtocol(Follower),
        retryPolicy=backoffPolicy(initialDelay=1.0, maxDelay=15.0),
        clock=reactor,
    )


async def main(reactor, tracker, peer=None):
    identity = p2p.load_or_create_identity("teller.pem" if peer is None else "follower.pem")
    node = p2p.P2PNode(reactor, identity, trackers=[parse_tracker(tracker)])
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    if peer is None:
        factory = p2p.PeerFactory.forProtocol(Teller)
        factory.reactor = reactor
        await p2p.PeerServerEndpoint(node, "time").listen(factory)
        print(f"this is {node.peer_id}", flush=True)
    else:
        service = follow(reactor, node, peer)
        service.startService()
        reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    await Deferred()  # until it is interrupted


if __name__ == "__main__":
    react(main, sys.argv[1:])
