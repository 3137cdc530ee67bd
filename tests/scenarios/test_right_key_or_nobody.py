"""Promise 16: you reach the key you asked for, or nobody, whatever tracker and network do."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.hostile import Lie, LyingTracker, ManInTheMiddle, StolenIdentity, Word
from tests.scenarios.world import World
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import DialTimedOut, NoPath, WrongIdentity
from twisted_p2p.identity import record
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import FULL_CONE, INTERNET_LINK, PORT_RESTRICTED
from twisted_p2p.tracker import messages
from twisted_p2p.tracker.messages import AnswerHandedOver, Introduced, OfferHandedOver

Said = Iterable[tuple[Word, DatagramPath]]


class HostileWorld(World):
    """The tracker lies; ``mallory`` is a peer that is in league with it, and easy to reach.

    All three peers offer an echo.
    """

    def __init__(self, lie: Lie | None = None, *, seed: int = 1) -> None:
        super().__init__(seed=seed, tracker_class=LyingTracker)
        self.left, self.right = self.add_node(PORT_RESTRICTED), self.add_node(PORT_RESTRICTED)
        self.mallory = self.add_node(FULL_CONE)
        self.start()
        self.services = {node: self.listen(node) for node in self.nodes}
        self.run(1.0)
        if lie is not None:
            self.tracker.lie = lie

    @property
    def tracker(self) -> LyingTracker:
        [tracker] = self.trackers
        assert isinstance(tracker, LyingTracker)
        return tracker

    def path_to(self, node: P2PNode) -> DatagramPath:
        """Return the tracker's path to a node."""
        seen_at = HostPort(self.seen_at[node], node.udp_port)
        return DatagramPath(self.tracker.address, seen_at)

    def dial_under_attack(self) -> tuple[Deferred[Any], list[Any]]:
        """Let the left peer dial the right one; return the Deferred and the errors to come."""
        recorders = self.recorders(b"this is for the right one alone")
        errors: list[Any] = []
        self.dialler = recorders
        dialled = self.left.connect(self.right.peer_id, "echo", recorders)
        dialled.addErrback(lambda failure: errors.append(failure.value))
        return dialled, errors

    @property
    def made(self) -> int:
        """How often anybody's connectionMade was called."""
        return self.dialler.made + sum(service.made for service in self.services.values())


