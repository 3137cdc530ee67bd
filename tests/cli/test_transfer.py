"""``p2p send`` and ``p2p receive`` as black boxes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from tests.cli.commands import Command, CommandTestCase, Outcome
from tests.transfer.places import content_of, fill
from twisted_p2p.cli.exit_status import ExitStatus
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.transfer.ticket import Ticket


class TransferTestCase(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sent, self.into = self.folder / "sent", self.folder / "into"
        self.sent.mkdir()

    def start_sending(self, *words: str, name: str = "sender") -> Command:
        return self.start("--json", "--tracker", self.tracker, "send", *words, name=name)

    def start_receiving(self, *words: str, name: str = "receiver") -> Command:
        command = ("--json", "--tracker", self.tracker, "receive", "--into", str(self.into))
        return self.start(*command, *words, name=name)

    async def ticket_of(self, sending: Command) -> str:
        """Return the ticket that a sender puts out."""
        await sending.event("ready")
        while b"\n" not in sending._stdout:
            await wait(0.02)
        ticket: str = json.loads(sending._stdout.splitlines()[0])["ticket"]
        return ticket

    def peer_id_of(self, name: str) -> str:
        return self.run_here("id", name=name).stdout.decode().strip()

    def assert_done(self, outcome: Outcome) -> dict[str, Any]:
        """Return the result of a command that was done."""
        self.assertEqual(outcome.status, ExitStatus.DONE, outcome.stderr)
        result: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
        return result

    @property
    def tracker(self) -> str:
        if not hasattr(self, "_tracker"):
            self._tracker = str(self.start_tracker())
        return self._tracker


def wait(seconds: float) -> Deferred[None]:
    waiting: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiting.callback, None)
    return waiting


class TransferTests(TransferTestCase):
    async def test_a_ticket_brings_files_and_folders(self) -> None:
        notes = b"notes\n" * 1000
        fill(self.sent, {"tree/a": os.urandom(400_000), "tree/b/c": b"", "notes": notes})
        sending = self.start_sending(*map(str, sorted(self.sent.iterdir())))
        ticket = await self.ticket_of(sending)
        received, sent = await gatherResults([self.start_receiving(ticket).ended, sending.ended])
        there, here = self.assert_done(received), self.assert_done(sent)
        self.assertEqual(content_of(self.into), content_of(self.sent))
        self.assertEqual((here["event"], there["event"]), ("sent", "received"))
        for key in ("digest", "files", "bytes", "names"):
            self.assertEqual(here[key], there[key])
        self.assertEqual((here["files"], here["bytes"]), (3, 406_000))
        self.assertEqual(here["names"], ["notes", "tree"])
        self.assertEqual(Ticket.parse(ticket).peer_id, there["peer"])
        digests = {event["name"]: event["sha256"] for event in received.events() if "name" in event}
        self.assertEqual(digests["notes"], hashlib.sha256(notes).hexdigest())
        last = [event for event in received.events() if event["event"] == "progress"][-1]
        self.assertEqual((last["bytes"], last["total_bytes"]), (406_000, 406_000))
        self.assertEqual(received.event("connected")["service"], "p2p-send")
        self.assertEqual(sent.event("accepted")["peer"], here["peer"])
        self.assertEqual(sent.event("closed")["peer"], here["peer"])

    async def test_an_allowed_peer_sends_whoever_comes_first(self) -> None:
        fill(self.sent, {"notes": b"notes"})
        sender, receiver = [self.peer_id_of(name) for name in ("sender", "receiver")]
        sending = self.start(
            *("--tracker", self.tracker, "send", str(self.sent / "notes"), "--to", receiver),
            name="sender",
        )
        while b"waiting: No tracker knows this peer" not in sending._stderr:
            await wait(0.05)
        receiving = self.start(
            *("--tracker", self.tracker, "receive", "--into", str(self.into), "--allow", sender),
            name="receiver",
        )
        sent, received = await gatherResults([sending.ended, receiving.ended])
        self.assertEqual((sent.status, received.status), (0, 0), sent.stderr + received.stderr)
        self.assertEqual(content_of(self.into), {"notes": b"notes"})
        self.assertRegex(sent.stdout, rb"\Asent: notes \(1 file, 5 bytes\) in .*digest \w{64}\n\Z")
        self.assertRegex(received.stdout, rb"\Areceived: notes \(1 file, 5 bytes\)")

    async def test_who_is_not_allowed_is_asked_about_at_a_terminal(self) -> None:
        fill(self.sent, {"notes\u202e": b"notes"})
        receiver = self.peer_id_of("receiver")
        terminal = self.start_at_terminal("receive", "--into", str(self.into))
        sending = self.start_sending(str(self.sent / "notes\u202e"), "--to", receiver)
        while b"[y/N]" not in terminal._stdout:
            await wait(0.05)
        self.assertIn(b"notes\\u202e (5 bytes)", terminal._stdout)
        self.terminal.write(b"yes\n")
        sent, received = await gatherResults([sending.ended, terminal.ended])
        self.assert_done(sent)
        self.assertEqual(received.status, ExitStatus.DONE, received.stdout)
        self.assertEqual(content_of(self.into), {"notes\u202e": b"notes"})

    async def test_who_is_not_wanted_at_a_terminal_is_refused(self) -> None:
        fill(self.sent, {"notes": b"notes"})
        receiver = self.peer_id_of("receiver")
        terminal = self.start_at_terminal("receive", "--into", str(self.into))
        sending = self.start_sending(str(self.sent / "notes"), "--to", receiver)
        while b"[y/N]" not in terminal._stdout:
            await wait(0.05)
        self.terminal.write(b"\n")
        sent = await sending.ended
        self.assertEqual(sent.status, ExitStatus.PEER_REFUSED)
        self.assertFalse(self.into.exists())
        self.terminal.signalProcess("INT")
        self.assertEqual((await terminal.ended).status, ExitStatus.INTERRUPTED)

    def start_at_terminal(self, *words: str) -> Command:
        """Start ``p2p`` with a terminal; what it says there is its stdout."""
        command = Command()
        arguments = [
            *(sys.executable, "-m", "twisted_p2p.cli", "--tracker", self.tracker),
            *("--identity", str(self.folder / "receiver.pem"), *words),
        ]
        self.terminal = reactor.spawnProcess(
            command, arguments[0], arguments, {**os.environ, "TERM": "xterm"}, usePTY=True
        )
        self.addCleanup(lambda: self.terminal.pid and self.terminal.signalProcess("KILL"))
        return command


class InterruptionTests(TransferTestCase):
    async def test_both_sides_may_be_killed_and_go_on_where_they_stopped(self) -> None:
        size = 24 << 20
        fill(self.sent, {"big": os.urandom(size)})
        sending = self.start_sending(str(self.sent / "big"))
        self.start_receiving(await self.ticket_of(sending))
        await self.until_some_has_come()
        self.process.signalProcess("KILL")
        await sending.event("interrupted")
        kept = self.part().stat().st_size

        os.kill(self.pid_of(sending), signal.SIGINT)
        self.assertEqual((await sending.ended).status, ExitStatus.INTERRUPTED)

        sending = self.start_sending(str(self.sent / "big"))
        receiving = self.start_receiving(await self.ticket_of(sending))
        received, sent = await gatherResults([receiving.ended, sending.ended])
        self.assert_done(sent)
        self.assertEqual(self.assert_done(received)["bytes_moved"], size - kept)
        self.assertEqual(content_of(self.into), content_of(self.sent))

    def start_sending(self, *words: str, name: str = "sender") -> Command:
        command = super().start_sending(*words, name=name)
        self.pids = {**getattr(self, "pids", {}), command: self.process.pid}
        return command

    def pid_of(self, command: Command) -> int:
        pid: int = self.pids[command]
        return pid

    def part(self) -> Path:
        (part,) = self.into.glob("big.p2p-*.part")
        return part

    async def until_some_has_come(self) -> None:
        while not list(self.into.glob("big.p2p-*.part")) or self.part().stat().st_size < 1 << 20:
            await wait(0.01)


class FailureTests(TransferTestCase):
    async def test_another_file_is_there(self) -> None:
        fill(self.sent, {"notes": b"yours"})
        fill(self.into, {"notes": b"mine"})
        sending = self.start_sending(str(self.sent / "notes"))
        receiving = self.start_receiving(await self.ticket_of(sending))
        received, sent = await gatherResults([receiving.ended, sending.ended])
        for outcome, noticed_by in ((received, "us"), (sent, "peer")):
            self.assertEqual(outcome.status, ExitStatus.TRANSFER_FAILED)
            error = outcome.event("error")
            self.assertEqual(error["code"], "transfer_failed")
            why = {"reason": "exists", "name": "notes", "noticed_by": noticed_by}
            self.assertEqual(error["why"], why)
        self.assertEqual(content_of(self.into), {"notes": b"mine"})

    async def test_the_disk_is_full(self) -> None:
        fill(self.sent, {"big": os.urandom(2 << 20)})
        sending = self.start_sending(str(self.sent / "big"))
        limited = (
            "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (1 << 20, 1 << 20)); "
            "from twisted_p2p.cli.__main__ import main; main()"
        )
        receiving = Command()
        words = ["--tracker", self.tracker, "--identity", str(self.folder / "receiver.pem")]
        ticket = await self.ticket_of(sending)
        arguments = ["receive", ticket, "--into", str(self.into)]
        python = sys.executable
        reactor.spawnProcess(
            receiving, python, [python, "-c", limited, *words, *arguments], os.environ
        )
        received, sent = await gatherResults([receiving.ended, sending.ended])
        self.assertEqual(received.status, ExitStatus.TRANSFER_FAILED)
        self.assert_sentence(received, "no room for big; free some space")
        self.assertEqual(sent.status, ExitStatus.TRANSFER_FAILED)
        self.assertEqual(sent.event("error")["why"]["reason"], "no_space")
        (part,) = self.into.iterdir()
        self.assertLessEqual(part.stat().st_size, 1 << 20)

    async def test_a_ticket_of_another_transfer_or_of_nobody(self) -> None:
        fill(self.sent, {"notes": b"yours"})
        sending = self.start_sending(str(self.sent / "notes"))
        ticket = Ticket.parse(await self.ticket_of(sending))
        nobody = IdentityKey.generate().peer_id
        wrong, offline = await gatherResults(
            [
                self.start_receiving(str(Ticket(peer, bytes(10))), name=name).ended
                for peer, name in ((ticket.peer_id, "one"), (nobody, "other"))
            ]
        )
        self.assertEqual(wrong.status, ExitStatus.PEER_REFUSED)
        self.assertIn("ticket", wrong.event("error")["message"])
        self.assertEqual(offline.status, ExitStatus.PEER_OFFLINE)
        right = self.start_receiving(str(ticket))
        received, sent = await gatherResults([right.ended, sending.ended])
        self.assert_done(received)
        self.assert_done(sent)

    async def test_who_is_not_allowed_is_refused_without_a_terminal(self) -> None:
        fill(self.sent, {"notes": b"yours"})
        receiving = self.start_receiving()
        receiver = (await receiving.event("ready"))["peer"]
        sent = await self.start_sending(str(self.sent / "notes"), "--to", receiver).ended
        self.assertEqual(sent.status, ExitStatus.PEER_REFUSED)
        self.assertIn("p2p receive --allow", sent.event("error")["message"])
        self.assertFalse(self.into.exists())

    async def test_waiting_has_an_end_when_the_user_says_so(self) -> None:
        fill(self.sent, {"notes": b"yours"})
        nobody = str(IdentityKey.generate().peer_id)
        words = (str(self.sent / "notes"), "--to", nobody, "--wait", "0.1")
        sent = await self.start_sending(*words).ended
        self.assertEqual(sent.status, ExitStatus.PEER_OFFLINE)
        self.assertEqual(sent.event("waiting")["code"], "peer_offline")
        received = await self.start_receiving("--wait", "0.1").ended
        self.assertEqual(received.status, ExitStatus.TIMED_OUT)

    async def test_a_sender_that_sends_nothing(self) -> None:
        listening = self.start(
            "--json", "--tracker", self.tracker, "listen", "x", name="sender", stdin=None
        )
        peer = (await listening.event("ready"))["peer"]
        ticket = peer + "a" * 16
        received = await self.start_receiving(ticket).ended
        self.assertEqual(received.status, ExitStatus.UNKNOWN_SERVICE)
        self.assertIn("ask for a new ticket", received.event("error")["message"])


class UsageTests(TransferTestCase):
    def assert_fails(self, *words: str, says: str, status: int = ExitStatus.USAGE) -> None:
        outcome = self.run_here("--tracker", "127.0.0.1", *words)
        self.assertEqual(outcome.status, status)
        self.assert_sentence(outcome, says)

    def test_what_is_not_understood_is_answered_with_a_sentence(self) -> None:
        os.mkfifo(self.sent / "pipe")
        fill(self.sent, {"back\\slash": b"", "file": b""})
        peer = str(IdentityKey.generate().peer_id)
        ticket, own = peer + "a" * 16, self.peer_id_of("a")
        self.assert_fails("send", says="FILE")
        self.assert_fails("send", str(self.sent / "none"), says="does not exist")
        self.assert_fails("send", str(self.sent / "pipe"), says="nothing to send")
        self.assert_fails(
            *("send", str(self.sent / "back\\slash")),
            says="rename it",
            status=ExitStatus.TRANSFER_FAILED,
        )
        self.assert_fails("receive", ticket[:-1], says="68 characters")
        self.assert_fails("receive", ticket, "--allow", peer, says="leave --allow out")
        for words in (("send", str(self.sent / "file"), "--to", own), ("receive", own + "a" * 16)):
            self.assert_fails(*words, says="--identity", status=ExitStatus.PEER_REFUSED)
        self.assert_fails("receive", "--allow", "x", says="52 characters")
        self.assert_fails("receive", "--into", str(self.sent / "file"), says="is a file")
