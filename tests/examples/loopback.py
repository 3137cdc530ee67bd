"""Where examples are run as processes of their own: with a tracker on loopback."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.server import StreamListener, TrackerServer, UDPListener

reactor: Any = real_reactor


class Server(ProcessProtocol):
    """A program in a process of its own, which serves until the end of the test."""

    def __init__(self, pattern: str) -> None:
        self.output = ""
        self.listening: Deferred[str] = Deferred()
        """Fires with the group of the pattern when the program has said that."""
        self.ended: Deferred[None] = Deferred()
        self._pattern = pattern

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode()
        said = re.search(self._pattern, self.output)
        if said and not self.listening.called:
            self.listening.callback(said[said.lastindex or 0])

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if not self.listening.called:
            self.listening.errback(AssertionError(self.output))
        self.ended.callback(None)


class LoopbackCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.patch(os, "environ", {**os.environ, "P2P_LAN": "no"})
        self.folder = Path(self.mktemp())
        self.folder.mkdir(mode=0o700)
        web = "tcp:0:interface=127.0.0.1"
        self.tracker_server = TrackerServer(
            reactor,
            udp=[UDPListener(0, "127.0.0.1")],
            streams=[],
            web=StreamListener(web, serverFromString(reactor, web)),
            store=MemoryPeerStore(),
        )
        self.tracker_server.startService()
        self.addCleanup(self.tracker_server.stopService)
        self.tracker = self.tracker_server.addresses()[0].removeprefix("udp ")

    def serve(self, pattern: str, *arguments: str) -> Server:
        """Start a Python program, to be stopped at the end of the test."""
        server = Server(pattern)
        process = reactor.spawnProcess(
            server, sys.executable, [sys.executable, *arguments], os.environ, str(self.folder)
        )

        def stop() -> Deferred[None]:
            process.signalProcess("TERM")
            return server.ended

        self.addCleanup(stop)
        return server
