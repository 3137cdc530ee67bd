"""`LANDiscovery` on simulated hosts."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.lan.dns_host import OTHER_RECORDS, pointer
from tests.lan.neighbourhood import Neighbour, add_neighbours
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import InvalidPeerID
from twisted_p2p.interfaces import (
    IDiscoveredPeer,
    IDiscoveryObserver,
    IPeerDiscovery,
)
from twisted_p2p.lan.records import Message
from twisted_p2p.lan.wire import encode_message
from twisted_p2p.testing import SimulatedInternetMixin


class DiscoveryTestCase(SimulatedInternetMixin, SynchronousTestCase):
    count = 2

    def setUp(self) -> None:
        self.internet = self.simulate()
        self.one, self.two, *_ = self.neighbours = add_neighbours(self.internet, self.count)

    def run_for(self, seconds: float) -> None:
        self.internet.run_for(seconds)


class FindingTests(DiscoveryTestCase):
    def test_it_provides_what_it_says(self) -> None:
        verifyObject(IPeerDiscovery, self.one)
        verifyObject(IDiscoveryObserver, self.one)
        self.one.browse()
        self.two.show()
        self.run_for(2.0)
        verifyObject(IDiscoveredPeer, self.one.found[0])

    def test_who_browses_finds_who_comes(self) -> None:
        self.one.browse()
        self.two.show("chat")
        self.run_for(1.1)
        (peer,) = self.one.found
        self.assertEqual(peer.peer_id, self.two.peer_id)
        self.assertEqual(peer.addresses, (HostPort("192.168.1.3", 4711),))
        self.assertEqual((peer.services, peer.accepting), (("chat",), True))
        self.assertEqual(self.one.known(self.two), peer)
        self.assertEqual(self.two.found, [])

    def test_and_who_is_there_within_a_quarter_of_a_second(self) -> None:
        self.two.show()
        self.run_for(5.0)
        self.one.browse()
        self.run_for(0.25)
        self.assertTrue(self.one.knows(self.two))

    def test_it_is_told_when_this_node_can_be_found(self) -> None:
        self.two.show()
        announced = self.two.when_announced()
        self.run_for(0.7)
        self.assertNoResult(announced)
        self.assertEqual(self.two.instance, self.two.peer_id)
        self.run_for(0.4)
        self.successResultOf(announced)
        self.successResultOf(self.two.when_announced())

    def test_what_changes_is_told(self) -> None:
        self.one.browse()
        self.two.show("chat")
        self.run_for(3.0)
        self.two.show("chat", "file")
        self.run_for(0.1)
        self.assertEqual([peer.services for peer in self.one.updated], [("chat", "file")])

    def test_who_withdraws_is_lost(self) -> None:
        self.one.browse()
        self.two.show()
        self.run_for(3.0)
        self.two.withdraw()
        self.run_for(1.1)
        self.assertEqual(len(self.one.lost), 1)
        self.assertEqual(self.one.peers(), [])
        self.assertIsNone(self.two.instance)

    def test_who_vanishes_is_lost_within_the_life_of_its_records(self) -> None:
        self.one.browse()
        self.two.show()
        self.run_for(3.0)
        self.two.host.disconnect()
        self.run_for(121.0)
        self.assertEqual(len(self.one.lost), 1)

    def test_who_stays_is_not(self) -> None:
        self.one.browse()
        self.two.show()
        self.run_for(2 * 3_600.0)
        self.assertEqual((len(self.one.found), self.one.updated, self.one.lost), (1, [], []))

    def test_observers_are_told_too_until_they_are_removed(self) -> None:
        self.one.add_observer(self.two)
        self.one.browse()
        self.two.show()
        self.run_for(3.0)
        self.assertEqual(self.two.found, self.one.found)
        self.one.remove_observer(self.two)
        self.two.withdraw()
        self.run_for(3.0)
        self.assertEqual((len(self.one.lost), self.two.lost), (1, []))

    def test_an_observer_that_fails_disturbs_no_other(self) -> None:
        def fail(peer: IDiscoveredPeer) -> None:
            raise ZeroDivisionError

        self.one.peer_found = fail  # type: ignore[method-assign,assignment]
        self.one.add_observer(self.two)
        self.one.browse()
        self.two.show()
        self.run_for(3.0)
        self.assertEqual(len(self.two.found), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class LookingForOneTests(DiscoveryTestCase):
    count = 3

    def test_it_is_asked_at_once(self) -> None:
        self.two.show()
        self.run_for(5.0)
        looking = self.one.look_for(self.two.peer_id)
        self.run_for(0.01)
        self.assertEqual(self.successResultOf(looking).peer_id, self.two.peer_id)

    def test_and_known_for_as_long_as_it_said(self) -> None:
        self.two.show()
        self.run_for(5.0)
        self.one.look_for(self.two.peer_id)
        self.run_for(119.0)
        self.assertTrue(self.one.knows(self.two))
        self.assertEqual(self.one.lost, [])
        self.run_for(2.0)
        self.assertEqual(len(self.one.lost), 1)

    def test_one_that_is_known_is_found_already(self) -> None:
        self.one.browse()
        self.two.show()
        self.run_for(5.0)
        self.successResultOf(self.one.look_for(self.two.peer_id))

    def test_one_that_comes_later_is_found_then(self) -> None:
        lookings = [self.one.look_for(self.two.peer_id) for _ in range(2)]
        self.run_for(100.0)
        self.two.show()
        self.run_for(2.0)
        for looking in lookings:
            self.successResultOf(looking)

    def test_nobody_else_is_found_by_it(self) -> None:
        self.neighbours[2].show()
        looking = self.one.look_for(self.two.peer_id)
        self.run_for(5.0)
        self.assertNoResult(looking)
        looking.cancel()
        self.failureResultOf(looking, CancelledError)

    def test_and_nothing_more_is_asked_for_when_nobody_waits(self) -> None:
        lookings = [self.one.look_for(self.two.peer_id) for _ in range(2)]
        self.run_for(1.0)
        lookings[0].cancel()
        before = len(self.internet.log)
        self.run_for(2.0)
        self.assertGreater(len(self.internet.log), before)
        lookings[1].cancel()
        before = len(self.internet.log)
        self.run_for(1_000.0)
        self.assertEqual(len(self.internet.log), before)
        for looking in lookings:
            self.failureResultOf(looking, CancelledError)

    def test_one_that_wants_not_to_be_recognised_is_found_by_who_knows_it(self) -> None:
        self.two.show("secret", unlinkable_name=True)
        self.neighbours[2].browse()
        self.run_for(3.0)
        looking = self.one.look_for(self.two.peer_id)
        self.run_for(0.25)
        peer = self.successResultOf(looking)
        self.assertEqual((peer.services, peer.addresses[0].host), ((), "192.168.1.3"))
        self.assertEqual(self.neighbours[2].peers(), [])


class SilenceTests(DiscoveryTestCase):
    """A node announces, asks and listens only when it is asked to."""

    def test_nothing_is_sent_unasked(self) -> None:
        self.one.interfaces_changed()
        self.run_for(100.0)
        self.assertEqual(len(self.internet.log), 0)
        self.assertEqual(self.one.host.open_ports(), [])

    def test_who_browses_is_not_announced(self) -> None:
        self.one.browse()
        self.two.browse()
        self.run_for(100.0)
        self.assertEqual((self.one.peers(), self.two.peers()), ([], []))

    def test_who_stops_browsing_asks_no_more(self) -> None:
        self.one.browse()
        self.run_for(1.5)
        before = len(self.internet.log)
        self.one.stop_browsing()
        self.run_for(10_000.0)
        self.assertEqual(len(self.internet.log), before)

    def test_what_was_asked_before_the_start_begins_with_it(self) -> None:
        self.run_for(0.0)
        self.internet.run_until(self.one.stop())
        self.one.browse()
        self.two.show()
        self.run_for(3.0)
        self.assertEqual(self.one.peers(), [])
        self.one.start()
        self.run_for(0.25)
        self.assertTrue(self.one.knows(self.two))


class StoppingTests(DiscoveryTestCase):
    def test_it_says_goodbye_and_leaves_nothing(self) -> None:
        self.one.browse()
        self.two.show()
        self.run_for(3.0)
        self.internet.run_until(self.two.stop())
        self.assertEqual(self.two.host.open_ports(), [])
        self.assertEqual(self.two.host.reactor.getDelayedCalls(), [])
        self.run_for(1.1)
        self.assertEqual(len(self.one.lost), 1)

    def test_who_waits_is_cancelled(self) -> None:
        waiting = [self.one.look_for(self.two.peer_id), self.one.when_announced()]
        self.one.stop()
        for each in waiting:
            self.failureResultOf(each, CancelledError)

    def test_who_waits_no_more_is_not(self) -> None:
        waiting = self.one.when_announced()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.one.stop()

    def test_it_can_be_started_again(self) -> None:
        self.one.browse()
        self.two.show()
        self.run_for(3.0)
        self.internet.run_until(self.one.stop())
        self.assertEqual((self.one.peers(), self.one.lost), ([], []))
        self.one.start()
        self.one.browse()
        self.run_for(0.25)
        self.assertEqual(len(self.one.found), 2)

    def test_what_is_no_peer_id_and_no_port_is_refused(self) -> None:
        with self.assertRaises(InvalidPeerID):
            self.one.announce("nobody", 1, (), accepting=True)
        with self.assertRaises(InvalidPeerID):
            self.one.look_for("nobody")
        for port in (0, 65_536):
            with self.assertRaises(ValueError):
                self.one.show(port=port)


class NetworkChangeTests(DiscoveryTestCase):
    def setUp(self) -> None:
        super().setUp()
        for each in self.neighbours:
            each.browse()
            each.show()
        self.run_for(5.0)

    def test_a_cable_that_was_pulled_and_put_back(self) -> None:
        self.two.host.disconnect()
        self.run_for(300.0)
        self.assertFalse(self.one.knows(self.two))
        self.two.host.reconnect()
        self.two.interfaces_changed()
        self.run_for(2.0)
        self.assertTrue(self.one.knows(self.two))
        self.assertTrue(self.two.knows(self.one))

    def test_a_host_without_a_network_that_comes_back(self) -> None:
        lan = self.two.host.network
        self.two.host.move_to(lan)
        self.two.interfaces_changed()
        self.assertEqual(self.two.peers(), [])
        self.run_for(300.0)
        self.assertEqual(self.two.host.open_ports(), [])
        self.two.host.move_to(lan, "192.168.1.77")
        self.two.interfaces_changed()
        self.run_for(2.0)
        self.assertEqual(self.one.known(self.two).addresses, (HostPort("192.168.1.77", 4711),))
        self.assertTrue(self.two.knows(self.one))

    def test_who_changes_its_address_is_known_by_the_new_one_alone(self) -> None:
        self.two.host.move_to(self.two.host.network, "192.168.1.77")
        self.two.interfaces_changed()
        self.run_for(3.0)
        self.assertEqual(self.one.known(self.two).addresses, (HostPort("192.168.1.77", 4711),))

    def test_a_host_that_slept_finds_those_who_came_and_forgets_those_who_went(self) -> None:
        self.one.host.sleep()
        self.run_for(600.0)
        self.two.host.disconnect()
        self.one.host.wake()
        self.one.interfaces_changed()
        self.run_for(11.0)
        self.assertFalse(self.one.knows(self.two))

    def test_an_address_that_another_program_keeps_for_itself(self) -> None:
        self.two.host.move_to(self.two.host.network, "192.168.1.77")
        self.run_for(0.0)
        self.internet.run_until(self.two.stop())
        self.two.host.reactor.listenUDP(5353, DatagramProtocol())
        self.two.start()
        self.two.browse()
        self.run_for(3.0)
        self.assertEqual(self.two.peers(), [])
        for port in self.two.host.open_ports():
            self.internet.run_until(port.stopListening() or self.two.stop())


class OneHostTests(SimulatedInternetMixin, SynchronousTestCase):
    """Several programs on one host (RFC 6762, section 15)."""

    def test_they_find_each_other_and_are_both_found(self) -> None:
        internet = self.simulate()
        far, near = add_neighbours(internet, 2)
        beside = Neighbour(near.host, 3)
        for each in (far, near, beside):
            each.browse()
        near.show(port=1)
        beside.show(port=2)
        internet.run_for(3.0)
        self.assertTrue(far.knows(near, beside))
        self.assertTrue(near.knows(beside))
        self.assertEqual(beside.known(near).addresses, (HostPort("192.168.1.3", 1),))

    def test_with_one_key_they_have_two_names(self) -> None:
        internet = self.simulate()
        far, near = add_neighbours(internet, 2)
        beside = Neighbour(near.host, 2)
        far.browse()
        near.show(port=1)
        beside.show(port=2)
        internet.run_for(8.0)
        self.assertNotEqual(near.instance, beside.instance)
        self.assertEqual({each.port for each in far.known(near).addresses}, {1, 2})


class IPv6Tests(SimulatedInternetMixin, SynchronousTestCase):
    def test_hosts_with_ipv6_alone_are_found_by_their_link_local_address(self) -> None:
        internet = self.simulate()
        _, alone, both, alone_too = add_neighbours(internet, 4, is_ipv6=True)
        for each in (alone, both, alone_too):
            each.browse()
            each.show()
        internet.run_for(3.0)
        self.assertEqual(alone.known(alone_too).addresses, (HostPort("fe80::5%eth0", 4711),))
        self.assertEqual(
            alone.known(both).addresses,
            (HostPort("fe80::4%eth0", 4711),),
        )
        self.assertTrue(both.knows(alone, alone_too))


class HostileLinkTests(DiscoveryTestCase):
    """Promise 13: what comes from the LAN is hostile too."""

    def test_ten_thousand_datagrams_a_second_of_nonsense_hide_nobody(self) -> None:
        self.one.browse()
        attacker = self.internet.add_host("attacker", "192.168.1.66", network=self.one.host.network)
        port = attacker.reactor.listenUDP(5353, DatagramProtocol())
        template = encode_message(Message(True, answers=OTHER_RECORDS.announced))
        self.two.show()
        for burst in range(100):
            for number in range(100):
                data = bytearray(template)
                data[(burst * 100 + number) % len(data)] ^= 1 + number % 255
                port.write(bytes(data[: len(data) - burst]), ("224.0.0.251", 5353))
            self.run_for(0.01)
        self.run_for(1.0)
        self.assertIn(self.two.peer_id, [peer.peer_id for peer in self.one.peers()])
        self.assertGreater(self.one.dropped["malformed"], 5_000)
        port.close()

    def test_a_thousand_false_peers_take_no_more_room_and_hide_nobody_who_was_there(self) -> None:
        self.one.browse()
        self.two.show()
        self.run_for(2.0)
        attacker = Neighbour(
            self.internet.add_host("attacker", "192.168.1.66", network=self.one.host.network), 66
        )
        attacker.browse()
        self.run_for(0.01)
        (port,) = attacker.host.open_ports()
        for start in range(0, 2_000, 20):
            false = tuple(pointer(f"false-{start + n}") for n in range(20))
            data = encode_message(Message(True, answers=false))
            port.write(data, ("224.0.0.251", 5353))
            self.run_for(0.005)
        self.run_for(1.0)
        self.assertEqual(self.one.dropped["too many services"], 2_001 - 1_000)
        self.assertTrue(self.one.knows(self.two))
