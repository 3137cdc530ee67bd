"""A node's trackers on a simulated internet: behind NATs, several at once, dead and back again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.client_world import NodeProgram, TrackerProgram, stranger
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import PeerOffline, PeerRefused, TrackerBusy, TrackerUnreachable
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage
from twisted_p2p.testing.internet import SimulatedInternet
from twisted_p2p.testing.nat import PORT_RESTRICTED
from twisted_p2p.tracker.messages import AnswerHandedOver, OfferHandedOver


class ClientTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet(seed=5)
        self.homes = 0

    def add_tracker(self, *addresses: str) -> TrackerProgram:
        return TrackerProgram(self.internet.add_host(f"tracker {addresses[0]}", *addresses))

    def add_node(self, *trackers: TrackerProgram, **options: Any) -> NodeProgram:
        """Add a node behind a NAT of its own."""
        self.homes += 1
        nat = evolve(PORT_RESTRICTED, timeout=30)  # as forgetful as they are seen to be
        home = self.internet.add_network(f"home {self.homes}", f"11.0.1.{self.homes}", nat)
        host = self.internet.add_host(f"node {self.homes}", "192.168.1.2", network=home)
        return NodeProgram(host, *(tracker.address for tracker in trackers), **options)

    def started(self, *trackers: TrackerProgram, **options: Any) -> NodeProgram:
        """Add a node, and run until it is registered with all these trackers."""
        node = self.add_node(*trackers, **options)
        self.run_until(node.start())
        self.internet.run_for(1)
        return node

    def run_until(self, deferred: Deferred[Any]) -> Any:
        return self.internet.run_until(deferred)

    def time_to(self, deferred: Deferred[Any]) -> tuple[float, Any]:
        """Return the seconds until a Deferred has a result, and the result or error."""
        begin = self.internet.now
        try:
            result = self.run_until(deferred)
        except Exception as error:
            result = error
        return self.internet.now - begin, result


class OneTrackerTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tracker = self.add_tracker("11.0.0.1")

    def test_a_node_behind_a_nat_learns_the_mapping_of_its_socket(self) -> None:
        node = self.add_node(self.tracker)
        seconds, _ = self.time_to(node.start())
        self.assertTrue(seconds < 0.2, seconds)
        (observed,) = node.observed
        tracker, socket, mapped = observed
        self.assertEqual(tracker, "11.0.0.1")
        self.assertEqual([socket], list(node.sockets))
        self.assertEqual(mapped.host, "11.0.1.1")
        self.assertEqual(node.trackers.addresses, {self.tracker.address})

    def test_two_nodes_are_introduced_and_answer(self) -> None:
        alice, bob = self.started(self.tracker), self.started(self.tracker)
        introduced = self.run_until(alice.trackers.introduce(bob.peer_id, b"offer"))
        self.assertEqual(introduced.addresses, (bob.observed[0][2],))
        self.internet.run_for(1)
        alices_address = alice.observed[0][2]
        offer = OfferHandedOver(alice.peer_id.public_key, b"offer", (alices_address,))
        self.assertEqual(bob.handed_over, [offer])
        self.run_until(bob.trackers.answer(alice.peer_id, b"answer", True))
        self.internet.run_for(1)
        answer = AnswerHandedOver(bob.peer_id.public_key, b"answer", introduced.addresses)
        self.assertEqual(alice.handed_over, [answer])

    def test_a_look_up_tells_what_a_peer_offers(self) -> None:
        alice, bob = self.started(self.tracker), self.started(self.tracker)
        presence = self.run_until(alice.trackers.look_up(bob.peer_id))
        self.assertFalse(presence.accepting)
        bob.services = ("web",)
        bob.trackers.record_changed()
        self.run_until(bob.trackers.when_registered())
        presence = self.run_until(alice.trackers.look_up(bob.peer_id))
        self.assertTrue(presence.accepting)
        self.assertEqual(presence.services, ("web",))

    def test_an_absent_peer_is_offline(self) -> None:
        alice = self.started(self.tracker)
        for ask in (
            alice.trackers.look_up(stranger(1)),
            alice.trackers.introduce(stranger(1), b"box"),
        ):
            seconds, error = self.time_to(ask)
            self.assertIsInstance(error, PeerOffline)
            self.assertTrue(seconds < 0.1, seconds)

    def test_an_answer_to_somebody_unknown_is_refused(self) -> None:
        alice, bob = self.started(self.tracker), self.started(self.tracker)
        _, error = self.time_to(alice.trackers.answer(bob.peer_id, b"answer", True))
        self.assertIsInstance(error, PeerOffline | PeerRefused | TrackerUnreachable)

    def test_a_silent_tracker_is_unreachable_after_five_seconds(self) -> None:
        self.tracker.stop()
        node = self.add_node(self.tracker)
        seconds, error = self.time_to(node.start())
        self.assertIsInstance(error, TrackerUnreachable)
        self.assertTrue(4.9 < seconds < 5.1, seconds)

    def test_a_node_is_registered_by_itself_when_its_tracker_comes_to_life(self) -> None:
        self.tracker.stop()
        node = self.add_node(self.tracker)
        self.time_to(node.start())
        self.internet.run_for(60)
        self.tracker.start()
        self.internet.run_for(50)
        self.assertEqual(self.tracker.status["nodes"], 1)
        self.successResultOf(node.trackers.when_registered())

    def test_the_mapping_stays_open_for_offers(self) -> None:
        alice, bob = self.started(self.tracker), self.started(self.tracker)
        for _ in range(20):
            self.internet.run_for(29)
            self.run_until(alice.trackers.introduce(bob.peer_id, b"offer"))
            self.internet.run_for(1)
        self.assertEqual(len(bob.handed_over), 20)
        self.assertEqual(len({mapped for _, _, mapped in bob.observed}), 1)

    def test_a_wall_clock_that_goes_back_ten_years_changes_nothing(self) -> None:
        years = 315_360_000
        times = [years * 2.0]
        node = self.started(self.tracker, clock=lambda: times[0])
        times[0] -= years
        self.tracker.stop()
        self.internet.run_for(1)
        self.tracker.start()
        self.internet.run_for(60)
        self.assertEqual(self.tracker.status["nodes"], 1)
        node.trackers.record_changed()
        self.run_until(node.trackers.when_registered())

    def test_a_program_whose_clock_was_wrong_in_its_last_run_is_registered(self) -> None:
        node = self.started(self.tracker, clock=lambda: 4e9)
        again = NodeProgram(node.host, self.tracker.address)
        again.identity = node.identity
        again.trackers = type(again.trackers)(
            node.host.reactor,
            node.identity,
            send=again._send,
            sockets=lambda: list(again.sockets),
            describe=again._describe,
            next_sequence=lambda: 1,
            random_bytes=node.host.random.randbytes,
        )
        again.trackers.add(self.tracker.address)
        seconds, error = self.time_to(again.start())
        self.assertIsNone(error)
        self.assertTrue(seconds < 0.3)

    def test_a_changed_network_is_registered_at_once(self) -> None:
        node = self.started(self.tracker)
        node.trackers.network_changed()
        self.internet.run_for(0.2)
        self.assertEqual(len(node.observed), 2)

    def test_what_a_tracker_did_not_send_is_not_taken(self) -> None:
        node = self.started(self.tracker)
        ping = STUNMessage(BINDING, MessageClass.REQUEST, bytes(12), ()).encode()
        (socket,) = node.sockets
        path = DatagramPath(socket, HostPort("11.0.0.9", 3478))
        self.assertFalse(node.trackers.datagram_received(ping, path))

    def test_successes_are_reported_to_the_tracker_that_introduced(self) -> None:
        alice, bob = self.started(self.tracker), self.started(self.tracker)
        alice.trackers.succeeded()
        self.run_until(alice.trackers.introduce(bob.peer_id, b"offer"))
        alice.trackers.succeeded()
        self.internet.run_for(30)
        self.assertEqual(self.tracker.status["introductions_succeeded_total"], 1)

    def test_a_cancelled_request_is_given_up(self) -> None:
        node = self.started(self.tracker)
        self.tracker.stop()
        asked = node.trackers.look_up(stranger(1))
        self.internet.run_for(1)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        begin = len(self.internet.log)
        self.internet.run_for(3)
        self.assertEqual(len(self.internet.log), begin)

    def test_a_box_that_does_not_fit_is_the_callers_fault(self) -> None:
        node = self.started(self.tracker)
        self.failureResultOf(node.trackers.introduce(stranger(1), bytes(901)), ValueError)


class StoppingTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tracker = self.add_tracker("11.0.0.1")

    def test_a_node_that_stops_is_gone_and_leaves_nothing_behind(self) -> None:
        node = self.started(self.tracker)
        seconds, error = self.time_to(node.trackers.stop())
        self.assertIsNone(error)
        self.assertTrue(seconds < 0.1, seconds)
        self.assertEqual(self.tracker.status["nodes"], 0)
        self.assertEqual(node.host.reactor.getDelayedCalls(), [])

    def test_stopping_takes_two_seconds_without_a_tracker(self) -> None:
        node = self.started(self.tracker)
        self.tracker.stop()
        seconds, _ = self.time_to(node.trackers.stop())
        self.assertTrue(seconds < 2, seconds)
        self.assertEqual(node.host.reactor.getDelayedCalls(), [])

    def test_stopping_twice_and_before_the_start_is_fine(self) -> None:
        node = self.started(self.tracker)
        first, second = node.trackers.stop(), node.trackers.stop()
        self.run_until(first)
        self.successResultOf(second)
        self.successResultOf(node.trackers.stop())
        self.successResultOf(self.add_node(self.tracker).trackers.stop())

    def test_who_waits_is_told(self) -> None:
        self.tracker.stop()
        node = self.add_node(self.tracker)
        waiting = [node.start(), node.trackers.look_up(stranger(1))]
        self.internet.run_for(1)
        node.trackers.stop()
        for one in waiting:
            error = self.failureResultOf(one, TrackerUnreachable).value
            self.assertEqual(str(error), "This node is stopping.")

    def test_who_asks_afterwards_is_told(self) -> None:
        node = self.started(self.tracker)
        self.run_until(node.trackers.stop())
        for one in (node.trackers.when_registered(), node.trackers.look_up(stranger(1))):
            error = self.failureResultOf(one, TrackerUnreachable).value
            self.assertEqual(str(error), "This node is stopping.")


class SeveralTrackersTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.three = [self.add_tracker(f"11.0.0.{number}") for number in (1, 2, 3)]

    def test_a_node_is_registered_with_all(self) -> None:
        self.started(*self.three)
        self.assertEqual([tracker.status["nodes"] for tracker in self.three], [1, 1, 1])

    def test_one_live_tracker_is_enough_to_be_ready(self) -> None:
        self.three[0].stop()
        self.three[1].stop()
        seconds, error = self.time_to(self.add_node(*self.three).start())
        self.assertIsNone(error)
        self.assertTrue(seconds < 0.2, seconds)

    def test_a_peer_that_one_tracker_knows_is_found(self) -> None:
        alice, bob = self.started(*self.three), self.started(self.three[2])
        seconds, presence = self.time_to(alice.trackers.look_up(bob.peer_id))
        self.assertEqual(presence.target_key, bob.peer_id.public_key)
        self.assertTrue(seconds < 0.1, seconds)
        self.run_until(alice.trackers.introduce(bob.peer_id, b"offer"))
        self.internet.run_for(1)
        self.assertEqual(len(bob.handed_over), 1)

    def test_the_answer_goes_by_the_trackers_that_brought_the_offer(self) -> None:
        alice, bob = self.started(self.three[1]), self.started(*self.three)
        self.run_until(alice.trackers.introduce(bob.peer_id, b"offer"))
        self.internet.run_for(1)
        before = [tracker.status["bytes_in_total"] for tracker in self.three]
        self.run_until(bob.trackers.answer(alice.peer_id, b"answer", True))
        after = [tracker.status["bytes_in_total"] for tracker in self.three]
        self.assertEqual(
            [later > earlier for earlier, later in zip(before, after, strict=True)],
            [False, True, False],
        )

    def test_an_offer_that_all_bring_is_answered_by_all(self) -> None:
        alice, bob = self.started(*self.three), self.started(*self.three)
        self.run_until(alice.trackers.introduce(bob.peer_id, b"offer"))
        self.internet.run_for(1)
        self.assertEqual(len(bob.handed_over), 3)
        self.run_until(bob.trackers.answer(alice.peer_id, b"answer", True))
        self.internet.run_for(1)
        self.assertEqual(len(alice.handed_over), 3)

    def test_only_the_last_256_initiators_are_remembered(self) -> None:
        bob = self.started(self.three[0])
        client = next(iter(bob.trackers._clients()))
        for number in range(300):
            offer = OfferHandedOver(number.to_bytes(32, "big"), b"box")
            client.carried(offer.encode(bytes(12)), client.path)
        self.internet.run_for(1)
        self.assertEqual(len(bob.handed_over), 300)
        self.assertEqual(len(bob.trackers._initiators), 256)

    def test_look_ups_go_on_when_one_of_three_falls_silent(self) -> None:
        alice, bob = self.started(*self.three), self.started(*self.three)
        self.three[0].stop()
        seconds, _ = self.time_to(alice.trackers.look_up(bob.peer_id))
        self.assertTrue(seconds < 2, seconds)
        seconds, error = self.time_to(alice.trackers.look_up(stranger(1)))
        self.assertIsInstance(error, PeerOffline)
        self.assertTrue(seconds <= 2.1, seconds)

    def test_there_are_no_duplicates_after_healing(self) -> None:
        nodes = [self.started(*self.three) for _ in range(3)]
        self.three[0].stop()
        self.internet.run_for(120)
        self.three[0].start()
        self.internet.run_for(90)
        self.assertEqual([tracker.status["registrations"] for tracker in self.three], [3, 3, 3])
        self.assertEqual([tracker.status["nodes"] for tracker in self.three], [3, 3, 3])
        seconds, _ = self.time_to(nodes[0].trackers.look_up(nodes[1].peer_id))
        self.assertTrue(seconds < 0.1, seconds)

    def test_when_none_answers_the_trackers_are_unreachable(self) -> None:
        alice, bob = self.started(*self.three), self.started(*self.three)
        for tracker in self.three:
            tracker.stop()
        seconds, error = self.time_to(alice.trackers.look_up(bob.peer_id))
        self.assertIsInstance(error, TrackerUnreachable)
        self.assertTrue(seconds < 5.2, seconds)

    def test_a_tracker_can_be_added_later_and_once(self) -> None:
        node = self.started(self.three[0])
        for _ in range(2):
            node.trackers.add(self.three[1].address)
        self.internet.run_for(1)
        self.assertEqual([tracker.status["nodes"] for tracker in self.three], [1, 1, 0])
        self.assertEqual(self.three[1].status["registrations_total"], 1)
        self.assertEqual(len(node.trackers.addresses), 2)

    def test_a_node_without_a_tracker_says_so(self) -> None:
        node = self.add_node()
        error = self.failureResultOf(node.start(), TrackerUnreachable).value
        self.assertEqual(str(error), "This node knows no tracker; name one.")
        self.failureResultOf(node.trackers.look_up(stranger(1)), TrackerUnreachable)
        node.trackers.succeeded()

    def test_a_busy_tracker_weighs_more_than_one_that_does_not_know(self) -> None:
        alice = self.started(*self.three)
        bob = self.started(self.three[0])
        for number in range(3):
            self.run_until(alice.trackers.introduce(bob.peer_id, b"offer %d" % number))
        _, error = self.time_to(alice.trackers.introduce(bob.peer_id, b"one more"))
        self.assertIsInstance(error, TrackerBusy)


class FamilyTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tracker = self.add_tracker("11.0.0.1", "2a00::1")
        self.host = self.internet.add_host("node", "11.0.0.2", "2a00::2")

    def test_an_ip_address_is_reached_from_the_socket_of_its_family(self) -> None:
        for host in ("11.0.0.1", "2a00::1"):
            node = NodeProgram(self.host, HostPort(host, 3478))
            self.run_until(node.start())
            ((tracker, socket, _),) = node.observed
            self.assertEqual(tracker, host)
            self.assertEqual(socket.is_ipv6, ":" in host)

    def test_a_tracker_that_no_socket_can_reach_is_unreachable(self) -> None:
        node = self.add_node()
        node.trackers.add(HostPort("2a00::1", 3478))
        node.trackers.start()
        error = self.failureResultOf(node.trackers.look_up(stranger(1)), TrackerUnreachable).value
        self.assertEqual(str(error), "No socket of this node can reach [2a00::1]:3478.")

    def test_a_name_with_both_is_registered_from_both_and_asked_once(self) -> None:
        reactor = NamedReactor(self.host.reactor, {"tracker.example": ["11.0.0.1", "2a00::1"]})
        node = NodeProgram(self.host, HostPort("tracker.example", 3478), reactor=reactor)
        self.run_until(node.start())
        self.internet.run_for(1)
        self.assertEqual(self.tracker.status["registrations"], 2)
        self.assertEqual(self.tracker.status["nodes"], 1)
        other = self.started(self.tracker)
        self.run_until(node.trackers.introduce(other.peer_id, b"offer"))
        self.internet.run_for(1)
        self.assertEqual(len(other.handed_over), 1)

    def test_a_family_that_does_not_work_is_passed_over(self) -> None:
        reactor = NamedReactor(self.host.reactor, {"tracker.example": ["11.0.0.77", "2a00::1"]})
        node = NodeProgram(self.host, HostPort("tracker.example", 3478), reactor=reactor)
        self.run_until(node.start())
        other = self.started(self.tracker)
        seconds, _ = self.time_to(node.trackers.look_up(other.peer_id))
        self.assertTrue(seconds < 0.2, seconds)

    def test_before_anything_works_one_way_is_tried_after_the_other(self) -> None:
        reactor = NamedReactor(self.host.reactor, {"tracker.example": ["2a00::1"]})
        node = NodeProgram(self.host, HostPort("tracker.example", 3478), reactor=reactor)
        node.trackers.start()
        _, error = self.time_to(node.trackers.look_up(stranger(1)))
        self.assertIsInstance(error, PeerOffline)


class NamedReactor:
    """A host's reactor with a resolver that knows these names."""

    def __init__(self, reactor: Any, names: dict[str, list[str]]) -> None:
        self._reactor = reactor
        self.names = names
        self.nameResolver = self
        self.asked: list[tuple[str, float]] = []
        self.is_silent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def resolveHostName(
        self, receiver: Any, host: str, port: int, types: Sequence[Any], semantics: str
    ) -> None:
        self.asked.append((host, self._reactor.seconds()))
        receiver.resolutionBegan(None)
        if self.is_silent:
            self.late = receiver
            return
        receiver.addressResolved(HostnameAddress(b"not an address", port))
        for address in self.names.get(host, []):
            kind = IPv6Address if ":" in address else IPv4Address
            if kind in types:
                receiver.addressResolved(kind("UDP", address, port))
        receiver.resolutionComplete()


class NameTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tracker = self.add_tracker("11.0.0.1")
        self.host = self.internet.add_host("node", "11.0.0.2")
        self.reactor = NamedReactor(self.host.reactor, {"tracker.example": ["11.0.0.1"]})
        self.node = NodeProgram(self.host, HostPort("tracker.example", 3478), reactor=self.reactor)

    def test_the_first_address_is_used(self) -> None:
        self.reactor.names["tracker.example"] = ["11.0.0.1", "11.0.0.99"]
        self.run_until(self.node.start())
        self.assertEqual(self.node.trackers.addresses, {self.tracker.address})

    def test_a_name_that_does_not_exist_is_told_at_once_and_tried_again(self) -> None:
        del self.reactor.names["tracker.example"]
        error = self.failureResultOf(self.node.start(), TrackerUnreachable).value
        self.assertEqual(
            str(error),
            "The tracker's name tracker.example cannot be resolved; check it, and the network.",
        )
        self.reactor.names["tracker.example"] = ["11.0.0.1"]
        self.internet.run_for(5)
        self.successResultOf(self.node.trackers.when_registered())

    def test_who_asks_while_it_would_be_tried_later_has_it_tried_now(self) -> None:
        self.tracker.stop()
        self.time_to(self.node.start())
        self.internet.run_for(200)
        self.tracker.start()
        seconds, error = self.time_to(self.node.trackers.when_registered())
        self.assertIsNone(error)
        self.assertTrue(seconds < 0.3, seconds)

    def test_a_name_that_cannot_be_a_name_is_told(self) -> None:
        def refuse(*_: object) -> None:
            raise UnicodeError("too long")

        self.reactor.resolveHostName = refuse  # type: ignore[method-assign]
        self.failureResultOf(self.node.start(), TrackerUnreachable)

    def test_a_silent_resolver_is_given_up_and_its_late_answer_ignored(self) -> None:
        self.reactor.is_silent = True
        seconds, error = self.time_to(self.node.start())
        self.assertIsInstance(error, TrackerUnreachable)
        self.assertTrue(4.9 < seconds < 5.1, seconds)
        self.reactor.late.addressResolved(IPv4Address("UDP", "11.0.0.9", 3478))
        self.reactor.late.resolutionComplete()
        self.assertEqual(self.node.trackers.addresses, frozenset())

    def test_a_tracker_that_has_moved_is_found_by_its_name(self) -> None:
        self.run_until(self.node.start())
        self.tracker.stop()
        other = self.add_tracker("11.0.0.3")
        self.reactor.names["tracker.example"] = ["11.0.0.3"]
        self.internet.run_for(120)
        self.assertEqual(other.status["nodes"], 1)
        self.assertEqual(self.node.trackers.addresses, {other.address})

    def test_stopping_while_the_name_is_resolved_leaves_nothing_behind(self) -> None:
        self.reactor.is_silent = True
        waiting = self.node.start()
        self.successResultOf(self.node.trackers.stop())
        self.failureResultOf(waiting, TrackerUnreachable)
        self.assertEqual(self.host.reactor.getDelayedCalls(), [])
        self.reactor.late.addressResolved(IPv4Address("UDP", "11.0.0.1", 3478))

    def test_who_asks_while_the_name_is_resolved_again_waits_for_that(self) -> None:
        self.reactor.is_silent = True
        self.time_to(self.node.start())
        while len(self.reactor.asked) < 2:
            self.internet.run_for(0.1)
        ready = self.node.trackers.when_registered()
        self.assertEqual(len(self.reactor.asked), 2)
        self.reactor.late.addressResolved(IPv4Address("UDP", "11.0.0.1", 3478))
        self.run_until(ready)

    def test_requests_while_the_name_is_resolved_wait_for_that(self) -> None:
        self.reactor.is_silent = True
        self.node.trackers.start()
        asked = [self.node.trackers.look_up(stranger(number)) for number in (1, 2)]
        self.assertEqual(len(self.reactor.asked), 1)
        self.reactor.late.addressResolved(IPv4Address("UDP", "11.0.0.1", 3478))
        for one in asked:
            _, error = self.time_to(one)
            self.assertIsInstance(error, PeerOffline)
