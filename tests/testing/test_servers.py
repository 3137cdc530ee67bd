from __future__ import annotations

from attrs import evolve
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import TrackerBusy, TrackerUnreachable
from twisted_p2p.testing import FULL_CONE, SimulatedInternet
from twisted_p2p.testing.nat import UDP_BLOCKED
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker
from twisted_p2p.tracker.limits import DEFAULT_LIMITS


class SimulatedTrackerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = SimulatedInternet()
        self.host = self.net.add_host("tracker", "11.9.0.2", "2a00:9::2")

    def register(self, number: int, tracker: HostPort, *addresses: str) -> None:
        host = self.net.add_host(f"node {number}", *addresses)
        node = simulated_node(host, [tracker])
        node.startService()
        self.net.run_until(node.when_ready())

    def test_it_serves_at_all_addresses_of_its_host(self) -> None:
        tracker = SimulatedTracker(self.host)
        self.assertEqual(tracker.address, HostPort("11.9.0.2", 3478))
        self.register(1, tracker.address, "11.1.0.2")
        self.register(2, HostPort("2a00:9::2", 3478), "2a00:1::2")
        self.assertEqual(tracker.status()["nodes"], 2)

    def test_it_falls_silent_when_stopped_and_another_one_takes_its_place(self) -> None:
        tracker = SimulatedTracker(self.host)
        tracker.stop()
        with self.assertRaises(TrackerUnreachable):
            self.register(1, tracker_address := HostPort("11.9.0.2", 3478), "11.1.0.2")
        self.assertFalse([p for p in self.net.log if p.sender == "tracker"])
        self.assertEqual(self.host.reactor.getDelayedCalls(), [])
        fresh = SimulatedTracker(self.host)
        self.register(2, tracker_address, "11.2.0.2")
        self.assertGreaterEqual(int(str(fresh.status()["nodes"])), 1)

    def test_it_serves_streams_too(self) -> None:
        tracker = SimulatedTracker(self.host)
        office = self.net.add_network("office", "11.8.0.2", UDP_BLOCKED)
        for number, (server, make_endpoint) in enumerate(
            (("11.9.0.2", TCP4ClientEndpoint), ("2a00:9::2", TCP6ClientEndpoint)), 2
        ):
            addresses = (f"192.168.1.{number}", f"2a00:1::{number}")
            host = self.net.add_host(f"node {number}", *addresses, network=office)
            node = simulated_node(host, [])
            remote = HostPort(server, 3478)
            node.add_tracker(remote, make_endpoint(host.reactor, *remote))
            node.startService()
            self.net.run_until(node.when_ready())
        self.assertEqual(tracker.status()["nodes"], 2)
        self.assertEqual(tracker.status()["streams"], 2)

    def test_a_restart_loses_memory_and_secrets_and_keeps_the_address(self) -> None:
        tracker = SimulatedTracker(self.host)
        self.register(1, tracker.address, "11.1.0.2")
        address, before = tracker.address, tracker._tracker
        tracker.restart(5.0)
        self.net.run_for(4.9)
        with self.assertRaises(CannotListenError):
            self.net.run_for(0.2)
            self.host.reactor.listenUDP(3478, DatagramProtocol(), "11.9.0.2")
        self.assertEqual(tracker.address, address)
        self.assertIsNot(tracker._tracker, before)
        self.assertEqual(tracker.status()["nodes"], 0)
        self.net.run_for(90.0)
        self.assertEqual(tracker.status()["nodes"], 1)

    def test_a_restart_is_called_off_by_stopping(self) -> None:
        tracker = SimulatedTracker(self.host)
        tracker.restart()
        tracker.stop()
        self.net.run_for(1.0)
        self.assertEqual(self.host.reactor.getDelayedCalls(), [])
        self.assertEqual(list(self.host.open_ports()), [])

    def test_its_limits_can_be_chosen(self) -> None:
        tracker = SimulatedTracker(self.host, limits=evolve(DEFAULT_LIMITS, registrations=1))
        self.register(1, tracker.address, "11.1.0.2")
        with self.assertRaises(TrackerBusy):
            self.register(2, tracker.address, "11.2.0.2")

    def test_behind_a_nat_it_is_told_its_public_address(self) -> None:
        home = self.net.add_network("home", "11.8.0.2", FULL_CONE)
        host = self.net.add_host("hidden tracker", "192.168.1.2", network=home)
        tracker = SimulatedTracker(host, public_hosts=["11.8.0.2"])
        # Something must leave the NAT first, for there is nothing that forwards the port.
        udp, _ = tracker._ports
        udp.write(b"out", ("11.9.0.2", 9))
        self.register(1, HostPort("11.8.0.2", 3478), "11.1.0.2")
        self.assertEqual(tracker.status()["nodes"], 1)
