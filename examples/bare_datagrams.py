"""Sends bare datagrams through two NATs: authenticated paths, but no encryption.

One program waits, the other one punches through to it and measures round trips::

    twist p2ptracker
    python bare_datagrams.py TRACKER
    python bare_datagrams.py TRACKER PEER
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react

from twisted_p2p import HolePunchProtocol, load_or_create_identity
from twisted_p2p.node.defaults import parse_tracker

ROUNDS = 5


class Pinger(HolePunchProtocol):
    """Answers ``ping`` by ``pong``, and counts what it is answered itself."""

    def path_selected(self, path):
        print(f"a {path.kind} path to {path.peer_id} at {path.remote}", flush=True)

    def path_lost(self, reason):
        print(f"{reason.value.peer_id}: {reason.value}", flush=True)

    def peer_datagram_received(self, data, peer_id):
        word, _, number = data.partition(b" ")
        if word == b"ping":
            self.send_to_peer(b"pong " + number, peer_id)
        elif word == b"pong":
            self.answered(int(number))

    def stranger_datagram_received(self, data, address):
        print(f"{len(data)} bytes from {address}, which is no peer's", flush=True)


class Series:
    """Some rounds of ping and pong with one peer; as with all datagrams, any may be lost."""

    def __init__(self, reactor, pinger, peer_id):
        self._reactor, self._pinger, self._peer_id = reactor, pinger, peer_id
        self._sent_at = []
        self._sending = LoopingCall(self._send)
        self._sending.clock = reactor
        pinger.answered = self._answered

    def run(self):
        """Return a Deferred that fires after the last round."""
        return self._sending.start(0.2)

    def _send(self):
        if len(self._sent_at) == ROUNDS:
            self._sending.stop()
            return
        self._pinger.send_to_peer(b"ping %d" % len(self._sent_at), self._peer_id)
        self._sent_at.append(self._reactor.seconds())

    def _answered(self, number):
        passed = self._reactor.seconds() - self._sent_at[number]
        print(f"pong {number} after {1000 * passed:.1f} ms", flush=True)


async def main(reactor, tracker, peer_id=None):
    identity = load_or_create_identity("waiting.pem" if peer_id is None else "punching.pem")
    pinger = Pinger(reactor, identity, [parse_tracker(tracker)])
    reactor.listenUDP(0, pinger)
    await pinger.when_ready()
    print(f"this is {pinger.peer_id}", flush=True)
    if peer_id is None:
        await Deferred()  # until it is interrupted
    await pinger.punch(peer_id)
    await Series(reactor, pinger, peer_id).run()
    await pinger.stop()


if __name__ == "__main__":
    react(main, sys.argv[1:])
