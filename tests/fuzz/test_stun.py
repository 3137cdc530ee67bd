"""The decoders of STUN (promises 11 and 12)."""

from __future__ import annotations

import contextlib
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from tests.fuzz.stun_repair import with_right_header
from tests.stun.strategies import VALUES
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import decode_attributes
from twisted_p2p.stun.message import (
    StreamFramer,
    STUNMessage,
    check_fingerprint,
    check_integrity,
    decode_message,
)


class STUNFuzzTests(SynchronousTestCase):
    def read_everything(self, message: STUNMessage) -> None:
        """Ask a message for all that it can be asked for."""
        check_integrity(message, b"key")
        check_fingerprint(message)
        message.unknown_required(())
        for kind in VALUES:
            for read in (message.get, message.get_all, message.require):
                with contextlib.suppress(MalformedMessage):
                    read(kind)
        self.assertEqual(decode_message(message.encode()), message)

    def test_corpus_is_read(self) -> None:
        for name, data in load_corpus("stun_messages").items():
            message = decode_message(data)
            self.assertEqual(decode_message(message.encode()), message, name)

    @given(data=mutants("stun_messages"), repair=st.booleans())
    def test_message(self, data: bytes, repair: bool) -> None:
        data = with_right_header(data) if repair else data
        with contextlib.suppress(MalformedMessage):
            self.read_everything(decode_message(data))

    @given(data=mutants("stun_messages"))
    def test_message_takes_little_memory(self, data: bytes) -> None:
        data = with_right_header(data)
        tracemalloc.start()
        try:
            with contextlib.suppress(MalformedMessage):
                decode_message(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertLess(peak, 65536)

    @given(data=mutants("stun_messages"))
    def test_attribute_run(self, data: bytes) -> None:
        with contextlib.suppress(MalformedMessage):
            decode_attributes(data[20:])

    @given(
        chunks=st.lists(mutants("stun_messages"), min_size=1, max_size=3), size=st.integers(1, 400)
    )
    def test_stream(self, chunks: list[bytes], size: int) -> None:
        stream = b"".join(chunks)
        framer = StreamFramer(1200)
        with contextlib.suppress(MalformedMessage):
            for start in range(0, len(stream), size):
                for message in framer.feed(stream[start : start + size]):
                    self.assertLessEqual(len(message), 1200)
                    decode_message(message)
