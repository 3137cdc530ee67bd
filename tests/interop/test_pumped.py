"""Twisted's own tests of protocols, over the streams of a simulated pair."""

from __future__ import annotations

from typing import Any

from twisted.conch.test import test_userauth
from twisted.protocols import loopback
from twisted.protocols.test import test_tls
from twisted.test import iosim, test_amp, test_loopback, test_tpfile
from twisted.trial.unittest import TestCase
from twisted.web.test import test_http

from tests.interop.judging import judge
from tests.interop.pumping import OnPair

WHERE = "a simulated pair"


class Pumped(OnPair):
    """Gives tests a pair in place of connections in memory."""

    def setUp(self) -> None:
        case: Any = self
        case.patch(iosim, "connectedServerAndClient", self.connected_server_and_client)
        case.patch(test_tls, "connectedServerAndClient", self.connected_server_and_client)
        case.patch(test_tls, "loopbackAsync", self.loopback)
        for name in ("loopbackAsync", "loopbackTCP"):
            case.patch(loopback, name, self.loopback)


@judge(test_loopback.LoopbackTestCaseMixin, WHERE)
class LoopbackTests(Pumped, test_loopback.LoopbackTestCaseMixin, TestCase):
    def loopbackFunc(self, server: Any, client: Any) -> Any:  # noqa: N802
        return self.loopback(server, client)


@judge(test_tpfile.FileSenderTests, WHERE)
class FileSenderTests(Pumped, test_tpfile.FileSenderTests):
    pass


@judge(test_amp.AMPTests, WHERE)
class AMPTests(Pumped, test_amp.AMPTests):
    pass


@judge(test_amp.CommandInheritanceTests, WHERE)
class CommandInheritanceTests(Pumped, test_amp.CommandInheritanceTests):
    pass


@judge(test_tls.DeterministicTLSMemoryBIOTests, WHERE)
class DeterministicTLSTests(Pumped, test_tls.DeterministicTLSMemoryBIOTests):
    pass


@judge(
    test_tls.TLSMemoryBIOTests,
    WHERE,
    test_loseConnectionAfterHandshake="it looks into the queue of the transport in memory",
    test_noCircularReferences="it counts references, of which this way of running it has more",
)
class TLSTests(Pumped, test_tls.TLSMemoryBIOTests):
    pass


@judge(test_userauth.LoopbackTests, WHERE)
class SSHTests(Pumped, test_userauth.LoopbackTests):
    pass


@judge(test_http.HTTPLoopbackTests, WHERE)
class HTTPTests(Pumped, test_http.HTTPLoopbackTests):
    pass
