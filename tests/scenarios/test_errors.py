"""What a dial that leads to nothing is told, and what becomes of services."""

from __future__ import annotations

from typing import Any

from twisted.internet import error as twisted_error
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import World
from twisted_p2p.errors import (
    DialTimedOut,
    PeerOffline,
    PeerRefused,
    PortInUse,
    ServiceInUse,
    TrackerBusy,
    UnknownService,
)
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import PORT_RESTRICTED
from twisted_p2p.testing.peers import simulated_node


class DialTests(SynchronousTestCase):
    def dial(self, world: World, node: P2PNode, target: P2PNode) -> Deferred[Any]:
        return node.connect(target.peer_id, "echo", world.recorders())

    def test_a_peer_that_never_was_there_is_offline(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start(left)
            began = world.now
            error = world.error_of(self.dial(world, left, right))
            self.assertIsInstance(error, PeerOffline)
            self.assertIsInstance(error, twisted_error.ConnectError)
            self.assertLess(world.now - began, 0.1)

    def test_a_peer_that_was_stopped_is_offline_at_once(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            world.listen(right)
            world.stop(right)
            self.assertIsInstance(world.error_of(self.dial(world, left, right)), PeerOffline)

    def test_a_peer_that_vanished_does_not_answer_and_later_is_offline(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            world.listen(right)
            world.vanish(right)
            began = world.now
            error = world.error_of(self.dial(world, left, right))
            self.assertIsInstance(error, DialTimedOut)
            self.assertIsInstance(error, twisted_error.TimeoutError)
            self.assertTrue(8 < world.now - began < 15, world.now - began)
            world.run(45.0)
            self.assertIsInstance(world.error_of(self.dial(world, left, right)), PeerOffline)
            world.return_from_nowhere(right)

    def test_a_peer_that_listens_for_nothing_refuses(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            began = world.now
            error = world.error_of(self.dial(world, left, right))
            self.assertIsInstance(error, PeerRefused)
            self.assertIsInstance(error, twisted_error.ConnectionRefusedError)
            self.assertLess(world.now - began, 0.2)
            self.assertEqual(world.sent_between(left, right), world.sent_between(right, left))

    def test_a_peer_that_is_not_allowed_is_refused_by_the_tracker(self) -> None:
        """So it does not even learn where the other one is."""
        with World() as world:
            left, right, friend = (world.add_node(PORT_RESTRICTED) for _ in range(3))
            world.start()
            service = world.listen(right, allow=[friend.peer_id])
            self.assertIsInstance(world.error_of(self.dial(world, left, right)), PeerRefused)
            self.assertEqual(list(world.sent_between(left, right)), [])
            self.assertEqual(list(world.sent_between(right, left)), [])
            world.dial(friend, right)
            self.assertEqual(service.made, 1)

    def test_a_list_too_long_for_the_tracker_is_kept_all_the_same(self) -> None:
        with World() as world:
            left, right, friend = (world.add_node(PORT_RESTRICTED) for _ in range(3))
            world.start()
            strangers = [
                IdentityKey.from_seed(bytes([number] * 32)).peer_id for number in range(40)
            ]
            service = world.listen(right, allow=[*strangers, friend.peer_id])
            self.assertIsInstance(world.error_of(self.dial(world, left, right)), PeerRefused)
            self.assertEqual(list(world.sent_between(left, right)), [])
            self.assertEqual(list(world.sent_between(right, left)), [])
            world.dial(friend, right)
            self.assertEqual(service.made, 1)

    def test_a_refusal_that_is_lost_is_said_again(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            dialled = self.dial(world, left, right)
            world.run(0.1)  # the offer has been handed over, and the answer is under way
            world.vanish(left)
            world.run(0.2)
            world.return_from_nowhere(left)
            self.assertIsInstance(world.error_of(dialled), PeerRefused)
            self.assertLess(world.now, 3.0)

    def test_a_service_that_the_peer_does_not_have(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            service = world.listen(right)
            recorders = world.recorders(b"hello")
            error = world.error_of(left.connect(right.peer_id, "another", recorders))
            self.assertIsInstance(error, UnknownService)
            # The protocol was connected early, so that its first words took no round trip more.
            [protocol] = recorders.built
            assert protocol.lost is not None
            self.assertIs(protocol.lost.type, UnknownService)
            self.assertEqual(service.built, [])
            # The connection is good all the same.
            before = world.now
            world.dial(left, right)
            self.assertLess(world.now - before, 0.1)

    def test_a_service_that_the_peer_has_for_others(self) -> None:
        with World() as world:
            left, right, friend = (world.add_node(PORT_RESTRICTED) for _ in range(3))
            world.start()
            world.listen(right)
            private = world.listen(right, "private", allow=[friend.peer_id])
            error = world.error_of(left.connect(right.peer_id, "private", world.recorders()))
            self.assertIsInstance(error, PeerRefused)
            self.assertEqual(private.built, [])
            world.dial(friend, right, "private")
            self.assertEqual(private.made, 1)

    def test_asking_too_often_for_one_that_refuses_is_put_off(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            for _ in range(3):
                self.assertIsInstance(world.error_of(self.dial(world, left, right)), PeerRefused)
                world.run(5.0)
            error: Any = world.error_of(self.dial(world, left, right))
            self.assertIsInstance(error, TrackerBusy)
            self.assertTrue(40 < error.retry_after < 50, error.retry_after)
            world.listen(right)
            world.run(error.retry_after)
            world.until(self.dial(world, left, right))

    def test_connecting_often_to_one_that_accepts_is_not_put_off(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            world.listen(right)
            for _ in range(9):
                recorder = world.dial(left, right, greeting=b"hello")
                world.run(0.5)
                self.assertEqual(recorder.received, b"hello")
                connection = left.connection_with(right.peer_id)
                assert connection is not None
                connection.close()
                world.run(5.0)
                self.assertIsNone(left.connection_with(right.peer_id))

    def test_a_dial_that_is_cancelled_ends(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            service = world.listen(right)
            for when in (0.0, 0.05, 0.1, 0.15):
                recorders = world.recorders()
                dialled = left.connect(right.peer_id, "echo", recorders)
                world.run(when)
                dialled.cancel()
                self.failureResultOf(dialled, CancelledError)
                world.run(20.0)
                self.assertEqual((recorders.made, service.made), (0, 0))
                self.assertIsNone(left.connection_with(right.peer_id))

    def test_a_stream_that_is_cancelled_is_lost_to_its_protocol(self) -> None:
        """The peer is authenticated by then, and has not yet accepted the stream."""
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            service = world.listen(right)
            recorders = world.recorders()
            dialled = left.connect(right.peer_id, "echo", recorders)
            while not recorders.made:
                world.run(0.01)
            dialled.cancel()
            self.failureResultOf(dialled, CancelledError)
            world.run(1.0)
            ended = (twisted_error.ConnectionAborted, twisted_error.ConnectionLost)
            for protocol in (*recorders.built, *service.built):
                assert protocol.lost is not None
                self.assertTrue(protocol.lost.check(*ended))
            world.dial(left, right)

    def test_one_of_two_dials_that_is_cancelled_leaves_the_other_alone(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            world.listen(right)
            one, other = self.dial(world, left, right), self.dial(world, left, right)
            one.cancel()
            self.failureResultOf(one, CancelledError)
            world.until(other)

    def test_oneself_is_no_peer(self) -> None:
        with World() as world:
            node = world.add_node()
            world.start()
            world.listen(node)
            error = world.error_of(self.dial(world, node, node))
            self.assertIsInstance(error, PeerRefused)
            self.assertIn("own", str(error))


class ListenTests(SynchronousTestCase):
    def test_listening_is_over_when_a_dial_succeeds(self) -> None:
        """It fires when the tracker knows that the peer accepts connections, not before."""
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            listening = right.listen("echo", world.recorders(echoes=True), None)
            self.assertNoResult(listening)
            world.run(0.079)
            self.assertNoResult(listening)
            world.until(listening)
            pong = world.until(left.ping(right.peer_id))
            self.assertTrue(pong.accepting)

    def test_listening_without_a_tracker_that_answers_fires_once_one_does(self) -> None:
        with World() as world:
            node = world.add_node()
            world.trackers[0].stop()
            node.startService()
            listening = node.listen("echo", world.recorders(), None)
            world.run(0.6)
            self.assertNoResult(listening)
            world.restart_tracker()
            port = world.until(listening)
            self.assertEqual(
                (port.getHost().peer_id, port.getHost().service), (node.peer_id, "echo")
            )

    def test_a_service_has_one_listener(self) -> None:
        with World() as world:
            node = world.add_node()
            world.start()
            port = world.until(node.listen("echo", world.recorders(), None))
            error = world.error_of(node.listen("echo", world.recorders(), None))
            self.assertIsInstance(error, ServiceInUse)
            world.until(node.listen("other", world.recorders(), None))
            port.stopListening()
            world.until(node.listen("echo", world.recorders(), None))

    def test_a_listener_that_was_stopped_takes_no_more_and_lets_go_on_what_is_open(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            late = world.add_node(PORT_RESTRICTED)
            world.start()
            port = world.until(right.listen("echo", world.recorders(echoes=True), None))
            recorder = world.dial(left, right, greeting=b"hello")
            world.until(port.stopListening())
            error = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, UnknownService)
            error = world.error_of(late.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, PeerRefused)
            world.run(1.0)
            recorder.transport.write(b" again")
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello again")
            pong = world.until(left.ping(right.peer_id))
            self.assertFalse(pong.accepting)

    def test_a_udp_port_has_one_node(self) -> None:
        with World() as world:
            node = world.add_node(port=4000)
            world.start()
            self.assertEqual(node.udp_port, 4000)
            other = simulated_node(world.hosts[node], [], port=4000)
            self.assertRaises(PortInUse, other.startService)

    def test_a_service_has_a_name_of_one_to_255_bytes(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            longest = "ä" * 127 + "a"
            world.listen(right, longest)
            world.dial(left, right, longest)
            for name in ("", longest + "a", "\ud800"):
                recorders = world.recorders()
                for asked in (
                    right.listen(name, recorders, None),
                    left.connect(right.peer_id, name, recorders),
                ):
                    self.assertIsInstance(world.error_of(asked), ValueError)
