"""Files between two peers behind NATs, which lose sight of each other and meet again."""

from __future__ import annotations

from pathlib import Path
from random import Random

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import World
from tests.transfer.places import content_of, fill, fresh_folder
from twisted_p2p.addresses import PeerAddress
from twisted_p2p.errors import PeerOffline, PeerRefused
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import INTERNET_LINK, PORT_RESTRICTED
from twisted_p2p.transfer.failures import Reason, TransferFailed, TransferInterrupted
from twisted_p2p.transfer.folder import TargetFolder
from twisted_p2p.transfer.meeting import (
    RECEIVE_SERVICE,
    SEND_SERVICE,
    Listening,
    Patience,
    dial,
)
from twisted_p2p.transfer.progress import Progress
from twisted_p2p.transfer.receiver import FileReceiver
from twisted_p2p.transfer.sender import FileSender
from twisted_p2p.transfer.source import Source

SIZE = 1_200_000
SLOW_LINK = evolve(INTERNET_LINK, rate=250_000)
"""On which that takes some five seconds."""


class Scene:
    """A world with a sender and a receiver behind NATs, and their folders."""

    def __init__(self, world: World, seed: int = 1) -> None:
        self.world = world
        self.sent, self.into = fresh_folder(), fresh_folder()
        random = Random(seed)
        fill(self.sent, {"d/big": random.randbytes(SIZE), "d/small": b"small", "d/none": b""})
        self.sender = world.add_node(PORT_RESTRICTED)
        self.receiver = world.add_node(PORT_RESTRICTED)
        self.moved = Progress()
        self.errors: list[Exception] = []

    def build_sender(self, node: P2PNode) -> FileSender:
        clock = self.world.hosts[node].reactor
        return FileSender(clock, Source(sorted(self.sent.iterdir())), Progress())

    def build_receiver(self, node: P2PNode) -> FileReceiver:
        clock = self.world.hosts[node].reactor
        return FileReceiver(clock, lambda: TargetFolder(self.into, "s"), self.moved)

    def listen_to_send(self, node: P2PNode) -> Listening[FileSender]:
        """Do what ``send`` does."""

        def build(address: PeerAddress) -> FileSender:
            sender = self.build_sender(node)
            sender._admit = lambda sender, secret: listening.claim(address.peer_id)
            return sender

        clock = self.world.hosts[node].reactor
        listening = Listening(clock, build, Patience(), self.errors.append)
        self.world.until(node.listen(SEND_SERVICE, listening, None))
        return listening

    def listen_to_receive(self, node: P2PNode) -> Listening[FileReceiver]:
        """Do what ``receive`` does without a ticket."""
        clock = self.world.hosts[node].reactor
        listening = Listening(
            clock, lambda address: self.build_receiver(node), Patience(), self.errors.append
        )
        self.world.until(node.listen(RECEIVE_SERVICE, listening, None))
        return listening

    def dial_to_receive(self, patience: Patience = Patience(0.0)) -> Deferred[FileReceiver]:  # noqa: B008
        """Do what ``receive TICKET`` does."""
        node = self.receiver
        return Deferred.fromCoroutine(
            dial(
                self.world.hosts[node].reactor,
                node,
                self.sender.peer_id,
                SEND_SERVICE,
                lambda: self.build_receiver(node),
                patience,
                self.errors.append,
            )
        )

    def dial_to_send(self, patience: Patience = Patience()) -> Deferred[FileSender]:  # noqa: B008
        """Do what ``send --to`` does."""
        node = self.sender
        return Deferred.fromCoroutine(
            dial(
                self.world.hosts[node].reactor,
                node,
                self.receiver.peer_id,
                RECEIVE_SERVICE,
                lambda: self.build_sender(node),
                patience,
                self.errors.append,
            )
        )

    def part_size(self) -> int:
        return sum(place.stat().st_size for place in self.into.rglob("*.part"))


class SceneTestCase(SynchronousTestCase):
    def assert_complete(self, scene: Scene, sender: FileSender, receiver: FileReceiver) -> None:
        self.assertEqual(content_of(scene.into), content_of(scene.sent))
        self.assertEqual(len(sender.digest), 32)
        self.assertEqual(sender.digest, receiver.digest)


class MeetingTests(SceneTestCase):
    def test_a_receiver_with_a_ticket_dials(self) -> None:
        with World() as world:
            scene = Scene(world)
            world.start()
            sending = scene.listen_to_send(scene.sender)
            receiver = world.until(scene.dial_to_receive())
            self.assert_complete(scene, world.until(sending.done), receiver)
            self.assertEqual(scene.errors, [])

    def test_a_sender_waits_for_a_receiver_that_is_not_there_yet(self) -> None:
        with World() as world:
            scene = Scene(world)
            world.start(scene.sender)
            sending = scene.dial_to_send()
            world.run(30.0)
            self.assertIsInstance(scene.errors[-1], PeerOffline)
            world.start(scene.receiver)
            receiving = scene.listen_to_receive(scene.receiver)
            sender = world.until(sending)
            self.assert_complete(scene, sender, world.until(receiving.done))

    def test_a_receiver_waits_for_a_sender_that_is_not_there_yet(self) -> None:
        with World() as world:
            scene = Scene(world)
            world.start(scene.receiver)
            receiving = scene.listen_to_receive(scene.receiver)
            world.run(30.0)
            world.start(scene.sender)
            sender = world.until(scene.dial_to_send(Patience(0.0)))
            self.assert_complete(scene, sender, world.until(receiving.done))

    def test_a_sender_with_a_ticket_that_is_not_there_is_an_error_at_once(self) -> None:
        with World() as world:
            scene = Scene(world)
            world.start(scene.receiver)
            self.assertIsInstance(world.error_of(scene.dial_to_receive()), PeerOffline)

    def test_waiting_has_an_end_when_the_user_says_so(self) -> None:
        with World() as world:
            scene = Scene(world)
            world.start(scene.sender)
            started = world.now
            error = world.error_of(scene.dial_to_send(Patience(20.0)))
            self.assertIsInstance(error, PeerOffline)
            self.assertGreaterEqual(world.now - started, 20.0)
            self.assertLess(world.now - started, 40.0)

    def test_who_may_not_is_told_so(self) -> None:
        with World() as world:
            scene = Scene(world)
            world.start()
            listening: Listening[FileReceiver] = Listening(
                world.hosts[scene.receiver].reactor,
                lambda address: scene.build_receiver(scene.receiver),
                Patience(),
            )
            world.until(scene.receiver.listen(RECEIVE_SERVICE, listening, ()))
            self.assertIsInstance(world.error_of(scene.dial_to_send()), PeerRefused)


