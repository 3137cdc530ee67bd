"""`p2p send` and `p2p receive` between two peers behind real NATs, one of which is killed."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.kernel.programs import LabTestCase
from tests.kernel.test_punching import TRACKER_LIMIT
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

SIZE = 48 << 20


class TransferTests(LabTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.into = self.folder / "into"
        self.into.mkdir(parents=True)

    async def test_a_receiver_that_was_killed_goes_on_through_both_nats(self) -> None:
        await self.build(NATFlavour.PORT_RESTRICTED, NATFlavour.PORT_RESTRICTED)
        folder, into = self.folder, self.into
        (folder / "big").write_bytes(os.urandom(SIZE))
        sender = self.start_p2p(self.lab.left, "send", str(folder / "big"))
        await sender.said("}")
        ticket = sender.results()[0]["ticket"]

        first = self.start_p2p(self.lab.right, "receive", ticket, "--into", str(into))
        while not any(part.stat().st_size > 1 << 20 for part in into.iterdir()):
            await deferLater(reactor, 0.01)
        await first.kill()
        (part,) = into.iterdir()
        kept = part.stat().st_size
        self.assertLess(kept, SIZE)

        second = self.start_p2p(self.lab.right, "receive", ticket, "--into", str(into))
        for side in (second, sender):
            await side.ended()
            self.assertEqual(side.exit_status, 0, side.complaints)
        received, sent = second.results()[-1], sender.results()[-1]
        self.assertEqual(received["digest"], sent["digest"])
        self.assertEqual(received["bytes_moved"], SIZE - kept)
        self.assertEqual((into / "big").read_bytes(), (folder / "big").read_bytes())
        self.assertEqual((await second.event("connected"))["path"]["kind"], "punched")
        self.assertLess(self.lab.tracker.bytes_carried(), TRACKER_LIMIT)
