from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.tracker.world import SERVER, Node, World, error_of, identity, registered_node
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.record import AddressPolicy
from twisted_p2p.stun.attributes import (
    CHANGE_REQUEST,
    FINGERPRINT,
    PADDING,
    PRIORITY,
    UNKNOWN_ATTRIBUTES,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    ChangeRequest,
)
from twisted_p2p.stun.message import (
    BINDING,
    MessageClass,
    STUNMessage,
    check_fingerprint,
    decode_message,
)
from twisted_p2p.tracker.attributes import (
    COOKIE,
    LOOK_UP,
    PEER_ID,
    PROTOCOL_VERSION,
    REFRESH,
    TARGET,
    TOKEN,
    VERSION,
)
from twisted_p2p.tracker.directory import StreamSocket
from twisted_p2p.tracker.limits import DEFAULT_LIMITS
from twisted_p2p.tracker.messages import (
    AnswerHandedOver,
    AnswerTaken,
    Challenge,
    CookieRequest,
    Failure,
    Introduced,
    LookUp,
    OfferHandedOver,
    Presence,
    Refreshed,
    Registered,
    Unregister,
    Unregistered,
    read_response,
)
from twisted_p2p.tracker.server_events import ForeignServerAddress


class TrackerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()

    def assert_refused(self, response: Any, code: int) -> Failure:
        self.assertEqual(error_of(response), code, response)
        assert isinstance(response, Failure)
        return response

    def assert_dropped(self, data: bytes, reason: str, path: DatagramPath | None = None) -> None:
        path = path or DatagramPath(SERVER, HostPort("11.1.1.1", 4000))
        before = self.world.tracker.dropped[reason]
        self.assertEqual(self.world.deliver(data, path), [])
        self.assertEqual(self.world.tracker.dropped[reason], before + 1)


class BindingTests(TrackerTestCase):
    def ask(self, *attributes: Any, fingerprint: bool = False, port: int = 4000) -> Any:
        data = STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(12), *attributes).encode(
            fingerprint=fingerprint
        )
        path = DatagramPath(SERVER, HostPort("11.1.1.1", port))
        ((answer, to),) = self.world.deliver(data, path)
        self.assertEqual(to, path)
        return decode_message(answer)

    def test_any_stun_client_learns_its_address(self) -> None:
        answer = self.ask()
        self.assertIs(answer.message_class, MessageClass.SUCCESS)
        self.assertEqual(answer.get(XOR_MAPPED_ADDRESS), HostPort("11.1.1.1", 4000))
        self.assertEqual(len(answer.attributes), 1)

    def test_a_fingerprint_is_answered_with_one(self) -> None:
        self.assertIsNone(self.ask().get(FINGERPRINT))
        self.assertTrue(check_fingerprint(self.ask(fingerprint=True)))

    def test_credentials_in_a_request_do_no_harm(self) -> None:
        self.assertIs(self.ask((USERNAME, "somebody")).message_class, MessageClass.SUCCESS)

    def test_unknown_attributes_are_named(self) -> None:
        answer = self.ask((PRIORITY, 1), (CHANGE_REQUEST, ChangeRequest(2)))
        self.assertIs(answer.message_class, MessageClass.ERROR)
        self.assertEqual(answer.get(UNKNOWN_ATTRIBUTES), (PRIORITY.code, CHANGE_REQUEST.code))

    def test_unknown_attributes_in_a_shorter_request_are_dropped(self) -> None:
        message = STUNMessage.build(
            BINDING, MessageClass.REQUEST, bytes(12), (CHANGE_REQUEST, ChangeRequest(2))
        )
        self.assert_dropped(message.encode(), "would_amplify")

    def test_one_source_is_answered_100_times_a_second(self) -> None:
        for port in range(100):
            self.ask(port=1000 + port)
        data = STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(12)).encode()
        self.assert_dropped(data, "rate")
        other = DatagramPath(SERVER, HostPort("11.1.1.2", 4000))
        self.assertEqual(len(self.world.deliver(data, other)), 1)
        self.world.pass_time(1)
        self.ask()