class LyingTrackerTests(SynchronousTestCase):
    def fail_under(self, world: HostileWorld, *errors: type[Exception]) -> None:
        """Dial in a world whose tracker lies; nobody is connected, and the dialler is told so."""
        _, failed = world.dial_under_attack()
        world.run(60.0)
        self.assertEqual(world.made, 0)
        [error] = failed
        self.assertIsInstance(error, errors)
        self.assertIsNone(world.left.connection_with(world.right.peer_id))

    def reasons(self, node: P2PNode) -> set[str]:
        """Return why a node did not take what the tracker handed over."""
        return set(node._place.rendezvous.dropped)

    def test_the_truth_connects(self) -> None:
        """So that the other tests fail for the lies' sake."""
        with HostileWorld() as world:
            dialled, errors = world.dial_under_attack()
            world.until(dialled)
            self.assertEqual((errors, world.made), ([], 2))

    def test_an_offer_handed_to_another_peer(self) -> None:
        with HostileWorld() as world:

            def lie(word: Word, path: DatagramPath) -> Said:
                to_right = isinstance(word, OfferHandedOver) and path == world.path_to(world.right)
                return [(word, world.path_to(world.mallory) if to_right else path)]

            world.tracker.lie = lie
            self.fail_under(world, DialTimedOut)
            self.assertEqual(self.reasons(world.mallory), {"undecipherable_box"})

    def test_an_offer_in_the_name_of_another_peer(self) -> None:
        with HostileWorld() as world:

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, OfferHandedOver):
                    word = evolve(word, peer_key=world.mallory.peer_id.public_key)
                return [(word, path)]

            world.tracker.lie = lie
            self.fail_under(world, DialTimedOut)
            self.assertEqual(self.reasons(world.right), {"undecipherable_box"})

    def test_an_offer_of_another_peer_in_the_diallers_name(self) -> None:
        """Mallory offers, and the tracker says that it was the left one."""
        with HostileWorld() as world:

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, OfferHandedOver):
                    word = evolve(word, peer_key=world.left.peer_id.public_key)
                return [(word, path)]

            world.tracker.lie = lie
            recorders = world.recorders()
            error = world.error_of(world.mallory.connect(world.right.peer_id, "echo", recorders))
            self.assertIsInstance(error, DialTimedOut)
            self.assertEqual(recorders.made + world.services[world.right].made, 0)

    def test_an_answer_of_another_peer(self) -> None:
        """The right peer's answer goes nowhere, and Mallory answers in its place."""
        with HostileWorld() as world:
            left, mallory = world.left, world.mallory
            [other_box] = self.boxes_of_answers(world, left, mallory)

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, AnswerHandedOver):
                    word = evolve(word, box=other_box, addresses=(world.path_to(mallory).remote,))
                if isinstance(word, OfferHandedOver | Introduced):
                    word = evolve(word, addresses=(world.path_to(mallory).remote,))
                return [(word, path)]

            world.tracker.lie = lie
            self.fail_under(world, DialTimedOut)
            self.assertEqual(self.reasons(left), {"undecipherable_box"})

    def boxes_of_answers(self, world: HostileWorld, node: P2PNode, target: P2PNode) -> list[bytes]:
        """Let a node be introduced to another one, and return the boxes of the answers."""
        recorders = world.recorders()
        world.until(node.connect(target.peer_id, "echo", recorders))
        connection = node.connection_with(target.peer_id)
        assert connection is not None
        connection.close()
        world.run(3.0)
        for service in world.services.values():
            service.made = 0
        return [word.box for word, _ in world.tracker.words if isinstance(word, AnswerHandedOver)]

    def test_addresses_of_another_peer(self) -> None:
        with HostileWorld() as world:

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, OfferHandedOver | AnswerHandedOver | Introduced):
                    word = evolve(word, addresses=(world.path_to(world.mallory).remote,))
                return [(word, path)]

            world.tracker.lie = lie
            self.fail_under(world, NoPath)
            # Mallory has got the checks, and could make nothing of them.
            self.assertTrue(world.sent_between(world.left, world.mallory))
            self.assertEqual(world.sent_between(world.mallory, world.left), [])

    def test_addresses_reflected(self) -> None:
        """Each peer is told its own address as the other one's, and hairpins to itself."""
        with HostileWorld() as world:

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, OfferHandedOver | AnswerHandedOver | Introduced):
                    word = evolve(word, addresses=(path.remote,))
                return [(word, path)]

            world.tracker.lie = lie
            self.fail_under(world, NoPath)
            self.assertTrue(world.sent_between(world.left, world.left))

    def test_an_offer_reflected(self) -> None:
        """The offer comes back to its sender as its peer's; a box opens at both its ends."""
        with HostileWorld() as world:
            left, right = world.left, world.right

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, OfferHandedOver):
                    word = evolve(word, peer_key=right.peer_id.public_key)
                    return [(word, world.path_to(left))]
                return [(word, path)]

            world.tracker.lie = lie
            self.fail_under(world, DialTimedOut)
            self.assertEqual(self.reasons(left), {"malformed_offer"})

    def test_an_offer_reflected_as_an_answer(self) -> None:
        with HostileWorld() as world:
            left, right = world.left, world.right

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, OfferHandedOver):
                    answer = AnswerHandedOver(right.peer_id.public_key, word.box, word.addresses)
                    return [(answer, world.path_to(left))]
                return [(word, path)]

            world.tracker.lie = lie
            self.fail_under(world, DialTimedOut)
            self.assertEqual(self.reasons(left), {"malformed_offer"})

    def test_offers_and_answers_turned_into_one_another(self) -> None:
        with HostileWorld() as world:

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, OfferHandedOver):
                    word = AnswerHandedOver(word.peer_key, word.box, word.addresses)
                elif isinstance(word, AnswerHandedOver):
                    word = OfferHandedOver(word.peer_key, word.box, word.addresses)
                return [(word, path)]

            world.tracker.lie = lie
            self.fail_under(world, DialTimedOut)
            self.assertEqual(self.reasons(world.right), {"unexpected_answer"})

    def test_boxes_with_one_bit_changed(self) -> None:
        with HostileWorld() as world:
            random = Random(9)

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, OfferHandedOver | AnswerHandedOver):
                    box = bytearray(word.box)
                    box[random.randrange(len(box))] ^= 1 << random.randrange(8)
                    word = evolve(word, box=bytes(box))
                return [(word, path)]

            world.tracker.lie = lie
            self.fail_under(world, DialTimedOut)
            self.assertEqual(self.reasons(world.right), {"undecipherable_box"})

    def test_everything_said_before_is_said_again(self) -> None:
        """At the same peers while they are connected and after, and at ones that were restarted."""
        with HostileWorld() as world:
            dialled, _ = world.dial_under_attack()
            world.until(dialled)
            world.run(1.0)
            self.replay(world)
            connection = world.left.connection_with(world.right.peer_id)
            assert connection is not None
            self.assertEqual(world.made, 2)
            connection.close()
            world.run(3.0)
            self.replay(world)
            self.assertEqual(world.made, 2)
            # After a restart nothing is remembered, but its secret is of use to nobody.
            right = world.restart(world.right)
            service = world.listen(right)
            self.replay(world)
            self.assertEqual((world.made, service.made), (2, 0))
            self.assertIsNone(right.connection_with(world.left.peer_id))

    def replay(self, world: HostileWorld) -> None:
        """Say all again, everything to everybody."""
        words = {word for word, _ in world.tracker.words if not isinstance(word, Introduced)}
        handed_over = [w for w in words if isinstance(w, OfferHandedOver | AnswerHandedOver)]
        self.assertGreaterEqual(len(handed_over), 2)
        for word in sorted(handed_over, key=lambda word: word.box):
            for node in world.nodes:
                world.tracker.say(word, world.path_to(node))
        world.run(40.0)

    def test_everything_said_late_twice_and_in_any_order_connects_the_right_ones(self) -> None:
        for seed in range(6):
            with HostileWorld(seed=seed) as world:
                random = Random(seed)

                def lie(
                    word: Word, path: DatagramPath, random: Any = random, world: Any = world
                ) -> Said:
                    if not isinstance(word, OfferHandedOver | AnswerHandedOver):
                        return [(word, path)]
                    for _ in range(3):
                        world.tracker.host.reactor.callLater(
                            random.random(), world.tracker.say, word, path
                        )
                    return []

                world.tracker.lie = lie
                dialled, errors = world.dial_under_attack()
                back = world.right.connect(world.left.peer_id, "echo", world.recorders(b"back"))
                world.until(dialled)
                returned: Any = world.until(back)
                world.run(5.0)
                self.assertEqual(errors, [])
                self.assertEqual(returned.received, b"back")
                self.assertEqual(returned.transport.getPeer().peer_id, world.left.peer_id)
                [stream] = world.dialler.built
                peer: Any = stream.transport.getPeer()
                self.assertEqual(peer.peer_id, world.right.peer_id)
                self.assertEqual(world.services[world.mallory].made, 0)

    def test_answers_of_two_peers_exchanged(self) -> None:
        """Both answer the same dialler, and each answer is handed over as the other one's."""
        with HostileWorld() as world:
            right, mallory = world.right.peer_id.public_key, world.mallory.peer_id.public_key

            def lie(word: Word, path: DatagramPath) -> Said:
                if isinstance(word, AnswerHandedOver):
                    word = evolve(word, peer_key=mallory if word.peer_key == right else right)
                if isinstance(word, Introduced):
                    word = evolve(word, addresses=())
                return [(word, path)]

            world.tracker.lie = lie
            other = world.recorders()
            world.left.connect(world.mallory.peer_id, "echo", other).addErrback(lambda _: None)
            _, errors = world.dial_under_attack()
            world.run(0.3)
            self.assertEqual(self.reasons(world.left), {"undecipherable_box"})
            # The checks of those who were offered to find the dialler all the same, each by the
            # secret that it was given.
            world.run(10.0)
            for recorders, node in ((world.dialler, world.right), (other, world.mallory)):
                for stream in recorders.built:
                    peer: Any = stream.transport.getPeer()
                    self.assertEqual(peer.peer_id, node.peer_id)
            self.assertEqual(errors, [])


