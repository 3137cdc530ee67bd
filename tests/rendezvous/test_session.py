"""Two nodes' sessions, joined by a wire that loses nothing."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort, NetworkInterface
from twisted_p2p.errors import ConnectionVanished, DialTimedOut, NoPath
from twisted_p2p.ice.candidate import Candidate
from twisted_p2p.ice.filter import CandidateFilter
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.rendezvous.gathering import LocalCandidates
from twisted_p2p.rendezvous.session import PATIENCE, PeerSession
from twisted_p2p.rendezvous.session_table import SessionTable
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage

PEER = IdentityKey.from_seed(bytes(32)).peer_id
SESSION_ID = bytes(16)


class Node:
    """One node's sessions; its packets leave from ``address`` and are seen to come from there."""

    def __init__(self, clock: Clock, address: HostPort, seen_at: HostPort | None = None) -> None:
        self.clock = clock
        self.address = address
        self.seen_at = seen_at or address
        self.peer: Node | None = None
        self.is_reachable = True
        self.sent: list[HostPort] = []
        self.happened: list[object] = []
        interface = NetworkInterface("eth0", 2, (f"{address.host}/24",))
        candidates = LocalCandidates(lambda: [interface])
        candidates.refresh([address])
        candidates.observed("11.9.0.2", address, self.seen_at)
        self.candidates = candidates
        self.table = SessionTable(
            clock,
            candidates=candidates,
            send=self.send,
            local_address=lambda path: address,
            random_bytes=Random(str(address)).randbytes,
        )

    def send(self, data: bytes, path: DatagramPath) -> None:
        self.sent.append(path.remote)
        peer = self.peer
        if peer is not None and peer.is_reachable and path.remote in (peer.seen_at, peer.address):
            within = ip_address(path.remote.host).is_private
            back = DatagramPath(peer.address, self.address if within else self.seen_at)
            self.clock.callLater(0.01, peer.table.stun_received, data, back)

    def open(self, *, is_initiator: bool) -> PeerSession:
        session = self.table.open(PEER, SESSION_ID, bytes(32), is_initiator=is_initiator)
        session.owner = self
        return session

    def path_authenticated(self, session: PeerSession, path: DatagramPath) -> None:
        self.happened.append(path)

    def path_changed(self, session: PeerSession) -> None:
        self.happened.append("changed")

    def judge(self, peer: Node) -> CandidateFilter:
        return CandidateFilter(
            own_observed=[self.seen_at], peer_observed=[peer.seen_at], trackers=()
        )


