"""RFC 6762, sections 5.2, 7.1 to 7.3, 10 and 11: what is asked when, and what is remembered."""

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
    OTHER_RECORDS,
    DNSHost,
    address,
    goodbye,
    own_record,
    pointer,
    queries,
    text,
)
from twisted_p2p.addresses import HostPort
from twisted_p2p.lan.events import PeerFound, PeerLost, PeerUpdated
from twisted_p2p.lan.records import (
    ExistingTypes,
    Location,
    Message,
    OtherData,
    Pointer,
    Question,
    Record,
    RecordType,
)
from twisted_p2p.lan.service_records import SERVICE_TYPE, instance_name

INSTANCE = instance_name(OTHER)
LOCATION = Record(INSTANCE, Location(4712, b"other.local"), 120, is_unique=True)


class BrowsingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = DNSHost()
        self.host.browse()

    def asked(self, seconds: float) -> list[tuple[float, Message]]:
        return [
            (each.time, each.message)
            for each in self.host.run(seconds)
            if not each.message.is_response
        ]

    def names(self, seconds: float) -> set[tuple[bytes, int]]:
        return {each.key for _, query in self.asked(seconds) for each in query.questions}

    def hear_other(self) -> None:
        self.host.tell(*OTHER_RECORDS.announced)
        self.host.run(0.0)

    @property
    def kinds_of_events(self) -> list[type]:
        return [type(event) for event in self.host.events]


class Section5Point2Tests(BrowsingTestCase):
    """Continuous querying."""

    def test_first_after_20_to_120_ms(self) -> None:
        firsts = set()
        for seed in range(10):
            host = DNSHost(seed=seed)
            host.browse()
            (query,) = host.run(0.5)
            self.assertTrue(0.02 <= query.time <= 0.12)
            self.assertEqual((query.message, query.to), (Message(questions=(BROWSE,)), EVERYBODY))
            firsts.add(query.time)
        self.assertGreater(len(firsts), 5)

    def test_then_a_second_later_and_at_least_twice_as_late_each_time_up_to_an_hour(self) -> None:
        times = [time for time, _ in self.asked(6 * 3_600)]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        self.assertTrue(1.0 <= gaps[0] <= 1.1)
        for gap, wider in pairwise(gaps[:-4]):
            self.assertGreaterEqual(wider, min(1.8 * gap, 3_600))
        for gap in gaps[-3:]:
            self.assertTrue(3_600 <= gap <= 3_960, gap)

    def test_a_record_is_asked_for_again_at_80_85_90_and_95_percent(self) -> None:
        for seed in range(5):
            self.host = DNSHost(seed=seed)
            self.host.browse()
            self.hear_other()
            times = [
                time
                for time, query in self.asked(119.0)
                if LOCATION.key in [each.key for each in query.questions]
            ]
            for time, share in zip(times, (0.8, 0.85, 0.9, 0.95), strict=True):
                self.assertTrue(120 * share <= time <= 120 * (share + 0.02), times)

    def test_one_query_asks_for_all_that_came_together(self) -> None:
        self.hear_other()
        asked = [query for time, query in self.asked(98.5) if time > 95]
        self.assertEqual(len(asked), 1)
        self.assertEqual({each.type for each in asked[0].questions}, {RecordType.SRV, RecordType.A})

    def test_what_is_heard_again_is_not_asked_for(self) -> None:
        self.hear_other()
        for _ in range(5):
            self.host.run(90.0)
            self.hear_other()
        self.assertNotIn(LOCATION.key, self.names(90.0))
        self.assertEqual(self.kinds_of_events, [PeerFound])

    def test_what_nobody_looks_for_is_not_asked_for_either(self) -> None:
        self.hear_other()
        self.host.machine.stop_browsing(self.host.now)
        self.assertEqual(self.asked(10_000.0), [])
        self.assertEqual(self.kinds_of_events, [PeerFound, PeerLost])

    def test_a_name_that_is_looked_for_is_asked_about_at_once(self) -> None:
        host = DNSHost()
        host.machine.look_for(OTHER, 0.0)
        query = host.run(0.0)[0].message
        wanted = {(INSTANCE.lower(), RecordType.SRV), (INSTANCE.lower(), RecordType.TXT)}
        self.assertEqual({each.key for each in query.questions}, wanted)
        host.tell(*OTHER_RECORDS.unique)
        host.run(0.0)
        self.assertEqual([type(event) for event in host.events], [PeerFound])

    def test_and_no_more_when_it_is_not(self) -> None:
        host = DNSHost()
        host.machine.look_for(OTHER, 0.0)
        host.run(1.5)
        host.machine.look_for(OTHER, host.now)
        host.machine.look_no_more(OTHER, host.now)
        self.assertEqual(host.run(100.0), [])

    def test_what_is_missing_of_an_instance_is_asked_for(self) -> None:
        self.host.run(0.5)
        self.host.tell(pointer(OTHER))
        self.assertEqual(self.names(0.2), {LOCATION.key, (LOCATION.key[0], RecordType.TXT)})
        self.host.tell(LOCATION, *OTHER_RECORDS.unique[1:2])
        name = b"other.local"
        self.assertEqual(self.names(0.2), {(name, RecordType.A), (name, RecordType.AAAA)})
        self.host.tell(address("192.168.1.9"))
        self.assertNotIn((name, RecordType.A), self.names(10.0))
        self.assertEqual(self.kinds_of_events, [PeerFound])

    def test_what_there_is_not_is_not_asked_for(self) -> None:
        """Section 6.1 again, from the other side."""
        self.host.run(0.5)
        self.host.tell(
            pointer(OTHER),
            LOCATION,
            Record(b"other.local", ExistingTypes(b"other.local", (RecordType.A,)), 120, True),
        )
        self.assertEqual(
            self.names(0.2), {(LOCATION.key[0], RecordType.TXT), (b"other.local", RecordType.A)}
        )


