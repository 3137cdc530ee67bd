"""A web server of Twisted's own, in a process of its own, fetched from by its key."""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.examples.loopback import LoopbackCase, Server, reactor
from tests.examples.stage import load
from twisted_p2p.identity.keys import load_or_create_identity
from twisted_p2p.node.sharing import stop_shared_nodes


class WebTests(LoopbackCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(sys, "stdout", StringIO())
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.folder)
        self.folder = Path.cwd()
        Path("page.txt").write_text("Hello")
        self.peer = load_or_create_identity("web.pem").peer_id
        self.addCleanup(stop_shared_nodes, reactor)

    async def serve_pages(self) -> Server:
        """Run the command of the example's first lines."""
        tracker = self.tracker.replace(":", r"\:")
        listen = f"--listen=p2p:web:tracker={tracker}:identity=web.pem"
        server = self.serve("$^", "-m", "twisted", "web", "--path", ".", listen)
        while not self.tracker_server.status()["nodes"] and not server.ended.called:
            await deferLater(reactor, 0.05)
        server.listening.callback("")
        return server

    async def fetch(self, path: str) -> None:
        fetching = load("fetch_page").main(reactor, self.tracker, self.peer, path)
        await Deferred.fromCoroutine(fetching)

    async def test_a_page_is_fetched_by_key(self) -> None:
        server = await self.serve_pages()
        await self.fetch("/page.txt")
        output = sys.stdout
        assert isinstance(output, StringIO)
        self.assertEqual(output.getvalue(), "Hello", server.output)
        with self.assertRaisesRegex(SystemExit, "^404 Not Found$"):
            await self.fetch("/other.txt")

    async def test_a_server_that_is_not_there_is_one_sentence(self) -> None:
        with self.assertRaisesRegex(SystemExit, "^No tracker knows this peer"):
            await self.fetch("/page.txt")
