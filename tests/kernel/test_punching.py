"""64 MiB between peers behind real NATs, as a user does it: with `twistd` and `p2p`.

Half of it is sent, then the tracker is killed, and the other half follows.
"""

from __future__ import annotations

import hashlib
import random

from tests.kernel.programs import LabTestCase, Program
from tests.requirements import require_delay
from twisted_p2p.network_namespaces.lab import RIGHT
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

HALF = 32 << 20
TRACKER_LIMIT = 64_000
"""The most bytes that may pass the tracker's interface from its start to the end."""


class PunchingTests(LabTestCase):
    async def test_port_restricted_and_port_restricted(self) -> None:
        await self.assert_transfers(
            NATFlavour.PORT_RESTRICTED, NATFlavour.PORT_RESTRICTED, "punched"
        )

    async def test_port_restricted_with_other_ports(self) -> None:
        await self.assert_transfers(
            NATFlavour.PORT_RESTRICTED_OTHER_PORT, NATFlavour.PORT_RESTRICTED_OTHER_PORT, "punched"
        )

    async def test_full_cone_and_random_symmetric(self) -> None:
        await self.assert_transfers(NATFlavour.FULL_CONE, NATFlavour.RANDOM_SYMMETRIC, "punched")

    async def test_public_and_random_symmetric(self) -> None:
        await self.assert_transfers(None, NATFlavour.RANDOM_SYMMETRIC, "punched")

    async def test_random_symmetric_and_public(self) -> None:
        await self.assert_transfers(NATFlavour.RANDOM_SYMMETRIC, None, "punched")

    async def test_public_and_public(self) -> None:
        await self.assert_transfers(None, None, "direct")

    async def test_hostile_nats(self) -> None:
        require_delay()
        await self.assert_transfers(NATFlavour.HOSTILE, NATFlavour.HOSTILE, "punched", delay=0.005)

    async def assert_transfers(
        self,
        left: NATFlavour | None,
        right: NATFlavour | None,
        kind: str,
        *,
        delay: float = 0.0,
    ) -> None:
        """Let the left peer send to the right one, and the tracker die on the way."""
        await self.build(left, right, delay=delay)
        listener = self.start_p2p(self.lab.right, "listen", "transfer")
        peer = (await listener.event("ready"))["peer"]
        sender = self.start_p2p(self.lab.left, "connect", peer, "transfer")
        path = (await sender.event("connected"))["path"]

        await self.send(sender, listener)

        self.assertEqual(path["kind"], kind)
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
