"""What a person can do wrong: one sentence that says what to do, and a status, in one process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.cli import main as main_module
from twisted_p2p.cli.__main__ import main
from twisted_p2p.cli.exit_status import ExitStatus
from twisted_p2p.cli.local_endpoints import CannotListen, listen_at
from twisted_p2p.cli.main import run
from twisted_p2p.errors import PortInUse
from twisted_p2p.identity.keys import IdentityKey, load_or_create_identity
from twisted_p2p.testing import SimulatedInternet

OTHER = str(IdentityKey.from_seed(bytes([1] * 32)).peer_id)
TICKET_END = "a" * 16


class Full(StringIO):
    """A file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class SentenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(mode=0o700)
        self.identity = self.folder / "a.pem"
        self.own = str(load_or_create_identity(self.identity).peer_id)
        environment = {key: value for key, value in os.environ.items() if key[:4] != "P2P_"}
        self.patch(os, "environ", environment)

    def run_here(self, *words: str) -> tuple[ExitStatus, str, str]:
        """Run a command that ends before it needs a reactor; return its status and output."""
        with redirect_stdout(StringIO()) as stdout, redirect_stderr(StringIO()) as stderr:
            status = run(words)
        return status, stdout.getvalue(), stderr.getvalue()

    def fails(
        self, words: Sequence[str], says: str, code: str = "usage", *, identity: Path | None = None
    ) -> None:
        """Assert that a command fails by this code, and what it says, in words and as JSON."""
        options = ["--identity", str(identity or self.identity)]
        status, stdout, stderr = self.run_here(*options, *words)
        sentence = stderr.splitlines()[-1]
        self.assertTrue(sentence.startswith("p2p: "), stderr)
        self.assertIn(says, sentence)
        again, _, told = self.run_here("--json", *options, *words)
        event: dict[str, Any] = json.loads(told.splitlines()[-1])
        self.assertEqual((event["event"], event["code"]), ("error", code))
        self.assertEqual(f"p2p: {event['message']}", sentence)
        expected = {
            "peer_refused": ExitStatus.PEER_REFUSED,
            "identity_file": ExitStatus.IDENTITY_FILE,
        }
        self.assertEqual(status, expected.get(code, ExitStatus.USAGE))
        self.assertEqual((again, stdout), (status, ""))

    def test_commands_and_options(self) -> None:
        for words, says in (
            ([], "Missing command; see p2p --help"),
            (["nonsense"], "No such command 'nonsense'"),
            (["--bogus", "id"], "--bogus"),
            (["id", "extra"], "see p2p id --help"),
            (["--port", "70000", "id"], "0<=x<=65535"),
            (["--tracker", "host:port", "id"], "write HOST or HOST:PORT"),
            (["--no-lan", "listen", "x"], "give --tracker"),
            (["ping", "-c", "0", OTHER], "x>=1"),
        ):
            with self.subTest(words=words):
                self.fails(words, says)

    def test_trackers_of_the_environment(self) -> None:
        os.environ["P2P_TRACKER"] = "::::"
        self.fails(["id"], "P2P_TRACKER: '::::' names no tracker; write HOST or HOST:PORT")
        os.environ["P2P_TRACKER"] = " , "
        self.fails(["--no-lan", "listen", "x"], "give --tracker")

    def test_the_local_network_of_the_environment(self) -> None:
        os.environ["P2P_LAN"] = "off"
        self.fails(["id"], "P2P_LAN: 'off' is neither yes nor no")
        os.environ["P2P_LAN"] = "no"
        self.fails(["listen", "x"], "give --tracker")

    def test_peers_and_services(self) -> None:
        tracker = ["--tracker", "127.0.0.1"]
        for words in (
            ["connect", OTHER[:-1], "x"],
            ["ping", OTHER.upper()],
            ["listen", "x", "--allow", "friend"],
            ["send", "--to", "friend", str(self.identity)],
            ["receive", "--allow", "friend"],
        ):
            with self.subTest(words=words):
                self.fails([*tracker, *words], "52 characters of lower-case", "invalid_peer_id")
        for words in (
            ["connect", self.own, "x"],
            ["ping", self.own],
            ["send", "--to", self.own, str(self.identity)],
            ["receive", self.own + TICKET_END],
        ):
            with self.subTest(words=words):
                self.fails([*tracker, *words], "with --identity FILE", "peer_refused")
        for name in ("", "x" * 256, "\udcff"):
            for words in (["listen", name], ["connect", OTHER, name]):
                with self.subTest(words=words):
                    self.fails([*tracker, *words], "1 to 255 bytes of UTF-8")

    def test_files_and_tickets(self) -> None:
        tracker = ["--tracker", "127.0.0.1"]
        (self.folder / "link").symlink_to("nowhere")
        for words, says in (
            (["send"], "Missing argument"),
            (["send", str(self.folder / "nothing")], "does not exist"),
            (["send", str(self.folder / "link")], "does not exist"),
            (["send", "/dev/null"], "nothing to send"),
            (["receive", OTHER + TICKET_END, "--allow", OTHER], "leave --allow out"),
            (["receive", "--into", str(self.identity)], "is a file"),
        ):
            with self.subTest(words=words):
                self.fails([*tracker, *words], says)
        self.fails([*tracker, "receive", OTHER], "copy all of it", "invalid_ticket")

    def test_endpoints(self) -> None:
        tracker = ["--tracker", "127.0.0.1"]
        for text, says in (
            ("", "such as tcp:"),
            ("nonsense", "such as tcp:"),
            ("tcp:", "such as tcp:"),
            ("tcp:127.0.0.1:ssh", "such as tcp:"),
            ("p2p:web:bogus=1", r"each colon within a value as \:"),
        ):
            for words in (["listen", "x", "--to", text], ["connect", OTHER, "x", "--from", text]):
                with self.subTest(words=words):
                    self.fails([*tracker, *words], says)

    def test_identity_files(self) -> None:
        others = self.folder / "open.pem"
        others.write_bytes(self.identity.read_bytes())
        others.chmod(0o644)
        no_key = self.folder / "no key"
        no_key.touch(mode=0o600)
        for file, says in (
            (others, "run: chmod 600"),
            (no_key, "holds no Ed25519 key in PEM form"),
            (self.folder, "is not an ordinary file"),
            (no_key / "a.pem", "Cannot write the identity file"),
        ):
            with self.subTest(file=file):
                self.fails(["id"], says, "identity_file", identity=file)

    def test_output_that_cannot_be_written(self) -> None:
        with redirect_stdout(Full()), redirect_stderr(StringIO()) as stderr:
            status = run(["--identity", str(self.identity), "id"])
        self.assertEqual(status, ExitStatus.FAULT)
        self.assertEqual(
            stderr.getvalue(),
            "p2p: The results cannot be written to stdout any more: No space left on device.\n",
        )
        with redirect_stderr(Full()):
            self.assertEqual(run(["nonsense"]), ExitStatus.USAGE)

    def test_streams_that_the_caller_closed_lead_nowhere(self) -> None:
        for name in ("stdin", "stdout", "stderr"):
            self.patch(sys, name, None)
        self.patch(sys, "argv", ["p2p", "--identity", str(self.identity), "id"])
        with self.assertRaises(SystemExit) as caught:
            main()
        self.assertEqual(caught.exception.code, ExitStatus.DONE)
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            self.assertEqual(stream.name, os.devnull)
            stream.close()

    def test_an_interrupt_before_there_is_a_reactor(self) -> None:
        def interrupt(words: Sequence[str]) -> ExitStatus:
            raise KeyboardInterrupt

        self.patch(main_module, "run", interrupt)
        with self.assertRaises(SystemExit) as caught:
            main()
        self.assertEqual(caught.exception.code, ExitStatus.INTERRUPTED)

    def test_a_fault_of_its_own(self) -> None:
        self.patch(os, "environ", None)
        status, _, stderr = self.run_here("id")
        self.assertEqual(status, ExitStatus.FAULT)
        self.assertIn("please report it", stderr)
        self.assertNotIn("Traceback", stderr)


class ListeningTests(SynchronousTestCase):
    def test_an_endpoint_that_is_taken_or_not_to_be_had(self) -> None:
        internet = SimulatedInternet()
        host = internet.add_host("a", "11.0.0.1")
        endpoint = TCP4ServerEndpoint(host.reactor, 80)
        port = internet.run_until(endpoint.listen(Factory()))
        self.assertIsInstance(port.getHost(), IPv4Address)
        for taken, error, says in (
            (endpoint, PortInUse, "choose another port"),
            (TCP4ServerEndpoint(host.reactor, 81, interface="11.9.9.9"), CannotListen, "--from"),
        ):
            listening = listen_at(taken, "--from", Factory())
            with self.assertRaises(error) as caught:
                listening.send(None)
            self.assertIn(says, str(caught.exception))
        internet.run_until(port.stopListening())
