"""The decoders of what routers and their clients say (promise 11)."""

from __future__ import annotations

import contextlib

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import load_corpus, mutants
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.portmap import nat_pmp, pcp, ssdp


class PortMapFuzzTests(SynchronousTestCase):
    def test_corpora_are_read(self) -> None:
        for corpus, decoders in (
            ("nat_pmp_messages", (nat_pmp.decode_request, nat_pmp.decode_response)),
            ("pcp_messages", (pcp.decode_request, pcp.decode_response)),
            ("ssdp_messages", (ssdp.decode_message,)),
        ):
            for name, data in load_corpus(corpus).items():
                message = decoders[0 if "request" in name else -1](data)
                self.assertEqual(message.encode(), data, name)

    @given(mutants("nat_pmp_messages"))
    def test_nat_pmp(self, data: bytes) -> None:
        for decode in (nat_pmp.decode_request, nat_pmp.decode_response):
            with contextlib.suppress(MalformedMessage):
                message = decode(data)
                self.assertEqual(decode(message.encode()), message)

    @given(mutants("pcp_messages"))
    def test_pcp(self, data: bytes) -> None:
        for decode in (pcp.decode_request, pcp.decode_response):
            with contextlib.suppress(MalformedMessage):
                message = decode(data)
                self.assertEqual(decode(message.encode()), message)

    @given(mutants("ssdp_messages"))
    def test_ssdp(self, data: bytes) -> None:
        with contextlib.suppress(MalformedMessage):
            message = ssdp.decode_message(data)
            self.assertEqual(ssdp.decode_message(message.encode()), message)
