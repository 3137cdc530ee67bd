"""Twisted's own tests that take the reactor of the process, over the streams of two nodes."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.test import test_policies, test_protocols, test_tcp

from tests.interop.judging import judge
from tests.interop.nodes import LoopbackNodes
from tests.interop.tcp import TCPOverPeers

WHERE = "two nodes on the reactor of the test run"

reactor: Any = global_reactor


class OnGlobalReactor:
    """Puts streams in place of TCP for one test."""

    timeout = 20

    def setUp(self) -> Any:
        case: Any = self
        self.nodes = LoopbackNodes(reactor)
        tcp = TCPOverPeers(reactor, lambda: self.nodes)
        case.patch(reactor, "listenTCP", tcp.listenTCP)
        case.patch(reactor, "connectTCP", tcp.connectTCP)
        setUp = getattr(super(), "setUp", None)
        return setUp() if setUp is not None else None

    def tearDown(self) -> Deferred[Any]:
        tear_down: Any = getattr(super(), "tearDown", None)
        ended = maybeDeferred(tear_down) if tear_down is not None else succeed(None)
        return ended.addBoth(self._stop)

    def _stop(self, result: Any) -> Deferred[Any]:
        return self.nodes.stop().addCallback(lambda _: result)


@judge(test_policies.ThrottlingTests, WHERE)
class ThrottlingTests(OnGlobalReactor, test_policies.ThrottlingTests):
    pass


@judge(test_protocols.PortforwardingTests, WHERE)
class PortforwardingTests(OnGlobalReactor, test_protocols.PortforwardingTests):
    pass


@judge(test_tcp.FactoryTests, WHERE)
class FactoryTests(OnGlobalReactor, test_tcp.FactoryTests):
    pass


@judge(
    test_tcp.WriteDataTests,
    WHERE,
    test_writer="it asks for addresses of TCP",
    test_writeAfterShutdownWithoutReading="what has arrived is kept for a reader that pauses; "
    "to write after the peer left does not destroy it, and stops the producer",
)
class WriteDataTests(OnGlobalReactor, test_tcp.WriteDataTests):
    pass


@judge(test_tcp.LargeBufferTests, WHERE)
class LargeBufferTests(OnGlobalReactor, test_tcp.LargeBufferTests):
    datalen = 4 * 1024 * 1024


@judge(
    test_tcp.HalfCloseTests,
    WHERE,
    testCloseWriteCloser="it looks into the buffers of file descriptors",
    testWriteCloseNotification="a stream of which both halves have ended is over, "
    "where a file descriptor would stay open",
)
class HalfCloseTests(OnGlobalReactor, test_tcp.HalfCloseTests):
    pass


@judge(test_tcp.HalfCloseNoNotificationAndShutdownExceptionTests, WHERE)
class PlainHalfCloseTests(
    OnGlobalReactor, test_tcp.HalfCloseNoNotificationAndShutdownExceptionTests
):
    pass


@judge(test_tcp.HalfCloseBuggyApplicationTests, WHERE)
class BuggyHalfCloseTests(OnGlobalReactor, test_tcp.HalfCloseBuggyApplicationTests):
    pass


@judge(test_tcp.CallBackOrderTests, WHERE)
class CallBackOrderTests(OnGlobalReactor, test_tcp.CallBackOrderTests):
    pass


@judge(
    test_tcp.LoopbackTests,
    WHERE,
    test_tcpNoDelay="data never wait for more data, whatever is set",
    test_tcpKeepAlive="the path is always checked, whatever is set",
    test_connectionRefusedErrorNumber="the number is the operating system's",
    test_connectByService="it is about the system's names of TCP ports",
    test_connectByServiceFail="it is about the system's names of TCP ports",
)
class LoopbackTests(OnGlobalReactor, test_tcp.LoopbackTests):
    pass
