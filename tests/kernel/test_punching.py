"""64 MiB between peers behind real NATs, as a user does it: with `twistd` and `p2p`.

Half of it is sent, then the tracker is killed, and the other half follows.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.kernel.programs import P2P, TWISTD, Program
from tests.requirements import require_delay, require_namespaces
from twisted_p2p.network_namespaces.lab import RIGHT, Lab
from twisted_p2p.network_namespaces.namespace import Namespace
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

HALF = 32 << 20
TRACKER_LIMIT = 64_000
"""The most bytes that may pass the tracker's interface from its start to the end."""


class PunchingTests(TestCase):
    timeout = 200

    def setUp(self) -> None:
        require_namespaces()

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
        self.lab = Lab(left, right, delay=delay)
        self.addCleanup(self.lab.close)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        tracker = await self.start_tracker()
        listener = self.start_p2p(self.lab.right, "listen", "transfer")
        peer = (await listener.event("ready"))["peer"]
        sender = self.start_p2p(self.lab.left, "connect", peer, "transfer")
        path = (await sender.event("connected"))["path"]

        await self.send(sender, listener, tracker)

        self.assertEqual(path["kind"], kind)
        self.assertEqual(path["remote"].rpartition(":")[0], RIGHT.outside.address)
        self.assertLess(self.lab.tracker.bytes_carried(), TRACKER_LIMIT)

    async def start_tracker(self) -> Program:
        pid_file = f"--pidfile={self.folder / 'tracker.pid'}"
        tracker = self.start(self.lab.tracker, *TWISTD, "-n", pid_file, "p2ptracker")
        await tracker.said("p2ptracker serves")
        return tracker

    def start_p2p(self, machine: Namespace, *words: str) -> Program:
        identity = self.folder / words[0] / "identity.pem"
        tracker = f"{self.lab.tracker.address}:3478"
        options = ["--identity", str(identity), "--tracker", tracker, "--no-lan", "--json"]
        return self.start(machine, *P2P, *options, *words)

    def start(self, machine: Namespace, *arguments: str) -> Program:
        program = Program(machine, *arguments)
        self.addCleanup(program.kill)
        return program

    async def send(self, sender: Program, listener: Program, tracker: Program) -> None:
        payload = random.Random(64).randbytes(2 * HALF)
        sender.transport.writeToChild(0, payload[:HALF])
        await listener.received(HALF // 2)
        await tracker.kill()
        sender.transport.writeToChild(0, payload[HALF:])
        for peer in (sender, listener):
            peer.transport.closeStdin()
        for peer in (sender, listener):
            await peer.ended()
            self.assertEqual(peer.exit_status, 0, peer.complaints)
        self.assertEqual(listener.size, len(payload))
        self.assertEqual(listener.digest.digest(), hashlib.sha256(payload).digest())