class Section7Point1Tests(BrowsingTestCase):
    """Known answers."""

    def test_what_is_known_for_half_of_its_time_is_told(self) -> None:
        self.host.run(0.5)
        self.hear_other()
        (_, query), *_ = self.asked(1.0)
        (known,) = query.answers
        self.assertTrue(known.says_the_same(pointer(OTHER)))
        self.assertTrue(4_490 < known.ttl < 4_500)

    def test_what_is_known_for_less_is_not(self) -> None:
        self.host.run(2_000.0)
        self.hear_other()
        self.host.tell(pointer("short", 10))
        self.host.run(6.0)
        known = [query.answers for _, query in self.asked(4_000.0) if BROWSE in query.questions]
        self.assertEqual([len(each) for each in known][:2], [1, 1])


class Section7Point2Tests(BrowsingTestCase):
    """More known answers than a packet takes."""

    def test_all_but_the_last_packet_say_so(self) -> None:
        self.host.run(0.5)
        for number in range(100):
            self.host.tell(pointer(f"{number:052}"))
        packets = [q for _, q in self.asked(1.0) if q.answers]
        self.assertGreater(len(packets), 3)
        self.assertEqual(
            [each.is_truncated for each in packets], [True] * (len(packets) - 1) + [False]
        )
        self.assertEqual([bool(each.questions) for each in packets].count(True), 1)
        self.assertEqual(sum(len(each.answers) for each in packets), 100)