class DropTests(TrackerTestCase):
    def test_what_cannot_be_a_request_is_dropped_with_its_reason(self) -> None:
        request = CookieRequest(LOOK_UP).encode(bytes(12))
        cases = {
            "too_long": bytes(1201),
            "malformed": b"\x40" + bytes(100),
            "not_a_request": STUNMessage.build(
                LOOK_UP, MessageClass.INDICATION, bytes(12)
            ).encode(),
            "unknown_method": STUNMessage.build(0x0EE, MessageClass.REQUEST, bytes(12)).encode(),
            "bad_fingerprint": request[:-1] + bytes((request[-1] ^ 1,)),
        }
        for reason, data in cases.items():
            self.assert_dropped(data, reason)

    def test_a_request_without_version_is_malformed(self) -> None:
        message = STUNMessage.build(LOOK_UP, MessageClass.REQUEST, bytes(12), (PADDING, bytes(99)))
        self.assert_dropped(message.encode(fingerprint=True), "malformed")

    def test_an_unproven_request_below_128_bytes_is_dropped(self) -> None:
        message = STUNMessage.build(
            LOOK_UP, MessageClass.REQUEST, bytes(12), (PROTOCOL_VERSION, VERSION)
        )
        self.assert_dropped(message.encode(fingerprint=True), "too_short")


class CookieTests(TrackerTestCase):
    def test_a_request_without_cookie_gets_one_and_its_address(self) -> None:
        node = Node(self.world, 1)
        for method in (0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE7):
            challenge = node.ask(CookieRequest(method))
            assert isinstance(challenge, Challenge)
            self.assertEqual((challenge.method, challenge.mapped_address), (method, node.address))

    def test_an_old_cookie_is_answered_with_a_fresh_one(self) -> None:
        node = Node(self.world, 1)
        node.fetch_cookie()
        self.world.pass_time(62)
        challenge = node.ask(node.registration())
        assert isinstance(challenge, Challenge)
        node.cookie = challenge.cookie
        self.assertIsInstance(node.ask(node.registration()), Registered)

    def test_a_cookie_from_another_port_is_worthless(self) -> None:
        node, other = Node(self.world, 1), Node(self.world, 1, port=4001)
        node.fetch_cookie()
        other.cookie = node.cookie
        self.assertEqual(error_of(other.ask(other.registration())), 401)

    def test_a_wrong_token_is_told_apart_from_a_missing_one(self) -> None:
        node = Node(self.world, 1)
        self.assert_refused(node.refresh(), 438)
        bare = STUNMessage.build(
            REFRESH,
            MessageClass.REQUEST,
            bytes(12),
            (PROTOCOL_VERSION, VERSION),
            (TOKEN, bytes(16)),
            (PADDING, bytes(128)),
        )
        ((answer, _),) = node.ask_raw(bare.encode(fingerprint=True))
        self.assertEqual(error_of(read_response(answer)), 438)

    def test_another_version_is_refused(self) -> None:
        node = Node(self.world, 1)
        message = STUNMessage.build(
            LOOK_UP,
            MessageClass.REQUEST,
            bytes(12),
            (PROTOCOL_VERSION, 2),
            (PADDING, bytes(128)),
        )
        ((answer, _),) = node.ask_raw(message.encode(fingerprint=True))
        self.assert_refused(read_response(answer), 426)

    def test_a_proven_source_is_told_what_is_unknown_or_missing(self) -> None:
        node = Node(self.world, 1)
        node.fetch_cookie()
        start = ((PROTOCOL_VERSION, VERSION), (COOKIE, node.cookie))
        for attributes, code, unknown in (
            ((*start, (PRIORITY, 1)), 420, (PRIORITY.code,)),
            (start, 400, ()),
        ):
            message = STUNMessage.build(LOOK_UP, MessageClass.REQUEST, bytes(12), *attributes)
            ((answer, _),) = node.ask_raw(message.encode(fingerprint=True))
            failure = self.assert_refused(read_response(answer), code)
            self.assertEqual(failure.unknown, unknown)

    def test_one_source_has_its_rate_of_requests(self) -> None:
        world = self.world = World(evolve(DEFAULT_LIMITS, requests=3))
        node = Node(world, 1)
        node.fetch_cookie()
        for _ in range(3):
            self.assert_refused(node.ask(LookUp(node.cookie, bytes(32))), 404)
        failure = self.assert_refused(node.ask(LookUp(node.cookie, bytes(32))), 429)
        self.assertEqual(failure.retry_after_ms, 1000)


