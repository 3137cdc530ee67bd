"""`p2p` as a black box: results, events, sentences and exit statuses."""

from __future__ import annotations

import os
import signal
import stat

from twisted.internet import defer, reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.protocols.wire import Echo

from tests.cli.commands import CommandTestCase
from twisted_p2p.cli.exit_status import ExitStatus
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID


class IdentityTests(CommandTestCase):
    async def test_makes_an_identity_on_first_use_and_keeps_it(self) -> None:
        first = await self.run_command("id")
        again = await self.run_command("--json", "id")
        peer_id = PeerID(first.stdout.decode().strip())
        self.assertEqual(first.status, ExitStatus.DONE)
        self.assertIn(f'"peer": "{peer_id}"', again.stdout.decode())
        mode = (self.folder / "a.pem").stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)


class FailureTests(CommandTestCase):
    """What goes wrong between this node, its trackers and its peers."""

    async def test_no_tracker_answers(self) -> None:
        silent = reactor.listenUDP(0, DatagramProtocol(), interface="127.0.0.1")
        self.addCleanup(silent.stopListening)
        outcome = await self.run_command(
            "--tracker", f"127.0.0.1:{silent.getHost().port}", "listen", "x"
        )
        self.assertEqual(outcome.status, ExitStatus.TRACKER_UNREACHABLE)
        self.assert_sentence(outcome, "No tracker answers")

    async def test_the_port_is_taken(self) -> None:
        taken = reactor.listenUDP(0, DatagramProtocol())
        self.addCleanup(taken.stopListening)
        outcome = await self.run_command(
            "--tracker", "127.0.0.1", "--port", str(taken.getHost().port), "listen", "x"
        )
        self.assertEqual(outcome.status, ExitStatus.PORT_IN_USE)
        self.assert_sentence(outcome, "choose another one")

    async def test_the_peer_is_not_there(self) -> None:
        tracker = self.start_tracker()
        peer_id = str(IdentityKey.generate().peer_id)
        outcome = await self.run_command("--tracker", str(tracker), "connect", peer_id, "x")
        self.assertEqual(outcome.status, ExitStatus.PEER_OFFLINE)
        self.assert_sentence(outcome, "start it")

    async def test_the_peer_refuses_or_lacks_the_service(self) -> None:
        tracker = str(self.start_tracker())
        friend = self.run_here("id", name="friend").stdout.decode().strip()
        listening = self.start(
            "--json", "--tracker", tracker, "listen", "x", "--allow", friend, stdin=None
        )
        peer_id = (await listening.event("ready"))["peer"]
        stranger, lacking = await defer.gatherResults(
            [
                defer.Deferred.fromCoroutine(
                    self.run_command(
                        "--json", "--tracker", tracker, "connect", peer_id, service, name=name
                    )
                )
                for name, service in (("stranger", "x"), ("friend", "y"))
            ]
        )
        self.assertEqual(stranger.status, ExitStatus.PEER_REFUSED)
        self.assertEqual(stranger.event("error")["code"], "peer_refused")
        self.assertEqual(lacking.status, ExitStatus.UNKNOWN_SERVICE)
        self.assertEqual(lacking.event("error")["code"], "unknown_service")
        self.assertNotIn("connected", [event["event"] for event in lacking.events()])

    async def test_an_interrupted_command_says_so_by_its_status(self) -> None:
        heard = _Heard()
        silent = reactor.listenUDP(0, heard, interface="127.0.0.1")
        self.addCleanup(silent.stopListening)
        tracker = f"127.0.0.1:{silent.getHost().port}"
        listening = self.start("--tracker", tracker, "listen", "x", stdin=None)
        await heard.first
        os.kill(self.process.pid, signal.SIGINT)
        outcome = await listening.ended
        self.assertEqual((outcome.status, outcome.stderr), (ExitStatus.INTERRUPTED, b""))


class _Heard(DatagramProtocol):
    """Says nothing, and tells when the first datagram comes."""

    def __init__(self) -> None:
        self.first: defer.Deferred[bytes] = defer.Deferred()

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        if not self.first.called:
            self.first.callback(datagram)


class StreamTests(CommandTestCase):
    """Streams between two processes."""

    async def test_joins_stdin_and_stdout_both_ways(self) -> None:
        tracker = str(self.start_tracker())
        question, answer = os.urandom(300_000), os.urandom(200_000)
        listening = self.start("--json", "--tracker", tracker, "listen", "x", stdin=answer)
        ready = await listening.event("ready")
        connected = await self.run_command(
            "--json", "--tracker", tracker, "connect", ready["peer"], "x", name="b", stdin=question
        )
        self.assertEqual(connected.status, ExitStatus.DONE, connected.stderr)
        listened = await listening.ended
        self.assertEqual(listened.status, ExitStatus.DONE, listened.stderr)
        self.assertEqual(connected.stdout, answer)
        self.assertEqual(listened.stdout, question)
        opened, accepted = connected.event("connected"), listened.event("accepted")
        self.assertEqual(set(opened), set(accepted))
        self.assertEqual(opened["path"]["remote"], accepted["path"]["local"])
        self.assertEqual((opened["path"]["kind"], opened["path"]["protocol"]), ("lan", "udp"))
        self.assertEqual(
            listened.event("closed"),
            {
                "event": "closed",
                "peer": accepted["peer"],
                "bytes_sent": len(answer),
                "bytes_received": len(question),
            },
        )

    async def test_pings(self) -> None:
        tracker = str(self.start_tracker())
        listening = self.start("--json", "--tracker", tracker, "listen", "x", stdin=None)
        peer_id = (await listening.event("ready"))["peer"]
        pinged = await self.run_command(
            "--json", "--tracker", tracker, "ping", peer_id, "-c", "1", name="b"
        )
        self.assertEqual(pinged.status, ExitStatus.DONE)
        self.assertIn(b'"event": "pong"', pinged.stdout)
        self.assertIn(b'"accepting": true', pinged.stdout)

    async def test_tunnels_to_and_from_endpoints(self) -> None:
        tracker = str(self.start_tracker())
        echo = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(
            Factory.forProtocol(Echo)
        )
        self.addCleanup(echo.stopListening)
        target = f"tcp:127.0.0.1:{echo.getHost().port}"
        listening = self.start(
            "--json", "--tracker", tracker, "listen", "x", "--to", target, stdin=None
        )
        peer_id = (await listening.event("ready"))["peer"]
        entrance = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory())
        port = entrance.getHost().port
        await entrance.stopListening()
        connecting = self.start(
            *("--json", "--tracker", tracker, "connect", peer_id, "x"),
            *("--from", f"tcp:{port}:interface=127.0.0.1"),
            name="b",
            stdin=None,
        )
        await connecting.event("ready")
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        recorder = _Collecting(len(b"through the tunnel"))
        await connectProtocol(endpoint, recorder)
        recorder.transport.write(b"through the tunnel")
        self.assertEqual(await recorder.complete, b"through the tunnel")
        recorder.transport.loseConnection()
        await connecting.event("closed")


class _Collecting(Protocol):
    """Tells when so many bytes have come."""

    def __init__(self, size: int) -> None:
        self.complete: defer.Deferred[bytes] = defer.Deferred()
        self._size = size
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if len(self._received) == self._size:
            self.complete.callback(self._received)
