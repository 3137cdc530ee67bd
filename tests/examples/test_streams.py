"""The examples of programs on streams, run as their first lines say, on a simulated internet."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from tests.examples.stage import TRACKER, ExampleCase, Program, load
from tests.requirements import leave_out
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.testing import FULL_CONE, SEQUENTIAL_SYMMETRIC

CONTENT = Random(1).randbytes(300_000)


class FileOfferTests(ExampleCase):
    def offer(self, content: bytes = CONTENT) -> str:
        program = self.program(1)
        (program.folder / "holiday.jpg").write_bytes(content)
        with program.inside():
            path = str(Path("holiday.jpg").resolve())
        program.start(load("file_offer").main, TRACKER, "offer", path)
        return self.until_said(r"^this is (\w{52})$")

    def take(self, program: Program, peer: str) -> Deferred[Any]:
        example = load("file_offer")
        self.patch(example, "FOLDER", program.folder)
        return program.start(example.main, TRACKER, "take", peer)

    def test_a_file_is_taken_whole(self) -> None:
        taker = self.program(2)
        self.internet.run_until(self.take(taker, self.offer()))
        self.assertIn("taking 'holiday.jpg', 300000 bytes\ncomplete: ", self.out)
        self.assertEqual((taker.folder / "holiday.jpg").read_bytes(), CONTENT)

    def test_nothing_that_is_there_is_overwritten(self) -> None:
        taker = self.program(2)
        (taker.folder / "holiday.jpg").write_text("mine")
        with self.assertRaises(SystemExit):
            self.internet.run_until(self.take(taker, self.offer()))
        self.assertEqual((taker.folder / "holiday.jpg").read_text(), "mine")

    def test_a_file_that_breaks_off_is_not_complete(self) -> None:
        taker = self.program(2)
        taken = self.take(taker, self.offer(bytes(5_000_000)))
        self.until_said("^taking")
        self.internet.hosts["program 1"].disconnect()
        with self.assertRaises(SystemExit):
            self.internet.run_until(taken)
        self.assertNotIn("complete", self.out)


class AnyEndpointTests(ExampleCase):
    """`LineReceiver` and AMP know nothing of peers."""

    def endpoints(self, service: str) -> tuple[tuple[str, str], ...]:
        where = f"tracker={TRACKER}:identity"
        return (
            (f"p2p:{service}:{where}=s.pem", f"p2p:%s:service={service}:{where}=c.pem"),
            ("tcp:8007", f"tcp:{TRACKER}:8007"),
        )

    def both(self, name: str, *arguments: str) -> None:
        """Run a server and a client of an example, over a peer's stream and over TCP."""
        example = load(name)
        over_p2p, over_tcp = self.endpoints("any")
        server, client = self.program(1), self.program(2)
        server.start(example.main, "serve", over_p2p[0])
        self.until_said("^listening at PeerAddress")
        peer = server.identity("s.pem").peer_id
        self.internet.run_until(client.start(example.main, "call", over_p2p[1] % peer, *arguments))
        public = Program(self.tracker_host, self.top / "public")
        self.tracker_host.stop_last.append(public.stop)
        public.begin(example.main, "serve", over_tcp[0])
        self.until_said("^listening at IPv4Address")
        third = self.program(3)
        self.internet.run_until(third.start(example.main, "call", over_tcp[1], *arguments))

    def test_lines(self) -> None:
        self.both("shout", "hello there")
        self.assertEqual(self.out.count("HELLO THERE\n"), 2)

    def test_amp(self) -> None:
        self.both("amp_sum", "19", "23")
        self.assertEqual(self.out.count("\n42\n"), 2)
        self.until_said(r"^19 \+ 23 for 'who wants 42' at PeerAddress")
        self.until_said(r"^19 \+ 23 for 'who wants 42' at IPv4Address")


