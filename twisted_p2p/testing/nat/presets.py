"""Behaviours that are met often, by name."""

from __future__ import annotations

from attrs import evolve

from twisted_p2p.testing.nat.behaviour import Firewall, NATBehaviour
from twisted_p2p.testing.nat.words import Dependence, PortAllocation, Unsolicited

PORT_RESTRICTED = NATBehaviour()
"""Maps independently of the destination, keeps the port, lets in only who was written to."""

ADDRESS_RESTRICTED = NATBehaviour(filtering=Dependence.ADDRESS_DEPENDENT)
"""Maps independently of the destination, lets in any port of an address that was written to."""

FULL_CONE = NATBehaviour(filtering=Dependence.ENDPOINT_INDEPENDENT)
"""Maps independently of the destination and lets in anyone."""

RANDOM_SYMMETRIC = NATBehaviour(
    mapping=Dependence.ADDRESS_AND_PORT_DEPENDENT, allocation=PortAllocation.RANDOM
)
"""Takes a random port for each destination, and lets in only who was written to."""

SEQUENTIAL_SYMMETRIC = evolve(RANDOM_SYMMETRIC, allocation=PortAllocation.SEQUENTIAL)
"""Takes the next port for each destination, and lets in only who was written to."""

PORT_TAKING = evolve(PORT_RESTRICTED, unsolicited=Unsolicited.TAKES_PORT)
"""Like `PORT_RESTRICTED`, but a peer's early packet spoils the mapping towards that peer."""

BLACKLISTING = evolve(PORT_RESTRICTED, unsolicited=Unsolicited.BLACKLISTS)
"""Like `PORT_RESTRICTED`, but a peer's early packet shuts that peer out for a minute."""

RESETTING = evolve(PORT_RESTRICTED, unsolicited=Unsolicited.RESET)
"""Like `PORT_RESTRICTED`, but it answers a peer's early SYN with a RST."""

CARRIER_GRADE = NATBehaviour(
    filtering=Dependence.ENDPOINT_INDEPENDENT,
    allocation=PortAllocation.RANDOM,
    port_quota=1_000,
    other_traffic=50.0,
)
"""What RFC 6888 asks of a carrier: random ports, and 1,000 of them for each customer."""

UDP_BLOCKED = evolve(PORT_RESTRICTED, udp_destination_ports=())
"""Like `PORT_RESTRICTED` for TCP; no UDP at all."""

FIREWALL = Firewall()
"""Lets in only who was written to."""
