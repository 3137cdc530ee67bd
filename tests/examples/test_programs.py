"""Each example, run as its first lines say, on a simulated internet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from tests.examples.stage import TRACKER, ExampleCase, load, shut_down_reactor
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import PeerOffline, PeerRefused, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.testing import simulated_node

ANY = Factory.forProtocol(Protocol)


class BareDatagramTests(ExampleCase):
    def test_pings_are_answered_through_two_nats(self) -> None:
        example = load("bare_datagrams")
        self.program(1).start(example.main, TRACKER)
        peer = self.until_said(r"^this is (\w{52})$")
        ended = self.program(2).start(example.main, TRACKER, peer)
        self.internet.run_until(ended)
        self.assertRegex(self.out, rf"(?m)^a punched path to {peer} at 11\.0\.1\.1:\d+$")
        for number in range(example.ROUNDS):
            self.assertRegex(self.out, rf"(?m)^pong {number} after 8\d\.\d ms$")

    def test_whoever_is_no_peer_is_told_apart(self) -> None:
        program = self.program(1)
        program.start(load("bare_datagrams").main, TRACKER)
        self.until_said(r"^this is (\w{52})$")
        [port] = program.host.open_ports()
        stranger = self.internet.add_host("stranger", "192.168.1.3", network=program.host.network)
        sending = stranger.reactor.listenUDP(0, DatagramProtocol())
        stranger.stop_at_end.append(sending.stopListening)
        sending.write(b"pong 7", (program.host.addresses[0], port.getHost().port))
        self.until_said(r"^6 bytes from 192\.168\.1\.3:\d+, which is no peer's$")


class ChatTests(ExampleCase):
    def test_three_chat_who_each_run_the_program(self) -> None:
        example = load("chat")
        keyboards: list[Any] = []
        self.patch(example, "StandardIO", keyboards.append)
        self.program(1).start(example.main, TRACKER, "ann")
        ann = self.until_said(r"^\* you are (\w{52})$")
        for number, name in ((2, "bob"), (3, "cat")):
            self.program(number).start(example.main, TRACKER, name, ann)
            self.internet.run_for(2.0)
        keyboards[2].lineReceived(b"hello, you two")
        self.internet.run_for(1.0)
        self.assertEqual(self.out.count("cat: hello, you two\n"), 2)

    def test_a_peer_that_is_nowhere_is_one_sentence(self) -> None:
        example = load("chat")
        self.patch(example, "StandardIO", lambda keyboard: None)
        nobody = IdentityKey.generate().peer_id
        self.program(1).start(example.main, TRACKER, "ann", nobody, "no peer ID")
        self.until_said(rf"^\* {nobody}: No tracker knows this peer")
        self.until_said(r"^\* no peer ID: A peer ID is 52 characters")


class ClubTrackerTests(ExampleCase):
    has_tracker = False

    def setUp(self) -> None:
        super().setUp()
        self.members = Path(self.mktemp())
        self.members.write_text("")
        serving = load("club_tracker").main(self.tracker_host.reactor, self.members, TRACKER)
        ended = Deferred.fromCoroutine(serving).addErrback(lambda _: None)
        self.tracker_host.stop_last += [
            ended.cancel,
            lambda: shut_down_reactor(self.tracker_host),
        ]
        self.nodes = [self.node(number) for number in (1, 2)]

    def node(self, number: int) -> Any:
        node = simulated_node(self.program(number).host, [HostPort(TRACKER, 3478)])
        node.startService()
        return node

    def admit(self, *nodes: Any) -> None:
        self.members.write_text("".join(f"{node.peer_id}\n" for node in nodes))

    def test_members_are_served_and_told_of(self) -> None:
        self.admit(*self.nodes)
        one, other = self.nodes
        for node in self.nodes:
            self.internet.run_until(node.when_ready())
            self.until_said(rf"^{node.peer_id} is here$")
        self.internet.run_until(other.listen("any", ANY))
        self.internet.run_until(one.connect(other.peer_id, "any", ANY))
        self.until_said(rf"^{one.peer_id} met {other.peer_id}$")
        self.internet.run_until(other.stopService())
        self.until_said(rf"^{other.peer_id} is gone$")

    def test_others_are_not(self) -> None:
        one, other = self.nodes
        self.admit(one)
        self.internet.run_until(one.when_ready())
        with self.assertRaises(TrackerUnreachable):
            self.internet.run_until(other.when_ready())
        self.until_said(rf"^{other.peer_id} at 11\.0\.2\.1:\d+ is no member$")
        with self.assertRaises(PeerOffline):
            self.internet.run_until(one.connect(other.peer_id, "any", ANY))

    def test_who_has_left_the_club_meets_nobody(self) -> None:
        one, other = self.nodes
        self.admit(one, other)
        for node in self.nodes:
            self.internet.run_until(node.when_ready())
        self.admit(one)
        with self.assertRaises(PeerRefused):
            self.internet.run_until(one.connect(other.peer_id, "any", ANY))
