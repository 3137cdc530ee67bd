"""Promises 4, 5 and 7: nobody can have a peer send packets to others, and what is sent is little.

The packet log has every packet that left a socket, wherever it was to go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise

from attrs import evolve
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.hostile import LyingTracker, Word
from tests.scenarios.world import World
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.candidate import Candidate
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.identity.record import AddressPolicy, PeerRecord
from twisted_p2p.node.service import P2PNode
from twisted_p2p.rendezvous.offer import Answer, Offer, open_offer
from twisted_p2p.testing import FULL_CONE, INTERNET_LINK, SimulatedHost
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker
from twisted_p2p.tracker.limits import DEFAULT_LIMITS
from twisted_p2p.tracker.messages import (
    AnswerHandedOver,
    Indication,
    Introduced,
    OfferHandedOver,
)

VICTIM = "11.99.0.2"
VICTIM_IPV6 = "2a0f::2"


class Mallory(P2PNode):
    """Registers and offers like any other, but with addresses that are not hers.

    She answers every offer with them too, and never a check.
    """

    def __init__(self, host: SimulatedHost, trackers: Iterable[HostPort]) -> None:
        self.claims: list[HostPort] = []
        super().__init__(
            host.reactor,
            IdentityKey.from_seed(host.random.randbytes(32)),
            trackers=trackers,
            random_bytes=host.random.randbytes,
            wall_clock=host.reactor.seconds,
        )
        self._trackers.handed_over = self.answer
        self._sequence = 0
        self.errors: list[BaseException | None] = []
        self.answered = 0

    def _describe(self, sequence: int, mapped_address: HostPort) -> bytes:
        record = PeerRecord(
            peer_id=self._identity.peer_id,
            sequence=sequence,
            lifetime=300,
            accepting=True,
            addresses=tuple(self.claims),
            address_policy=AddressPolicy.ANYONE,
        )
        return record.sign(self._identity)

    def _stun_received(self, data: bytes, path: DatagramPath) -> None:
        self._trackers.datagram_received(data, path)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What she claims, each as an interface's address and as seen by a server."""
        return tuple(
            candidate
            for address in self.claims
            for candidate in (
                Candidate.host(address, base=None),
                Candidate.server_reflexive(
                    address, base=None, related_address=address, server_host="11.9.0.2"
                ),
            )
        )

    def answer(self, message: Indication) -> None:
        if isinstance(message, OfferHandedOver):
            sender = PeerID.from_public_key(message.peer_key)
            offer = open_offer(self._identity, sender, message.box)
            answer = Answer(self.peer_id, sender, offer.session_id, candidates=self.candidates)
            self._trackers.answer(sender, answer.seal(self._identity), True)
            self.answered += 1

    def offer(self, peer_id: PeerID) -> bytes:
        """Return a new offer in its box."""
        self._sequence += 1
        offer = Offer(
            sender=self.peer_id,
            recipient=peer_id,
            session_id=self._sequence.to_bytes(16, "big"),
            sequence=self._sequence,
            secret=bytes(32),
            candidates=self.candidates,
        )
        return offer.seal(self._identity)

    def offer_to(self, peer_id: PeerID) -> None:
        introduced = self._trackers.introduce(peer_id, self.offer(peer_id))
        introduced.addErrback(lambda failure: self.errors.append(failure.value))


class Witness(DatagramProtocol):
    """Counts what it receives."""

    def __init__(self) -> None:
        self.received = 0

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self.received += 1


