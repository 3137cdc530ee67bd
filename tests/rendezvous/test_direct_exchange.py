from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.rendezvous.direct_exchange import (
    OFFER_SIZE,
    OFFERS_PER_SECOND,
    OFFERS_PER_SOURCE,
    AnswerCame,
    DirectAnswer,
    DirectExchange,
    DirectOffer,
    OfferCame,
    OfferUnanswered,
    is_direct,
)
from twisted_p2p.stun.attributes import bytes_attribute
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage
from twisted_p2p.tracker.attributes import (
    BOX,
    MAXIMUM_BOX,
    OFFER,
    PEER_ID,
    PROTOCOL_VERSION,
    VERSION,
)
from twisted_p2p.tracker.wire import read_message

PEER = IdentityKey.from_seed(bytes([1] * 32)).peer_id
SOCKET = HostPort("0.0.0.0", 4000)
PATH = DatagramPath(SOCKET, HostPort("192.168.1.9", 5000))
OTHER = DatagramPath(SOCKET, HostPort("192.168.1.8", 5000))
UNKNOWN = bytes_attribute(0x7FFE, "UNKNOWN", 1, 4)


class ExchangeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.made = 0
        self.strangers: set[HostPort] = set()
        self.claims: list[bytes] = []
        self.exchange = DirectExchange(
            bytes(32), is_welcome=self.is_welcome, random_bytes=self.random_bytes
        )

    def is_welcome(self, source: HostPort, peer_key: bytes) -> bool:
        self.claims.append(peer_key)
        return source not in self.strangers

    def random_bytes(self, size: int) -> bytes:
        self.made += 1
        return self.made.to_bytes(size, "big")

    def receive(self, data: bytes, path: DatagramPath = PATH, now: float = 0.0) -> None:
        self.assertTrue(is_direct(data))
        self.exchange.receive_datagram(data, path, now)


class AskingTests(ExchangeTestCase):
    def offer(self, path: DatagramPath = PATH) -> bytes:
        self.exchange.offer(PEER, b"box", path, 0.0)
        [(data, sent_along)] = self.exchange.datagrams_to_send(0.0)
        self.assertEqual(sent_along, path)
        return data

    def answer_to(self, request: bytes) -> bytes:
        return DirectAnswer(b"answer").encode(read_message(request).transaction_id)

    def test_an_offer_is_a_request_as_long_as_any_answer(self) -> None:
        data = self.offer()
        message = read_message(data)
        self.assertEqual((message.method, message.message_class), (OFFER, MessageClass.REQUEST))
        self.assertEqual(DirectOffer.parse(message), DirectOffer(bytes(32), b"box"))
        self.assertEqual(len(data), OFFER_SIZE)
        longest = DirectAnswer(bytes(MAXIMUM_BOX)).encode(bytes(12))
        self.assertLessEqual(len(longest), OFFER_SIZE)

    def test_it_is_sent_four_times_and_given_up(self) -> None:
        first = self.offer()
        times = []
        while (now := self.exchange.get_timer()) is not None:
            self.exchange.handle_timer(now)
            for datagram in self.exchange.datagrams_to_send(now):
                self.assertEqual(datagram, (first, PATH))
                times.append(now)
            last = now
        self.assertEqual((times, last), ([0.25, 0.75, 1.75], 2.75))
        self.assertEqual(self.exchange.next_event(), OfferUnanswered(PEER, PATH))
        self.assertIsNone(self.exchange.next_event())

    def test_its_answer_ends_it(self) -> None:
        self.receive(self.answer_to(self.offer()))
        self.assertEqual(self.exchange.next_event(), AnswerCame(PEER, b"answer", PATH))
        self.assertIsNone(self.exchange.get_timer())

    def test_an_answer_from_elsewhere_or_to_nothing_is_dropped(self) -> None:
        data = self.offer()
        self.receive(self.answer_to(data), OTHER)
        self.receive(DirectAnswer(b"answer").encode(bytes(12)))
        self.receive(self.answer_to(data))
        self.receive(self.answer_to(data))
        self.assertEqual(self.exchange.dropped, {"unexpected": 3})
        self.assertIsNotNone(self.exchange.next_event())
        self.assertIsNone(self.exchange.next_event())

    def test_one_that_is_withdrawn_is_sent_no_more(self) -> None:
        request = self.offer()
        self.offer(OTHER)
        self.exchange.withdraw(PEER)
        self.exchange.withdraw(PEER)
        self.assertIsNone(self.exchange.get_timer())
        self.receive(self.answer_to(request))
        self.assertIsNone(self.exchange.next_event())