class Section7Point3Tests(BrowsingTestCase):
    """Duplicate questions."""

    def test_who_hears_the_same_question_does_not_ask(self) -> None:
        self.host.ask(BROWSE)
        self.assertEqual(self.asked(0.9), [])
        self.assertEqual(len(self.asked(0.3)), 1)

    def test_unless_the_other_knows_more(self) -> None:
        self.host.receive(Message(questions=(BROWSE,), answers=(pointer(OTHER),)))
        self.assertEqual(len(self.asked(0.2)), 1)

    def test_what_it_knows_of_oneself_is_nothing_more(self) -> None:
        self.host.announce()
        self.host.receive(Message(questions=(BROWSE,), answers=(pointer(ME),)))
        self.assertEqual([each for _, each in self.asked(0.2) if not each.authority], [])

    def test_or_wants_it_by_unicast(self) -> None:
        self.host.ask(evolve(BROWSE, wants_unicast=True))
        self.assertEqual(len(self.asked(0.2)), 1)

    def test_or_speaks_unicast_dns(self) -> None:
        self.host.ask(BROWSE, source=HostPort("192.168.1.9", 40_000))
        self.assertEqual(len(self.asked(0.2)), 1)

    def test_it_counts_only_shortly_before_it_would_be_asked(self) -> None:
        self.host.run(4.0)
        self.host.ask(BROWSE)
        self.assertEqual(len(self.asked(4.5)), 1)

    def test_a_record_that_another_one_refreshes_is_left_to_it(self) -> None:
        self.hear_other()
        self.host.run(96.01)
        self.host.ask(Question(INSTANCE, RecordType.SRV), Question(b"other.local", RecordType.A))
        self.assertEqual(self.names(2.5) & {LOCATION.key}, set())


class Section10Point1Tests(BrowsingTestCase):
    """Goodbye."""

    def test_who_says_goodbye_is_gone_a_second_later(self) -> None:
        self.hear_other()
        self.host.tell(*map(goodbye, OTHER_RECORDS.announced))
        self.host.run(0.9)
        self.assertEqual(self.kinds_of_events, [PeerFound])
        self.host.run(0.2)
        self.assertEqual(self.kinds_of_events[-1], PeerLost)
        self.assertEqual(self.host.machine.peers, [])

    def test_names_are_the_same_in_any_case(self) -> None:
        """Section 16."""
        self.host.tell(*(evolve(each, name=each.name.upper()) for each in OTHER_RECORDS.announced))
        self.host.tell(evolve(pointer(OTHER.upper()), ttl=0))
        self.host.run(1.5)
        self.assertEqual(self.kinds_of_events, [PeerFound, PeerLost])

    def test_whatever_it_is_called(self) -> None:
        name = "A Printer\u00c9"
        for each in OTHER_RECORDS.announced:
            self.host.tell(pointer(name), evolve(each, name=instance_name(name)))
        self.host.tell(address("192.168.1.9"))
        self.host.run(0.0)
        (event,) = self.host.events
        assert isinstance(event, PeerFound)
        self.assertEqual(event.peer.instance, name)
        self.host.tell(goodbye(pointer(name)))
        self.host.run(1.5)
        self.assertEqual(self.kinds_of_events, [PeerFound, PeerLost])

    def test_goodbye_from_a_stranger_is_nothing(self) -> None:
        self.host.tell(*map(goodbye, OTHER_RECORDS.announced))
        self.host.run(2.0)
        self.assertEqual(self.host.events, [])

    def test_who_comes_back_within_that_second_has_not_gone(self) -> None:
        self.hear_other()
        self.host.tell(*map(goodbye, OTHER_RECORDS.announced))
        self.host.run(0.5)
        self.hear_other()
        self.host.run(5.0)
        self.assertEqual(self.kinds_of_events, [PeerFound])


class Section10Point2Tests(BrowsingTestCase):
    """The cache-flush bit."""

    def port(self) -> int | None:
        peer = self.host.machine.find(OTHER)
        return peer.addresses[0].port if peer else None

    def test_a_unique_record_replaces_what_is_older_than_a_second(self) -> None:
        self.hear_other()
        self.host.run(2.0)
        self.host.tell(address("192.168.1.10"))
        self.host.run(2.0)
        peer = self.host.machine.find(OTHER)
        assert peer is not None
        self.assertEqual([each.host for each in peer.addresses], ["192.168.1.10"])
        self.assertEqual(self.kinds_of_events, [PeerFound, PeerUpdated, PeerUpdated])

    def test_but_not_what_is_as_young(self) -> None:
        self.hear_other()
        self.host.run(0.5)
        self.host.tell(address("192.168.1.10"))
        self.host.run(2.0)
        peer = self.host.machine.find(OTHER)
        assert peer is not None
        self.assertEqual(len(peer.addresses), 2)

    def test_of_two_locations_the_latest_counts(self) -> None:
        self.hear_other()
        self.host.tell(evolve(LOCATION, data=Location(1, b"other.local")))
        self.assertEqual(self.port(), 1)
        self.host.tell(LOCATION)
        self.assertEqual(self.port(), 4_712)

    def test_a_shared_record_replaces_none(self) -> None:
        self.hear_other()
        self.host.run(2.0)
        self.host.tell(pointer("another"))
        self.host.run(2.0)
        self.assertEqual(self.kinds_of_events, [PeerFound])