class AimedWorld(World):
    """Mallory and honest peers, under a tracker that lets her do as much as she likes."""

    def __init__(self, *, lying: bool = False) -> None:
        limits = evolve(
            DEFAULT_LIMITS,
            introductions_by_strangers=10_000,
            introductions_by_stranger=10_000,
            introductions_by_peer=10_000,
            introductions_of_pair=10_000,
            requests=10_000,
        )
        super().__init__(limits=limits, tracker_class=LyingTracker if lying else SimulatedTracker)
        host = self.add_host(5_000, FULL_CONE, INTERNET_LINK)
        self.mallory = Mallory(host, [self.trackers[0].address])
        self.keep(self.mallory, host)
        host.stop_at_end.append(self.mallory.stopService)

    def start_all(self) -> None:
        for node in self.nodes:
            node.startService()
            node.listen("echo", self.recorders())
        self.run(2.0)

    def dial_mallory(self, node: P2PNode) -> None:
        dialled = node.connect(self.mallory.peer_id, "echo", self.recorders())
        dialled.addErrback(lambda _: None)

    def strangers_sent_to(self, node: P2PNode) -> dict[HostPort, list[float]]:
        """Return when the node has sent to whom, the tracker left out."""
        sent = defaultdict(list)
        for packet in self.sent_by(node):
            if packet.destination != self.trackers[0].address:
                sent[packet.destination].append(packet.sent_at)
        return sent


class VictimTests(SynchronousTestCase):
    def test_500_peers_that_a_peer_aims_at_a_victim_send_it_nothing(self) -> None:
        with AimedWorld() as world:
            mallory = world.mallory
            victim = world.net.add_host("victim", VICTIM, VICTIM_IPV6)
            witnesses = [Witness(), Witness()]
            victim.reactor.listenUDP(4000, witnesses[0])
            victim.reactor.listenUDP(4000, witnesses[1], "::")
            mallory.claims = [HostPort(VICTIM, 4000), HostPort(VICTIM, 53)]
            mallory.claims += [HostPort(VICTIM_IPV6, 4000), HostPort(f"::ffff:{VICTIM}", 4000)]
            honest = [world.add_node() for _ in range(500)]
            world.start_all()
            for node in honest:
                world.dial_mallory(node)
            world.run(1.0)
            for node in honest:
                mallory.offer_to(node.peer_id)
            world.run(1.0)

            self.assertEqual(mallory.errors, [])
            self.assertGreaterEqual(mallory.answered, 500)
            self.assertEqual([witness.received for witness in witnesses], [0, 0])
            expected = {world.trackers[0].address.host, world.seen_at[mallory]}
            probed = defaultdict(set)
            for packet in world.net.log:
                if packet.sender not in ("tracker 0", world.hosts[mallory].name):
                    self.assertIn(packet.destination.host, expected)
                    probed[packet.sender].add(packet.destination.host)
            # All of them were ready to send to where the tracker had seen her.
            self.assertEqual(sum(hosts == expected for hosts in probed.values()), 500)
            world.abandon()  # to stop them all would take as long as all of this

    def test_neighbours_of_a_peer_are_no_victims_either(self) -> None:
        """Hosts in the network of the one who is aimed, its router and the host itself."""
        with AimedWorld() as world:
            honest = world.add_node(FULL_CONE)
            inside, outside = world.hosts[honest].addresses[0], world.seen_at[honest]
            network = inside.rpartition(".")[0]
            world.mallory.claims = [
                HostPort(host, port)
                for host in (inside, outside, f"{network}.1", f"{network}.77", "127.0.0.1")
                for port in (53, 4000)
            ]
            world.start_all()
            world.dial_mallory(honest)
            world.run(15.0)
            world.mallory.offer_to(honest.peer_id)
            world.run(15.0)
            self.assertEqual(world.mallory.answered, 1)
            seen_at = HostPort(world.seen_at[world.mallory], world.mallory.udp_port)
            self.assertEqual(set(world.strangers_sent_to(honest)), {seen_at})


