"""A node that reaches its tracker by TCP."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    serverFromString,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.node.service import P2PNode
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.server import StreamListener, TrackerServer

reactor: Any = installed


class StreamRegistrationTests(TestCase):
    async def test_registers_and_is_known(self) -> None:
        server = TrackerServer(
            reactor,
            udp=[],
            streams=[StreamListener("tcp", TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))],
            web=StreamListener("web", serverFromString(reactor, "tcp:0:interface=127.0.0.1")),
            store=MemoryPeerStore(),
        )
        server.startService()
        self.addCleanup(server.stopService)
        (stream,) = [text for text in server.addresses() if text.startswith("stream ")]
        host, _, port = stream.removeprefix("stream ").rpartition(":")
        address = HostPort(host, int(port))

        node = P2PNode(reactor, IdentityKey.generate(), lan=False)
        node.add_tracker(address, TCP4ClientEndpoint(reactor, *address))
        node.startService()
        self.addCleanup(node.stopService)
        listening = await node.listen("x", Factory.forProtocol(Protocol))
        self.addCleanup(listening.stopListening)
        self.assertEqual(server.status()["nodes"], 1)
        self.assertEqual(server.status()["streams"], 1)
