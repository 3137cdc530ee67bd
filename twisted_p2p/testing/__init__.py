"""A simulated internet in virtual time, for this package's tests and its users'."""

from twisted_p2p.testing.case import SEED_VARIABLE, SimulatedInternetMixin, for_seeds
from twisted_p2p.testing.clock import HostClock
from twisted_p2p.testing.gateway import Gateway
from twisted_p2p.testing.host import SimulatedHost
from twisted_p2p.testing.internet import INTERNET_LINK, LAN_LINK, SimulatedInternet
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.nat import (
    ADDRESS_RESTRICTED,
    BLACKLISTING,
    CARRIER_GRADE,
    FIREWALL,
    FULL_CONE,
    PORT_RESTRICTED,
    PORT_TAKING,
    RANDOM_SYMMETRIC,
    RESETTING,
    SEQUENTIAL_SYMMETRIC,
    UDP_BLOCKED,
    Dependence,
    FilterBehaviour,
    Firewall,
    FirewallTable,
    HairpinSource,
    NATBehaviour,
    NATTable,
    Pooling,
    PortAllocation,
    PortTaken,
    StaticMapping,
    TCPBehaviour,
    Unsolicited,
)
from twisted_p2p.testing.network import Network
from twisted_p2p.testing.packet_log import LoggedPacket, PacketLog
from twisted_p2p.testing.pair import ConnectedPair, connected_pair, connected_pair_on_lan
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.port_mapping.leases import RouterManners
from twisted_p2p.testing.reactor import SimulatedReactor
from twisted_p2p.testing.router import FakeInternetGateway
from twisted_p2p.testing.servers import SimulatedTracker
from twisted_p2p.testing.shutdown import LeftOver, leftovers, shut_down
from twisted_p2p.testing.stun_server import FakeSTUNServer
from twisted_p2p.testing.tcp.settings import TCPSettings
from twisted_p2p.testing.traffic import Tally, Traffic, TrafficTable

__all__ = [
    "ADDRESS_RESTRICTED",
    "BLACKLISTING",
    "CARRIER_GRADE",
    "FIREWALL",
    "FULL_CONE",
    "INTERNET_LINK",
    "LAN_LINK",
    "PORT_RESTRICTED",
    "PORT_TAKING",
    "RANDOM_SYMMETRIC",
    "RESETTING",
    "SEED_VARIABLE",
    "SEQUENTIAL_SYMMETRIC",
    "UDP_BLOCKED",
    "ConnectedPair",
    "Dependence",
    "FakeInternetGateway",
    "FakeSTUNServer",
    "FilterBehaviour",
    "Firewall",
    "FirewallTable",
    "Gateway",
    "HairpinSource",
    "HostClock",
    "LeftOver",
    "Link",
    "LoggedPacket",
    "NATBehaviour",
    "NATTable",
    "Network",
    "PacketLog",
    "Pooling",
    "PortAllocation",
    "PortTaken",
    "RouterManners",
    "SimulatedHost",
    "SimulatedInternet",
    "SimulatedInternetMixin",
    "SimulatedReactor",
    "SimulatedTracker",
    "StaticMapping",
    "TCPBehaviour",
    "TCPSettings",
    "Tally",
    "Traffic",
    "TrafficTable",
    "Unsolicited",
    "connected_pair",
    "connected_pair_on_lan",
    "for_seeds",
    "leftovers",
    "shut_down",
    "simulated_node",
]
