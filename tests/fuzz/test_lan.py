"""What hosts on the same link say (promises 11 and 13)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from tests.lan.dns_host import DNSHost
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.lan.records import ExistingTypes, Location, Message, Pointer
from twisted_p2p.lan.wire import decode_message, encode_message

CORPUS = "multicast_dns_messages"


def names_in(message: Message) -> Iterator[bytes]:
    """Yield all names; those with a dot in a label can be read and not be written."""
    for question in message.questions:
        yield question.name
    for record in (*message.answers, *message.authority, *message.additional):
        yield record.name
        match record.data:
            case Pointer(name) | ExistingTypes(name) | Location(_, name):
                yield name


class LANFuzzTests(SynchronousTestCase):
    def test_the_corpus_is_read(self) -> None:
        for name, data in load_corpus(CORPUS).items():
            message = decode_message(data)
            self.assertNotEqual(message, Message(), name)

    @given(mutants(CORPUS, 9_100))
    def test_messages(self, data: bytes) -> None:
        with contextlib.suppress(MalformedMessage):
            message = decode_message(data)
            if not any(b"\\" in name for name in names_in(message)):
                self.assertEqual(decode_message(encode_message(message)), message)

    @given(st.lists(mutants(CORPUS), max_size=10))
    def test_a_node_that_hears_them_goes_on(self, datagrams: list[bytes]) -> None:
        host = DNSHost()
        host.browse()
        host.announce()
        for data in datagrams:
            host.receive(data)
            host.run(0.2)
        host.run(10.0)
        self.assertIsNotNone(host.machine.instance)
