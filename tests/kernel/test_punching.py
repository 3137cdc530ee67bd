"""64 MiB between peers behind real NATs, as a user does it: with `twistd` and `p2p`.

Half of it is sent, then the tracker is killed, and the other half follows.
"""

from __future__ import annotations

import hashlib
import random

from tests.kernel.agreement.outcomes import simulated_outcome, told_outcome
from tests.kernel.agreement.pairs import TRANSFERS, Pair
from tests.kernel.programs import LabTestCase, Program
from tests.requirements import require_delay
from twisted_p2p.network_namespaces.lab import RIGHT
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

HALF = 32 << 20
TRACKER_LIMIT = 64_000
"""The most bytes that may pass the tracker's interface from its start to the end."""


class PunchingTests(LabTestCase):
    """Has a test for each of the pairs to transfer between."""

    async def assert_transfers(self, pair: Pair, *, delay: float) -> None:
        """Let the left peer send to the right one, and the tracker die on the way."""
        await self.build(*pair, delay=delay)
        listener = self.start_p2p(self.lab.right, "listen", "transfer")
        peer = (await listener.event("ready"))["peer"]
        sender = self.start_p2p(self.lab.left, "connect", peer, "transfer")
        outcome = await told_outcome(sender, listener)
        path = (await sender.event("connected"))["path"]

        await self.send(sender, listener)

        self.assertEqual(outcome, simulated_outcome(pair))
        self.assertEqual(path["remote"].rpartition(":")[0], RIGHT.outside.address)
        self.assertLess(self.lab.tracker.bytes_carried(), TRACKER_LIMIT)

    async def send(self, sender: Program, listener: Program) -> None:
        payload = random.Random(64).randbytes(2 * HALF)
        sender.transport.writeToChild(0, payload[:HALF])
        await listener.received(HALF // 2)
        await self.tracker.kill()
        sender.transport.writeToChild(0, payload[HALF:])
        for peer in (sender, listener):
            peer.transport.closeStdin()
        for peer in (sender, listener):
            await peer.ended()
            self.assertEqual(peer.exit_status, 0, peer.complaints)
        self.assertEqual(listener.size, len(payload))
        self.assertEqual(listener.digest.digest(), hashlib.sha256(payload).digest())


def _add_transfers() -> None:
    """Give `PunchingTests` a test for each pair; to hostile NATs it matters who is early."""
    for pair in TRANSFERS:
        delay = 0.005 if NATFlavour.HOSTILE in pair else 0.0

        async def transfer(self: PunchingTests, pair: Pair = pair, delay: float = delay) -> None:
            if delay:
                require_delay()
            await self.assert_transfers(pair, delay=delay)

        setattr(PunchingTests, f"test_{pair}".replace(" ", "_"), transfer)


_add_transfers()


class PingTests(LabTestCase):
    async def test_a_ping_tells_the_path_and_its_round_trip(self) -> None:
        require_delay()
        await self.build(NATFlavour.PORT_RESTRICTED, NATFlavour.PORT_RESTRICTED, delay=0.01)
        listener = self.start_p2p(self.lab.right, "listen", "service")
        peer = (await listener.event("ready"))["peer"]
        ping = self.start_p2p(self.lab.left, "ping", "-c", "2", peer)
        await ping.ended()

        self.assertEqual(ping.exit_status, 0, ping.complaints)
        first, second = ping.results()
        for pong in (first, second):
            self.assertEqual((pong["event"], pong["peer"]), ("pong", peer))
            self.assertEqual((pong["path"]["kind"], pong["accepting"]), ("punched", True))
            self.assertGreaterEqual(pong["rtt_ms"], 40)