class Section10Point4And5Tests(BrowsingTestCase):
    """Doubtful records."""

    def test_who_does_not_answer_two_questions_of_others_is_gone_after_10_seconds(self) -> None:
        self.hear_other()
        for count in (1, 2):
            self.host.ask(Question(INSTANCE, RecordType.SRV))
            self.host.run(12.0)
            self.assertEqual(len(self.host.events), count)
        self.assertEqual(self.kinds_of_events, [PeerFound, PeerLost])

    def test_who_answers_one_is_not(self) -> None:
        self.hear_other()
        for _ in range(5):
            self.host.ask(Question(INSTANCE, RecordType.SRV))
            self.hear_other()
            self.host.run(12.0)
        self.assertEqual(self.kinds_of_events, [PeerFound])

    def test_nor_who_is_named_as_known_or_may_be_in_a_later_packet(self) -> None:
        self.hear_other()
        location = Question(INSTANCE, RecordType.SRV)
        for query in (
            Message(questions=(location,), answers=(LOCATION,)),
            Message(questions=(location,), is_truncated=True),
        ):
            for _ in range(3):
                self.host.receive(query)
        self.host.run(50.0)
        self.assertEqual(self.kinds_of_events, [PeerFound])

    def test_nor_who_may_be_asking_itself(self) -> None:
        self.hear_other()
        for _ in range(5):
            self.host.ask(BROWSE)
            self.host.run(12.0)
        self.assertEqual(self.kinds_of_events, [PeerFound])

    def test_when_the_link_returns_all_must_be_heard_again(self) -> None:
        self.hear_other()
        self.host.run(20.0)
        self.host.machine.links_changed([self.host.link], self.host.now)
        query = queries(self.host.run(0.2))[0]
        self.assertEqual((query.questions, query.answers), ((BROWSE,), ()))
        self.host.run(9.7)
        self.assertEqual(self.kinds_of_events, [PeerFound])
        self.host.run(0.2)
        self.assertEqual(self.kinds_of_events, [PeerFound, PeerLost])


class Section11Tests(BrowsingTestCase):
    """Source address check (promise 13)."""

    def test_what_is_not_from_the_link_is_ignored(self) -> None:
        self.host.be_announced()
        for host in ("10.0.0.1", "192.168.2.9", "192.168.1.255", "192.168.1.0"):
            source = HostPort(host, 5353)
            self.host.tell(*OTHER_RECORDS.announced, source=source)
            self.host.ask(BROWSE, source=source)
        self.host.run(1.0)
        self.assertEqual(self.host.machine.peers, [])
        self.assertEqual(self.host.machine.dropped["off-link"], 8)

    def test_and_is_never_answered_by_unicast(self) -> None:
        self.host.be_announced()
        for port in (5353, 40_000):
            self.host.ask(evolve(BROWSE, wants_unicast=True), source=HostPort("10.0.0.1", port))
        self.assertEqual([s for s in self.host.run(1.0) if s.message.is_response], [])

    def test_responses_come_from_port_5353(self) -> None:
        """Section 6."""
        self.host.tell(*OTHER_RECORDS.announced, source=HostPort("192.168.1.9", 5354))
        self.host.run(0.0)
        self.assertEqual(self.host.events, [])
        self.assertEqual(self.host.machine.dropped["response from another port"], 1)

    def test_what_is_not_understood_is_dropped(self) -> None:
        for _ in range(5_000):
            self.host.receive(b"nonsense")
        self.assertEqual(self.host.machine.dropped["malformed"], 5_000)

    def test_that_a_source_is_on_the_link_is_remembered_of_some(self) -> None:
        for number in range(5_000):
            source = HostPort(f"10.0.{number >> 8}.{number & 255}", 5353)
            self.host.receive(b"", source)
        (machine,) = self.host.machine._machines.values()
        self.assertEqual(len(machine._on_link), 5_000 - 4_096)

    def test_link_local_sources_are_on_the_link(self) -> None:
        host = DNSHost("192.168.1.2/24", "fe80::2/64", is_ipv6=True)
        host.browse()
        host.tell(*OTHER_RECORDS.announced, source=HostPort("fe80::9", 5353))
        host.run(0.0)
        self.assertEqual(len(host.events), 1)
        self.assertEqual(host.sent, [])
        self.assertEqual(host.run(0.2)[0].to, HostPort("ff02::fb", 5353))