class RegisterTests(TrackerTestCase):
    def test_a_registration_gives_token_cookie_lifetime_and_address(self) -> None:
        node = Node(self.world, 1)
        response = node.register()
        assert isinstance(response, Registered)
        self.assertEqual((response.lifetime, response.mapped_address), (45, node.address))
        node.cookie = response.cookie
        self.assertIsInstance(node.ask(node.registration()), Registered)
        self.assertIsInstance(node.refresh(), Refreshed)
        status = self.world.status()
        self.assertEqual((status["nodes"], status["registrations_total"]), (1, 1))

    def test_another_mapped_address_than_the_source_is_refused(self) -> None:
        node = Node(self.world, 1)
        node.fetch_cookie()
        for claim in (HostPort("11.1.0.99", 4000), HostPort(node.address.host, 4001)):
            self.assert_refused(node.ask(node.registration(mapped_address=claim)), 403)
        self.assertEqual(self.world.status()["nodes"], 0)

    def test_another_server_address_is_refused_and_told_to_the_operator_once(self) -> None:
        node = Node(self.world, 1)
        node.fetch_cookie()
        for number in (8, 8, 7, 6, 5, 4):
            claim = HostPort(f"11.9.9.{number}", 3478)
            self.assert_refused(node.ask(node.registration(server_address=claim)), 403)
        told = [self.world.tracker.next_event() for _ in range(5)]
        hosts = ("11.9.9.8", "11.9.9.7", "11.9.9.6", "11.9.9.5")
        self.assertEqual(told[:4], [ForeignServerAddress(HostPort(host, 3478)) for host in hosts])
        self.assertIsNone(told[4])

    def test_the_same_host_with_another_port_is_another_server(self) -> None:
        node = Node(self.world, 1)
        node.fetch_cookie()
        claim = HostPort(SERVER.host, 3479)
        self.assert_refused(node.ask(node.registration(server_address=claim)), 403)

    def test_a_public_address_that_was_configured_is_its_own(self) -> None:
        self.world = World(public_hosts=["11.9.9.8"])
        node = Node(self.world, 1)
        node.fetch_cookie()
        claim = HostPort("11.9.9.8", 40000)
        response = node.ask(node.registration(server_address=claim))
        self.assertIsInstance(response, Registered)

    def test_a_record_of_another_key_or_a_wrong_signature_is_refused(self) -> None:
        node, other = Node(self.world, 1), Node(self.world, 2)
        node.fetch_cookie()
        good = node.registration()
        foreign = node.registration(record=other.record.sign(other.identity))
        for request in (foreign, evolve(good, signature=bytes(64))):
            self.assert_refused(node.ask(request), 403)
        broken = good.record[:-1] + bytes((good.record[-1] ^ 1,))
        self.assert_refused(node.ask(node.registration(record=broken)), 403)
        self.assert_refused(node.ask(node.registration(record=b"no record")), 400)
        self.assertEqual(self.world.status()["nodes"], 0)

    def test_an_older_record_is_refused_with_the_sequence_seen(self) -> None:
        node = registered_node(self.world, 1, sequence=5)
        failure = self.assert_refused(node.register(sequence=4), 409)
        self.assertEqual(failure.sequence, 5)

    def test_several_addresses_of_one_peer_stand_side_by_side(self) -> None:
        for port in (4000, 4001):
            registered_node(self.world, 1, port=port)
        six = registered_node(self.world, 1, "2a00:1::1")
        target = registered_node(self.world, 2)
        response = target.introduce(six)
        assert isinstance(response, Introduced)
        self.assertEqual(
            set(response.addresses),
            {HostPort("11.1.0.2", 4000), HostPort("11.1.0.2", 4001), HostPort("2a00:1::1", 4000)},
        )
        status = self.world.status()
        self.assertEqual((status["nodes"], status["registrations"]), (1 + 1, 4))

    def test_an_unrefreshed_registration_expires_and_its_token_with_it(self) -> None:
        node, other = registered_node(self.world, 1), registered_node(self.world, 2)
        self.world.pass_time(30)
        other.refresh()
        self.world.pass_time(16)
        self.assert_refused(node.refresh(), 438)
        self.assert_refused(other.look_up(node), 404)
        self.assertEqual(self.world.status()["nodes"], 1)

    def test_a_token_refreshes_from_its_own_address_alone(self) -> None:
        node = registered_node(self.world, 1)
        thief = Node(self.world, 1, "11.66.6.6")
        thief.token = node.token
        self.assert_refused(thief.refresh(), 438)
        self.assertIsInstance(node.refresh(), Refreshed)

    def test_a_token_that_outlives_its_registration_refreshes_nothing(self) -> None:
        node = registered_node(self.world, 1)
        node.unregister()
        self.assert_refused(node.refresh(), 438)
        self.assert_refused(node.introduce(node), 438)


