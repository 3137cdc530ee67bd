"""`HolePunchProtocol` by itself, on reactors of the simulated internet and no node."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import World
from twisted_p2p import HolePunchProtocol, HostPort, PeerPath
from twisted_p2p.errors import (
    ConnectionVanished,
    InvalidPeerID,
    NoPath,
    PathLost,
    PeerOffline,
    PeerRefused,
)
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.testing import PORT_RESTRICTED, RANDOM_SYMMETRIC, NATBehaviour, SimulatedHost

LIKE_OURS = [
    b"",
    b"\x00",
    b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
    b"\x01\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
    b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12),
    *(bytes([first]) + b"anything else" for first in (0, 3, 4, 15, 64, 79, 127, 192, 255)),
]


class Puncher(HolePunchProtocol):
    """Remembers its hooks."""

    refused: frozenset[str] = frozenset()

    def startProtocol(self) -> None:
        self.log: list[str] = []
        self.seen_at: list[HostPort] = []
        self.paths: list[PeerPath] = []
        self.lost: list[Any] = []
        self.received: list[tuple[bytes, str]] = []
        self.strangers: list[tuple[bytes, HostPort]] = []
        super().startProtocol()

    def registered(self, address: HostPort) -> None:
        self.seen_at.append(address)

    def may_punch(self, peer_id: str) -> bool:
        return super().may_punch(peer_id) and peer_id not in self.refused

    def path_selected(self, path: PeerPath) -> None:
        self.paths.append(path)

    def path_lost(self, reason: Failure) -> None:
        self.lost.append(reason.value)

    def peer_datagram_received(self, data: bytes, peer_id: str) -> None:
        self.received.append((data, peer_id))

    def stranger_datagram_received(self, data: bytes, address: HostPort) -> None:
        self.strangers.append((data, address))


class HolePunchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = self.enterContext(World())
        self.hosts: list[SimulatedHost] = []

    def listen(
        self,
        nat: NATBehaviour | None = PORT_RESTRICTED,
        *,
        kind: type[Puncher] = Puncher,
        host: SimulatedHost | None = None,
        identity: IdentityKey | None = None,
        **options: Any,
    ) -> Any:
        """Return a protocol that listens and is registered, on a host of its own."""
        if host is None:
            host = self.world.add_host(100 + len(self.hosts), nat, self.world.link)
            self.hosts.append(host)
        protocol = kind(
            host.reactor,
            identity or IdentityKey.from_seed(host.random.randbytes(32)),
            [tracker.address for tracker in self.world.trackers],
            random_bytes=host.random.randbytes,
            wall_clock=host.reactor.seconds,
            **options,
        )
        port = host.reactor.listenUDP(0, protocol)
        host.stop_at_end.append(port.stopListening)
        self.world.until(protocol.when_ready())
        return protocol

    def pair(self) -> tuple[Any, Any]:
        left, right = self.listen(), self.listen()
        self.world.until(left.punch(right.peer_id))
        self.world.run(1.0)
        return left, right

    def test_peers_are_found_by_a_topic(self) -> None:
        left, right = self.listen(), self.listen(topics=["chess"])
        [peer] = self.world.until(left.peers("chess"))
        self.assertEqual((peer.peer_id, peer.services), (right.peer_id, ()))
        self.assertEqual(self.world.until(right.peers("chess")), [])
        self.assertRaises(ValueError, self.listen, topics=["t" * 33])

    def test_a_path_through_two_nats_is_told_to_both(self) -> None:
        left, right = self.listen(), self.listen()
        path = self.world.until(left.punch(right.peer_id))
        self.world.run(1.0)
        self.assertEqual(left.paths, [path])
        self.assertEqual(
            (path.kind, path.protocol, path.peer_id), ("punched", "udp", right.peer_id)
        )
        self.assertEqual(path.remote, right.seen_at[0])
        [back] = right.paths
        self.assertEqual((back.peer_id, back.remote), (left.peer_id, left.seen_at[0]))
        self.assertEqual((left.path_to(right.peer_id), right.path_to(left.peer_id)), (path, back))
        self.assertEqual(self.world.trackers[0].status()["introductions_total"], 1)

    def test_every_datagram_but_ours_is_the_users(self) -> None:
        left, right = self.pair()
        for data in LIKE_OURS:
            self.assertTrue(left.send_to_peer(data, right.peer_id))
            self.assertTrue(right.send_to_peer(data, left.peer_id))
            self.world.run(0.5)
        self.assertEqual(right.received, [(data, left.peer_id) for data in LIKE_OURS])
        self.assertEqual(left.received, [(data, right.peer_id) for data in LIKE_OURS])
        self.assertEqual((left.strangers, right.strangers), ([], []))

    def test_a_strangers_datagrams_are_no_peers(self) -> None:
        public = self.listen(None)
        stranger = DatagramProtocol()
        host = self.world.add_host(1, None, self.world.link)
        host.stop_at_end.append(host.reactor.listenUDP(9, stranger).stopListening)
        for data in LIKE_OURS:
            stranger.transport.write(data, public.seen_at[0])  # type: ignore[union-attr]
        self.world.run(1.0)
        self.assertEqual(sorted(data for data, _ in public.strangers), sorted(LIKE_OURS))
        self.assertEqual({address for _, address in public.strangers}, {(host.addresses[0], 9)})
        self.assertEqual(public.received, [])

    def test_who_has_a_path_needs_no_other(self) -> None:
        left, right = self.pair()
        again = self.successResultOf(left.punch(right.peer_id))
        self.assertEqual(again, left.paths[0])
        self.assertEqual(self.successResultOf(right.punch(left.peer_id)), right.paths[0])

    def test_all_who_wait_get_the_path(self) -> None:
        left, right = self.listen(), self.listen()
        waiting = [left.punch(right.peer_id) for _ in range(3)]
        self.assertEqual(len({self.world.until(each) for each in waiting}), 1)
        self.assertEqual(self.world.trackers[0].status()["introductions_total"], 1)

    def test_both_may_punch_at_once(self) -> None:
        left, right = self.listen(), self.listen()
        punched = [left.punch(right.peer_id), right.punch(left.peer_id)]
        for each in punched:
            self.world.until(each)
        self.world.run(1.0)
        left.send_to_peer(b"one path", right.peer_id)
        right.send_to_peer(b"for both", left.peer_id)
        self.world.run(1.0)
        self.assertEqual(right.received, [(b"one path", left.peer_id)])
        self.assertEqual(left.received, [(b"for both", right.peer_id)])
        self.assertEqual((left.lost, right.lost), ([], []))

    def test_a_peer_may_be_refused(self) -> None:
        left, right = self.listen(), self.listen()
        right.refused = frozenset({left.peer_id})
        error = self.world.error_of(left.punch(right.peer_id))
        self.assertIsInstance(error, PeerRefused)
        self.assertEqual(right.paths, [])

    def test_whoever_is_not_allowed_learns_no_address(self) -> None:
        left = self.listen()
        right = self.listen(allow=[IdentityKey.generate().peer_id])
        self.assertIsInstance(self.world.error_of(left.punch(right.peer_id)), PeerRefused)
        self.assertEqual(
            [
                p
                for p in self.world.net.log
                if p.destination.host == right.seen_at[0].host
                and p.source.host == left.seen_at[0].host
            ],
            [],
        )
        left, right = self.listen(), self.listen(allow=[left.peer_id])
        self.assertRaises(InvalidPeerID, self.listen, allow=["nobody"])

    def test_nobody_there_and_no_way(self) -> None:
        left = self.listen()
        nobody = IdentityKey.generate().peer_id
        self.assertIsInstance(self.world.error_of(left.punch(nobody)), PeerOffline)
        self.assertRaises(PeerRefused, left.punch, left.peer_id)
        self.assertRaises(InvalidPeerID, left.punch, "nobody")
        beyond = self.listen(RANDOM_SYMMETRIC)
        self.assertIsInstance(self.world.error_of(left.punch(beyond.peer_id)), NoPath)
        self.assertFalse(left.send_to_peer(b"", nobody))
        self.assertIsNone(left.path_to(nobody))

    def test_an_attempt_can_be_cancelled(self) -> None:
        left, right = self.listen(), self.listen()
        first, second = left.punch(right.peer_id), left.punch(right.peer_id)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.world.until(second)
        left.forget(right.peer_id)
        alone = left.punch(right.peer_id)
        alone.cancel()
        self.failureResultOf(alone, CancelledError)
        before = len(left.paths)
        self.world.run(5.0)
        self.assertEqual(len(left.paths), before)

    def test_a_path_that_is_forgotten_ends_on_both_sides(self) -> None:
        left, right = self.pair()
        left.forget(right.peer_id)
        left.forget(right.peer_id)
        self.assertFalse(left.send_to_peer(b"", right.peer_id))
        self.assertIsInstance(left.lost[0], PathLost)
        self.assertEqual(left.lost[0].peer_id, right.peer_id)
        self.world.run(36.0)
        [lost] = right.lost
        self.assertEqual((lost.peer_id, type(lost.__cause__)), (left.peer_id, ConnectionVanished))
        self.assertIsNone(right.path_to(left.peer_id))
        self.world.until(right.punch(left.peer_id))
        self.assertEqual(len(right.paths), 2)

    def test_a_peer_that_was_started_anew_replaces_itself(self) -> None:
        left, right = self.listen(), self.listen()
        self.world.until(left.punch(right.peer_id))
        host = self.hosts[0]
        left.transport.stopListening()
        self.world.run(1.0)
        again = self.listen(host=host, identity=left._identity)
        self.world.until(again.punch(right.peer_id))
        self.world.run(1.0)
        again.send_to_peer(b"back", right.peer_id)
        self.world.run(1.0)
        self.assertEqual(right.received, [(b"back", left.peer_id)])
        self.assertEqual((len(right.paths), right.lost), (2, []))

    def test_a_hook_that_fails_spoils_nothing(self) -> None:
        class Failing(Puncher):
            def path_selected(self, path: PeerPath) -> None:
                raise ValueError("path_selected")

            def registered(self, address: HostPort) -> None:
                raise ValueError("registered")

        class Refusing(Puncher):
            def may_punch(self, peer_id: str) -> bool:
                raise ValueError("may_punch")

        failing, right = self.listen(kind=Failing), self.listen()
        self.world.until(failing.punch(right.peer_id))
        refusing = self.listen(kind=Refusing)
        self.assertIsInstance(self.world.error_of(right.punch(refusing.peer_id)), PeerRefused)
        said = {str(failure.value) for failure in self.flushLoggedErrors(ValueError)}
        self.assertEqual(said, {"path_selected", "registered", "may_punch"})

    def test_stop_unregisters_and_leaves_nothing(self) -> None:
        left, _ = self.pair()
        waiting = left.punch(IdentityKey.generate().peer_id)
        self.world.until(left.stop())
        self.failureResultOf(waiting)
        self.assertEqual(self.hosts[0].reactor.getDelayedCalls(), [])
        self.assertEqual(self.world.trackers[0].status()["nodes"], 1)
        self.assertEqual(len(left.lost), 1)

    def test_a_port_that_is_closed_beneath_it_leaves_nothing(self) -> None:
        left, right = self.pair()
        waiting: Deferred[Any] = left.punch(IdentityKey.generate().peer_id)
        left.transport.stopListening()
        self.world.run(0.1)
        self.failureResultOf(waiting)
        self.assertEqual(self.hosts[0].reactor.getDelayedCalls(), [])
        self.assertFalse(left.send_to_peer(b"late", right.peer_id))
