"""Twisted's own tests of TCP, on a simulated host.

They are run as they are, but for those that ask the operating system about its sockets; each of
these is named with its reason.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.test import test_tcp
from twisted.internet.test.connectionmixins import ConnectableProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.interop.judging import without
from twisted_p2p.testing.internet import SimulatedInternet
from twisted_p2p.testing.reactor import SimulatedReactor


@implementer(IReactorFDSet)
class RunnableReactor(SimulatedReactor):
    """A simulated reactor that a test can run, as Twisted's tests do."""

    def run(self) -> None:  # type: ignore[override]
        while not self.is_over and self._schedule.step(float("inf")):
            pass

    def removeAll(self) -> list[Any]:
        descriptors: dict[Any, None] = dict.fromkeys([*self.getReaders(), *self.getWriters()])
        for descriptor in descriptors:
            self.removeReader(descriptor)
            self.removeWriter(descriptor)
        return list(descriptors)


class OnSimulatedHost:
    """Takes the place of a `ReactorBuilder`'s way to a reactor."""

    reactorFactory = RunnableReactor

    def setUp(self) -> None:
        # Some tests want an address with a scope, which simulated hosts do not have.
        case: Any = self
        case.patch(test_tcp, "getLinkLocalIPv6Addresses", lambda: ["::1"])
        # Some connect a plain socket to a port.
        case.patch(test_tcp, "createTestSocket", lambda _, family, kind: self.socket(family))
        # What it does for the sake of macOS would need an end that is connected already.
        case.patch(ConnectableProtocol, "writeToDetectPeerDisconnection", lambda protocol: None)
        self.internet = SimulatedInternet()
        self.host = self.internet.add_host("host", "11.0.0.1")
        setUp: Any = super()
        setUp.setUp()

    def socket(self, family: int) -> Any:
        return self.host.tcp.socket(family)

    def buildReactor(self) -> RunnableReactor:
        self.host.reactor.__class__ = RunnableReactor
        return cast(RunnableReactor, self.host.reactor)


class TCP4ClientTests(OnSimulatedHost, test_tcp.TCP4ClientTestsBuilder, SynchronousTestCase):
    pass


class TCP6ClientTests(OnSimulatedHost, test_tcp.TCP6ClientTestsBuilder, SynchronousTestCase):
    pass


class BindAddressTests(OnSimulatedHost, test_tcp.TestBindAddressBuilder, SynchronousTestCase):
    pass


class TCP4ConnectorTests(OnSimulatedHost, test_tcp.TCP4ConnectorTestsBuilder, SynchronousTestCase):
    pass


class TCP6ConnectorTests(OnSimulatedHost, test_tcp.TCP6ConnectorTestsBuilder, SynchronousTestCase):
    pass


# A simulated host does not run out of descriptors.
AllPortTests = without(test_tcp.TCPPortTestsBuilder, ["test_closePeerOnEMFILE"])


class PortTests(OnSimulatedHost, AllPortTests, SynchronousTestCase):
    pass


class ConnectionTests(OnSimulatedHost, test_tcp.TCPConnectionTestsBuilder, SynchronousTestCase):
    pass


class TransportTests(OnSimulatedHost, test_tcp.TCPTransportTestsBuilder, SynchronousTestCase):
    pass


class AbortTests(OnSimulatedHost, test_tcp.AbortConnectionTests, SynchronousTestCase):
    pass
