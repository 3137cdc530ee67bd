"""RFC 6762, sections 5.4, 6, 7.1, 7.2 and 7.4: who is answered what, when and where."""

from __future__ import annotations

from itertools import pairwise

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.lan.dns_host import (
    BROWSE,
    EVERYBODY,
    ME,
    NEIGHBOUR,
    OTHER,
    DNSHost,
    Sent,
    own_record,
    pointer,
    responses,
)
from twisted_p2p.addresses import HostPort
from twisted_p2p.lan.records import (
    ExistingTypes,
    HostAddress,
    Message,
    Pointer,
    Question,
    Record,
    RecordType,
)
from twisted_p2p.lan.service_records import ALL_SERVICE_TYPES, SERVICE_TYPE, instance_name

LOCATION = Question(instance_name(ME), RecordType.SRV)


class AnsweringTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = DNSHost()
        self.host.be_announced()

    def answers(self, *questions: Question, seconds: float = 1.0) -> list[Sent]:
        self.host.ask(*questions)
        return self.host.run(seconds)

    def kinds(self, records: tuple[Record, ...]) -> list[int]:
        return sorted(int(record.data.type) for record in records)


class Section6Tests(AnsweringTestCase):
    """Responding."""

    def test_what_others_may_answer_too_waits_20_to_120_ms(self) -> None:
        delays = []
        for seed in range(20):
            host = DNSHost(seed=seed)
            host.be_announced()
            host.ask(BROWSE)
            (answer,) = host.run(0.5)
            delays.append(answer.time - 10.0)
        self.assertTrue(0.02 <= min(delays) < max(delays) <= 0.12, delays)
        self.assertGreater(max(delays) - min(delays), 0.05)

    def test_what_is_ones_own_is_told_at_once(self) -> None:
        (answer,) = self.answers(LOCATION)
        self.assertEqual(answer.time, 10.0)
        self.assertEqual(answer.to, EVERYBODY)

    def test_what_is_not_ones_own_is_not_told(self) -> None:
        for question in (
            Question(SERVICE_TYPE, RecordType.TXT),
            Question(b"_http._tcp.local", RecordType.PTR),
            Question(instance_name(OTHER), RecordType.ANY),
        ):
            self.assertEqual(self.answers(question), [])

    def test_any_type_means_all(self) -> None:
        (answer,) = self.answers(Question(instance_name(ME), RecordType.ANY))
        self.assertEqual(self.kinds(answer.message.answers), [RecordType.TXT, RecordType.SRV])

    def test_names_are_the_same_in_any_case(self) -> None:
        (answer,) = self.answers(Question(instance_name(ME).upper(), RecordType.TXT))
        self.assertEqual(self.kinds(answer.message.answers), [RecordType.TXT])

    def test_a_record_is_multicast_at_most_once_a_second(self) -> None:
        times = []
        for _ in range(30):
            times += [each.time for each in self.answers(LOCATION, seconds=0.1)]
        times += [each.time for each in self.host.run(2.0)]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        self.assertGreaterEqual(min(gaps), 1.0 - 1e-9)
        self.assertGreaterEqual(len(times), 3)

    def test_a_name_is_defended_after_250_ms(self) -> None:
        self.answers(LOCATION, seconds=0.1)
        rival = Record(instance_name(ME), HostAddress("192.168.1.9"), 120)
        question = Question(instance_name(ME), RecordType.ANY)
        self.host.receive(Message(questions=(question,), authority=(rival,)))
        at_once, later = self.host.run(0.9)
        self.assertEqual(self.kinds(at_once.message.answers), [RecordType.TXT])
        self.assertEqual(self.kinds(later.message.answers), [RecordType.SRV])
        self.assertAlmostEqual(later.time, 10.25)

    def test_a_response_has_neither_questions_nor_a_number(self) -> None:
        (answer,) = self.answers(LOCATION)
        self.assertEqual((answer.message.id, answer.message.questions), (0, ()))

    def test_several_questions_get_one_answer(self) -> None:
        (answer,) = self.answers(LOCATION, Question(instance_name(ME), RecordType.TXT), BROWSE)
        self.assertEqual(
            self.kinds(answer.message.answers), [RecordType.PTR, RecordType.TXT, RecordType.SRV]
        )

    def test_of_very_many_questions_some_are_answered(self) -> None:
        questions = [Question(instance_name(ME), 256 + n) for n in range(200)]
        (answer,) = self.answers(*questions, LOCATION)
        self.assertEqual(self.kinds(answer.message.answers), [RecordType.NSEC])

    def test_what_was_withdrawn_is_not_told(self) -> None:
        self.host.ask(BROWSE)
        self.host.machine.withdraw()
        self.assertEqual([r.ttl for m in responses(self.host.run(1.0)) for r in m.answers], [0] * 4)


