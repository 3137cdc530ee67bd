"""Trackers that die, come back or were never there."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import World
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import TrackerUnreachable
from twisted_p2p.testing import FULL_CONE, PORT_RESTRICTED, RANDOM_SYMMETRIC

PAYLOAD = Random(5).randbytes(1_500_000)
NOWHERE = HostPort("11.9.200.2", 3478)


class Digest(Protocol):
    """Takes the digest of what arrives."""

    def __init__(self) -> None:
        self.digest = sha256()
        self.size = 0
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class TransferTests(SynchronousTestCase):
    """A transfer between two peers, of which the tracker carries nothing."""

    def test_goes_on_when_the_tracker_is_killed_in_the_middle(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            receiver = Digest()
            world.until(right.listen("file", Factory.forProtocol(lambda: receiver)))
            sender = world.dial(left, right, "file")
            before = world.trackers[0].status()
            sender.transport.write(PAYLOAD)
            while receiver.size < len(PAYLOAD) // 3:
                world.run(0.01)
            self.assertLess(receiver.size, len(PAYLOAD) // 2, "it is to be killed in the middle")
            after = world.trackers[0].status()
            world.trackers[0].stop()
            sender.transport.loseConnection()
            world.run(60.0)

            self.assertEqual(receiver.digest.digest(), sha256(PAYLOAD).digest())
            self.assertEqual(receiver.size, len(PAYLOAD))
            for lost in (sender.lost, receiver.lost):
                assert lost is not None
                self.assertIs(lost.type, ConnectionDone)
            for count in ("bytes_in_total", "bytes_out_total"):
                carried = int(str(after[count])) - int(str(before[count]))
                self.assertLess(carried, 2_000)


class RestartTests(SynchronousTestCase):
    def test_nodes_are_known_again_within_a_refresh_and_connections_live_on(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            other = world.add_node(FULL_CONE)
            world.start()
            world.listen(right)
            recorder = world.dial(left, right, greeting=b"one")
            world.trackers[0].stop()
            world.run(1.0)
            world.restart_tracker()
            world.run(45.0)

            self.assertEqual(world.trackers[0].status()["nodes"], 3)
            recorder.transport.write(b"two")
            world.run(1.0)
            self.assertEqual(recorder.received, b"onetwo")
            self.assertIsNone(recorder.lost)
            newcomer = world.dial(other, right, greeting=b"three")
            world.run(1.0)
            self.assertEqual(newcomer.received, b"three")

    def test_a_dial_right_after_the_restart_proves_this_nodes_address_anew(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start(left)
            world.trackers[0].stop()
            world.restart_tracker()
            world.start(right)
            world.listen(right)
            began = world.now
            world.dial(left, right)
            self.assertLess(world.now - began, 0.6)


class SeveralTrackersTests(SynchronousTestCase):
    def test_one_of_two_that_was_never_there_is_no_matter(self) -> None:
        with World() as world:
            trackers = [NOWHERE, world.trackers[0].address]
            left = world.add_node(PORT_RESTRICTED, trackers=trackers)
            right = world.add_node(PORT_RESTRICTED, trackers=trackers)
            began = world.now
            world.start()
            world.listen(right)
            self.assertLess(world.now - began, 2.0)
            began = world.now
            recorder = world.dial(left, right, greeting=b"hello")
            self.assertLess(world.now - began, 0.5)
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello")

    def test_one_of_two_that_dies_is_no_matter(self) -> None:
        with World(trackers=2) as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(RANDOM_SYMMETRIC)
            left_too = world.add_node(FULL_CONE)
            world.start()
            world.listen(left_too)
            world.trackers[0].stop()
            began = world.now
            recorder = world.dial(right, left_too, greeting=b"hello")
            self.assertLess(world.now - began, 0.5)
            world.run(30.0)
            world.trackers[1].stop()
            world.restart_tracker(0)
            world.run(100.0)
            began = world.now
            recorder = world.dial(left, left_too, greeting=b"hello")
            self.assertLess(world.now - began, 0.5)
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello")

    def test_an_introduction_by_two_trackers_is_one_connection(self) -> None:
        with World(trackers=2) as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            service = world.listen(right)
            world.dial(left, right, greeting=b"hello")
            world.run(60.0)
            self.assertEqual(service.made, 1)
            introduced = [tracker.status()["introductions_total"] for tracker in world.trackers]
            succeeded = [
                tracker.status()["introductions_succeeded_total"] for tracker in world.trackers
            ]
            self.assertEqual(introduced, [1, 1])
            self.assertEqual(sum(map(int, map(str, succeeded))), 1)

    def test_no_tracker_at_all(self) -> None:
        with World() as world:
            peer_id = world.add_node().peer_id
            for trackers in ([], [NOWHERE]):
                node = world.add_node(trackers=trackers)
                node.startService()
                for ask in (
                    node.when_ready,
                    lambda node=node: node.connect(peer_id, "echo", world.recorders()),
                    lambda node=node: node.listen("echo", world.recorders()),
                ):
                    began = world.now
                    self.assertIsInstance(world.error_of(ask()), TrackerUnreachable)
                    self.assertLess(world.now - began, 10.0)
