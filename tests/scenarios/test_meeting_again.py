"""Offers straight from peer to peer: between those met before, and none for strangers."""

from __future__ import annotations

from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import World
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import PeerRefused, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.node.service import P2PNode
from twisted_p2p.rendezvous.direct_exchange import DirectOffer
from twisted_p2p.rendezvous.offer import Offer
from twisted_p2p.testing import FULL_CONE, PORT_RESTRICTED


def met(world: World) -> tuple[P2PNode, P2PNode]:
    """Return two nodes that were connected once, of which the second is reached by anybody."""
    left, right = world.add_node(PORT_RESTRICTED), world.add_node(FULL_CONE)
    world.start()
    world.listen(right)
    world.dial(left, right)
    part(world, left, right)
    return left, right


def part(world: World, left: P2PNode, right: P2PNode) -> None:
    """End the connection of two nodes."""
    connection = left.connection_with(right.peer_id)
    assert connection is not None
    connection.close()
    world.run(10.0)


class WithoutTrackerTests(SynchronousTestCase):
    def test_peers_that_met_connect_again_while_the_tracker_is_dead(self) -> None:
        with World() as world:
            left, right = met(world)
            world.trackers[0].stop()
            world.run(120.0)
            began = world.now
            recorder = world.dial(left, right, greeting=b"hello")
            self.assertLess(world.now - began, 0.5)
            connection = left.connection_with(right.peer_id)
            assert connection is not None
            self.assertEqual(connection.strategy, "remembered")
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello")

    def test_whoever_has_that_address_now_gets_four_packets(self) -> None:
        with World() as world:
            left, right = met(world)
            world.trackers[0].stop()
            world.stop(right)
            world.run(120.0)
            began = world.now
            error = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, TrackerUnreachable)
            self.assertEqual(len(world.sent_between(left, right, since=began)), 4)
            world.run(60.0)
            self.assertEqual(len(world.sent_between(left, right, since=began)), 4)

    def test_a_refusal_needs_no_tracker_either(self) -> None:
        with World() as world:
            left, right = met(world)
            right._listeners.close()
            world.trackers[0].stop()
            world.run(120.0)
            error = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, PeerRefused)

    def test_dials_that_cross_by_different_ways_are_one_connection(self) -> None:
        """One knows the other's address, and the other one has a tracker that nobody else has."""
        for stagger in (0.0, 0.01, 0.03, 0.05, 0.2):
            for first_is_lower in (True, False):
                self.cross(stagger, first_is_lower=first_is_lower)

    def cross(self, stagger: float, *, first_is_lower: bool) -> None:
        with World() as world:
            pair = [world.add_node(FULL_CONE), world.add_node(FULL_CONE)]
            world.start()
            services = {node: world.listen(node) for node in pair}
            first, second = sorted(
                pair, key=lambda node: str(node.peer_id), reverse=not first_is_lower
            )
            world.dial(first, second)
            part(world, first, second)
            second._place._remembered._by_peer.clear()
            # The first one's packets to the tracker are lost, so its offer goes straight alone.
            for client in first._trackers._clients():
                client.abandon()
            dials = [first.connect(second.peer_id, "echo", world.recorders(b"a"))]
            world.run(stagger)
            dials.append(second.connect(first.peer_id, "echo", world.recorders(b"b")))
            ends = [world.until(dial) for dial in dials]
            world.run(3.0)
            self.assertEqual([end.received for end in ends], [b"a", b"b"])  # type: ignore[attr-defined]
            links = [
                first.connection_with(second.peer_id),
                second.connection_with(first.peer_id),
            ]
            self.assertEqual(sorted(link.is_initiator for link in links), [False, True])  # type: ignore[union-attr]
            world.run(40.0)
            self.assertEqual([end.lost for end in ends], [None, None])  # type: ignore[attr-defined]
            self.assertEqual(services[first].made + services[second].made, 3)


class Stranger(DatagramProtocol):
    noisy = False

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(datagram)


class HostileOfferTests(SynchronousTestCase):
    """Who is neither near nor known is not looked at, and who is gets no more than it sent."""

    def offer(self, sender: IdentityKey, target: P2PNode, sequence: int = 1) -> bytes:
        box = Offer(
            sender.peer_id, target.peer_id, sequence.to_bytes(16, "big"), sequence, bytes(32)
        )
        request = DirectOffer(sender.peer_id.public_key, box.seal(sender))
        return request.encode(sequence.to_bytes(12, "big"))

    def test_a_strangers_offer_from_beyond_gets_no_answer(self) -> None:
        sender = IdentityKey.from_seed(bytes([9] * 32))
        with World() as world:
            target = world.add_node()
            world.start()
            world.listen(target)
            stranger = Stranger()
            port = world.net.add_host("stranger", "11.200.0.2").reactor.listenUDP(7, stranger)
            port.write(self.offer(sender, target), (world.seen_at[target], target.udp_port))
            world.run(5.0)
            self.assertEqual(stranger.heard, [])
            self.assertEqual(target._place.direct.dropped, {"unknown_source": 1})
            port.stopListening()

    def test_a_neighbour_that_forges_and_replays_and_floods_gets_less_than_it_sent(self) -> None:
        sender = IdentityKey.from_seed(bytes([9] * 32))
        with World() as world:
            target = world.add_node()
            world.start()
            world.listen(target)
            stranger = Stranger()
            near = world.net.add_host("neighbour", "11.10.1.77")
            port = near.reactor.listenUDP(7, stranger)
            address = HostPort(world.seen_at[target], target.udp_port)
            forged = DirectOffer(sender.peer_id.public_key, bytes(300)).encode(bytes(12))
            honest = self.offer(sender, target)
            sent = 0
            for data in [forged, honest, honest, *[forged] * 500]:
                port.write(data, address)
                sent += len(data)
            world.run(30.0)
            port.write(honest, address)
            world.run(5.0)
            dropped = target._place.direct.dropped
            self.assertEqual(dropped["too_many_offers"], 503 - 10)
            reasons = target._place.rendezvous.dropped
            self.assertEqual(reasons["undecipherable_box"], 10 - 2)
            self.assertEqual(reasons["stale_sequence"], 1, "the replay, after its session")
            self.assertLess(sum(map(len, stranger.heard)), sent)
            port.stopListening()