class FollowTests(ExampleCase):
    def test_a_peer_is_followed_into_another_network(self) -> None:
        example = load("follow")
        teller, follower = self.program(1), self.program(2)
        teller.start(example.main, TRACKER)
        peer = self.until_said(r"^this is (\w{52})$")
        follower.start(example.main, TRACKER, peer)
        self.until_said(r"^connected over 11\.0\.1\.1:\d+$")
        self.until_said(r"^\d+$")
        train = self.internet.add_network("train", "11.0.7.1")
        teller.host.move_to(train, "192.168.7.2")
        self.until_said(r"over 11\.0\.7\.1:\d+$", limit=300.0)
        before = self.out.count("\n")
        self.internet.run_for(10.0)
        self.assertGreaterEqual(self.out.count("\n"), before + 9)

    def test_a_path_that_moves_is_told(self) -> None:
        example = load("follow")
        teller = self.program(1, SEQUENTIAL_SYMMETRIC)
        teller.start(example.main, TRACKER)
        peer = self.until_said(r"^this is (\w{52})$")
        self.program(2, FULL_CONE).start(example.main, TRACKER, peer)
        self.until_said(r"^\d+$")
        gateway = teller.host.network.gateway
        assert gateway is not None
        gateway.rebind()
        self.until_said(r"^now over 11\.0\.1\.1:\d+$")
        self.assertNotIn("lost", self.out)

    def test_a_peer_that_is_started_anew_is_found_again(self) -> None:
        example = load("follow")
        teller, follower = self.program(1), self.program(2)
        teller.start(example.main, TRACKER)
        peer = self.until_said(r"^this is (\w{52})$")
        follower.start(example.main, TRACKER, peer)
        self.until_said(r"^\d+$")
        teller.host.stop_at_end.remove(teller.stop)
        self.internet.run_until(teller.stop())
        self.until_said(r"^lost: ")
        teller.host.restart()
        teller.start(example.main, TRACKER)
        self.internet.run_for(60.0)
        self.assertEqual(self.out.count("connected over"), 2)


class Screen(Protocol):
    """A terminal in the place of standard input and output."""

    shown = b""

    def write(self, data: bytes) -> None:
        self.shown += data

    def loseConnection(self) -> None:
        self.is_closed = True


class ShellTests(ExampleCase):
    def setUp(self) -> None:
        super().setUp()
        try:
            self.server_example, self.client_example = load("shell_server"), load("shell_client")
        except ImportError as error:
            leave_out(f"{error} (pip install Twisted[conch]).")
        self.screen = Screen()
        self.terminals: list[Any] = []
        self.patch(self.client_example, "StandardIO", self.join)

    def join(self, terminal: Any) -> None:
        terminal.transport = self.screen
        self.terminals.append(terminal)

    def serve(self, *peers: str) -> str:
        self.program(1).start(self.server_example.main, TRACKER, *peers)
        return self.until_said(r"^this is (\w{52})$")

    def until_shown(self, expected: bytes) -> None:
        for _ in range(100):
            if expected in self.screen.shown:
                return
            self.internet.run_for(0.1)
        self.fail(f"{expected!r} is not in {self.screen.shown!r}")

    def test_a_shell_computes(self) -> None:
        client = self.program(2)
        peer = self.serve(client.identity("shell_client.pem").peer_id)
        left = client.start(self.client_example.main, TRACKER, peer)
        self.until_shown(b">>> ")
        self.terminals[0].dataReceived(b"6 * 7\r")
        self.until_shown(b"42")
        self.terminals[0].dataReceived(b"\x04")
        self.internet.run_until(left)
        self.assertTrue(self.screen.is_closed)

    def test_who_is_not_named_does_not_come_so_far(self) -> None:
        client = self.program(2)
        peer = self.serve(IdentityKey.generate().peer_id)
        with self.assertRaises(SystemExit):
            self.internet.run_until(client.start(self.client_example.main, TRACKER, peer))
        self.assertEqual(self.terminals, [])
