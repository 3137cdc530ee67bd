"""Network address translators and firewalls in the words of the RFCs, as pure tables."""

from twisted_p2p.testing.nat.behaviour import (
    FilterBehaviour,
    Firewall,
    NATBehaviour,
    TCPBehaviour,
)
from twisted_p2p.testing.nat.filter_table import FirewallTable
from twisted_p2p.testing.nat.presets import (
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
)
from twisted_p2p.testing.nat.table import NATTable, PortTaken, StaticMapping
from twisted_p2p.testing.nat.words import (
    Dependence,
    HairpinSource,
    Pooling,
    PortAllocation,
    Unsolicited,
)

__all__ = [
    "ADDRESS_RESTRICTED",
    "BLACKLISTING",
    "CARRIER_GRADE",
    "FIREWALL",
    "FULL_CONE",
    "PORT_RESTRICTED",
    "PORT_TAKING",
    "RANDOM_SYMMETRIC",
    "RESETTING",
    "SEQUENTIAL_SYMMETRIC",
    "UDP_BLOCKED",
    "Dependence",
    "FilterBehaviour",
    "Firewall",
    "FirewallTable",
    "HairpinSource",
    "NATBehaviour",
    "NATTable",
    "Pooling",
    "PortAllocation",
    "PortTaken",
    "StaticMapping",
    "TCPBehaviour",
    "Unsolicited",
]
