"""The tutorial's two programs, run as it says, through a tracker on loopback."""

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
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from twisted_p2p.errors import InvalidPeerID, PeerOffline
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.server import StreamListener, TrackerServer, UDPListener

reactor: Any = real_reactor
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Server(ProcessProtocol):
    """The echo server in a process of its own."""

    def __init__(self) -> None:
        self.output = ""
        self.listening: Deferred[str] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode()
        said = re.search(r"listening as (\w{52})\n", self.output)
        if said and not self.listening.called:
            self.listening.callback(said.group(1))

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if not self.listening.called:
            self.listening.errback(AssertionError(self.output))
        self.ended.callback(None)


class EchoTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(mode=0o700)
        web = "tcp:0:interface=127.0.0.1"
        tracker = TrackerServer(
            reactor,
            udp=[UDPListener(0, "127.0.0.1")],
            streams=[],
            web=StreamListener(web, serverFromString(reactor, web)),
            store=MemoryPeerStore(),
        )
        tracker.startService()
        self.addCleanup(tracker.stopService)
        self.tracker = tracker.addresses()[0].removeprefix("udp ")

    def arguments(self, example: str, *arguments: str) -> list[str]:
        return [str(EXAMPLES / example), self.tracker, *arguments]

    def start_server(self) -> Server:
        server = Server()
        arguments = [sys.executable, *self.arguments("echo_server.py")]
        process = reactor.spawnProcess(
            server, sys.executable, arguments, os.environ, str(self.folder)
        )

        def stop() -> Deferred[None]:
            process.signalProcess("TERM")
            return server.ended

        self.addCleanup(stop)
        return server

    async def call(self, *arguments: str) -> tuple[str, str, int]:
        output, error, status = await getProcessOutputAndValue(
            sys.executable,
            self.arguments("echo_client.py", *arguments),
            os.environ,
            str(self.folder),
        )
        return output.decode(), error.decode(), status

    async def test_the_client_gets_its_line_back_on_a_path_of_its_own(self) -> None:
        server = self.start_server()
        peer = await server.listening
        output, error, status = await self.call(peer)
        self.assertEqual((error, status), ("", 0))
        connected, echo = output.splitlines()
        self.assertRegex(connected, r"^connected over a lan path to \S+:\d+$")
        self.assertFalse(connected.endswith(self.tracker), "the tracker carries no payload")
        self.assertEqual(echo, "Is anybody there?")
        self.assertRegex(server.output, r"(?m)^\w{52} is here, over a lan path$")

    async def test_a_peer_that_cannot_be_reached_is_one_sentence(self) -> None:
        absent = str(IdentityKey.generate().peer_id)
        for peer, expected in ((absent, PeerOffline), (absent[1:], InvalidPeerID)):
            output, error, status = await self.call(peer)
            self.assertEqual((output, error, status), ("", f"{expected()}\n", 1))
