"""``p2p peers`` as a black box."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred, gatherResults

from tests.cli.commands import CommandTestCase, Outcome
from twisted_p2p.cli.exit_status import ExitStatus


class PeersTests(CommandTestCase):
    async def test_it_shows_who_is_here(self) -> None:
        tracker = str(self.start_tracker())
        listening = self.start(
            *("--json", "--tracker", tracker, "listen", "we\x1bb", "--topic", "chess"),
            name="listening",
            stdin=None,
        )
        peer_id = (await listening.event("ready"))["peer"]

        def peers(name: str, *arguments: str) -> Deferred[Outcome]:
            words = ("--tracker", tracker, *arguments)
            return Deferred.fromCoroutine(self.run_command(*words, name=name))

        as_object, as_words, nobody = await gatherResults(
            [
                peers("a", "--json", "peers"),
                peers("b", "peers", "--topic", "chess"),
                peers("c", "peers", "--topic", "go"),
            ]
        )
        for outcome in (as_object, as_words, nobody):
            self.assertEqual(outcome.status, ExitStatus.DONE, outcome.stderr)
        [line] = as_object.stdout.splitlines()
        event = {"event": "peer", "peer": peer_id, "source": "tracker"}
        self.assertEqual(json.loads(line), {**event, "services": ["we\x1bb"], "accepting": True})
        words = f"{peer_id}  tracker  accepting  'we\\x1bb'\n"
        self.assertEqual(as_words.stdout.decode(), words)
        self.assertEqual(nobody.stdout, b"")
        self.assertEqual(
            nobody.stderr.decode().splitlines()[1:], ["Nobody with the topic 'go' is here."]
        )

    async def test_what_makes_no_sense_is_answered_with_a_sentence(self) -> None:
        tracker = ("--tracker", "127.0.0.1")
        for arguments, says in (
            ((*tracker, "peers", "--topic", "t" * 33), "a topic has 1 to 32 bytes"),
            ((*tracker, "peers", "--lan"), "nowhere to look"),
            ((*tracker, "peers", "--watch"), "add --lan"),
        ):
            outcome = await self.run_command(*arguments)
            self.assertEqual(outcome.status, ExitStatus.USAGE)
            self.assert_sentence(outcome, says)