class ManInTheMiddleTests(SynchronousTestCase):
    """The tracker leads both peers to one who sits in the middle and passes on their checks."""

    def setUp(self) -> None:
        self.world = HostileWorld()
        host = self.world.add_host(99, None, INTERNET_LINK)
        left, right = self.world.left, self.world.right
        self.man = ManInTheMiddle(
            host, {node.peer_id: self.world.path_to(node).remote for node in (left, right)}
        )
        self.world.tracker.lie = self.lead_astray
        self.loot = self.world.recorders(b"give me all")

    def lead_astray(self, word: Word, path: DatagramPath) -> Said:
        world = self.world
        if isinstance(word, Introduced):
            word = evolve(word, addresses=(self.man.poses_at(world.right.peer_id),))
        elif isinstance(word, OfferHandedOver | AnswerHandedOver):
            sender = PeerID.from_public_key(word.peer_key)
            word = evolve(word, addresses=(self.man.poses_at(sender),))
        return [(word, path)]

    def attack(self, server: IdentityKey, client: IdentityKey) -> None:
        """Speak QUIC as server to the left peer, as client to the right one; nobody connects."""
        with self.world as world:
            left, right = world.left.peer_id, world.right.peer_id
            self.man.speak(left, server, self.loot, is_client=False)
            _, errors = world.dial_under_attack()
            # The responder takes a first packet once a path is authenticated, which leads here.
            world.run(0.15)
            self.man.speak(right, client, self.loot, is_client=True)
            world.run(60.0)
            self.assertEqual(world.made, 0)
            self.assertEqual({stream.received for stream in self.loot.built} - {b""}, set())
            [error] = errors
            self.assertIsInstance(error, WrongIdentity)
            for peer_id in (left, right):
                self.assertIsInstance(self.man.lost[peer_id], WrongIdentity)
            self.man.stop()

    def test_who_only_passes_on_gains_nothing(self) -> None:
        with self.world as world:
            dialled, _ = world.dial_under_attack()
            world.until(dialled)
            world.run(1.0)
            [stream] = world.dialler.built
            peer: Any = stream.transport.getPeer()
            self.assertEqual(peer.peer_id, world.right.peer_id)
            self.assertEqual(stream.received, b"this is for the right one alone")
            self.assertEqual(peer.path.remote, self.man.poses_at(world.right.peer_id))
            self.assertTrue(self.man.sent_on)
            self.assertNotIn(b"right one", b"".join(self.man.sent_on))
            self.man.stop()

    def test_with_a_certificate_of_his_own(self) -> None:
        own = IdentityKey.from_seed(bytes([7] * 32))
        self.attack(own, own)

    def test_with_the_name_of_each_and_a_key_of_his_own(self) -> None:
        own = IdentityKey.from_seed(bytes([7] * 32))
        left, right = self.world.left.peer_id, self.world.right.peer_id
        self.attack(StolenIdentity(own, right), StolenIdentity(own, left))

    def test_with_the_leaked_key_of_each_towards_it(self) -> None:
        left, right = self.world.left, self.world.right
        self.attack(
            StolenIdentity(left._identity, right.peer_id),
            StolenIdentity(right._identity, left.peer_id),
        )


