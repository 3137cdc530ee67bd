"""What the pages list is what the code has: numbers, names, options and limits."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import click
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.cli.exit_status import _BY_CODE, ExitStatus
from twisted_p2p.cli.main import p2p
from twisted_p2p.connection import wire
from twisted_p2p.connection.authentication import ALPN
from twisted_p2p.connection.certificate import IDENTITY_EXTENSION
from twisted_p2p.connection.events import CloseCode
from twisted_p2p.ice import checks
from twisted_p2p.identity import record
from twisted_p2p.identity.keys import SignatureLabel
from twisted_p2p.rendezvous import offer
from twisted_p2p.stun.attributes import AttributeType
from twisted_p2p.tracker import attributes, streams
from twisted_p2p.tracker.attributes import MAXIMUM_ADDRESSES
from twisted_p2p.tracker.limits import DEFAULT_LIMITS
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.messages import REQUESTS
from twisted_p2p.tracker.server import StreamListener, TrackerServer
from twisted_p2p.tracker.tap import Options

DOCS = Path(__file__).resolve().parents[2] / "docs"
FIRST_OWN_CODE = 0x7400


def page(name: str) -> str:
    return (DOCS / f"{name}.rst").read_text()


def own_attributes(module: Any) -> set[tuple[int, str]]:
    """Return the codes and names of the attributes of our own that a module defines."""
    kinds = [value for value in vars(module).values() if isinstance(value, AttributeType)]
    return {(kind.code, kind.name) for kind in kinds if kind.code & FIRST_OWN_CODE == 0x7400}


class WireProtocolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = page("wire-protocol")
        self.rows = {
            (int(code, 16), name)
            for code, name in re.findall(r"(?m)^(0x[0-9A-F]{4})   ([A-Z-]+) ", self.text)
        }

    def test_every_attribute_of_our_own_is_there_with_its_code(self) -> None:
        for module in (attributes, record, offer, checks):
            for code, name in own_attributes(module):
                if module is checks:
                    self.assertIn(f"{name} (0x{code:04X}", self.text)
                else:
                    self.assertIn((code, name), self.rows)

    def test_every_row_is_an_attribute_that_exists(self) -> None:
        exists = {(0x000D, "LIFETIME")}.union(*map(own_attributes, (attributes, record, offer)))
        self.assertEqual(self.rows - exists, set())

    def test_every_method_is_there_with_its_number(self) -> None:
        for method in (*REQUESTS, attributes.OFFER):
            self.assertRegex(self.text, rf"(?m)^[A-Z-]+ +0x{method:03X} ")

    def test_every_error_number_is_there(self) -> None:
        numbers = {
            value
            for name, value in vars(attributes).items()
            if isinstance(value, int) and 400 <= value < 600 and name.isupper()
        }
        told = self.text.partition("\nErrors\n")[2].partition("\nSignatures\n")[0]
        self.assertEqual({int(number) for number in re.findall(r"(?m)^(\d{3}) ", told)}, numbers)

    def test_every_label_alpn_and_extension_is_there(self) -> None:
        for label in SignatureLabel:
            self.assertIn(f"``{label.value.removesuffix(bytes(1)).decode()}``", self.text)
        self.assertIn(f"``{ALPN}``", self.text)
        self.assertIn(f"``{IDENTITY_EXTENSION.dotted_string}``", self.text)

    def test_every_control_message_and_close_code_is_there(self) -> None:
        told = re.findall(r"(?m)^(\d)     ([A-Z][a-z]+) ", self.text)
        known = [(str(number), kind.__name__) for kind, number in wire._CODES.items()]
        self.assertEqual(told, known)
        for code in CloseCode:
            self.assertRegex(self.text, rf"(?m)^0x{code:04x} ")


class TrackerPageTests(SynchronousTestCase):
    def test_every_option_is_there_and_no_other(self) -> None:
        usage = {f"--{name.removesuffix('=')}" for name in Options().longOpt}
        told = set(re.findall(r"(?m)^``(--[a-z-]+)", page("tracker")))
        self.assertEqual(told, usage - {"--help", "--version"})

    def test_every_key_of_the_status_is_there(self) -> None:
        tracker = TrackerServer(
            Clock(),
            udp=[],
            streams=[],
            web=StreamListener("", None),  # type: ignore[arg-type]
            store=MemoryPeerStore(),
        )
        told = set(re.findall(r"(?m)^``([a-z_]+)``  ", page("tracker")))
        self.assertEqual(told, set(tracker.status()))

    def test_every_limit_is_there(self) -> None:
        limits = Counter(attrs.astuple(DEFAULT_LIMITS))
        limits += Counter(
            (
                MAXIMUM_ADDRESSES,
                streams.CONNECTIONS_PER_ADDRESS,
                streams.HANDSHAKE_TIME,
                streams.REQUEST_TIME,
                streams.IDLE_TIME,
            )
        )
        table = page("tracker").partition("\nLimits\n")[2]
        told = Counter(int(number.replace(",", "")) for number in re.findall(r"\b\d[\d,]*", table))
        self.assertEqual(limits - told, Counter())


class CommandPageTests(SynchronousTestCase):
    def test_every_option_and_command_is_there(self) -> None:
        text = page("command")
        for parameter in p2p.params:
            for name in parameter.opts:
                self.assertIn(f"``{name}", text)
        context = click.Context(p2p)
        for name in p2p.list_commands(context):
            command = p2p.get_command(context, name)
            assert command is not None
            self.assertEqual(command.name, name)
            self.assertIn(f"``p2p {name}", text)
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    self.assertIn(parameter.opts[0], text)

    def test_every_exit_status_and_its_codes_are_there(self) -> None:
        table = page("command").partition("Exit statuses\n-")[2]
        rows = re.split(r"(?m)^(?=\d)", table)
        told = {int(row.split()[0]): row for row in rows if row[0].isdigit()}
        self.assertEqual(set(told), set(ExitStatus))
        for code, status in _BY_CODE.items():
            self.assertIn(f"``{code}``", told[status])
