"""RFC 6762, sections 8 and 9, 10.1: how names are claimed, announced, defended and let go."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.lan.dns_host import (
    ANNOUNCEMENT,
    EVERYBODY,
    ME,
    NEIGHBOUR,
    OTHER,
    DNSHost,
    other_instance,
    own_record,
    pointer,
    queries,
    responses,
)
from twisted_p2p.lan.events import NodeAnnounced
from twisted_p2p.lan.records import (
    HostAddress,
    Location,
    Message,
    Question,
    Record,
    RecordType,
)
from twisted_p2p.lan.service_records import SERVICE_TYPE, instance_name


class Section8Point1Tests(SynchronousTestCase):
    """Probing."""

    def setUp(self) -> None:
        self.host = DNSHost()
        self.host.announce()

    def test_three_probes_250_ms_apart_after_a_random_wait(self) -> None:
        first, second, third, announcement = self.host.run(1.0)[:4]
        self.assertTrue(0 < first.time < 0.25)
        for earlier, later in ((first, second), (second, third), (third, announcement)):
            self.assertAlmostEqual(later.time - earlier.time, 0.25)
        self.assertTrue(announcement.message.is_response)

    def test_a_probe_asks_for_everything_and_says_what_it_wants(self) -> None:
        probe = self.host.run(0.25)[0]
        self.assertEqual(probe.to, EVERYBODY)
        self.assertEqual({each.type for each in probe.message.questions}, {RecordType.ANY})
        self.assertIn(instance_name(ME), [each.name for each in probe.message.questions])
        kinds = {int(record.data.type) for record in probe.message.authority}
        self.assertEqual(kinds, {RecordType.SRV, RecordType.TXT, RecordType.A})
        self.assertFalse(any(record.is_unique for record in probe.message.authority))

    def test_hosts_do_not_probe_together(self) -> None:
        starts = set()
        for seed in range(8):
            host = DNSHost(seed=seed)
            host.announce()
            starts.add(host.run(0.25)[0].time)
        self.assertEqual(len(starts), 8)

    def test_a_name_that_is_taken_is_given_up(self) -> None:
        self.host.run(0.3)
        self.host.tell(other_instance())
        sent = self.host.run(3.0)
        self.assertEqual(self.host.machine.instance, f"{ME}-2")
        self.assertEqual(self.host.events, [NodeAnnounced(f"{ME}-2", "eth0")])
        told = [record.name for message in responses(sent) for record in message.answers]
        self.assertNotIn(instance_name(ME), told)

    def test_any_record_of_the_name_says_that_it_is_taken(self) -> None:
        self.host.run(0.3)
        self.host.tell(Record(instance_name(ME).upper(), HostAddress("192.168.1.9"), 120))
        self.assertEqual(self.host.machine.instance, f"{ME}-2")

    def test_what_is_not_yet_known_to_be_ones_own_is_not_told(self) -> None:
        self.host.run(0.3)
        self.host.ask(Question(SERVICE_TYPE, RecordType.PTR))
        self.assertEqual(responses(self.host.run(0.3)), [])

    def test_the_same_record_is_no_conflict(self) -> None:
        self.host.run(0.3)
        proposed = queries(self.host.sent)[0].authority[0]
        self.host.tell(evolve(proposed, ttl=1))
        self.host.run(3.0)
        self.assertEqual(self.host.machine.instance, ME)

    def test_after_15_conflicts_in_10_seconds_each_attempt_waits_5_seconds(self) -> None:
        for _ in range(15):
            self.host.run(0.1)
            self.host.tell(Record(self.host.instance, HostAddress("192.168.1.9"), 120))
        self.assertTrue(queries(self.host.run(0.4)))
        self.host.tell(Record(self.host.instance, HostAddress("192.168.1.9"), 120))
        self.assertEqual(queries(self.host.run(4.9)), [])
        self.assertTrue(queries(self.host.run(0.4)))

    def test_everything_begins_anew_when_the_link_returns(self) -> None:
        self.host.run(5.0)
        self.host.machine.links_changed([self.host.link], self.host.now)
        self.assertEqual(len(queries(self.host.run(1.0))), 3)


class Section8Point2Tests(SynchronousTestCase):
    """Simultaneous probes."""

    def setUp(self) -> None:
        self.host = DNSHost()
        self.host.announce()
        self.host.run(0.3)
        self.probe = queries(self.host.sent)[0]

    def rival(self, data: Location) -> Message:
        """Return the probe of somebody who wants the same instance at another location."""
        authority = tuple(
            evolve(record, data=data)
            for record in self.probe.authority
            if isinstance(record.data, Location)
        )
        texts = tuple(r for r in self.probe.authority if r.data.type == RecordType.TXT)
        return evolve(self.probe, authority=authority + texts)

    def test_the_lesser_waits_a_second(self) -> None:
        self.host.receive(self.rival(Location(4711, b"zzz.local", priority=1)))
        self.assertEqual(queries(self.host.run(0.95)), [])
        self.assertEqual(len(queries(self.host.run(0.75))), 3)
        self.assertEqual(self.host.machine.instance, ME)

    def test_the_greater_goes_on(self) -> None:
        self.host.receive(self.rival(Location(0, b"a.local")))
        self.assertEqual(len(queries(self.host.run(0.6))), 2)

    def test_with_the_same_records_nobody_wins(self) -> None:
        self.host.receive(self.probe, NEIGHBOUR)
        self.assertEqual(len(queries(self.host.run(0.6))), 2)

    def test_who_has_more_records_wins(self) -> None:
        more = Record(self.host.instance, Location(65_535, b"zzz.local", 65_535), 120)
        self.host.receive(evolve(self.probe, authority=(*self.probe.authority, more)))
        self.assertEqual(queries(self.host.run(0.95)), [])


class Section8Point3Tests(SynchronousTestCase):
    """Announcing."""

    def test_twice_a_second_apart_with_all_records(self) -> None:
        host = DNSHost()
        host.announce()
        first, second = [each for each in host.run(10.0) if each.message.is_response]
        self.assertAlmostEqual(second.time - first.time, 1.0)
        self.assertEqual(first.to, EVERYBODY)
        for each in (first, second):
            flags = {int(r.data.type): r.is_unique for r in each.message.answers}
            self.assertEqual(
                flags,
                {
                    RecordType.PTR: False,
                    RecordType.SRV: True,
                    RecordType.TXT: True,
                    RecordType.A: True,
                },
            )


class Section8Point4Tests(SynchronousTestCase):
    """Updating."""

    def setUp(self) -> None:
        self.host = DNSHost()

    def test_what_changes_is_announced_without_probing(self) -> None:
        self.host.be_announced()
        self.host.announce(evolve(ANNOUNCEMENT, accepting=False))
        sent = self.host.run(5.0)
        self.assertEqual(queries(sent), [])
        self.assertEqual(len(responses(sent)), 2)
        self.assertIn(b"accepting=0", str(own_record(self.host, RecordType.TXT)).encode())

    def test_what_does_not_change_is_not(self) -> None:
        self.host.be_announced()
        self.host.announce()
        self.assertEqual(self.host.run(5.0), [])

    def test_what_changes_while_probing_is_what_is_announced(self) -> None:
        self.host.announce()
        self.host.run(0.3)
        self.host.announce(evolve(ANNOUNCEMENT, port=1))
        self.host.run(3.0)
        location = own_record(self.host, RecordType.SRV).data
        assert isinstance(location, Location)
        self.assertEqual(location.port, 1)

    def test_changes_in_quick_succession_are_announced_once_a_second(self) -> None:
        self.host.be_announced()
        for port in range(1, 21):
            self.host.announce(evolve(ANNOUNCEMENT, port=port))
            self.host.run(0.1)
        self.host.run(5.0)
        self.assertLessEqual(len(responses(self.host.sent)), 2 + 5)

    def test_another_key_is_another_name(self) -> None:
        self.host.be_announced()
        self.host.announce(evolve(ANNOUNCEMENT, unlinkable_name=True))
        sent = self.host.run(3.0)
        self.assertEqual({record.ttl for record in responses(sent)[0].answers}, {0})
        self.assertNotIn(ME.encode(), self.host.instance)
        self.assertEqual(len(queries(sent)), 3)


class Section9Tests(SynchronousTestCase):
    """Conflict resolution."""

    def setUp(self) -> None:
        self.host = DNSHost()
        self.host.be_announced()

    def test_who_hears_another_record_of_its_own_probes_again(self) -> None:
        self.host.tell(other_instance())
        sent = self.host.run(2.0)
        self.assertEqual(len(queries(sent)), 3)
        self.assertEqual(self.host.machine.instance, ME)

    def test_and_gives_the_name_up_when_it_is_defended(self) -> None:
        self.host.tell(other_instance())
        self.host.run(0.3)
        self.host.tell(other_instance())
        self.host.run(3.0)
        self.assertEqual(self.host.machine.instance, f"{ME}-2")

    def test_the_others_pointers_are_no_conflict(self) -> None:
        self.host.tell(pointer(OTHER))
        self.assertEqual(queries(self.host.run(2.0)), [])

    def test_the_goodbye_of_somebody_else_is_none(self) -> None:
        self.host.tell(evolve(other_instance(), ttl=0))
        self.assertEqual(self.host.run(2.0), [])

    def test_the_same_key_twice_ends_with_two_names(self) -> None:
        """Section 8.1 again, with both sides played by this package."""
        late = DNSHost("192.168.1.9/24", seed=1)
        late.announce()
        for _ in range(300):
            for one, other in ((self.host, late), (late, self.host)):
                for each in one.run(0.01):
                    other.receive(each.message, one.source)
        self.assertEqual(self.host.machine.instance, ME)
        self.assertEqual(late.machine.instance, f"{ME}-2")


class Section10Point1Tests(SynchronousTestCase):
    """Goodbye."""

    def test_all_that_was_announced_is_said_goodbye_to(self) -> None:
        host = DNSHost()
        host.be_announced()
        host.machine.withdraw()
        (farewell,) = responses(host.run(5.0))
        self.assertEqual({record.ttl for record in farewell.answers}, {0})
        kinds = [int(record.data.type) for record in farewell.answers]
        self.assertEqual(kinds, [RecordType.PTR, RecordType.SRV, RecordType.TXT, RecordType.A])
        host.ask(Question(SERVICE_TYPE, RecordType.PTR))
        self.assertEqual(host.run(5.0), [])

    def test_what_was_not_announced_is_not(self) -> None:
        host = DNSHost()
        host.announce()
        host.run(0.3)
        host.machine.withdraw()
        self.assertEqual(host.run(5.0), [])