class InterruptionTests(SceneTestCase):
    """Each at moments that a seed chooses."""

    def test_a_network_that_was_away_costs_only_time(self) -> None:
        for seed in (1, 2):
            with World(seed=seed, link=SLOW_LINK) as world:
                scene, random = Scene(world, seed), Random(seed)
                world.start()
                sending = scene.listen_to_send(scene.sender)
                receiving = scene.dial_to_receive()
                world.run(random.uniform(0.5, 4.0))
                away = random.choice((scene.sender, scene.receiver))
                world.vanish(away)
                world.run(random.choice((10.0, 50.0)))
                self.assertNoResult(receiving)
                world.return_from_nowhere(away)
                receiver = world.until(receiving, 200.0)
                self.assert_complete(scene, world.until(sending.done), receiver)
                # What was under way when the network went may be sent twice.
                self.assertLess(scene.moved.moved, SIZE + 100_000)

    def test_a_receiver_that_crashed_goes_on(self) -> None:
        for seed in (3, 4):
            with World(seed=seed, link=SLOW_LINK) as world:
                scene, random = Scene(world, seed), Random(seed)
                world.start()
                sending = scene.listen_to_send(scene.sender)
                scene.dial_to_receive().addErrback(lambda failure: None)
                world.run(random.uniform(1.0, 4.0))
                kept = scene.part_size()
                self.assertGreater(kept, 0)
                scene.moved = Progress()
                scene.receiver = world.restart(scene.receiver)
                receiver = world.until(scene.dial_to_receive(Patience(60.0)), 100.0)
                self.assert_complete(scene, world.until(sending.done), receiver)
                self.assertLessEqual(scene.moved.moved, SIZE + 5 - kept)

    def test_a_sender_that_crashed_goes_on(self) -> None:
        for seed in (5, 6):
            with World(seed=seed, link=SLOW_LINK) as world:
                scene, random = Scene(world, seed), Random(seed)
                world.start()
                receiving = scene.listen_to_receive(scene.receiver)
                scene.dial_to_send().addErrback(lambda failure: None)
                world.run(random.uniform(1.0, 4.0))
                scene.sender = world.restart(scene.sender)
                sender = world.until(scene.dial_to_send(), 100.0)
                self.assert_complete(scene, sender, world.until(receiving.done))
                self.assertLessEqual(scene.moved.moved, SIZE + 5)

    def test_who_listens_gives_up_when_nobody_comes_back(self) -> None:
        with World(link=SLOW_LINK) as world:
            scene = Scene(world)
            world.start()
            sending = scene.listen_to_send(scene.sender)
            receiving = scene.dial_to_receive()
            receiving.addErrback(lambda failure: None)
            world.run(2.0)
            receiving.cancel()
            world.stop(scene.receiver)
            error = world.error_of(sending.done, 400.0)
            self.assertIsInstance(error, TransferInterrupted)
            self.assertIn("goes on where it stopped", str(error))

    def test_who_dials_gives_up_when_nobody_comes_back(self) -> None:
        with World(link=SLOW_LINK) as world:
            scene = Scene(world)
            world.start()
            sending = scene.listen_to_send(scene.sender)
            receiving = scene.dial_to_receive()
            world.run(2.0)
            sending.done.addErrback(lambda failure: None)
            sending.done.cancel()
            world.stop(scene.sender)
            error = world.error_of(receiving, 400.0)
            self.assertIsInstance(error, TransferInterrupted)

    def test_a_confirmation_that_was_lost_is_repeated(self) -> None:
        with World(link=SLOW_LINK) as world:
            scene = Scene(world)
            world.start()
            sending = scene.listen_to_send(scene.sender)
            receiving = scene.dial_to_receive()
            while scene.moved.done < SIZE:
                world.run(0.05)
            world.vanish(scene.receiver)
            world.run(40.0)
            world.return_from_nowhere(scene.receiver)
            receiver = world.until(receiving, 200.0)
            self.assert_complete(scene, world.until(sending.done, 100.0), receiver)

    def test_another_file_in_the_way_ends_both(self) -> None:
        with World() as world:
            scene = Scene(world)
            fill(scene.into, {"d/big": b"mine"})
            world.start()
            sending = scene.listen_to_send(scene.sender)
            for error in (world.error_of(scene.dial_to_receive()), world.error_of(sending.done)):
                assert isinstance(error, TransferFailed), error
                self.assertIs(error.reason, Reason.EXISTS)
            self.assertEqual(Path(scene.into, "d/big").read_bytes(), b"mine")
