"""The tutorial's two programs, run as it says, through a tracker on loopback."""

from __future__ import annotations

import os
import sys

from twisted.internet.utils import getProcessOutputAndValue

from tests.examples.loopback import LoopbackCase
from tests.examples.stage import EXAMPLES
from twisted_p2p.errors import InvalidPeerID, PeerOffline
from twisted_p2p.identity.keys import IdentityKey


class EchoTests(LoopbackCase):
    async def call(self, *arguments: str) -> tuple[str, str, int]:
        output, error, status = await getProcessOutputAndValue(
            sys.executable,
            [str(EXAMPLES / "echo_client.py"), self.tracker, *arguments],
            os.environ,
            str(self.folder),
        )
        return output.decode(), error.decode(), status

    async def test_the_client_gets_its_line_back_on_a_path_of_its_own(self) -> None:
        program = str(EXAMPLES / "echo_server.py")
        server = self.serve(r"listening as (\w{52})\n", program, self.tracker)
        output, error, status = await self.call(await server.listening)
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
