"""Peers that close, vanish, return or begin anew, and what is still sent to them."""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import Recorder, World
from twisted_p2p.errors import ConnectionVanished
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import PORT_RESTRICTED


class Pair:
    """Two connected peers, each with one end of a stream."""

    def __init__(self, world: World) -> None:
        self.left = world.add_node(PORT_RESTRICTED)
        self.right = world.add_node(PORT_RESTRICTED)
        world.start()
        service = world.listen(self.right)
        self.near: Recorder = world.dial(self.left, self.right, greeting=b"hello")
        world.run(1.0)
        assert self.near.received == b"hello"
        [self.far] = service.built

    def ends(self) -> tuple[tuple[P2PNode, P2PNode, Recorder], ...]:
        """Return each peer with the other one and the stream that it has to it."""
        return ((self.left, self.right, self.near), (self.right, self.left, self.far))


class VanishingTests(SynchronousTestCase):
    """Promise 8: nothing is sent 30 s after a peer vanished."""

    def test_streams_are_lost_within_30_seconds_and_nothing_is_sent_thereafter(self) -> None:
        for gone in range(2):
            with World(seed=gone) as world:
                pair = Pair(world)
                left_behind, vanished, stream = pair.ends()[gone]
                world.vanish(vanished)
                vanished_at = world.now
                stream.transport.write(b"is anybody there?")
                world.run(15.0)
                self.assertIsNone(stream.lost)
                stream.transport.write(b"hello?")
                world.run(60.0)

                assert stream.lost is not None
                assert stream.lost_at is not None
                self.assertIs(stream.lost.type, ConnectionVanished)
                self.assertTrue(stream.lost.check(ConnectionLost))
                self.assertTrue(20 <= stream.lost_at - vanished_at <= 30)
                late = world.sent_between(left_behind, vanished, since=vanished_at + 30)
                self.assertEqual(late, [])
                self.assertIsNone(left_behind.connection_with(vanished.peer_id))
                world.return_from_nowhere(vanished)

    def test_who_vanished_is_told_too(self) -> None:
        with World() as world:
            pair = Pair(world)
            world.vanish(pair.right)
            world.run(31.0)
            for _, _, stream in pair.ends():
                assert stream.lost is not None
                self.assertIs(stream.lost.type, ConnectionVanished)
            world.return_from_nowhere(pair.right)

    def test_who_returns_in_time_has_missed_nothing(self) -> None:
        with World() as world:
            pair = Pair(world)
            world.vanish(pair.right)
            pair.near.transport.write(b" from afar")
            world.run(20.0)
            world.return_from_nowhere(pair.right)
            world.run(25.0)
            self.assertEqual(pair.near.received, b"hello from afar")
            self.assertIsNone(pair.near.lost)

    def test_a_dial_to_who_vanished_uses_the_connection_and_ends_with_it(self) -> None:
        with World() as world:
            pair = Pair(world)
            world.vanish(pair.right)
            began = world.now
            dialled = pair.left.connect(pair.right.peer_id, "echo", world.recorders())
            self.assertIsInstance(world.error_of(dialled), ConnectionVanished)
            self.assertLess(world.now - began, 30.0)
            world.return_from_nowhere(pair.right)
            world.run(60.0)
            world.dial(pair.left, pair.right)


class ClosingTests(SynchronousTestCase):
    """Promise 8: nothing is sent 1 s after a peer closed."""

    def test_nothing_is_sent_a_second_after_a_connection_was_closed(self) -> None:
        # At various times, so that checks for consent are due at every moment of the closing.
        for closer in range(2):
            for tenth in range(0, 60, 4):
                with World(seed=tenth) as world:
                    pair = Pair(world)
                    world.run(tenth / 10)
                    node, other, _ = pair.ends()[closer]
                    connection = node.connection_with(other.peer_id)
                    assert connection is not None
                    connection.close()
                    closed_at = world.now
                    world.run(40.0)
                    self.assert_silence(world, pair, closed_at + 1.0)
                    self.assertIsNone(other.connection_with(node.peer_id))
                    for lost in (pair.near.lost, pair.far.lost):
                        assert lost is not None
                        self.assertTrue(lost.check(ConnectionLost, ConnectionAborted))

    def test_nothing_is_sent_a_second_after_a_node_was_stopped(self) -> None:
        for stopped in range(2):
            with World(seed=stopped) as world:
                pair = Pair(world)
                node, _, stream = pair.ends()[stopped]
                other_stream = pair.ends()[1 - stopped][2]
                node.stopService()
                stopped_at = world.now
                world.run(40.0)
                self.assert_silence(world, pair, stopped_at + 1.0)
                assert other_stream.lost is not None
                self.assertTrue(other_stream.lost.check(ConnectionLost))
                assert stream.lost is not None
                self.assertLess(other_stream.lost_at, stopped_at + 0.5)
                self.assertEqual(list(world.sent_by(node, since=stopped_at + 3.0)), [])

    def test_nothing_is_sent_between_peers_once_a_dial_was_cancelled(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            world.listen(right)
            dialled = left.connect(right.peer_id, "echo", world.recorders())
            world.run(0.15)
            dialled.addErrback(lambda _: None)
            dialled.cancel()
            cancelled_at = world.now
            world.run(60.0)
            self.assertEqual(world.sent_between(left, right, since=cancelled_at + 1), [])
            # The other one was never told, and a check that got no answer gives no consent.
            self.assertEqual(world.sent_between(right, left, since=cancelled_at + 30), [])

    def test_a_stream_that_was_finished_leaves_the_connection_open(self) -> None:
        with World() as world:
            pair = Pair(world)
            pair.near.transport.loseConnection()
            world.run(1.0)
            for _, _, stream in pair.ends():
                assert stream.lost is not None
                self.assertIs(stream.lost.type, ConnectionDone)
            began = world.now
            recorder = world.dial(pair.left, pair.right, greeting=b"again")
            self.assertLess(world.now - began, 0.1)
            world.run(1.0)
            self.assertEqual(recorder.received, b"again")

    def assert_silence(self, world: World, pair: Pair, since: float) -> None:
        for node, other, _ in pair.ends():
            self.assertEqual(world.sent_between(node, other, since=since), [])


class BeginningAnewTests(SynchronousTestCase):
    """A program that crashed is started again, with the same identity, and dials at once."""

    def check(self, world: World, pair: Pair, crashing: P2PNode, staying: P2PNode) -> None:
        [old] = [stream for node, _, stream in pair.ends() if node is staying]
        fresh = world.restart(crashing)
        world.listen(fresh)
        began = world.now
        recorder = world.dial(fresh, staying, greeting=b"hello again")
        self.assertLess(world.now - began, 0.5)
        world.run(2.0)
        self.assertEqual(recorder.received, b"hello again")
        assert old.lost is not None
        self.assertTrue(old.lost.check(ConnectionLost, ConnectionAborted))
        began = world.now
        world.dial(staying, fresh)
        self.assertLess(world.now - began, 0.1)

    def test_the_one_who_had_dialled(self) -> None:
        for seed in range(4):
            with World(seed=seed) as world:
                pair = Pair(world)
                world.run(5.0)
                self.check(world, pair, pair.left, pair.right)

    def test_the_one_who_was_dialled(self) -> None:
        for seed in range(4):
            with World(seed=seed) as world:
                pair = Pair(world)
                world.listen(pair.left)
                world.run(5.0)
                self.check(world, pair, pair.right, pair.left)
