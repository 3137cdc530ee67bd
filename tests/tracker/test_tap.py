from __future__ import annotations

import os
import re
import socket
import sys
from io import StringIO
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from twisted_p2p.errors import P2PError
from twisted_p2p.tracker.server import TrackerServer, UDPListener
from twisted_p2p.tracker.tap import DEFAULT_UDP, Options, makeService

reactor: Any = real_reactor

PROGRAMS = {
    "twist": ["-m", "twisted", "--log-format=text"],
    "twistd": ["-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile="],
}
FREE = [
    "--udp=0:interface=127.0.0.1",
    "--stream=tcp:0:interface=127.0.0.1",
    "--web=tcp:0:interface=127.0.0.1",
]


class OptionsTests(SynchronousTestCase):
    def parse(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def tracker_of(self, options: Options) -> TrackerServer:
        (tracker,) = list(makeService(options))  # type: ignore[call-overload]
        assert isinstance(tracker, TrackerServer)
        return tracker

    def test_the_defaults_are_those_of_the_contract(self) -> None:
        tracker = self.tracker_of(self.parse())
        self.assertEqual(tuple(tracker._udp), (UDPListener(3478), UDPListener(3479)))
        self.assertEqual(tuple(tracker._udp), DEFAULT_UDP)
        self.assertEqual([stream.description for stream in tracker._streams], ["tcp:3478"])
        self.assertEqual(tracker._web.description, "tcp:8478:interface=127.0.0.1")

    def test_options_repeat_and_replace_the_defaults(self) -> None:
        tracker = self.tracker_of(
            self.parse(
                *("--udp", "5000", "--udp", "5001:interface=127.0.0.1"),
                *("--udp", r"5002:interface=\:\:1", "--udp", "5003:interface=::1"),
                *("--stream", "tcp:443", "--stream", "tcp:444", "--web", "tcp:80"),
            )
        )
        self.assertEqual(
            tracker._udp,
            [
                UDPListener(5000),
                UDPListener(5001, "127.0.0.1"),
                UDPListener(5002, "::1"),
                UDPListener(5003, "::1"),
            ],
        )
        self.assertEqual(
            [stream.description for stream in tracker._streams], ["tcp:443", "tcp:444"]
        )
        self.assertEqual(tracker._web.description, "tcp:80")

    def test_a_public_address_is_taken_in_any_spelling(self) -> None:
        options = self.parse("--public-address", "2A00:0:0::1", "--public-address=11.9.9.9")
        self.assertEqual(options["public-address"], ["2a00::1", "11.9.9.9"])
        self.assertIsInstance(self.tracker_of(options), TrackerServer)

    def test_what_makes_no_sense_is_refused_in_a_sentence(self) -> None:
        for arguments in (
            ["--udp", "x"],
            ["--udp", "70000"],
            ["--udp", "-1"],
            ["--udp", "3478:interface=localhost"],
            ["--udp", "3478:interface="],
            ["--udp", "3478:port=4"],
            ["--public-address", "tracker.example"],
            ["--store", "redis://localhost:6379/0"],
        ):
            error = self.assertRaises(UsageError, self.parse, *arguments)
            self.assertIn(arguments[0], str(error))
            self.assertIn(repr(arguments[1]), str(error))

    def test_what_is_no_endpoint_ends_the_program_with_a_sentence(self) -> None:
        for arguments in (["--stream", "smoke:3478"], ["--web", "tcp:x"], ["--web", "tcp"]):
            error = self.assertRaises(SystemExit, makeService, self.parse(*arguments))
            self.assertIn(f"{arguments[1]} is no server endpoint", str(error.code))

    def test_what_keeps_it_from_starting_is_said_in_one_sentence(self) -> None:
        self.patch(sys, "excepthook", sys.excepthook)
        self.patch(sys, "stderr", StringIO())
        service: Any = makeService(self.parse("--udp", "0:interface=11.9.9.9"))
        for start in (service.privilegedStartService, service.startService):
            error = self.assertRaises(P2PError, start)
            sys.excepthook(P2PError, error, None)
        sentence = "p2ptracker: Cannot listen on UDP 11.9.9.9:0: Cannot assign requested address.\n"
        self.assertEqual(sys.stderr.getvalue(), 2 * sentence)


class Program(ProcessProtocol):
    """A tracker in a process of its own: its output, and how it ended."""

    def __init__(self) -> None:
        self.output = ""
        self.served: Deferred[str] = Deferred()
        self.ended: Deferred[object] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.output += data.decode()
        found = re.search(r"p2ptracker serves (.*)\n", self.output)
        if found and not self.served.called:
            self.served.callback(found.group(1))

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if not self.served.called:
            self.served.errback(AssertionError(self.output))
        self.ended.callback(reason.value)


class ProgramTests(TestCase):
    timeout = 60

    def arguments(self, name: str, *options: str) -> list[str]:
        return [*PROGRAMS[name], "p2ptracker", *options]

    async def test_both_programs_serve_and_say_where_in_one_line(self) -> None:
        for name in PROGRAMS:
            program = Program()
            process = reactor.spawnProcess(
                program, sys.executable, [sys.executable, *self.arguments(name, *FREE)], os.environ
            )
            line = await program.served
            self.assertRegex(
                line,
                r"udp 127\.0\.0\.1:\d+, stream 127\.0\.0\.1:\d+, web 127\.0\.0\.1:\d+",
            )
            process.signalProcess("TERM")
            reason = await program.ended
            self.assertIsInstance(reason, ProcessDone | ProcessTerminated)
            self.assertEqual(program.output.count("p2ptracker serves"), 1)
            self.assertNotIn("Traceback", program.output)

    async def test_a_port_in_use_is_one_sentence_and_a_status(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            udp = f"--udp={taken.getsockname()[1]}:interface=127.0.0.1"
            address = "{}:{}".format(*taken.getsockname())
            for name, options in (*PROGRAMS.items(), ("daemon", self.daemon_options())):
                folder = self.mktemp()
                os.mkdir(folder)
                out, err, status = await getProcessOutputAndValue(
                    sys.executable,
                    [*options, "p2ptracker", *FREE, udp],
                    os.environ,
                    path=folder,
                )
                output = (out + err).decode()
                self.assertIn(f"UDP {address} is in use by another program.", output)
                self.assertNotIn("Traceback", output)
                self.assertEqual((name, status), (name, 1))
                # A daemon takes its file away after it has told how it ended.
                while "twistd.pid" in os.listdir(folder):
                    await deferLater(reactor, 0.01)

    def daemon_options(self) -> list[str]:
        """Return what starts a tracker in the background."""
        return PROGRAMS["twistd"][:2]