class Section6Point1Tests(AnsweringTestCase):
    """Negative responses."""

    def test_types_that_a_name_of_ones_own_has_not(self) -> None:
        host_name = own_record(self.host, RecordType.A).name
        for name, types in (
            (instance_name(ME), (RecordType.TXT, RecordType.SRV)),
            (host_name, (RecordType.A,)),
        ):
            (answer,) = self.answers(Question(name, RecordType.AAAA), seconds=2.0)
            (record,) = answer.message.answers
            self.assertEqual(record.data, ExistingTypes(name, types))
            self.assertTrue(record.is_unique)

    def test_an_address_comes_with_the_others_and_what_there_is(self) -> None:
        host = DNSHost("192.168.1.2/24", "fe80::2/64")
        host.be_announced()
        name = own_record(host, RecordType.A).name
        host.ask(Question(name, RecordType.A))
        (answer,) = host.run(1.0)
        self.assertEqual(self.kinds(answer.message.answers), [RecordType.A])
        self.assertEqual(self.kinds(answer.message.additional), [RecordType.AAAA, RecordType.NSEC])


class Section5Point4Tests(AnsweringTestCase):
    """Questions that want an answer by unicast."""

    def test_the_answer_goes_to_who_asks_when_everybody_was_told_lately(self) -> None:
        self.host.ask(evolve(LOCATION, wants_unicast=True))
        (answer,) = self.host.run(1.0)
        self.assertEqual(answer.to, NEIGHBOUR)
        self.assertEqual((answer.message.id, answer.message.questions), (0, ()))
        self.assertTrue(answer.message.answers[0].is_unique)

    def test_and_to_everybody_a_quarter_of_its_lifetime_later(self) -> None:
        self.host.run(120 / 4)
        self.host.ask(evolve(LOCATION, wants_unicast=True))
        (answer,) = self.host.run(1.0)
        self.assertEqual(answer.to, EVERYBODY)

    def test_what_others_answer_too_waits_here_as_well(self) -> None:
        self.host.ask(evolve(BROWSE, wants_unicast=True))
        (answer,) = self.host.run(1.0)
        self.assertEqual(answer.to, NEIGHBOUR)
        self.assertTrue(10.02 <= answer.time <= 10.12)

    def test_not_more_of_them_wait_than_64(self) -> None:
        for number in range(200):
            self.host.ask(
                evolve(BROWSE, wants_unicast=True), source=HostPort(f"192.168.1.{3 + number}", 5353)
            )
        self.assertEqual(len(self.host.run(1.0)), 64)


class Section6Point6Tests(AnsweringTestCase):
    """Cooperating responders."""

    def test_a_lifetime_that_is_far_too_short_is_set_right(self) -> None:
        location = own_record(self.host, RecordType.SRV)
        for ttl, count in ((60, 0), (59, 1), (0, 1)):
            self.host.tell(evolve(location, ttl=ttl))
            self.assertEqual(len(self.host.run(2.0)), count, ttl)

    def test_of_shared_ones_too(self) -> None:
        self.host.tell(evolve(own_record(self.host, RecordType.PTR), ttl=0))
        self.assertEqual(self.kinds(self.host.run(2.0)[0].message.answers), [RecordType.PTR])


class Section6Point7Tests(AnsweringTestCase):
    """Legacy unicast responses."""

    def test_a_resolver_of_unicast_dns_gets_what_it_understands(self) -> None:
        resolver = HostPort("192.168.1.9", 40_000)
        query = Message(id=77, questions=(LOCATION,))
        self.host.receive(query, resolver)
        (answer,) = self.host.run(1.0)
        self.assertEqual((answer.to, answer.message.id), (resolver, 77))
        self.assertEqual(answer.message.questions, (LOCATION,))
        records = answer.message.answers + answer.message.additional
        self.assertEqual(self.kinds(records), [RecordType.A, RecordType.SRV, RecordType.NSEC])
        self.assertTrue(all(record.ttl <= 10 and not record.is_unique for record in records))