class UnregisterTests(TrackerTestCase):
    def test_a_signed_request_ends_the_registration_from_there(self) -> None:
        node, other = registered_node(self.world, 1), registered_node(self.world, 1, port=4001)
        self.assertIsInstance(node.unregister(), Unregistered)
        self.assertIsInstance(node.unregister(), Unregistered)
        self.assertEqual(self.world.status()["registrations"], 1)
        self.assertIsInstance(other.unregister(), Unregistered)
        self.assertEqual(self.world.status()["nodes"], 0)

    def test_nobody_else_ends_it(self) -> None:
        node = registered_node(self.world, 1)
        node.fetch_cookie()
        forged = Unregister.sign(
            identity(2), cookie=node.cookie, mapped_address=node.address, server_address=SERVER
        )
        self.assert_refused(node.ask(evolve(forged, peer_key=node.key)), 403)
        self.assert_refused(node.unregister(mapped_address=HostPort("11.1.0.9", 4000)), 403)
        self.assert_refused(node.unregister(server_address=HostPort("11.9.9.8", 3478)), 403)
        self.assertEqual(self.world.status()["nodes"], 1)


class LookUpTests(TrackerTestCase):
    def test_presence_tells_acceptance_and_services_and_no_address(self) -> None:
        node = registered_node(self.world, 1, services=("web", "chat"))
        quiet = registered_node(self.world, 2, accepting=False)
        visitor = Node(self.world, 3)
        self.assertEqual(visitor.look_up(node), Presence(node.key, True, ("web", "chat")))
        self.assertEqual(visitor.look_up(quiet), Presence(quiet.key, False, ()))
        answer = self.world.sent[-1][0]
        for code, value in decode_message(answer).attributes:
            self.assertNotIn(code, (XOR_MAPPED_ADDRESS.code, 0x0012), value)

    def test_who_is_not_there_is_offline(self) -> None:
        visitor = Node(self.world, 3)
        self.assert_refused(visitor.look_up(Node(self.world, 4)), 404)