class LeakedKeyTests(SynchronousTestCase):
    """Who found the left peer's key, and has the tracker on his side, poses as the right one.

    He can open what the left one seals for the right one, and so does all that a peer does, as a
    whole node of his own; only the right one's signatures he cannot make.
    """

    def pose(self, world: World) -> tuple[P2PNode, P2PNode]:
        # A tracker that looks at no signature.
        for module in (record, messages):
            self.patch(module, "verify", lambda *signed: True)
        left = world.add_node(PORT_RESTRICTED)
        right = IdentityKey.from_seed(bytes([8] * 32)).peer_id
        impostor = world.add_node(FULL_CONE, identity=StolenIdentity(left._identity, right))
        self.assertEqual(impostor.peer_id, right)
        world.start()
        return left, impostor

    def test_the_one_whose_key_it_was_dials(self) -> None:
        with World() as world:
            left, impostor = self.pose(world)
            service = world.listen(impostor)
            recorders = world.recorders(b"for the right one alone")
            error = world.error_of(left.connect(impostor.peer_id, "echo", recorders))
            # He got as far as QUIC, by the answers that he could make.
            self.assertIsInstance(error, WrongIdentity)
            world.run(60.0)
            self.assertEqual((recorders.made, service.made), (0, 0))

    def test_the_one_whose_key_it_was_is_dialled(self) -> None:
        with World() as world:
            left, impostor = self.pose(world)
            service = world.listen(left)
            recorders = world.recorders(b"let me in")
            error = world.error_of(impostor.connect(left.peer_id, "echo", recorders))
            self.assertIsInstance(error, WrongIdentity)
            world.run(60.0)
            self.assertEqual(service.made, 0)
            self.assertEqual([stream.received for stream in recorders.built], [b""])
            self.assertIsNone(left.connection_with(impostor.peer_id))
