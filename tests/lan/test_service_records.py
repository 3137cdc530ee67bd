"""RFC 6763: what a node is as an instance of a service, and what a text record tells."""

from __future__ import annotations

from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.lan.dns_host import ANNOUNCEMENT, ME, OTHER
from twisted_p2p.lan.chance import Chance
from twisted_p2p.lan.records import Location, Pointer, Text
from twisted_p2p.lan.service_records import (
    ALL_SERVICE_TYPES,
    SERVICE_TYPE,
    Announcement,
    Description,
    choose_names,
    instance_name,
    instance_of,
    node_records,
    read_text,
)

CHANCE = Chance(Random(0).randbytes)
UNLINKABLE = evolve(ANNOUNCEMENT, unlinkable_name=True)


def text_of(announcement: Announcement) -> Text:
    records = node_records(announcement, choose_names(announcement, CHANCE), ["192.168.1.2"])
    (text,) = (r.data for r in records.unique if isinstance(r.data, Text))
    return text


def described(announcement: Announcement) -> Description:
    description = read_text(text_of(announcement))
    assert description is not None
    return description


class NameTests(SynchronousTestCase):
    """Section 4."""

    def test_a_node_is_called_by_its_peer_id(self) -> None:
        names = choose_names(ANNOUNCEMENT, CHANCE)
        self.assertEqual(names.instance, ME)
        self.assertEqual(names.instance_name, ME.encode() + b"._p2p._udp.local")
        self.assertRegex(names.host_name.decode(), r"^p2p-[0-9a-f]{16}\.local$")

    def test_and_by_a_number_more_when_that_is_taken(self) -> None:
        names = choose_names(ANNOUNCEMENT, CHANCE)
        for number in (2, 3):
            before, names = names, choose_names(ANNOUNCEMENT, CHANCE, taken=names)
            self.assertEqual(names.instance, f"{ME}-{number}")
            self.assertNotEqual(names.host, before.host)

    def test_instances_of_the_service_are_told_from_other_names(self) -> None:
        self.assertEqual(instance_of(instance_name("x").upper()), "X")
        for name in (b"", b"x", SERVICE_TYPE, b"." + SERVICE_TYPE, b"a.b." + SERVICE_TYPE):
            self.assertIsNone(instance_of(name), name)
        for label in (b"a\\.b", b"\xff"):
            self.assertIsNone(instance_of(label + b"." + SERVICE_TYPE))

    def test_what_others_need_is_there(self) -> None:
        records = node_records(ANNOUNCEMENT, choose_names(ANNOUNCEMENT, CHANCE), ["192.168.1.2"])
        name = instance_name(ME)
        self.assertEqual(
            [(r.name, r.data) for r in records.shared], [(SERVICE_TYPE, Pointer(name))]
        )
        (unannounced,) = records.unannounced
        self.assertEqual(
            (unannounced.name, unannounced.data), (ALL_SERVICE_TYPES, Pointer(SERVICE_TYPE))
        )
        location = records.unique[0].data
        assert isinstance(location, Location)
        self.assertEqual(location.port, 4_711)
        self.assertEqual(records.unique[2].name, location.target)
        self.assertEqual([record.ttl for record in records.announced], [4_500, 120, 4_500, 120])


class TextTests(SynchronousTestCase):
    """Section 6."""

    def test_the_version_comes_first_and_then_what_is_told(self) -> None:
        self.assertEqual(
            text_of(evolve(ANNOUNCEMENT, services=("chat", "file"))).strings,
            (b"txtvers=1", b"id=" + ME.encode(), b"services=chat,file", b"accepting=1"),
        )

    @given(st.lists(st.text(st.characters(exclude_characters=",", codec="utf-8"), min_size=1)))
    def test_what_is_told_is_read(self, services: list[str]) -> None:
        announced = evolve(ANNOUNCEMENT, services=tuple(services), accepting=False)
        description = described(announced)
        self.assertEqual((description.peer_id, description.accepting), (ME, False))
        rest = iter(services)
        self.assertTrue(all(each in rest for each in description.services))
        if sum(len(each.encode()) + 1 for each in services) <= 246:
            self.assertEqual(description.services, tuple(services))
        self.assertTrue(all(len(each) <= 255 for each in text_of(announced).strings))

    def test_names_with_commas_and_too_many_are_left_out(self) -> None:
        services = ("a,b", "x" * 200, "y" * 60, "z")
        self.assertEqual(
            described(evolve(ANNOUNCEMENT, services=services)).services, ("x" * 200, "z")
        )

    def test_keys_have_no_case_and_the_first_one_counts(self) -> None:
        strings = (b"ID=" + ME.encode(), b"id=" + OTHER.encode(), b"", b"=x", b"Accepting=1")
        description = read_text(Text(strings))
        assert description is not None
        self.assertEqual(description, Description(ME, b"", (), accepting=True))

    def test_what_is_not_understood_is_nobodys(self) -> None:
        identity = b"id=" + ME.encode()
        for strings in (
            (),
            (b"txtvers=2", identity),
            (b"id=somebody",),
            (b"id=\xff",),
            (b"tag=00",),
            (b"tag=xx",),
            (b"tag=" + b"00" * 25,),
            (identity, b"services=\xff"),
        ):
            self.assertIsNone(read_text(Text(strings)), strings)


class UnlinkableTests(SynchronousTestCase):
    """A node that only those recognise who know it."""

    def test_nothing_tells_who_it_is(self) -> None:
        records = node_records(UNLINKABLE, choose_names(UNLINKABLE, CHANCE), ["192.168.1.2"])
        told = b"".join(each.name + repr(each.data).encode() for each in records.all)
        for secret in (ME, ME[:10], "chat"):
            self.assertNotIn(secret.encode(), told)

    def test_who_knows_it_recognises_it(self) -> None:
        description = described(UNLINKABLE)
        self.assertIsNone(description.peer_id)
        self.assertTrue(description.is_of(ME))
        self.assertFalse(description.is_of(OTHER))
        self.assertTrue(described(ANNOUNCEMENT).is_of(ME))
        self.assertFalse(described(ANNOUNCEMENT).is_of(OTHER))

    def test_its_tag_is_as_the_wire_protocol_has_it(self) -> None:
        names = evolve(choose_names(UNLINKABLE, CHANCE), salt=bytes(range(8)))
        (text,) = (
            record.data
            for record in node_records(UNLINKABLE, names, []).unique
            if isinstance(record.data, Text)
        )
        tag = b"00010203040506072b733c8276d455de89cf7e73cf805415"
        self.assertEqual(text.strings, (b"txtvers=1", b"tag=" + tag, b"accepting=1"))

    def test_it_is_another_each_time(self) -> None:
        descriptions = [described(UNLINKABLE) for _ in range(10)]
        self.assertEqual(len({each.tag for each in descriptions}), 10)
        names = [choose_names(UNLINKABLE, CHANCE) for _ in range(10)]
        self.assertEqual(len({each.instance for each in names} | {each.host for each in names}), 20)