class IntroductionTests(TrackerTestCase):
    def test_the_initiator_is_answered_first_and_the_target_gets_the_offer(self) -> None:
        initiator = registered_node(self.world, 1, nat_facts=b"facts 1")
        target = registered_node(self.world, 2, nat_facts=b"facts 2")
        response = initiator.introduce(target, b"sealed")
        self.assertEqual(response, Introduced((target.address,), b"facts 2"))
        offer = OfferHandedOver(initiator.key, b"sealed", (initiator.address,), b"facts 1")
        self.assertEqual(initiator.handed_over(), [(offer, target.path)])

    def test_the_address_it_asks_from_comes_first(self) -> None:
        registered_node(self.world, 1, "11.200.1.1")
        initiator = registered_node(self.world, 1, "11.100.1.1")
        registered_node(self.world, 1, "11.50.1.1")
        initiator.introduce(registered_node(self.world, 2))
        ((offer, _),) = initiator.handed_over()
        hosts = [address.host for address in offer.addresses]
        self.assertEqual(hosts, ["11.100.1.1", "11.200.1.1", "11.50.1.1"])

    def test_a_target_with_several_addresses_gets_the_offer_at_each(self) -> None:
        initiator = registered_node(self.world, 1)
        targets = [registered_node(self.world, 2, port=port) for port in (1, 2)]
        initiator.introduce(targets[0])
        paths = [path for _, path in initiator.handed_over()]
        self.assertEqual(paths, [target.path for target in targets])

    def test_a_repeat_is_one_introduction(self) -> None:
        initiator, target = registered_node(self.world, 1), registered_node(self.world, 2)
        for _ in range(2):
            initiator.introduce(target, b"sealed once")
            self.assertEqual(len(initiator.handed_over()), 1)
        self.assertEqual(self.world.status()["introductions_total"], 1)

    def test_nobody_is_introduced_to_itself_or_to_who_is_offline(self) -> None:
        initiator = registered_node(self.world, 1)
        self.assert_refused(initiator.introduce(initiator), 400)
        self.assert_refused(initiator.introduce(Node(self.world, 2)), 404)
        self.assertEqual(self.world.status()["introductions_total"], 0)

    def test_a_list_admits_its_peers_alone(self) -> None:
        friend, stranger = registered_node(self.world, 1), registered_node(self.world, 2)
        target = registered_node(
            self.world, 3, address_policy=AddressPolicy.LISTED, listed_keys=(friend.key,)
        )
        self.assert_refused(stranger.introduce(target), 403)
        self.assertEqual(stranger.handed_over(), [])
        self.assertEqual(friend.introduce(target), Introduced((target.address,)))

    def test_an_answer_goes_back_to_where_the_initiator_asked_from(self) -> None:
        initiator = registered_node(self.world, 1)
        registered_node(self.world, 1, port=4001)
        target = registered_node(self.world, 2, nat_facts=b"facts 2")
        initiator.introduce(target)
        self.assertEqual(target.answer(initiator, b"sealed"), AnswerTaken())
        answer = AnswerHandedOver(target.key, b"sealed", (target.address,), b"facts 2")
        self.assertEqual(target.handed_over(), [(answer, initiator.path)])

    def test_an_answer_to_nobody_is_refused(self) -> None:
        initiator, target = registered_node(self.world, 1), registered_node(self.world, 2)
        self.assert_refused(target.answer(initiator), 403)
        initiator.introduce(target)
        self.world.pass_time(31)
        self.assert_refused(target.answer(initiator), 403)

    def test_connections_that_came_of_it_are_reported_by_refresh_and_farewell(self) -> None:
        initiator = registered_node(self.world, 1)
        for number in (2, 3):
            initiator.introduce(registered_node(self.world, number))
        for _ in range(2):
            initiator.refresh(1, transaction_id=b"r" * 12)
        self.assertEqual(self.world.status()["introductions_succeeded_total"], 1)
        initiator.unregister(succeeded=1)
        self.assertEqual(self.world.status()["introductions_succeeded_total"], 2)
        self.assertEqual(self.world.status()["introductions_total"], 2)


