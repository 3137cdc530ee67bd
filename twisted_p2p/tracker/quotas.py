"""How many registrations each network has, so that none takes all the room (promise 21)."""

from __future__ import annotations

from collections import Counter

from twisted_p2p.tracker.limits import TrackerLimits, prefix


class Quotas:
    """Counts by IPv4 address and by IPv6 /64, /56 and /48."""

    def __init__(self, limits: TrackerLimits) -> None:
        """Count nothing yet."""
        self._counts: Counter[bytes] = Counter()
        self._limits = {
            # By the bytes of a network, which differ as its kind does.
            4: limits.registrations_of_ipv4_address,
            8: limits.registrations_of_ipv6_64,
            7: limits.registrations_of_ipv6_56,
            6: limits.registrations_of_ipv6_48,
        }

    def admit(self, host: str) -> bool:
        """Return whether there is room for one more of this host."""
        networks = _networks(host)
        return all(self._counts[each] < self._limits[len(each)] for each in networks)

    def add(self, host: str) -> None:
        """Count one more of this host."""
        self._counts.update(_networks(host))

    def remove(self, host: str) -> None:
        """Count one less of this host, which has one."""
        for network in _networks(host):
            self._counts[network] -= 1
            if not self._counts[network]:
                del self._counts[network]


def _networks(host: str) -> tuple[bytes, ...]:
    narrowest = prefix(host, 32, 64)
    return (narrowest, narrowest[:7], narrowest[:6]) if ":" in host else (narrowest,)
