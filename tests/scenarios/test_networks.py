"""Peers in one network, behind several NATs in a row, with two address families; and how fast."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import World
from twisted_p2p.addresses import HostPort
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import (
    INTERNET_LINK,
    PORT_RESTRICTED,
    RANDOM_SYMMETRIC,
    NATBehaviour,
    Network,
)
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker

TRACKER = HostPort("11.9.0.2", 3478)
TRACKER_IPV6 = HostPort("2a00:9::2", 3478)


class NetworkTests(SynchronousTestCase):
    def node(
        self,
        world: World,
        network: Network | None,
        *addresses: str,
        trackers: Iterable[HostPort] = (TRACKER,),
    ) -> P2PNode:
        link = INTERNET_LINK if network is None else None
        host = world.net.add_host(f"node {addresses[0]}", *addresses, network=network, link=link)
        return world.keep(simulated_node(host, trackers), host)

    def connect(self, world: World, left: P2PNode, right: P2PNode) -> tuple[str, str]:
        """Return the kind of the path between two nodes, and the host at its other end."""
        world.start(left, right)
        world.listen(right)
        recorder = world.dial(left, right, greeting=b"hello")
        world.run(2.0)
        self.assertEqual(recorder.received, b"hello")
        path = recorder.transport.getPeer().path
        return path.kind, path.remote.host

    def test_peers_in_one_network_talk_within_it(self) -> None:
        for hairpinning in (True, False):
            with World() as world:
                nat = evolve(RANDOM_SYMMETRIC, hairpinning=hairpinning)
                home = world.net.add_network("home", "11.1.0.2", nat)
                left, right = (self.node(world, home, f"192.168.1.{n}") for n in (2, 3))
                self.assertEqual(self.connect(world, left, right), ("lan", "192.168.1.3"))

    def test_public_peers_far_from_their_tracker_learn_that_their_path_is_direct(self) -> None:
        near, far = evolve(INTERNET_LINK, delay=0.01), evolve(INTERNET_LINK, delay=0.1)
        with World(link=far) as world:
            left, right = (world.add_node(None, link=near) for _ in range(2))
            self.assertEqual(self.connect(world, left, right), ("direct", world.seen_at[right]))

    def test_who_knows_no_address_of_its_own_is_found_where_its_tracker_sees_it(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            for node in (left, right):
                node._place._candidates._interfaces = lambda: ()
            world.start(right)
            world.listen(right)
            left.startService()
            recorder = world.dial(left, right, greeting=b"hello")
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello")

    def test_equal_private_addresses_do_not_mean_one_network(self) -> None:
        with World() as world:
            left, right = (
                self.node(
                    world,
                    world.net.add_network(f"home {n}", f"11.{n}.0.2", PORT_RESTRICTED),
                    f"192.168.1.{n}",
                )
                for n in (1, 2)
            )
            neighbour = world.net.add_host(
                "neighbour", "192.168.1.2", network=world.hosts[left].network
            )
            self.assertEqual(self.connect(world, left, right), ("punched", "11.2.0.2"))
            self.assertFalse([p for p in world.net.log if p.place == neighbour.name])

    def behind_two(self, world: World, number: int, nats: Iterable[NATBehaviour]) -> P2PNode:
        outer, inner = nats
        carrier = world.net.add_network(f"carrier {number}", f"11.{number}.0.2", outer)
        home = world.net.add_network(f"home {number}", f"100.64.0.{number}", inner, behind=carrier)
        return self.node(world, home, f"192.168.{number}.2")

    def test_peers_behind_two_nats_each(self) -> None:
        with World() as world:
            twice = (PORT_RESTRICTED, PORT_RESTRICTED)
            left, right = (self.behind_two(world, number, twice) for number in (1, 2))
            self.assertEqual(self.connect(world, left, right), ("punched", "11.2.0.2"))

    def test_where_ipv4_has_no_path_ipv6_may_have_one(self) -> None:
        with World(trackers=0) as world:
            host = world.net.add_host("tracker", TRACKER.host, TRACKER_IPV6.host)
            world.trackers.append(SimulatedTracker(host))
            left, right = (
                self.node(
                    world,
                    world.net.add_network(f"home {n}", f"11.{n}.0.2", RANDOM_SYMMETRIC),
                    f"192.168.1.{n}",
                    f"2a00:{n}::2",
                    trackers=(TRACKER, TRACKER_IPV6),
                )
                for n in (1, 2)
            )
            self.assertEqual(self.connect(world, left, right), ("direct", "2a00:2::2"))


class LatencyTests(SynchronousTestCase):
    """Decision 5: a round trip for the introduction, half of one for the check, one for QUIC."""

    def test_the_first_byte_is_back_after_three_round_trips_and_a_half(self) -> None:
        for nat, most in ((None, 0.281), (PORT_RESTRICTED, 0.285)):
            with World() as world:
                left, right = world.add_node(nat), world.add_node(nat)
                world.start()
                world.listen(right)
                world.run(10.0)
                began = world.now
                recorder = world.dial(left, right, greeting=b"hello")
                world.run(1.0)
                assert recorder.first_byte_at is not None
                # The introduction, the check, QUIC and the echo: 80 + 40 + 80 + 80 ms.
                elapsed = recorder.first_byte_at - began
                self.assertTrue(0.279 < elapsed < most, elapsed)

    def test_a_second_stream_takes_one_round_trip(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            world.listen(right)
            world.dial(left, right)
            world.run(10.0)
            began = world.now
            recorder = world.dial(left, right, greeting=b"hello")
            world.run(1.0)
            assert recorder.first_byte_at is not None
            self.assertLess(recorder.first_byte_at - began, 0.09)
