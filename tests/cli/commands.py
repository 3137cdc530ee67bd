"""Running ``p2p`` as a user does, against a tracker in this process."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet import defer, reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.cli.main import run
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.server import StreamListener, TrackerServer, UDPListener


@frozen
class Outcome:
    """What a command left behind."""

    status: int
    stdout: bytes
    stderr: bytes

    def events(self) -> list[dict[str, Any]]:
        """Return the JSON objects on stderr."""
        return [json.loads(line) for line in self.stderr.splitlines()]

    def event(self, name: str) -> dict[str, Any]:
        """Return the one event of this name."""
        (found,) = [event for event in self.events() if event["event"] == name]
        return found


class Command(ProcessProtocol):
    """One running ``p2p``."""

    def __init__(self) -> None:
        self.ended: defer.Deferred[Outcome] = defer.Deferred()
        self._stdout = b""
        self._stderr = b""
        self._waiting: list[tuple[str, defer.Deferred[dict[str, Any]]]] = []

    def outReceived(self, data: bytes) -> None:
        self._stdout += data

    def errReceived(self, data: bytes) -> None:
        self._stderr += data
        self._tell()

    def event(self, name: str) -> defer.Deferred[dict[str, Any]]:
        """Return a Deferred of the first event of this name; for commands with ``--json``."""
        waiting: defer.Deferred[dict[str, Any]] = defer.Deferred()
        self._waiting.append((name, waiting))
        self._tell()
        return waiting

    def _tell(self) -> None:
        lines = self._stderr.splitlines(keepends=True)
        events = (
            [json.loads(line) for line in lines if line.endswith(b"\n")] if self._waiting else []
        )
        for name, waiting in list(self._waiting):
            for event in events:
                if event["event"] == name:
                    self._waiting.remove((name, waiting))
                    waiting.callback(event)
                    break

    def processEnded(self, reason: Failure) -> None:
        for _, waiting in self._waiting:
            waiting.errback(RuntimeError(f"p2p ended: {self._stderr.decode()}"))
        error = reason.value
        assert isinstance(error, ProcessDone | ProcessTerminated)
        status = error.exitCode if error.exitCode is not None else -(error.signal or 0)
        self.ended.callback(Outcome(status, self._stdout, self._stderr))


class CommandTestCase(TestCase):
    """Runs ``p2p`` commands; every one still running at the end is killed."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(mode=0o700)
        environment = {key: value for key, value in os.environ.items() if key != "P2P_TRACKER"}
        # The local network is not the tests' own.
        self.patch(os, "environ", {**environment, "P2P_LAN": "no"})

    def start_tracker(self) -> HostPort:
        """Start a tracker on loopback and return its address."""
        server = TrackerServer(
            reactor,
            udp=[UDPListener(0, "127.0.0.1")],
            streams=[],
            web=StreamListener("web", serverFromString(reactor, "tcp:0:interface=127.0.0.1")),
            store=MemoryPeerStore(),
        )
        server.startService()
        self.addCleanup(server.stopService)
        self.tracker_server = server
        (udp,) = [text for text in server.addresses() if text.startswith("udp ")]
        host, _, port = udp.removeprefix("udp ").rpartition(":")
        return HostPort(host, int(port))

    def start(self, *arguments: str, name: str = "a", stdin: bytes | None = b"") -> Command:
        """Start ``p2p`` with an identity of this name; stdin stays open if it is None."""
        command = Command()
        identity = str(self.folder / f"{name}.pem")
        words = [sys.executable, "-m", "twisted_p2p.cli", "--identity", identity, *arguments]
        process = reactor.spawnProcess(command, sys.executable, words, os.environ)

        def kill() -> defer.Deferred[Outcome] | None:
            if process.pid is None:
                return None
            process.signalProcess("KILL")
            return command.ended

        self.addCleanup(kill)
        if stdin is not None:
            process.write(stdin)
            process.closeStdin()
        self.process = process
        return command

    async def run_command(self, *arguments: str, name: str = "a", stdin: bytes = b"") -> Outcome:
        """Run ``p2p`` to its end."""
        return await self.start(*arguments, name=name, stdin=stdin).ended

    def run_here(self, *arguments: str, name: str = "a") -> Outcome:
        """Run ``p2p`` to its end in this process, if it ends before there is a reactor.

        That takes a hundredth of the time that a program of its own does.
        """
        identity = str(self.folder / f"{name}.pem")
        with redirect_stdout(StringIO()) as stdout, redirect_stderr(StringIO()) as stderr:
            status = run(["--identity", identity, *arguments])
        return Outcome(status, stdout.getvalue().encode(), stderr.getvalue().encode())

    def assert_sentence(self, outcome: Outcome, text: str) -> None:
        """Assert that stderr ends with one line that says this, and shows no traceback."""
        last = outcome.stderr.decode().splitlines()[-1]
        self.assertTrue(last.startswith("p2p: "), last)
        self.assertIn(text, last)
        self.assertNotIn(b"Traceback", outcome.stderr)
