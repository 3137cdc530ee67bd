"""The reactor of one simulated host."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorMulticast, IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from twisted_p2p.testing.multicast import SimulatedMulticastPort
from twisted_p2p.testing.reactor_core import SimulatedCoreReactor
from twisted_p2p.testing.tcp.reactor_tcp import SimulatedTCPReactor
from twisted_p2p.testing.udp_port import SimulatedUDPPort


@implementer(IReactorUDP, IReactorMulticast)
class SimulatedReactor(SimulatedCoreReactor, SimulatedTCPReactor):
    """Time, networks and names as a program on a simulated host sees them."""

    def listenUDP(
        self,
        port: int,
        protocol: DatagramProtocol,
        interface: str = "",
        maxPacketSize: int = 8192,  # noqa: N803  (as the interface has it)
    ) -> SimulatedUDPPort:
        """Bind a UDP port; the arguments are those of Twisted's `IReactorUDP`."""
        listening = SimulatedUDPPort(self._host, port, protocol, interface, maxPacketSize)
        listening.startListening()
        return listening

    def listenMulticast(
        self,
        port: int,
        protocol: DatagramProtocol,
        interface: str = "",
        maxPacketSize: int = 8192,  # noqa: N803  (as the interface has it)
        listenMultiple: bool = False,  # noqa: N803  (as the interface has it)
    ) -> SimulatedMulticastPort:
        """Bind a UDP port that can hear groups, as Twisted's `IReactorMulticast`."""
        listening = SimulatedMulticastPort(
            self._host, port, protocol, interface, maxPacketSize, listen_multiple=listenMultiple
        )
        listening.startListening()
        return listening
