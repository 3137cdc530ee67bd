"""Peers on one switch that have no tracker, or one that does not answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import World
from twisted_p2p.addresses import HostPort
from twisted_p2p.endpoint_strings import parse_client, parse_server
from twisted_p2p.errors import PeerOffline, PeerRefused, TrackerUnreachable
from twisted_p2p.node.service import P2PNode
from twisted_p2p.node.sharing import stop_shared_nodes
from twisted_p2p.rendezvous.offering import LAN_PATIENCE
from twisted_p2p.testing import PORT_RESTRICTED, simulated_node

GROUPS = {"224.0.0.251", "ff02::fb"}


class LAN(World):
    """A network of nodes that use it."""

    def __init__(self, *, trackers: int = 0, seed: int = 1) -> None:
        super().__init__(trackers=trackers, seed=seed)
        self.home = self.net.add_network("home", "11.77.0.2", PORT_RESTRICTED)

    def add(self, *, trackers: bool = True, addresses: tuple[str, ...] = ()) -> P2PNode:
        """Add a node to it."""
        number = len(self.nodes) + 1
        addresses = addresses or (f"192.168.1.{number + 1}",)
        host = self.net.add_host(f"node {number}", *addresses, network=self.home)
        known = [tracker.address for tracker in self.trackers] if trackers else []
        return self.keep(simulated_node(host, known, lan=True), host)

    def to_groups(self, node: P2PNode) -> int:
        return sum(packet.destination.host in GROUPS for packet in self.sent_by(node))


class NoTrackerTests(SynchronousTestCase):
    def test_two_machines_on_a_switch_are_all_it_takes(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            world.start()
            began = world.now
            world.listen(right)
            self.assertLess(world.now - began, 1.5)
            world.run(2.0)  # what was just said is not said again within a second (RFC 6762, 6)
            began = world.now
            recorder = world.dial(left, right, greeting=b"hello")
            self.assertLess(world.now - began, 0.5)
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello")
            connection = left.connection_with(right.peer_id)
            assert connection is not None
            self.assertEqual((connection.path.kind, connection.strategy), ("lan", "lan"))
            pong = world.until(left.ping(right.peer_id))
            self.assertEqual((pong.path.kind, pong.accepting), ("lan", True))

    def test_endpoint_strings_need_no_tracker_either(self) -> None:
        self.patch(os, "environ", {})
        folder = Path(self.mktemp())
        folder.mkdir(mode=0o700)
        with LAN() as world:
            hosts = [
                world.net.add_host(name, f"192.168.1.{number}", network=world.home)
                for number, name in ((7, "server"), (8, "client"))
            ]
            there, here = (host.reactor for host in hosts)
            server = parse_server(there, "echo", identity=str(folder / "server.pem"))
            listening: Any = world.until(server.listen(world.recorders(echoes=True)))
            peer = listening.getHost().peer_id
            client = parse_client(here, peer, service="echo", identity=str(folder / "client.pem"))
            recorder: Any = world.until(client.connect(world.recorders(b"hello")))
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello")
            for reactor in (there, here):
                world.until(stop_shared_nodes(reactor))

    def test_addresses_that_need_no_server_to_have_do_as_well(self) -> None:
        for addresses in (
            ("169.254.7.{}",),
            ("11.50.0.{}",),
            ("fe80::{}", "fd00::{}"),
            ("fe80::{}", "2a00::{}"),
        ):
            with LAN() as world:
                left, right = (
                    world.add(addresses=tuple(each.format(number) for each in addresses))
                    for number in (1, 2)
                )
                world.start()
                world.listen(right)
                recorder = world.dial(left, right, greeting=b"hello")
                world.run(1.0)
                self.assertEqual(recorder.received, b"hello")

    def test_dials_that_cross_are_one_connection(self) -> None:
        for seed in range(3):
            with LAN(seed=seed) as world:
                pair = left, right = world.add(), world.add()
                world.start()
                services = [world.listen(node) for node in pair]
                dials: list[Deferred[Any]] = [
                    left.connect(right.peer_id, "echo", world.recorders(b"a")),
                    right.connect(left.peer_id, "echo", world.recorders(b"b")),
                ]
                ends = [world.until(dial) for dial in dials]
                world.run(40.0)
                self.assertEqual([end.received for end in ends], [b"a", b"b"])
                self.assertEqual([end.lost for end in ends], [None, None])
                self.assertEqual([service.made for service in services], [1, 1])

    def test_who_is_not_there_is_offline_after_a_second_and_a_half(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            world.start()
            began = world.now
            error = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, PeerOffline)
            self.assertIn("no tracker is named", str(error))
            self.assertAlmostEqual(world.now - began, LAN_PATIENCE, delta=0.1)

    def test_who_is_not_allowed_is_refused(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            world.start()
            world.listen(right, allow=[right.peer_id])
            error = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, PeerRefused)

    def test_a_dial_that_is_given_up_leaves_nothing(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            world.start()
            dial = left.connect(right.peer_id, "echo", world.recorders())
            world.run(0.3)
            dial.cancel()
            world.error_of(dial)
            before = world.to_groups(left)
            world.run(60.0)
            self.assertEqual(world.to_groups(left), before)


class PrivacyTests(SynchronousTestCase):
    def test_who_only_dials_is_not_announced_nor_heard_before_it_does(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            world.start()
            world.run(60.0)
            self.assertEqual(world.to_groups(left), 0)
            world.listen(right)
            world.dial(left, right)
            assert right.lan is not None
            right.lan.browse()
            world.run(10.0)
            self.assertEqual(right.lan.peers(), [])

    def test_who_listens_no_more_is_gone(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            world.start()
            listening = world.until(right.listen("echo", world.recorders()))
            assert left.lan is not None
            left.lan.browse()
            world.run(3.0)
            [known] = left.lan.peers()
            self.assertEqual(
                (known.peer_id, known.services, known.accepting), (right.peer_id, ("echo",), True)
            )
            listening.stopListening()
            world.run(3.0)
            self.assertEqual(left.lan.peers(), [])

    def test_a_node_that_was_told_to_leave_the_network_alone_does(self) -> None:
        with LAN(trackers=1) as world:
            host = world.net.add_host("quiet", "192.168.1.9", network=world.home)
            trackers = [tracker.address for tracker in world.trackers]
            quiet = world.keep(simulated_node(host, trackers), host)
            world.start()
            world.listen(quiet)
            world.run(10.0)
            self.assertIsNone(quiet.lan)
            self.assertEqual(world.to_groups(quiet), 0)


class BothTests(SynchronousTestCase):
    """A tracker, and a local network."""

    def test_a_dead_tracker_keeps_nobody_from_the_neighbour(self) -> None:
        with LAN(trackers=1) as world:
            left, right = world.add(), world.add()
            world.trackers[0].stop()
            world.start()
            self.assertLess(world.now, 3.0)
            world.listen(right)
            world.run(2.0)
            began = world.now
            recorder = world.dial(left, right, greeting=b"hello")
            self.assertLess(world.now - began, 0.5)
            world.run(30.0)
            self.assertEqual(recorder.received, b"hello")

    def test_the_path_is_that_of_the_network_even_where_the_tracker_is_quicker(self) -> None:
        with LAN(trackers=1) as world:
            left, right = world.add(), world.add()
            world.start()
            world.listen(right)
            world.run(2.0)
            world.dial(left, right)
            world.run(2.0)
            connection = left.connection_with(right.peer_id)
            assert connection is not None
            self.assertEqual(connection.path.kind, "lan")

    def test_who_is_elsewhere_is_found_by_the_tracker_as_soon_as_ever(self) -> None:
        with LAN(trackers=1) as world:
            left, right = world.add(), world.add_node(PORT_RESTRICTED)
            world.start()
            world.listen(right)
            world.run(2.0)
            began = world.now
            world.dial(left, right)
            self.assertLess(world.now - began, 0.5)

    def test_offline_is_who_is_known_to_neither(self) -> None:
        with LAN(trackers=1) as world:
            left, right = world.add(), world.add()
            world.start(left)
            error = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, PeerOffline)

    def test_where_neither_answers_it_is_the_tracker_that_is_to_blame(self) -> None:
        with LAN(trackers=1) as world:
            left, right = world.add(), world.add()
            world.trackers[0].stop()
            world.start(left)
            error = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, TrackerUnreachable)

    def test_without_any_network_a_dead_tracker_is_said_to_be_dead(self) -> None:
        with LAN(trackers=1) as world:
            left = world.add()
            world.trackers[0].stop()
            world.hosts[left].disconnect()
            world.hosts[left].move_to(world.home)
            world.run(0.0)
            left.startService()
            error = world.error_of(left.listen("echo", world.recorders()))
            self.assertIsInstance(error, TrackerUnreachable)


class CableTests(SynchronousTestCase):
    def test_peers_find_each_other_within_two_seconds_of_the_links_return(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            world.start()
            world.listen(right)
            world.dial(left, right)
            world.hosts[right].disconnect()
            world.run(200.0)
            self.assertIsNone(left.connection_with(right.peer_id))
            world.hosts[right].reconnect()
            began = world.now
            world.dial(left, right)
            self.assertLess(world.now - began, 2.0)

    def test_who_comes_from_another_network_is_found_at_its_new_address(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            elsewhere = world.net.add_network("café", "11.78.0.2", PORT_RESTRICTED)
            world.hosts[right].move_to(elsewhere, "10.0.0.7")
            world.start()
            world.until(left.listen("other", world.recorders()))
            right_listens = right.listen("echo", world.recorders(echoes=True))
            world.run(10.0)
            world.hosts[right].move_to(world.home, "192.168.1.77")
            began = world.now
            recorder = world.dial(left, right, greeting=b"hello")
            self.assertLess(world.now - began, 2.0)
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello")
            world.until(right_listens)

    def test_a_connection_outlives_a_cable_that_is_out_for_some_seconds(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            world.start()
            world.listen(right)
            recorder = world.dial(left, right, greeting=b"one")
            world.hosts[right].disconnect()
            world.run(10.0)
            recorder.transport.write(b"two")
            world.hosts[right].reconnect()
            world.run(2.0)
            self.assertEqual(recorder.received, b"onetwo")


class HostileNetworkTests(SynchronousTestCase):
    def test_an_address_beyond_the_link_that_somebody_announces_gets_no_packet(self) -> None:
        with LAN() as world:
            left, right = world.add(), world.add()
            liar = world.add()
            victim = world.net.add_host("victim", "11.66.0.2")
            world.start()
            assert liar.lan is not None
            lan: Any = liar.lan
            lan._interfaces = lambda: [
                type(each)(each.name, each.index, (*each.addresses, "11.66.0.2/24"))
                for each in world.hosts[liar].network_interfaces()
            ]
            lan.announce(right.peer_id, 4000, ["echo"], True)
            world.run(3.0)
            error = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, PeerOffline)
            told = {HostPort(victim.addresses[0], 4000)}
            found = lan.find(right.peer_id)
            self.assertIsNone(found)
            self.assertFalse(
                [packet for packet in world.sent_by(left) if packet.destination in told]
            )
