"""A tracker with a policy of its own: it serves members alone, and says what they do.

``members.txt`` has a peer ID a line.  It is read whenever a peer asks, so it may change::

    p2p id >> members.txt
    python club_tracker.py members.txt 192.0.2.1
    p2p --tracker 192.0.2.1 listen anything

The address is one of this machine's; port 3478 is served there, for UDP and TCP.
"""

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react

from twisted_p2p import TrackerServerDatagramProtocol, TrackerServerFactory

PORT = 3478


class ClubTracker(TrackerServerDatagramProtocol):
    """Knows members alone; each hook that decides may also return a Deferred."""

    def __init__(self, reactor, members):
        super().__init__(reactor)
        self._members = members

    def is_member(self, peer_id):
        return peer_id in self._members.read_text().split()

    def may_register(self, peer_id, address):
        if not self.is_member(peer_id):
            print(f"{peer_id} at {address} is no member", flush=True)
            return False
        return True

    def may_introduce(self, initiator, target):
        # Who was a member when it registered may have left the club since.
        return self.is_member(initiator) and self.is_member(target)

    def peer_online(self, peer_id):
        print(f"{peer_id} is here", flush=True)

    def peer_offline(self, peer_id):
        print(f"{peer_id} is gone", flush=True)

    def introduced(self, initiator, target):
        print(f"{initiator} met {target}", flush=True)


async def main(reactor, members, address):
    club = ClubTracker(reactor, Path(members))
    reactor.addSystemEventTrigger("before", "shutdown", club.tracker.close)
    reactor.listenUDP(PORT, club, interface=address)
    # Peers whose network blocks UDP reach the same tracker, and the same policy, over TCP.
    streams = TrackerServerFactory(reactor, club.tracker)
    await TCP4ServerEndpoint(reactor, PORT, interface=address).listen(streams)
    print(f"serving members at {address}:{PORT}", flush=True)
    await Deferred()  # until it is interrupted


if __name__ == "__main__":
    react(main, sys.argv[1:])