class BrowserLimitTests(BrowsingTestCase):
    """What is remembered of what is said on a link, and how much (promise 13)."""

    def test_other_services_are_nothing_to_us(self) -> None:
        self.host.tell(
            Record(b"_http._tcp.local", Pointer(b"x._http._tcp.local"), 4_500),
            Record(SERVICE_TYPE, Pointer(b"x._http._tcp.local"), 4_500),
            Record(SERVICE_TYPE, Pointer(b"a.b._p2p._udp.local"), 4_500),
            Record(SERVICE_TYPE, Pointer(b"\xff._p2p._udp.local"), 4_500),
            Record(SERVICE_TYPE, OtherData(99, b""), 4_500),
            address("192.168.1.9"),
            text(b"txtvers=1"),
            LOCATION,
        )
        self.assertEqual(self.names(0.2), {BROWSE.key})

    def test_names_that_cannot_be_written_are_left_out(self) -> None:
        self.host.tell(pointer(OTHER), evolve(LOCATION, data=Location(1, b"with\\.dot.local")))
        self.assertIn(LOCATION.key, self.names(2.0))

    def test_a_thousand_instances_and_no_more(self) -> None:
        for number in range(1_100):
            self.host.tell(pointer(f"peer-{number}"))
        (browser,) = (each.browser for each in self.host.machine._machines.values())
        self.assertEqual(len(browser.instances), 1_000)
        self.assertEqual(self.host.machine.dropped["too many services"], 100)
        self.host.tell(pointer("peer-1"), goodbye(pointer("peer-0")))
        self.host.run(1.1)
        self.host.tell(pointer("late"))
        self.assertIn(instance_name("late"), browser.instances)

    def test_false_peers_do_not_have_a_node_flood_the_link(self) -> None:
        for number in range(1_000):
            self.host.tell(pointer(f"peer-{number}"))
        sent = self.asked(6.0)
        for start in range(6):
            asked = [len(query.questions) for time, query in sent if start <= time < start + 1]
            self.assertLessEqual(sum(asked), 550)
        self.assertEqual(len({each.key for _, query in sent for each in query.questions}), 2_001)

    def test_nor_by_those_that_all_must_be_asked_for_again(self) -> None:
        records = OTHER_RECORDS.announced
        for number in range(200):
            name, host = instance_name(f"{number}"), f"{number}.local".encode()
            self.host.tell(
                pointer(f"{number}"),
                Record(name, Location(1, host), 120, is_unique=True),
                evolve(records[2], name=name),
                address("192.168.1.9", host),
            )
        self.host.run(96.0)
        sent = self.asked(2.5)
        self.assertEqual(sum(len(query.questions) for _, query in sent), 2 * 200)
        self.assertTrue(all(len(query.questions) <= 50 for _, query in sent))

    def test_sixteen_records_of_a_name_and_no_more(self) -> None:
        self.hear_other()
        for number in range(100):
            self.host.tell(address(f"192.168.1.{100 + number}"))
        peer = self.host.machine.find(OTHER)
        assert peer is not None
        self.assertEqual(len(peer.addresses), 16)
        self.assertGreaterEqual(self.host.machine.dropped["too many records"], 80)

    def test_what_is_said_again_and_again_takes_no_more_room(self) -> None:
        for _ in range(1_000):
            self.hear_other()
            self.host.run(0.01)
        (browser,) = (each.browser for each in self.host.machine._machines.values())
        self.assertLess(len(browser._cache._deadlines), 80)
        self.assertEqual(self.kinds_of_events, [PeerFound])

    def test_nothing_is_left_of_those_that_came_and_went(self) -> None:
        for number in range(300):
            name = instance_name(f"peer-{number}")
            host = f"host-{number}.local".encode()
            gone = pointer(f"peer-{number}")
            self.host.tell(gone, Record(name, Location(1, host), 120), address("192.168.1.9", host))
            self.host.tell(goodbye(gone))
            self.host.run(2.0)
        (browser,) = (each.browser for each in self.host.machine._machines.values())
        self.assertEqual(browser.instances, [])
        self.assertEqual((browser._cache._sets, browser._locations), ({}, {}))

    def test_a_lifetime_is_75_minutes_at_most(self) -> None:
        self.host.tell(*(evolve(each, ttl=2**31 - 1) for each in OTHER_RECORDS.announced))
        self.host.machine.stop_browsing(0.0)
        self.host.run(4_499.0)
        self.assertEqual(self.kinds_of_events, [PeerFound])
        self.host.run(2.0)
        self.assertEqual(self.kinds_of_events, [PeerFound, PeerLost])

    def test_ones_own_instance_is_nobody_found(self) -> None:
        self.host.be_announced()
        self.host.tell(*(own_record(self.host, kind) for kind in (RecordType.PTR, RecordType.SRV)))
        self.host.run(5.0)
        self.assertNotIn(PeerFound, self.kinds_of_events)

    def test_nor_when_it_was_found_before(self) -> None:
        self.host.tell(
            pointer(ME),
            evolve(LOCATION, name=instance_name(ME)),
            text(b"id=" + ME.encode(), name=ME),
            address("192.168.1.9"),
        )
        self.host.run(0.0)
        self.assertEqual(self.kinds_of_events, [PeerFound])
        self.host.announce()
        self.host.machine.links_changed([self.host.link], self.host.now)
        self.host.run(0.1)
        self.assertEqual(self.kinds_of_events, [PeerFound, PeerLost])

    def test_what_comes_back_to_the_sender_is_ignored_once(self) -> None:
        self.host.be_announced()
        self.host.machine.browse(self.host.now)
        query = next(each for each in self.host.run(4_000) if BROWSE in each.message.questions)
        before = len(self.host.sent)
        self.host.now = self.host.sent[-1].time
        own = HostPort("192.168.1.2", 5353)
        last = self.host.sent[-1].message
        self.host.receive(last, own)
        self.assertEqual(self.host.run(0.5), [])
        self.host.ask(*query.message.questions, source=own)
        self.assertEqual(len(self.host.run(0.5)), 1)
        self.assertEqual(len(self.host.sent), before + 1)

    def test_in_whatever_order_it_comes_back(self) -> None:
        self.host.announce()
        sent = [each.message for each in self.host.run(0.6)]
        for message in reversed(sent):
            self.host.receive(message, HostPort("192.168.1.2", 5353))
        self.assertGreaterEqual(len(sent), 3)
        self.assertEqual(self.host.machine._machines[self.host.link.id]._echoes, [])

    def test_two_instances_on_one_host(self) -> None:
        self.hear_other()
        beside = Record(instance_name("beside"), Location(1, b"other.local"), 120)
        self.host.tell(pointer("beside"), beside, text(b"id=" + ME.encode(), name="beside"))
        self.assertEqual(len(self.host.machine.peers), 2)
        self.host.tell(goodbye(pointer("beside")))
        self.host.run(1.5)
        self.assertEqual([peer.peer_id for peer in self.host.machine.peers], [OTHER])

    def test_neighbour_is_who_it_is(self) -> None:
        self.hear_other()
        (event,) = self.host.events
        assert isinstance(event, PeerFound)
        self.assertEqual(event.peer.addresses, (HostPort(NEIGHBOUR.host, 4_712),))
        self.assertEqual(event.peer.services, ("file",))
