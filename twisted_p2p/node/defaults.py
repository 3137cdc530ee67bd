"""What a node does without being told: where its identity lies and which trackers it asks."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path

from platformdirs import user_data_path
from twisted.internet.abstract import isIPv6Address

from ..addresses import HostPort

TRACKER_PORT = 3478
"""The port of STUN servers, RFC 8489 section 18.6."""

_HOST_AND_PORT = re.compile(
    r"(?:\[(?P<address>[^\[\]]+)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)


def default_identity_path() -> Path:
    """Return where this user's identity lies, whether it exists yet or not."""
    return user_data_path("twisted_p2p") / "identity.pem"


def default_trackers() -> list[HostPort]:
    """Return the trackers that the environment variable ``P2P_TRACKER`` names."""
    return parse_trackers(os.environ.get("P2P_TRACKER", ""))


def default_lan() -> bool:
    """Return whether the local network is used: unless the variable ``P2P_LAN`` says ``no``.

    :raises ValueError: with a sentence for the user, when it says something else than ``yes``.
    """
    return parse_lan(os.environ.get("P2P_LAN") or "yes")


def parse_lan(text: str) -> bool:
    """Return whether ``yes`` or ``no`` is meant.

    :raises ValueError: with a sentence for the user, when it is neither.
    """
    if text not in ("yes", "no"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text == "yes"


def parse_trackers(text: str) -> list[HostPort]:
    """Return the trackers in comma-separated text.

    :raises ValueError: with a sentence for the user, when one of them is not ``HOST[:PORT]``.
    """
    return [parse_tracker(part.strip()) for part in text.split(",") if part.strip()]


def parse_tracker(text: str) -> HostPort:
    """Return the host, a name or an IP address, and the port in ``HOST``, ``HOST:PORT``,
    ``IPV6`` or ``[IPV6]:PORT``; the port is `TRACKER_PORT` where none is given.

    :raises ValueError: with a sentence for the user.
    """
    if isIPv6Address(text):
        return HostPort(str(ip_address(text)), TRACKER_PORT)
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or not 0 < int(found["port"] or TRACKER_PORT) < 65536:
        raise _names_none(text)
    host = found["host"]
    if found["address"]:
        if not isIPv6Address(found["address"]):
            raise _names_none(text)
        host = str(ip_address(found["address"]))
    return HostPort(host, int(found["port"] or TRACKER_PORT))


def _names_none(text: str) -> ValueError:
    return ValueError(f"{text!r} names no tracker; write HOST or HOST:PORT")
