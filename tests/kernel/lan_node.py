"""A program for a machine of a lab: a `LANDiscovery` that tells in JSON lines what it finds.

``announce`` is followed by a number from 1 to 255 that stands for the node's key.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from attrs import asdict
from twisted.internet import reactor

from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.interfaces import IDiscoveredPeer
from twisted_p2p.lan.discovery import LANDiscovery

PORT = 4711
SERVICES = ("chat", "file")


def say(event: str, **facts: Any) -> None:
    """Put out an event and the time, which is that of the whole machine."""
    print(json.dumps({"event": event, "time": time.monotonic(), **facts}), flush=True)  # noqa: T201


class TellingDiscovery(LANDiscovery):
    def peer_found(self, peer: IDiscoveredPeer) -> None:
        say("found", **asdict(peer, recurse=False))  # type: ignore[arg-type]

    def peer_updated(self, peer: IDiscoveredPeer) -> None:
        say("updated", **asdict(peer, recurse=False))  # type: ignore[arg-type]

    def peer_lost(self, peer: IDiscoveredPeer) -> None:
        say("lost", **asdict(peer, recurse=False))  # type: ignore[arg-type]


def main(command: str, number: str = "") -> None:
    discovery = TellingDiscovery(reactor)
    discovery.start()
    say("started")
    if command == "browse":
        discovery.browse()
    else:
        key = IdentityKey.from_seed(bytes([int(number)]) * 32)
        discovery.announce(str(key.peer_id), PORT, SERVICES, accepting=True)
        announced = discovery.when_announced()
        announced.addCallback(lambda _: say("announced", instance=discovery.instance))
    reactor.addSystemEventTrigger("before", "shutdown", discovery.stop)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