class SessionTests(SynchronousTestCase):
    def join(self, left: Node, right: Node) -> tuple[PeerSession, PeerSession]:
        left.peer, right.peer = right, left
        sessions = left.open(is_initiator=True), right.open(is_initiator=False)
        for session, own, other in zip(sessions, (left, right), (right, left), strict=True):
            offered = other.candidates.current()
            session.peer_is_at([other.seen_at], offered, own.judge(other))
        self.clock.pump([0.01] * 100)
        return sessions

    def setUp(self) -> None:
        self.clock = Clock()

    def node(self, address: str, seen_at: str | None = None) -> Node:
        seen = None if seen_at is None else HostPort(seen_at, 6000)
        return Node(self.clock, HostPort(address, 4000), seen)

    def kinds(self, left: Node, right: Node) -> list[str | None]:
        return [session.path and session.path.kind for session in self.join(left, right)]

    def test_a_path_between_public_hosts_is_direct(self) -> None:
        self.assertEqual(self.kinds(self.node("11.1.0.2"), self.node("11.2.0.2")), ["direct"] * 2)

    def test_a_path_through_a_nat_at_either_side_is_punched(self) -> None:
        for left, right in ((None, "11.2.0.9"), ("11.1.0.9", None), ("11.1.0.9", "11.2.0.9")):
            nodes = self.node("11.1.0.2", left), self.node("11.2.0.2", right)
            self.assertEqual(self.kinds(*nodes), ["punched"] * 2)

    def test_a_path_between_private_addresses_is_of_a_lan(self) -> None:
        nodes = self.node("192.168.1.2", "11.1.0.9"), self.node("192.168.1.3", "11.1.0.9")
        self.assertEqual(self.kinds(*nodes), ["lan", "lan"])

    def test_its_owner_is_told_of_the_first_path_once_it_can_be_used(self) -> None:
        left, right = self.node("11.1.0.2"), self.node("11.2.0.2")
        session, _ = self.join(left, right)
        first, *_ = left.happened
        self.assertEqual(first, DatagramPath(left.address, right.address))
        self.assertIn("changed", left.happened)
        before = len(left.sent)
        session.send(b"data")
        self.assertEqual(left.sent[before:], [right.address])

    def test_before_there_is_a_path_and_after_the_end_data_are_lost(self) -> None:
        node = self.node("11.1.0.2")
        session = node.open(is_initiator=True)
        session.send(b"early")
        self.assertIsNone(session.path)
        session.close()
        session.send(b"late")
        self.assertEqual(node.sent, [])

    def test_after_the_end_no_address_is_tried_and_nothing_is_left(self) -> None:
        node = self.node("11.1.0.2")
        session = node.open(is_initiator=True)
        ends: list[None] = []
        session.when_closed(lambda: ends.append(None))
        for _ in range(2):
            session.close()
            session.fail(NoPath())
        self.assertEqual((len(ends), session.error), (1, None))
        offered = [Candidate.host(HostPort("11.2.0.2", 5), base=None)]
        session.peer_is_at([HostPort("11.2.0.2", 5)], offered, node.judge(self.node("11.2.0.2")))
        self.clock.advance(20)
        self.assertEqual(node.sent, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_when_nothing_is_heard_the_peer_did_not_answer(self) -> None:
        for addresses in ((), (HostPort("11.2.0.2", 4000),)):
            node = self.node("11.1.0.2")
            session = node.open(is_initiator=True)
            session.peer_is_at(addresses, (), node.judge(self.node("11.2.0.2")))
            self.clock.pump([0.1] * 130)
            self.assertIsInstance(session.error, DialTimedOut)

    def test_when_an_answer_told_no_address_of_use_there_is_no_path(self) -> None:
        node = self.node("11.1.0.2")
        session = node.open(is_initiator=True)
        session.was_answered = True
        self.clock.advance(PATIENCE)
        self.assertIsInstance(session.error, NoPath)
        self.assertIn("no address", str(session.error))

    def test_a_peer_that_vanishes_is_given_up_after_30_seconds(self) -> None:
        left, right = self.node("11.1.0.2"), self.node("11.2.0.2")
        session, other = self.join(left, right)
        right.is_reachable = left.is_reachable = False
        self.clock.pump([0.1] * 310)
        for one in (session, other):
            self.assertIsInstance(one.error, ConnectionVanished)
            self.assertIsNone(one.path)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SessionTableTests(SynchronousTestCase):
    def test_what_is_for_no_session_is_counted_and_dropped(self) -> None:
        node = Node(Clock(), HostPort("11.1.0.2", 4000))
        path = DatagramPath(node.address, HostPort("11.2.0.2", 4000))
        request, success = (
            STUNMessage.build(BINDING, kind, bytes(12)).encode()
            for kind in (MessageClass.REQUEST, MessageClass.SUCCESS)
        )
        for data in (request, success, b"\0\1"):
            node.table.stun_received(data, path)
        self.assertEqual(node.table.dropped, {"unknown_session": 2, "malformed": 1})
        self.assertEqual(node.sent, [])

    def test_a_session_is_found_by_its_id_and_its_peer_until_it_ends(self) -> None:
        node = Node(Clock(), HostPort("11.1.0.2", 4000))
        session = node.open(is_initiator=True)
        other = IdentityKey.from_seed(bytes([1] * 32)).peer_id
        self.assertIs(node.table.find(SESSION_ID, PEER), session)
        self.assertIsNone(node.table.find(SESSION_ID, other))
        self.assertIsNone(node.table.find(bytes([1] * 16), PEER))
        node.table.close()
        self.assertTrue(session.is_closed)
        self.assertIsNone(node.table.find(SESSION_ID, PEER))
