"""Runs of attributes: each read once, nothing twice, nothing unknown that must be known."""

from __future__ import annotations

from enum import IntEnum

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.identity.attribute_run import AttributeRun, enum_attribute
from twisted_p2p.stun.attributes import uint16_attribute


class Colour(IntEnum):
    RED = 1
    BLUE = 7


NUMBER = uint16_attribute(0x7FFE, "NUMBER")
COLOUR = enum_attribute(0x7FFF, "COLOUR", Colour)

ONE = (NUMBER.code, b"\0\1")
TWO = (NUMBER.code, b"\0\2")


class AttributeRunTests(SynchronousTestCase):
    def test_required_value_is_there_once(self) -> None:
        self.assertEqual(AttributeRun([ONE]).require(NUMBER), 1)
        self.assertRaises(MalformedMessage, AttributeRun([]).require, NUMBER)
        self.assertRaises(MalformedMessage, AttributeRun([ONE, TWO]).require, NUMBER)

    def test_optional_value_is_there_once_at_most(self) -> None:
        self.assertEqual(AttributeRun([ONE]).take(NUMBER, 9), 1)
        self.assertEqual(AttributeRun([]).take(NUMBER, 9), 9)
        self.assertRaises(MalformedMessage, AttributeRun([ONE, ONE]).take, NUMBER, 9)

    def test_repeated_values_keep_their_order(self) -> None:
        self.assertEqual(AttributeRun([TWO, ONE]).take_all(NUMBER), (2, 1))

    def test_unreadable_value_is_refused(self) -> None:
        run = AttributeRun([(NUMBER.code, b"\0")])
        self.assertRaises(MalformedMessage, run.take_all, NUMBER)

    def test_what_must_be_known_is_not_ignored(self) -> None:
        run = AttributeRun([ONE, (0x7FFD, b"")])
        run.require(NUMBER)
        self.assertRaises(MalformedMessage, run.end)

    def test_what_may_be_ignored_is(self) -> None:
        run = AttributeRun([ONE, (0x8000, b"")])
        run.require(NUMBER)
        self.assertIsNone(run.end())


class EnumAttributeTests(SynchronousTestCase):
    @given(colour=st.sampled_from(Colour))
    def test_round_trip_in_one_byte(self, colour: Colour) -> None:
        data = COLOUR.encode(colour, b"")
        self.assertEqual(data, bytes((colour,)))
        self.assertIs(COLOUR.decode(data, b""), colour)

    def test_unknown_numbers_and_other_lengths_are_refused(self) -> None:
        for data in (b"", b"\0", b"\2", b"\0\1", b"\1\0"):
            self.assertRaises(MalformedMessage, COLOUR.decode, data, b"")
