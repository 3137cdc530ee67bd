"""The NATs of the matrix, and which of them two peers get through."""

from __future__ import annotations

from itertools import product

from twisted_p2p.testing import FULL_CONE, Dependence, NATBehaviour, PortAllocation

INDEPENDENT = Dependence.ENDPOINT_INDEPENDENT
BY_ADDRESS = Dependence.ADDRESS_DEPENDENT
BY_PORT = Dependence.ADDRESS_AND_PORT_DEPENDENT

_WORDS = {INDEPENDENT: "independent", BY_ADDRESS: "by_address", BY_PORT: "by_port"}


def behaviour(mapping: Dependence, filtering: Dependence) -> NATBehaviour:
    """Return a NAT; where the mapping depends on the destination, nothing tells the next port."""
    preserving = mapping is INDEPENDENT
    allocation = PortAllocation.PRESERVING if preserving else PortAllocation.RANDOM
    return NATBehaviour(mapping=mapping, filtering=filtering, allocation=allocation)


NATS: list[NATBehaviour] = [behaviour(*both) for both in product(Dependence, Dependence)]


def name(nat: NATBehaviour | None) -> str:
    if nat is None:
        return "public"
    return f"maps_{_WORDS[nat.mapping]}_lets_in_{_WORDS[nat.filtering]}"


def can_meet(left: NATBehaviour | None, right: NATBehaviour | None) -> bool:
    """Return whether packets get through once both have sent to where a tracker saw the other."""
    left, right = left or FULL_CONE, right or FULL_CONE
    dependent = [nat for nat in (left, right) if nat.mapping is not INDEPENDENT]
    if not dependent:
        return True
    if len(dependent) == 1:
        # The independent one is hit from a port that it has not sent to.
        independent = right if dependent[0] is left else left
        return independent.filtering is not BY_PORT
    # Each sends to a port that is meant for the tracker: one must let in anybody there, and the
    # other one its answer, which comes from another port of that address.
    return any(
        one.filtering is INDEPENDENT and other.filtering is not BY_PORT
        for one, other in ((left, right), (right, left))
    )