class Section7Point1Tests(AnsweringTestCase):
    """Known answers."""

    def test_what_is_known_for_half_of_its_time_is_not_told(self) -> None:
        for ttl, count in ((2_250, 0), (2_249, 1)):
            self.host.receive(Message(questions=(BROWSE,), answers=(pointer(ME, ttl),)))
            self.assertEqual(len(self.host.run(1.0)), count, ttl)

    def test_what_is_known_of_others_does_not_matter(self) -> None:
        self.host.receive(Message(questions=(BROWSE,), answers=(pointer(OTHER),)))
        self.assertEqual(len(self.host.run(1.0)), 1)

    def test_of_several_addresses_all_are_told_or_none(self) -> None:
        host = DNSHost("192.168.1.2/24", "192.168.1.3/24")
        host.be_announced()
        known = own_record(host, RecordType.A)
        question = Question(known.name, RecordType.A)
        host.receive(Message(questions=(question,), answers=(known,)))
        (answer,) = host.run(1.0)
        self.assertEqual(self.kinds(answer.message.answers), [RecordType.A, RecordType.A])


class Section7Point2Tests(AnsweringTestCase):
    """Known answers in several packets."""

    def setUp(self) -> None:
        super().setUp()
        self.truncated = Message(questions=(BROWSE,), is_truncated=True)

    def test_more_is_waited_for_400_to_500_ms(self) -> None:
        self.host.receive(self.truncated)
        (answer,) = self.host.run(1.0)
        self.assertTrue(10.4 <= answer.time <= 10.5)

    def test_what_comes_later_counts(self) -> None:
        self.host.receive(self.truncated)
        self.host.run(0.1)
        self.host.receive(Message(is_truncated=True))
        self.host.run(0.3)
        self.host.receive(Message(answers=(pointer(ME),)))
        self.assertEqual(self.host.run(2.0), [])

    def test_each_further_packet_prolongs_the_wait(self) -> None:
        self.host.receive(self.truncated)
        self.host.run(0.39)
        self.host.receive(Message(is_truncated=True))
        (answer,) = self.host.run(1.0)
        self.assertTrue(10.79 <= answer.time <= 10.89)

    def test_what_somebody_else_knows_does_not(self) -> None:
        self.host.receive(self.truncated)
        self.host.receive(Message(answers=(pointer(ME),)), HostPort("192.168.1.8", 5353))
        self.assertEqual(len(self.host.run(1.0)), 1)

    def test_not_more_hosts_are_waited_for_than_64(self) -> None:
        for number in range(65):
            self.host.receive(self.truncated, HostPort(f"192.168.1.{3 + number}", 5353))
        self.assertLess(self.host.run(0.2)[0].time, 10.13)


class Section7Point4Tests(AnsweringTestCase):
    """Duplicate answers."""

    def test_what_another_host_has_just_told_is_not_repeated(self) -> None:
        for ttl, count in ((4_500, 0), (4_499, 1)):
            self.host.ask(Question(ALL_SERVICE_TYPES, RecordType.PTR))
            self.host.tell(Record(ALL_SERVICE_TYPES, Pointer(SERVICE_TYPE), ttl))
            self.assertEqual(len(self.host.run(2.0)), count, ttl)


class RFC6763Section9Tests(AnsweringTestCase):
    """Enumeration of the types of services."""

    def test_ours_is_among_them(self) -> None:
        (answer,) = self.answers(Question(ALL_SERVICE_TYPES, RecordType.PTR))
        (record,) = answer.message.answers
        self.assertEqual(record.data, Pointer(SERVICE_TYPE))
        self.assertFalse(record.is_unique)


class RFC6763Section12Tests(AnsweringTestCase):
    """What comes with an answer, so that nobody has to ask for it."""

    def setUp(self) -> None:
        super().setUp()
        self.host.run(1.0)

    def test_an_instance_comes_with_all_of_it(self) -> None:
        (answer,) = self.answers(BROWSE)
        self.assertEqual(
            self.kinds(answer.message.additional),
            [RecordType.A, RecordType.TXT, RecordType.SRV, RecordType.NSEC],
        )

    def test_a_location_comes_with_its_addresses(self) -> None:
        (answer,) = self.answers(LOCATION)
        self.assertEqual(self.kinds(answer.message.additional), [RecordType.A, RecordType.NSEC])

    def test_what_was_just_told_does_not_come_again(self) -> None:
        self.answers(LOCATION, seconds=0.5)
        (answer,) = self.answers(Question(instance_name(ME), RecordType.TXT), BROWSE, seconds=0.3)
        self.assertEqual(answer.message.additional, ())
