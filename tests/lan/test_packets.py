"""RFC 6762, sections 7.2 and 17: messages that are longer than a packet."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.lan.packets import query_datagrams, response_datagrams, unicast_datagram
from twisted_p2p.lan.records import HostAddress, Message, Question, Record, Text
from twisted_p2p.lan.wire import LARGEST_PACKET, LARGEST_UNICAST, decode_message

MANY = tuple(
    Record(f"host-{n}.local".encode(), HostAddress("192.168.1.2"), 120) for n in range(150)
)
LONG = Record(b"long.local", Text((bytes(255),) * 8), 120)


class QueryTests(SynchronousTestCase):
    def test_a_short_one_is_one_datagram(self) -> None:
        query = Message(questions=(Question(b"a", 1),), answers=MANY[:1])
        self.assertEqual([decode_message(each) for each in query_datagrams(query)], [query])

    def test_a_long_one_is_several(self) -> None:
        questions = tuple(Question(f"{n}.local".encode(), 1) for n in range(200))
        query = Message(questions=questions, answers=MANY, authority=MANY[:20])
        datagrams = list(query_datagrams(query))
        self.assertGreater(len(datagrams), 2)
        self.assertTrue(all(len(each) <= LARGEST_PACKET for each in datagrams))
        parts = [decode_message(each) for each in datagrams]
        self.assertEqual(sum((part.questions for part in parts), ()), questions)
        self.assertEqual(sum((part.answers for part in parts), ()), MANY)
        self.assertEqual(sum((part.authority for part in parts), ()), MANY[:20])
        self.assertEqual(
            [part.is_truncated for part in parts],
            [any(later.answers for later in parts[n + 1 :]) for n in range(len(parts))],
        )

    def test_none_is_none(self) -> None:
        self.assertEqual(list(query_datagrams(Message())), [])


class ResponseTests(SynchronousTestCase):
    def parts(self, message: Message) -> list[Message]:
        datagrams = list(response_datagrams(message))
        self.sizes = [len(each) for each in datagrams]
        return [decode_message(each) for each in datagrams]

    def test_a_short_one_is_one_datagram(self) -> None:
        response = Message(True, answers=MANY[:2], additional=MANY[2:4])
        self.assertEqual(self.parts(response), [response])

    def test_additional_records_are_left_out_first(self) -> None:
        (part,) = self.parts(Message(True, answers=MANY[:10], additional=MANY[10:]))
        self.assertEqual(part.answers, MANY[:10])
        self.assertTrue(0 < len(part.additional) < 140)
        self.assertLessEqual(self.sizes[0], LARGEST_PACKET)

    def test_many_answers_are_several_datagrams(self) -> None:
        parts = self.parts(Message(True, answers=MANY))
        self.assertEqual(sum((part.answers for part in parts), ()), MANY)
        self.assertTrue(all(size <= LARGEST_PACKET for size in self.sizes))
        self.assertFalse(any(part.is_truncated for part in parts))

    def test_a_record_that_is_too_long_goes_all_the_same(self) -> None:
        self.assertEqual(
            self.parts(Message(True, answers=(LONG,))), [Message(True, answers=(LONG,))]
        )

    def test_a_long_record_has_a_datagram_of_its_own(self) -> None:
        parts = self.parts(Message(True, answers=(LONG, *MANY[:3])))
        self.assertEqual([len(part.answers) for part in parts], [1, 3])
        self.assertGreater(self.sizes[0], LARGEST_PACKET)


class UnicastTests(SynchronousTestCase):
    """RFC 6762, section 6.7, and RFC 1035, section 4.2.1."""

    def test_what_does_not_fit_is_left_out(self) -> None:
        response = Message(True, answers=MANY[:3], additional=MANY[3:5])
        for count, expected in (
            (2, response),
            (100, evolve(response, additional=())),
        ):
            more = evolve(response, additional=MANY[3 : 3 + count])
            data = unicast_datagram(more)
            self.assertLessEqual(len(data), LARGEST_UNICAST)
            self.assertEqual(decode_message(data), expected)

    def test_and_it_is_said_that_something_is(self) -> None:
        cut = decode_message(unicast_datagram(Message(True, answers=MANY)))
        self.assertEqual(cut, Message(True, is_truncated=True))
