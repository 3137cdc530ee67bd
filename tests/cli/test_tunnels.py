"""Tunnels, as `p2p connect --from` and `listen --to` make them, in virtual time."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.trial.unittest import SynchronousTestCase

from tests.connection.peers import HalfCloseable, Made
from twisted_p2p.cli.connect import Entrance
from twisted_p2p.cli.listen import Accepting, TargetUnreachable, join_all, join_with
from twisted_p2p.cli.reporting import Reporter
from twisted_p2p.testing import Link, connected_pair

PORT, OTHER_PORT, NO_PORT = 80, 81, 82
ROUND_TRIP = 0.1


class Echoing(HalfCloseable):
    """Says everything back, and a word more when it has been told everything."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.stream.write(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.stream.write(b", over")
        self.stream.loseConnection()


class Asking(HalfCloseable):
    """Ends when it has the whole answer."""

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.stream.loseConnection()


class TunnelTests(SynchronousTestCase):
    """A client on the host of ``a`` reaches a server on the host of ``b``."""

    def setUp(self) -> None:
        self.pair = connected_pair(None, None, link=Link(delay=ROUND_TRIP / 4))
        self.addCleanup(self.pair.stop)
        self.told = {"a": StringIO(), "b": StringIO()}
        self.server = Made(Echoing)
        self.listen(self.pair.host_b, self.server, PORT)
        self.accepting = Accepting(self.reporter("b"), only_one=False)
        self.accepting.node = self.pair.b
        self.pair.until(self.pair.b.listen("web", self.accepting))
        self.listen(self.pair.host_a, self.entrance("web"), PORT)

    def reporter(self, name: str) -> Reporter:
        return Reporter(StringIO(), self.told[name], as_json=True)

    def entrance(self, service: str) -> Entrance:
        return Entrance(self.reporter("a"), self.pair.a, self.pair.b.peer_id, service)

    def listen(self, host: Any, factory: Any, number: int) -> None:
        port = self.pair.until(TCP4ServerEndpoint(host.reactor, number).listen(factory))
        self.addCleanup(lambda: self.pair.until(port.stopListening()))

    def target(self, port: int = PORT) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(self.pair.host_b.reactor, "127.0.0.1", port)

    def serve(self, port: int = PORT) -> None:
        """Join what comes to ``b`` with its server, or with nothing."""
        serving = Deferred.fromCoroutine(
            join_all(self.target(port), self.accepting, self.reporter("b"))
        )
        serving.addErrback(lambda failure: None)
        self.addCleanup(serving.cancel)

    def client(self, port: int = PORT) -> Any:
        """Return a client that has connected to a tunnel's entrance."""
        endpoint = TCP4ClientEndpoint(self.pair.host_a.reactor, "127.0.0.1", port)
        return self.pair.until(connectProtocol(endpoint, Asking()))

    def event(self, name: str, event: str) -> dict[str, Any]:
        """Return the one event of a kind that a side told."""
        told = map(json.loads, self.told[name].getvalue().splitlines())
        (found,) = [each for each in told if each["event"] == event]
        return dict(found)

    def assert_counted(self, there: int, back: int) -> None:
        """Assert what the ``closed`` events of both sides say."""
        for name, sent, received in (("a", there, back), ("b", back, there)):
            closed = self.event(name, "closed")
            self.assertEqual((closed["bytes_sent"], closed["bytes_received"]), (sent, received))

    def test_bytes_and_the_end_of_each_half_pass(self) -> None:
        self.serve()
        client = self.client()
        client.transport.write(b"hello")
        client.transport.loseWriteConnection()
        self.pair.run_for(2.0)
        self.assertEqual((self.server.one.received, client.received), (b"hello", b"hello, over"))
        self.assertEqual(client.log[-1], "lost ConnectionDone")
        self.assert_counted(5, 11)

    def test_a_request_goes_out_with_the_request_for_its_stream(self) -> None:
        self.serve()
        self.client().transport.abortConnection()  # so that the peers are connected
        self.pair.run_for(2.0)
        client = self.client()
        client.transport.write(b"hello")
        self.pair.run_for(1.5 * ROUND_TRIP)
        self.assertEqual(client.received, b"hello")

    def test_an_abort_in_mid_transfer_passes_from_either_side(self) -> None:
        self.serve()
        for aborted in ("client", "server"):
            with self.subTest(aborted=aborted):
                for told in self.told.values():
                    told.seek(0)
                    told.truncate()
                self.server.made.clear()
                client = self.client()
                client.transport.write(bytes(1000))
                self.pair.run_for(2.0)
                ends = {"client": client, "server": self.server.one}
                ends.pop(aborted).transport.abortConnection()
                self.pair.run_for(2.0)
                (other,) = ends.values()
                self.assertEqual(other.log[-1], "lost ConnectionLost")
                self.assert_counted(1000, 1000)

    def test_a_peer_that_vanishes_does_not_look_like_one_that_ended(self) -> None:
        self.serve()
        client = self.client()
        client.transport.write(b"hello")
        self.pair.run_for(2.0)
        self.pair.host_b.link = Link(loss=1.0)
        self.pair.run_for(60.0)
        for end in (client, self.server.one):
            self.assertEqual(end.log[-1], "lost ConnectionLost")

    def test_a_target_that_cannot_be_reached_costs_its_stream_alone(self) -> None:
        self.serve(NO_PORT)
        client = self.client()
        client.transport.write(b"hello")
        self.pair.run_for(2.0)
        self.assertEqual(client.log, ["made", "lost ConnectionLost"])
        error = self.event("b", "error")
        self.assertEqual(error["code"], "target_unreachable")
        self.assertIn("start what listens there", error["message"])
        self.assertEqual(self.event("a", "closed")["bytes_sent"], 5)
        self.assertEqual(self.event("b", "closed")["bytes_received"], 0)
        self.assertFalse(self.client().log[1:])

    def test_a_target_that_cannot_be_reached_ends_one_that_takes_a_single_stream(self) -> None:
        self.client()
        self.pair.run_for(1.0)
        joined = join_with(self.target(NO_PORT), self.pair.until(self.accepting.streams.get()))
        with self.assertRaises(TargetUnreachable):
            self.pair.until(Deferred.fromCoroutine(joined))

    def test_a_stream_that_is_refused_costs_its_connection_alone(self) -> None:
        self.serve()
        self.listen(self.pair.host_a, self.entrance("mail"), OTHER_PORT)
        client = self.client(OTHER_PORT)
        self.pair.run_for(2.0)
        self.assertEqual(client.log, ["made", "lost ConnectionLost"])
        self.assertEqual(self.event("a", "error")["code"], "unknown_service")