class AskedTests(ExchangeTestCase):
    request = DirectOffer(PEER.public_key, b"box").encode(bytes(12))

    def test_an_offer_is_told_and_can_be_answered(self) -> None:
        self.receive(self.request)
        came = self.exchange.next_event()
        assert isinstance(came, OfferCame)
        self.assertEqual(came, OfferCame(DirectOffer(PEER.public_key, b"box"), PATH, bytes(12)))
        self.exchange.answer(came, b"answer")
        answer = DirectAnswer(b"answer").encode(bytes(12))
        self.assertEqual(self.exchange.datagrams_to_send(0.0), [(answer, PATH)])
        self.assertEqual(self.exchange.datagrams_to_send(0.0), [])

    def test_who_is_not_welcome_is_not_looked_at(self) -> None:
        self.strangers.add(PATH.remote)
        self.receive(self.request)
        self.assertEqual(self.claims, [PEER.public_key])
        self.assertEqual(self.exchange.dropped, {"unknown_source": 1})
        self.assertIsNone(self.exchange.next_event())

    def test_one_shorter_than_an_answer_may_be_is_dropped_first_of_all(self) -> None:
        message = read_message(self.request)
        short = STUNMessage(OFFER, MessageClass.REQUEST, bytes(12), message.attributes[:-2])
        self.receive(short.encode(fingerprint=True))
        self.assertEqual(self.exchange.dropped, {"too_short": 1})
        self.assertEqual(self.claims, [])

    def check_dropped(self, reason: str, *attributes: object) -> None:
        pairs: tuple = attributes
        message = STUNMessage.build(OFFER, MessageClass.SUCCESS, bytes(12), *pairs)
        self.receive(message.encode(fingerprint=True))
        self.assertEqual(self.exchange.dropped, {reason: 1})

    def test_another_version_is_dropped(self) -> None:
        self.check_dropped("version", (PROTOCOL_VERSION, 2), (BOX, b"box"))

    def test_an_unknown_attribute_is_dropped(self) -> None:
        self.check_dropped(
            "unknown_attribute", (PROTOCOL_VERSION, VERSION), (BOX, b"box"), (UNKNOWN, b"?")
        )

    def test_a_missing_attribute_is_malformed(self) -> None:
        self.check_dropped("malformed", (PROTOCOL_VERSION, VERSION), (PEER_ID, bytes(32)))

    def test_so_many_a_second_come_from_one_address(self) -> None:
        for number in range(OFFERS_PER_SOURCE + 3):
            self.receive(self.request, DatagramPath(SOCKET, HostPort("192.168.1.9", 1 + number)))
        self.assertEqual(self.exchange.dropped, {"too_many_offers": 3})
        self.receive(self.request, OTHER)
        self.receive(self.request, now=1.0)
        self.assertEqual(self.exchange.dropped, {"too_many_offers": 3})

    def test_so_many_a_second_in_all(self) -> None:
        for number in range(OFFERS_PER_SECOND + 30):
            path = DatagramPath(SOCKET, HostPort(f"192.168.1.{number}", 5000))
            self.receive(self.request, path)
        self.assertEqual(self.exchange.dropped, {"too_many_offers": 30})
        self.assertEqual(len(self.exchange._rate._by_source), OFFERS_PER_SECOND)


class OtherMessagesTests(SynchronousTestCase):
    def test_are_not_ours(self) -> None:
        for method, message_class in (
            (BINDING, MessageClass.REQUEST),
            (OFFER, MessageClass.INDICATION),
        ):
            data = STUNMessage.build(method, message_class, bytes(12)).encode()
            self.assertFalse(is_direct(data))

    @given(st.binary(max_size=1300), st.binary(min_size=2, max_size=2))
    def test_no_input_raises(self, data: bytes, start: bytes) -> None:
        exchange = DirectExchange(
            bytes(32), is_welcome=lambda source, key: True, random_bytes=bytes
        )
        exchange.receive_datagram(start + b"\0\0\x21\x12\xa4\x42" + data, PATH, 0.0)
        self.assertIsNone(exchange.next_event())
        self.assertEqual(exchange.datagrams_to_send(0.0), [])
