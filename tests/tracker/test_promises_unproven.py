"""Promises 1 to 3: what a tracker does for who has proven nothing, and what it costs."""

from __future__ import annotations

import tracemalloc
from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.stun.strategies import ADDRESSES
from tests.tracker.mutator import Mutator, is_amplified
from tests.tracker.test_messages import INDICATIONS, MESSAGES, RESPONSES
from tests.tracker.world import SERVER, Node, World, error_of, registered_node
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.stun.attributes import SOFTWARE, XOR_MAPPED_ADDRESS
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage
from twisted_p2p.tracker.attributes import BAD_REQUEST, COOKIE_NEEDED, FORBIDDEN, TOO_MANY
from twisted_p2p.tracker.cookies import Cookies
from twisted_p2p.tracker.limits import DEFAULT_LIMITS
from twisted_p2p.tracker.messages import (
    REQUESTS,
    CookieRequest,
    Refresh,
    Refreshed,
    read_response,
)
from twisted_p2p.tracker.wire import TrackerMessage, read_message

MEGABYTE = 1_000_000


class Promise1NoAmplification(SynchronousTestCase):
    """No more bytes out than in, and one datagram for one."""

    def test_promise_1_is_broken_by_what_the_test_looks_for(self) -> None:
        path = DatagramPath(SERVER, HostPort("11.1.1.1", 4000))
        other = DatagramPath(SERVER, HostPort("11.1.1.2", 4000))
        request = STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(12))
        address = (XOR_MAPPED_ADDRESS, HostPort("11.1.1.1", 4000))
        bare = request.success_response(address).encode(fingerprint=True)
        rich = request.success_response(address, (SOFTWARE, "tracker")).encode()
        error = request.error_response(420).encode()
        cases = ([(rich, path)], [(error, path)], [(bare, other)], [(bare, path)] * 2)
        for sent in cases:
            self.assertTrue(is_amplified(request.encode(), path, sent))
        self.assertFalse(is_amplified(request.encode(), path, [(bare, path)]))

    def assert_not_amplified(self, world: World, data: bytes, path: DatagramPath) -> None:
        sent = world.deliver(data, path)
        self.assertFalse(is_amplified(data, path, sent), (data, sent))

    @given(st.one_of(*MESSAGES, *RESPONSES, *INDICATIONS), ADDRESSES)
    def test_promise_1_holds_for_every_message_type(
        self, message: TrackerMessage, source: HostPort
    ) -> None:
        data = message.encode(bytes(12))
        self.assert_not_amplified(World(), data, DatagramPath(SERVER, source))

    @given(st.sampled_from(sorted(REQUESTS)), ADDRESSES)
    def test_promise_1_holds_for_the_challenge_itself(self, method: int, source: HostPort) -> None:
        world = World()
        data = CookieRequest(method).encode(bytes(12))
        self.assert_not_amplified(world, data, DatagramPath(SERVER, source))
        self.assertEqual(world.tracker.refused[COOKIE_NEEDED], 1)

    def test_promise_1_holds_for_a_seeded_mutator(self) -> None:
        # A million of them are in benchmarks/tracker_mutations.py.
        world = World()
        for data, path in Mutator(seed=1).datagrams(20_000):
            world.now += 1 / 10_000
            self.assert_not_amplified(world, data, path)
        answered = world.tracker.refused
        self.assertGreater(answered[COOKIE_NEEDED], 1000)
        self.assertGreater(len(world.tracker.dropped), 5)

    def test_promise_1_binding_answers_are_limited_by_source(self) -> None:
        world = World()
        data = STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(12)).encode()
        for port in range(1000):
            path = DatagramPath(SERVER, HostPort("11.1.1.1", 1000 + port))
            world.deliver(data, path)
        self.assertEqual(len(world.sent), DEFAULT_LIMITS.binding_requests)


