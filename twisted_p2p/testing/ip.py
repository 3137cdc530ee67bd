"""What a simulated host needs to know about IP addresses, all of them text."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from twisted.internet.error import InvalidAddressError

UNSPECIFIED_IPV4 = "0.0.0.0"  # noqa: S104  (no system binds it here)


@lru_cache(maxsize=65_536)
def canonical_address(text: str) -> str:
    """Return an IP address as canonical text.

    :raises InvalidAddressError: when it is none; that is a ValueError.
    """
    try:
        return str(ip_address(text))
    except ValueError:
        raise InvalidAddressError(text, "not an IPv4 or IPv6 address.") from None


def is_unspecified(address: str) -> bool:
    """Whether the address stands for every address of its family."""
    return address in (UNSPECIFIED_IPV4, "::")


def is_loopback(address: str) -> bool:
    """Whether the address leads back to the host itself, whichever it is."""
    return address == "::1" or address.startswith("127.")


def is_same_family(address: str, other: str) -> bool:
    """Whether both are IPv4 addresses, or both IPv6."""
    return (":" in address) == (":" in other)