class BoundsTests(SynchronousTestCase):
    """Promise 5, where tracker and peer are in league."""

    MANY = tuple(HostPort(f"11.150.{number}.9", 4000) for number in range(12))

    def lie(self, word: Word, path: DatagramPath) -> list[tuple[Word, DatagramPath]]:
        if isinstance(word, Introduced | OfferHandedOver | AnswerHandedOver):
            word = evolve(word, addresses=self.MANY)
        return [(word, path)]

    def check(self, world: AimedWorld, honest: P2PNode) -> None:
        sent = world.strangers_sent_to(honest)
        self.assertEqual(len(sent), 8)
        self.assertEqual({len(times) for times in sent.values()}, {10})
        times = sorted(time for times in sent.values() for time in times)
        gaps = [later - earlier for earlier, later in pairwise(times)]
        self.assertGreaterEqual(min(gaps), 0.02 - 1e-9)

    def make_world(self) -> tuple[AimedWorld, P2PNode]:
        world = AimedWorld(lying=True)
        tracker = world.trackers[0]
        assert isinstance(tracker, LyingTracker)
        tracker.lie = self.lie
        world.mallory.claims = [HostPort(host, 4001) for host, _ in self.MANY[:8]]
        honest = world.add_node()
        world.start_all()
        return world, honest

    def test_a_dial(self) -> None:
        world, honest = self.make_world()
        with world:
            world.dial_mallory(honest)
            world.run(30.0)
            self.check(world, honest)

    def test_an_offer(self) -> None:
        world, honest = self.make_world()
        with world:
            world.mallory.offer_to(honest.peer_id)
            world.run(30.0)
            self.check(world, honest)


class ForbiddenCandidateTests(SynchronousTestCase):
    """Promise 7, at the socket: all that is no address of a peer gets no packet."""

    FORBIDDEN = (
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.1.2.3",
        "169.254.1.1",
        "172.16.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.251",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "64:ff9b:1::b63:1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "fc00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff02::fb",
    )

    def spellings(self, host: str) -> list[str]:
        """Return an address, and the IPv6 addresses whose packets go to it."""
        if ":" in host:
            return [host]
        number = int(IPv4Address(host))
        return [
            host,
            f"::{host}",
            f"::ffff:{host}",
            f"::ffff:0:{host}",
            f"64:ff9b::{host}",
            str(IPv6Address((0x2002 << 112) + (number << 80) + 1)),
            str(IPv6Address((0x2001 << 112) + (number ^ 0xFFFFFFFF))),
        ]

    def test_nothing_is_sent_to_any_of_them(self) -> None:
        with AimedWorld() as world:
            everything = [
                HostPort(str(ip_address(spelling)), port)
                for host in (*self.FORBIDDEN, world.trackers[0].address.host)
                for spelling in self.spellings(host)
                for port in (53, 3478)
            ]
            everything += [HostPort("11.99.0.9", 0), HostPort("11.99.0.9", 4000)]
            everything = everything[: len(everything) // 8 * 8]
            host = world.net.add_host("honest", "11.77.0.2", "2a0e::2")
            honest = world.keep(simulated_node(host, [world.trackers[0].address]), host)
            world.start_all()
            seen_at = HostPort(world.seen_at[world.mallory], world.mallory.udp_port)
            for first in range(0, len(everything), 8):
                world.mallory.claims = everything[first : first + 8]
                world.mallory.offer_to(honest.peer_id)
                world.run(13.0)
                world.dial_mallory(honest)
                world.run(13.0)
            self.assertEqual(world.mallory.errors, [])
            self.assertGreaterEqual(world.mallory.answered, len(everything) / 8)
            self.assertEqual(set(world.strangers_sent_to(honest)), {seen_at})
            # Each offer was taken: a session of each has probed where the tracker saw her.
            self.assertEqual(
                len(world.strangers_sent_to(honest)[seen_at]), len(everything) / 8 * 20
            )

    def test_a_box_has_room_for_all_that_is_claimed_at_a_time(self) -> None:
        with AimedWorld() as world:
            honest = world.add_node()
            world.mallory.claims = [HostPort("2002:e000:1::1", port) for port in range(8)]
            box = world.mallory.offer(honest.peer_id)
            offer = open_offer(honest._identity, world.mallory.peer_id, box)
            self.assertEqual(len(offer.candidates), 16)