class Promise2NoStateForTheUnproven(SynchronousTestCase):
    """A flood from forged sources leaves no row in any table, and next to no memory."""

    def test_promise_2_a_flood_grows_nothing(self) -> None:
        # Real sockets, 60 s and the honest node's waiting time: benchmarks/tracker_flood.py.
        world = World()
        random = Random(2)
        requests = [
            STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(12)).encode(),
            CookieRequest(0xE1).encode(bytes(12)),
            Node(world, 1).registration(cookie=bytes(16)).encode(bytes(12)),
        ]
        world.deliver(requests[0], DatagramPath(SERVER, HostPort("11.1.1.1", 1)))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10_000):
            host = ".".join(map(str, random.getrandbits(32).to_bytes(4, "big")))
            path = DatagramPath(SERVER, HostPort(host, random.randrange(1, 65536)))
            world.tracker.receive_datagram(requests[number % 3], path, world.now)
            world.tracker.datagrams_to_send(world.now)
            world.now += 1 / 20_000
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess(after - before, 5 * MEGABYTE)
        status = world.status()
        self.assertEqual((status["nodes"], status["registrations"]), (0, 0))
        self.assertIsNone(world.tracker.get_timer())

    def test_promise_2_a_cookie_has_a_mac_of_at_least_64_bits_over_address_and_time(self) -> None:
        cookies = Cookies(bytes(32))
        macs = {
            cookies.cookie(HostPort(host, port), time)[4:]
            for host in ("11.1.1.1", "11.1.1.2")
            for port in (4000, 4001)
            for time in (0, 1)
        }
        self.assertEqual(len(macs), 8)
        self.assertGreaterEqual(8 * min(map(len, macs)), 64)

    def test_promise_2_in_a_backlog_the_unproven_are_dropped_and_the_proven_answered(self) -> None:
        world = World()
        node = registered_node(world, 1)
        binding = STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(12)).encode()
        before = len(world.sent)
        for number in range(1000):
            source = HostPort(f"11.3.{number // 250}.{number % 250}", 4000)
            request = (binding, CookieRequest(0xE1).encode(bytes(12)))[number % 2]
            world.tracker.receive_datagram(request, DatagramPath(SERVER, source), world.now)
        sent = world.deliver(Refresh(node.key, node.token).encode(bytes(12)), node.path)
        self.assertEqual(len(world.sent) - before, DEFAULT_LIMITS.unproven_at_once + 1)
        answer, path = sent[-1]
        self.assertIsInstance(read_response(read_message(answer)), Refreshed)
        self.assertEqual(path, node.path)
        dropped = 1000 - DEFAULT_LIMITS.unproven_at_once
        self.assertEqual(world.tracker.dropped, {"overload": dropped})
        self.assertEqual(len(world.deliver(binding, node.path)), 1)


class Promise3CheapChecksFirst(SynchronousTestCase):
    """Length, version, cookie, rate, signature: what fails early costs nothing dear."""

    def setUp(self) -> None:
        self.world = World()
        self.node = Node(self.world, 1)
        self.node.fetch_cookie()

    def signature_checks(self) -> object:
        return self.world.status()["signature_checks_total"]

    def test_promise_3_a_flood_of_bad_cookies_triggers_no_signature_check(self) -> None:
        request = self.node.registration()
        for number in range(5000):
            forged = evolve(request, cookie=number.to_bytes(16, "big"))
            self.assertEqual(error_of(self.node.ask(forged)), COOKIE_NEEDED)
        self.assertEqual(self.signature_checks(), 0)
        self.node.ask(request)
        self.assertEqual(self.signature_checks(), 2)

    def test_promise_3_over_its_rate_a_source_triggers_no_signature_check(self) -> None:
        self.world = World(evolve(DEFAULT_LIMITS, requests=0))
        self.node = Node(self.world, 1)
        self.node.fetch_cookie()
        self.assertEqual(error_of(self.node.ask(self.node.registration())), TOO_MANY)
        self.assertEqual(self.signature_checks(), 0)

    def test_promise_3_addresses_are_compared_before_signatures(self) -> None:
        other = HostPort("11.66.6.6", 1)
        for change in ({"mapped_address": other}, {"server_address": other}):
            for request in (
                self.node.registration(**change),
                self.node.unregistration(**change),
            ):
                self.assertEqual(error_of(self.node.ask(request)), FORBIDDEN)
        self.assertEqual(self.signature_checks(), 0)

    def test_promise_3_a_record_that_cannot_be_read_is_no_reason_to_check_the_request(self) -> None:
        request = self.node.registration(record=b"\0")
        self.assertEqual(error_of(self.node.ask(request)), BAD_REQUEST)
        self.assertLessEqual(int(str(self.signature_checks())), 1)