class StreamTests(TrackerTestCase):
    def stream_node(self, number: int, stream: int) -> Node:
        return registered_node(self.world, number, local=StreamSocket(SERVER, stream))

    def test_a_node_behind_a_stream_is_pushed_to_and_told_without_port(self) -> None:
        target, initiator = self.stream_node(1, 7), registered_node(self.world, 2)
        response = initiator.introduce(target)
        self.assertEqual(response, Introduced((HostPort(target.address.host, 0),)))
        self.assertEqual([path for _, path in initiator.handed_over()], [target.path])

    def test_a_lost_stream_ends_its_registration(self) -> None:
        target, initiator = self.stream_node(1, 7), registered_node(self.world, 2)
        self.world.tracker.stream_lost(StreamSocket(SERVER, 7))
        self.assert_refused(initiator.introduce(target), 404)

    def test_the_same_address_by_stream_and_by_datagram_is_two_registrations(self) -> None:
        self.stream_node(1, 7)
        registered_node(self.world, 1)
        self.assertEqual(self.world.status()["registrations"], 2)

    def test_a_stream_registers_at_the_address_it_connected_to(self) -> None:
        node = Node(self.world, 1, local=StreamSocket(HostPort("11.9.9.9", 443), 7))
        node.fetch_cookie()
        self.assert_refused(node.ask(node.registration()), 403)
        claim = HostPort("11.9.9.9", 443)
        self.assertIsInstance(node.ask(node.registration(server_address=claim)), Registered)


class StatusTests(TrackerTestCase):
    def test_bytes_and_errors_are_counted(self) -> None:
        node = registered_node(self.world, 1)
        self.assert_refused(node.look_up(Node(self.world, 2)), 404)
        self.world.deliver(b"x" * 30, node.path)
        self.world.pass_time(2.5)
        status = self.world.status()
        sent = sum(len(data) for data, _ in self.world.sent)
        self.assertEqual(status["bytes_out_total"], sent)
        self.assertGreater(status["bytes_in_total"], 30)
        self.assertEqual(status["uptime_s"], 2.5)
        self.assertEqual(status["datagrams_dropped_total"], {"malformed": 1})
        self.assertEqual(status["requests_refused_total"], {"401": 2, "404": 1})
        self.assertEqual(status["signature_checks_total"], 2)

    def test_the_timer_is_the_earliest_expiry(self) -> None:
        self.assertIsNone(self.world.tracker.get_timer())
        initiator, target = registered_node(self.world, 1), registered_node(self.world, 2)
        self.assertEqual(self.world.tracker.get_timer(), 1045)
        initiator.introduce(target)
        self.world.pass_time(100)
        self.assertEqual(self.world.tracker.get_timer(), 1120)
        self.world.pass_time(100)
        self.assertIsNone(self.world.tracker.get_timer())


REQUESTS = (0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE7)
CODES = [
    attribute.code for attribute in (PROTOCOL_VERSION, COOKIE, PEER_ID, TARGET, TOKEN, PADDING)
]


class AnythingTests(TrackerTestCase):
    @given(
        st.sampled_from(REQUESTS),
        st.lists(
            st.tuples(
                st.one_of(st.sampled_from(CODES), st.integers(0, 0xFFFF)), st.binary(max_size=40)
            ),
            max_size=8,
        ),
        st.booleans(),
    )
    def test_no_proven_request_raises(
        self, method: int, attributes: list[tuple[int, bytes]], with_token: bool
    ) -> None:
        node = registered_node(self.world, 1)
        proof = (
            ((PEER_ID.code, node.key), (TOKEN.code, node.token))
            if with_token
            else ((COOKIE.code, node.cookie),)
        )
        version = (PROTOCOL_VERSION.code, VERSION.to_bytes(2, "big"))
        message = STUNMessage(
            method, MessageClass.REQUEST, bytes(12), (version, *proof, *attributes)
        )
        before = sum(self.world.tracker.dropped.values())
        sent = self.world.deliver(message.encode(fingerprint=True), node.path)
        dropped = sum(self.world.tracker.dropped.values()) - before
        self.assertEqual(len(sent) + dropped, 1)
