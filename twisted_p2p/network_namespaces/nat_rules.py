"""The NATs of a lab in the words of RFC 4787, and the nftables rules that make Linux one of them.

What Linux does by itself: a new flow keeps its source port when nothing of the gateway's uses
the new 4-tuple, and further flows of one inside socket keep the translation that the first one
got (so its mapping is endpoint-independent), unless ``fully-random`` asks for a fresh port for
each flow.  From outside only replies are let in, so filtering is address and port-dependent
until a rule says otherwise.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

OTHER_PORTS: Final = (61000, 65535)
"""Where a NAT that does not preserve ports maps to: above Linux's own ephemeral ports."""

MAPPING_SECONDS: Final = 120
"""How long a full cone's mapping outlives its last outgoing packet (RFC 4787, 4.3: REQ-5)."""


class Dependence(Enum):
    """On what of the remote endpoint a behaviour depends (RFC 4787, sections 4.1 and 5)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_AND_PORT_DEPENDENT = "address and port-dependent"


ENDPOINT_INDEPENDENT: Final = Dependence.ENDPOINT_INDEPENDENT
ADDRESS_AND_PORT_DEPENDENT: Final = Dependence.ADDRESS_AND_PORT_DEPENDENT


class NATFlavour(Enum):
    """What one NAT does to UDP.

    ``mapping`` says whether one inside socket has one public address or one for each remote
    endpoint; ``filtering`` who may send to a mapping: anyone, or the endpoints that it has sent
    to; ``preserves_ports`` whether the public port is the inside one when that is free (RFC 4787,
    4.2.1).  ``drops_unsolicited`` is whether an unsolicited packet leaves no trace: if not, it
    occupies the 4-tuple that it came with, and a mapping of that port then moves to another one.
    """

    PORT_RESTRICTED = (ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT, True)
    PORT_RESTRICTED_OTHER_PORT = (ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT, False)
    FULL_CONE = (ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT, True)
    RANDOM_SYMMETRIC = (ADDRESS_AND_PORT_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT, False)
    HOSTILE = (ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT, True, False)

    def __init__(
        self,
        mapping: Dependence,
        filtering: Dependence,
        preserves_ports: bool,
        drops_unsolicited: bool = True,
    ) -> None:
        self.mapping = mapping
        self.filtering = filtering
        self.preserves_ports = preserves_ports
        self.drops_unsolicited = drops_unsolicited


def nat_rules(flavour: NATFlavour, *, outside: str, inside: str, host: str) -> str:
    """Return the ruleset, as ``nft -f`` reads it, of a gateway with one host behind it.

    ``outside`` and ``inside`` are the gateway's interfaces, ``host`` is the inside address.
    """
    full_cone = flavour.filtering is ENDPOINT_INDEPENDENT
    lines = [
        *(_mapped_ports(outside, host) if full_cone else ()),
        *_chain("postrouting", "type nat hook postrouting priority srcnat", [
            f'oifname "{outside}" {rule}' for rule in _source_translation(flavour)
        ]),
        *_chain("forward", "type filter hook forward priority filter; policy drop", [
            *([f'iifname "{inside}" update @mapped_ports {{ udp sport }}'] if full_cone else ()),
            f'iifname "{inside}" accept',
            "ct state established,related accept",
            "ct status dnat accept",
        ]),
    ]  # fmt: skip
    if flavour.drops_unsolicited:
        lines += _chain("input", "type filter hook input priority filter", [
            f'iifname "{outside}" drop',
        ])  # fmt: skip
    return "\n".join(["table ip gateway {", *lines, "}", ""])


def _source_translation(flavour: NATFlavour) -> list[str]:
    if flavour.mapping is ADDRESS_AND_PORT_DEPENDENT:
        return ["masquerade fully-random"]
    if flavour.preserves_ports:
        return ["masquerade"]
    first, last = OTHER_PORTS
    return [f"meta l4proto {{ tcp, udp }} masquerade to :{first}-{last}", "masquerade"]


def _mapped_ports(outside: str, host: str) -> list[str]:
    """Let anyone in to the ports that the host has sent from, and to no other one."""
    return [
        "set mapped_ports {",
        f"type inet_service; flags dynamic,timeout; timeout {MAPPING_SECONDS}s;",
        "}",
        *_chain("prerouting", "type nat hook prerouting priority dstnat", [
            f'iifname "{outside}" udp dport @mapped_ports dnat to {host}',
        ]),
    ]  # fmt: skip


def _chain(name: str, hook: str, rules: list[str]) -> list[str]:
    return [f"chain {name} {{", f"{hook};", *rules, "}"]
