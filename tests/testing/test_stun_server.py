"""The STUN server answers as RFC 5780 has it, and shows what a NAT does."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from tests.stun.strategies import MESSAGES
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.stun.attributes import (
    CHANGE_REQUEST,
    ERROR_CODE,
    MAPPED_ADDRESS,
    OTHER_ADDRESS,
    PADDING,
    PRIORITY,
    RESPONSE_ORIGIN,
    RESPONSE_PORT,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    AttributeType,
    ChangeRequest,
)
from twisted_p2p.stun.message import (
    BINDING,
    MessageClass,
    STUNMessage,
    check_fingerprint,
    decode_message,
)
from twisted_p2p.testing import NATBehaviour, SimulatedHost, SimulatedInternet
from twisted_p2p.testing.nat import Dependence
from twisted_p2p.testing.shutdown import shut_down
from twisted_p2p.testing.stun_server import FakeSTUNServer
from twisted_p2p.testing.stun_service import STUNService

PRIMARY = HostPort("11.0.0.1", 3478)
ALTERNATE = HostPort("11.0.0.2", 3479)
CLIENT = HostPort("11.0.1.1", 5000)
NOWHERE = ChangeRequest(0)
BOTH = ChangeRequest.ADDRESS | ChangeRequest.PORT
ID = bytes(range(12))


def request(*attributes: tuple[AttributeType[object], object]) -> STUNMessage:
    return STUNMessage.build(BINDING, MessageClass.REQUEST, ID, *attributes)


REQUESTS = MESSAGES.map(
    lambda message: evolve(message, method=BINDING, message_class=MessageClass.REQUEST).encode()
)


class STUNServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.service = STUNService(PRIMARY, ALTERNATE)

    def answers(
        self, data: bytes, local: HostPort = PRIMARY
    ) -> list[tuple[STUNMessage, DatagramPath]]:
        self.service.receive_datagram(data, DatagramPath(local, CLIENT), 0.0)
        return [
            (decode_message(answer), path) for answer, path in self.service.datagrams_to_send(0.0)
        ]

    def answer(
        self, message: STUNMessage, local: HostPort = PRIMARY
    ) -> tuple[STUNMessage, DatagramPath]:
        ((response, path),) = self.answers(message.encode(), local)
        return response, path

    def refused(self, message: STUNMessage) -> int:
        response, path = self.answer(message)
        self.assertIs(response.message_class, MessageClass.ERROR)
        self.assertEqual(path, DatagramPath(PRIMARY, CLIENT))
        return response.require(ERROR_CODE).code

    def test_an_answer_names_the_client_the_origin_and_the_other_address(self) -> None:
        response, path = self.answer(request())
        self.assertIs(response.message_class, MessageClass.SUCCESS)
        self.assertEqual(response.transaction_id, ID)
        self.assertEqual(response.require(XOR_MAPPED_ADDRESS), CLIENT)
        self.assertEqual(response.require(MAPPED_ADDRESS), CLIENT)
        self.assertEqual(response.require(RESPONSE_ORIGIN), PRIMARY)
        self.assertEqual(response.require(OTHER_ADDRESS), ALTERNATE)
        self.assertIsNone(response.get(PADDING))
        self.assertEqual(path, DatagramPath(PRIMARY, CLIENT))

    def test_it_receives_at_four_addresses(self) -> None:
        hosts_and_ports = {(socket.host, socket.port) for socket in self.service.sockets}
        self.assertEqual(
            hosts_and_ports,
            {(host, port) for host in ("11.0.0.1", "11.0.0.2") for port in (3478, 3479)},
        )

    def test_it_answers_from_where_it_is_asked_to(self) -> None:
        # RFC 5780, section 6.1, table 1, for each address that it receives at.
        for local in self.service.sockets:
            other = HostPort(
                "11.0.0.2" if local.host == "11.0.0.1" else "11.0.0.1",
                3479 if local.port == 3478 else 3478,
            )
            for change, origin in (
                (NOWHERE, local),
                (ChangeRequest.ADDRESS, HostPort(other.host, local.port)),
                (ChangeRequest.PORT, HostPort(local.host, other.port)),
                (BOTH, other),
            ):
                response, path = self.answer(request((CHANGE_REQUEST, change)), local)
                self.assertEqual(path, DatagramPath(origin, CLIENT))
                self.assertEqual(response.require(RESPONSE_ORIGIN), origin)
                self.assertEqual(response.require(OTHER_ADDRESS), other)

    def test_it_answers_to_another_port_of_the_client(self) -> None:
        response, path = self.answer(request((RESPONSE_PORT, 6000)))
        self.assertEqual(path, DatagramPath(PRIMARY, HostPort(CLIENT.host, 6000)))
        self.assertEqual(response.require(XOR_MAPPED_ADDRESS), CLIENT)

    def test_it_pads_to_the_mtu_when_it_is_sent_padding(self) -> None:
        self.service = STUNService(PRIMARY, ALTERNATE, mtu=1_277)
        response, _ = self.answer(request((PADDING, b"anything")))
        self.assertEqual(len(response.require(PADDING)), 1_280)

    def test_padding_to_another_port_is_refused(self) -> None:
        self.assertEqual(self.refused(request((PADDING, b""), (RESPONSE_PORT, 6000))), 400)

    def test_port_zero_is_refused(self) -> None:
        self.assertEqual(self.refused(request((RESPONSE_PORT, 0))), 400)

    def test_an_attribute_that_cannot_be_read_is_refused(self) -> None:
        broken = STUNMessage(BINDING, MessageClass.REQUEST, ID, ((CHANGE_REQUEST.code, b"\0"),))
        self.assertEqual(self.refused(broken), 400)

    def test_unknown_attributes_are_named(self) -> None:
        response, _ = self.answer(request((PRIORITY, 1)))
        self.assertEqual(response.require(ERROR_CODE).code, 420)
        self.assertEqual(response.require(UNKNOWN_ATTRIBUTES), (PRIORITY.code,))

    def test_unknown_attributes_that_are_optional_are_ignored(self) -> None:
        message = STUNMessage(BINDING, MessageClass.REQUEST, ID, ((0xC001, b"?"),))
        self.assertIs(self.answer(message)[0].message_class, MessageClass.SUCCESS)

    def test_a_server_with_one_address_changes_nothing(self) -> None:
        self.service = STUNService(PRIMARY)
        self.assertEqual(self.service.sockets, (PRIMARY,))
        response, _ = self.answer(request())
        self.assertIsNone(response.get(OTHER_ADDRESS))
        self.assertEqual(response.require(RESPONSE_ORIGIN), PRIMARY)
        response, _ = self.answer(request((CHANGE_REQUEST, BOTH)))
        self.assertEqual(response.require(UNKNOWN_ATTRIBUTES), (CHANGE_REQUEST.code,))

    def test_a_fingerprint_is_answered_with_one(self) -> None:
        ((response, _),) = self.answers(request().encode(fingerprint=True))
        self.assertTrue(check_fingerprint(response))
        response, _ = self.answer(request())
        self.assertFalse(check_fingerprint(response))

    def test_what_is_no_binding_request_is_counted_and_dropped(self) -> None:
        wrong = bytearray(request().encode(fingerprint=True))
        wrong[-1] ^= 1
        for data in (
            b"",
            STUNMessage.build(BINDING, MessageClass.INDICATION, ID).encode(),
            STUNMessage.build(BINDING, MessageClass.SUCCESS, ID).encode(),
            STUNMessage.build(3, MessageClass.REQUEST, ID).encode(),
            bytes(wrong),
        ):
            self.assertEqual(self.answers(data), [])
        self.assertEqual(
            self.service.dropped,
            {"malformed": 1, "not_a_binding_request": 3, "wrong_fingerprint": 1},
        )

    def test_it_has_neither_timers_nor_events(self) -> None:
        self.service.handle_timer(1.0)
        self.assertIsNone(self.service.get_timer())
        self.assertIsNone(self.service.next_event())

    @given(
        st.one_of(st.binary(max_size=100), MESSAGES.map(STUNMessage.encode), REQUESTS),
        st.booleans(),
    )
    def test_no_datagram_makes_it_fail_or_answer_twice(self, data: bytes, is_alone: bool) -> None:
        service = STUNService(PRIMARY, None if is_alone else ALTERNATE)
        service.receive_datagram(data, DatagramPath(PRIMARY, CLIENT), 0.0)
        answers = service.datagrams_to_send(0.0)
        self.assertEqual(len(answers) + service.dropped.total(), 1)
        for answer, path in answers:
            self.assertEqual(decode_message(answer).transaction_id, data[8:20])
            self.assertIn(path.local, service.sockets)


class Client(DatagramProtocol):
    """Asks from one UDP port; has the tests of RFC 5780, sections 4.3 and 4.4."""

    noisy = False

    def __init__(self, net: SimulatedInternet, host: SimulatedHost) -> None:
        self.net = net
        self.port = host.reactor.listenUDP(0, self)
        self.received: list[STUNMessage] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        message = decode_message(datagram)
        assert message.require(RESPONSE_ORIGIN) == addr
        self.received.append(message)

    def ask(self, server: HostPort, change: ChangeRequest = NOWHERE) -> STUNMessage | None:
        self.received.clear()
        self.port.write(request((CHANGE_REQUEST, change)).encode(), server)
        self.net.run_for(1)
        return self.received[0] if self.received else None

    def mapped(self, server: HostPort) -> HostPort:
        response = self.ask(server)
        assert response is not None
        return response.require(XOR_MAPPED_ADDRESS)

    def mapping(self, server: HostPort) -> Dependence:
        first = self.ask(server)
        assert first is not None
        other = first.require(OTHER_ADDRESS)
        second = self.mapped(HostPort(other.host, server.port))
        if second == first.require(XOR_MAPPED_ADDRESS):
            return Dependence.ENDPOINT_INDEPENDENT
        if second == self.mapped(other):
            return Dependence.ADDRESS_DEPENDENT
        return Dependence.ADDRESS_AND_PORT_DEPENDENT

    def filtering(self, server: HostPort) -> Dependence:
        assert self.ask(server) is not None
        if self.ask(server, BOTH) is not None:
            return Dependence.ENDPOINT_INDEPENDENT
        if self.ask(server, ChangeRequest.PORT) is not None:
            return Dependence.ADDRESS_DEPENDENT
        return Dependence.ADDRESS_AND_PORT_DEPENDENT


class FakeSTUNServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = SimulatedInternet()
        self.host = self.net.add_host("stun", "11.0.0.1", "11.0.0.2", "2a00::1", "2a00::2")
        self.server = FakeSTUNServer(self.host)

    def test_every_nat_shows_how_it_maps_and_filters(self) -> None:
        kinds = [(mapping, filtering) for mapping in Dependence for filtering in Dependence]
        for number, (mapping, filtering) in enumerate(kinds, 1):
            nat = NATBehaviour(mapping=mapping, filtering=filtering)
            home = self.net.add_network(f"home {number}", f"11.1.{number}.1", nat)
            host = self.net.add_host(f"client {number}", "192.168.1.2", network=home)
            found = (
                Client(self.net, host).mapping(self.server.address),
                Client(self.net, host).filtering(self.server.address),
            )
            self.assertEqual(found, (mapping, filtering))

    def test_without_a_nat_the_address_is_the_clients_own(self) -> None:
        host = self.net.add_host("client", "11.0.1.1", "2a00::3")
        client = Client(self.net, host)
        self.assertEqual(
            client.mapped(self.server.address), ("11.0.1.1", client.port.getHost().port)
        )
        self.assertIs(
            client.filtering(self.server.address),
            Dependence.ENDPOINT_INDEPENDENT,
        )

    def test_ipv6_is_served_at_two_addresses_of_its_own(self) -> None:
        self.assertEqual(
            [service.primary.host for service in self.server.services], ["11.0.0.1", "2a00::1"]
        )
        other = self.server.services[1].alternate
        self.assertEqual(other, ("2a00::2", 3479))

    def test_one_address_answers_and_has_no_other(self) -> None:
        lonely = FakeSTUNServer(self.net.add_host("lonely", "11.0.0.9"), port=19302)
        client = Client(self.net, self.net.add_host("client", "11.0.1.1"))
        client.port.write(request().encode(), lonely.address)
        self.net.run_for(1)
        self.assertEqual(lonely.address, ("11.0.0.9", 19302))
        self.assertIsNone(client.received[0].get(OTHER_ADDRESS))

    def test_it_counts_what_it_drops_and_falls_silent_when_stopped(self) -> None:
        client = Client(self.net, self.net.add_host("client", "11.0.1.1"))
        client.port.write(request().encode()[:-4] + bytes(8), self.server.address)
        self.net.run_for(1)
        self.assertEqual(self.server.dropped, {"malformed": 1})
        client.port.stopListening()
        shut_down(self.net)
        client = Client(self.net, self.net.add_host("another client", "11.0.1.2"))
        self.assertIsNone(client.ask(self.server.address))
