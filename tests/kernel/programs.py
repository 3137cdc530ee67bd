"""The programs that users run, on the machines of a lab, followed by what they print."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.requirements import require_namespaces
from twisted_p2p.network_namespaces.lab import Lab
from twisted_p2p.network_namespaces.namespace import Namespace
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

P2P = (sys.executable, "-m", "twisted_p2p.cli")
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")

PATIENCE = 90.0
"""Seconds that a program may take to say or do what is waited for."""

KEPT = 4096
"""Bytes of standard output that are kept to be looked at; the rest is counted and digested."""


class ProgramFailed(AssertionError):
    """A program did not say or do what was waited for, before it ended or in time."""


class Program(ProcessProtocol):
    """One program on a machine of a lab: what it has put out so far, and how it ended.

    ``size`` and ``digest`` are of its standard output; ``complaints`` is its standard error.
    """

    transport: IProcessTransport

    def __init__(self, machine: Namespace, *arguments: str) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self.complaints = ""
        self.exit_status: int | None = None
        self._name = " ".join(arguments[-3:])
        self._beginning = b""
        self._waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        command = machine.command(arguments)
        reactor.spawnProcess(self, command[0], command, env=os.environ)

    def event(self, *names: str) -> Deferred[dict[str, Any]]:
        """Fire with the first event of one of the names on standard error, under ``--json``."""
        return self._until(lambda: next(self._events(names), None))

    def complained(self, text: str) -> Deferred[bool]:
        """Fire when a text stands in standard error."""
        return self._until(lambda: text in self.complaints)

    def happened(self, name: str, times: int) -> Deferred[list[dict[str, Any]]]:
        """Fire with the events of a name when there are so many, under ``--json``."""
        return self._until(
            lambda: events if len(events := list(self._events((name,)))) >= times else None
        )

    def said(self, text: str) -> Deferred[bool]:
        """Fire when a text stands in the first bytes of standard output."""
        return self._until(lambda: text.encode() in self._beginning)

    def results(self) -> list[dict[str, Any]]:
        """Return what a command has put out so far under ``--json``, up to `KEPT` bytes."""
        return [json.loads(line) for line in self._beginning.splitlines()]

    def received(self, size: int) -> Deferred[bool]:
        """Fire when that many bytes have come out of standard output."""
        return self._until(lambda: self.size >= size)

    def ended(self) -> Deferred[bool]:
        """Fire when the program has ended; ``exit_status`` is then known."""
        return self._until(lambda: self.exit_status is not None)

    def kill(self) -> Deferred[bool]:
        """Kill the program if it still runs, and fire when it has ended."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
        return self.ended()

    def outReceived(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)
        self._beginning += data[: KEPT - len(self._beginning)]
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.complaints += data.decode(errors="replace")
        self._look()

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.exit_status = -ended.signal if ended.exitCode is None else ended.exitCode
        self._look()
        unmet, self._waiting = self._waiting, []
        for _, waiting in unmet:
            waiting.errback(self._failed(f"ended with status {self.exit_status}"))

    def _failed(self, what: str) -> Failure:
        return Failure(
            ProgramFailed(
                f"{self._name} {what} and put out {self.size} bytes, "
                f"{self._beginning[:200]!r}..., and said:\n{self.complaints}"
            )
        )

    def _events(self, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        for line in self.complaints.splitlines(keepends=True):
            if line.startswith("{") and line.endswith("}\n"):
                event: dict[str, Any] = json.loads(line)
                if event["event"] in names:
                    yield event

    def _until(self, condition: Callable[[], Any]) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        waiting.addTimeout(PATIENCE, reactor, lambda *_: self._failed("took too long"))
        self._waiting.append((condition, waiting))
        self._look()
        return waiting

    def _look(self) -> None:
        for item in list(self._waiting):
            condition, waiting = item
            if found := condition():
                self._waiting.remove(item)
                waiting.callback(found)


class LabPrograms:
    """The programs in one lab; `close` ends them all, and removes the lab.

    ``folder`` is made, and takes the identities and the tracker's files.
    """

    def __init__(self, lab: Lab, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._lab = lab
        self._folder = folder
        self._started: list[Program] = []

    async def close(self) -> None:
        """Kill what still runs."""
        for program in self._started:
            await program.kill()
        self._lab.close()

    async def start_tracker(self) -> Program:
        """Start the tracker, and return it when it serves."""
        pid_file = f"--pidfile={self._folder / 'tracker.pid'}"
        tracker = self.start(self._lab.tracker, *TWISTD, "-n", pid_file, "p2ptracker")
        await tracker.said("p2ptracker serves")
        return tracker

    def start_p2p(self, machine: Namespace, command: str, *words: str) -> Program:
        """Start a ``p2p`` command with an identity of its own."""
        identity = self._folder / command / "identity.pem"
        tracker = f"{self._lab.tracker.address}:3478"
        options = ["--identity", str(identity), "--tracker", tracker, "--no-lan", "--json"]
        return self.start(machine, *P2P, *options, command, *words)

    def start(self, machine: Namespace, *arguments: str) -> Program:
        """Start any program; it is killed at the end."""
        program = Program(machine, *arguments)
        self._started.append(program)
        return program


class LabTestCase(TestCase):
    """Builds a lab with a tracker, starts ``p2p`` in it, and ends all that was started."""

    timeout = 200

    def setUp(self) -> None:
        require_namespaces()

    async def build(
        self, left: NATFlavour | None, right: NATFlavour | None, *, delay: float = 0.0
    ) -> None:
        """Build the lab and start its tracker."""
        self.lab = Lab(left, right, delay=delay)
        self.programs = LabPrograms(self.lab, Path(self.mktemp()))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.programs.close()))
        self.tracker = await self.programs.start_tracker()

    def start_p2p(self, machine: Namespace, command: str, *words: str) -> Program:
        """Start a ``p2p`` command with an identity of its own, killed at the end of the test."""
        return self.programs.start_p2p(machine, command, *words)
