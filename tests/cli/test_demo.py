"""``p2p demo``, in the best place that this machine permits."""

from __future__ import annotations

import json

from tests.cli.commands import CommandTestCase
from twisted_p2p.cli.exit_status import ExitStatus
from twisted_p2p.network_namespaces.lab import available


class DemoTests(CommandTestCase):
    async def test_tells_what_happened_and_succeeds(self) -> None:
        outcome = await self.run_command("--json", "demo")
        self.assertEqual(outcome.status, ExitStatus.DONE, outcome.stderr)
        (result,) = [json.loads(line) for line in outcome.stdout.splitlines()]
        self.assertTrue(result["ok"])
        self.assertLess(result["tracker_bytes"], 64_000)
        kind = outcome.event("demo_connected")["path"]["kind"]
        self.assertEqual(kind, "lan" if available() else "punched")
        self.assertEqual(outcome.event("demo_transferred")["bytes"], 16 << 20)
        registered = [e["name"] for e in outcome.events() if e["event"] == "demo_registered"]
        self.assertEqual(registered, ["listening peer", "sending peer"])
