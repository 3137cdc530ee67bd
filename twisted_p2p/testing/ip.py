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


@lru_cache(maxsize=65_536)
def is_multicast(address: str) -> bool:
    """Whether the address is that of a group."""
    return ip_address(address).is_multicast


@lru_cache(maxsize=65_536)
def is_link_local(address: str) -> bool:
    """Whether the address means something in one network alone, and no gateway lets it pass."""
    own = ip_address(address)
    return own.is_link_local or (own.version == 6 and own.is_multicast and address[3] == "2")


def bare_address(address: str) -> str:
    """Return an address without the scope, such as ``%eth0``, that it may have."""
    return address.partition("%")[0]


def is_same_family(address: str, other: str) -> bool:
    """Whether both are IPv4 addresses, or both IPv6."""
    return (":" in address) == (":" in other)
