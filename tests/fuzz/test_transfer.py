"""The messages of a file transfer, and the names in them."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.transfer.failures import TransferFailed
from twisted_p2p.transfer.names import checked_path
from twisted_p2p.transfer.wire import LONGEST_BODY, Data, Listed, MessageReader


class TransferFuzzTests(SynchronousTestCase):
    def test_corpora_are_read(self) -> None:
        for name, data in load_corpus("transfers").items():
            messages = list(MessageReader().messages(data))
            self.assertEqual(b"".join(message.encode() for message in messages), data, name)

    @given(data=mutants("transfers"), size=st.integers(1, 80))
    def test_messages(self, data: bytes, size: int) -> None:
        reader = MessageReader()
        with contextlib.suppress(MalformedMessage, TransferFailed):
            for start in range(0, len(data), size):
                for message in reader.messages(data[start : start + size]):
                    if isinstance(message, Listed):
                        self.assertEqual(checked_path(message.entry.name), message.entry.path)
                    if not isinstance(message, Data):
                        self.assertLessEqual(len(message.encode()), LONGEST_BODY + 4)
                self.assertLessEqual(len(reader._waiting), LONGEST_BODY + 4)
