"""How much a tracker does for whom, and the counters that say who had how much.

The defaults serve a node behind a crowded NAT and stop a flood.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from ipaddress import IPv6Address
from math import ceil

from attrs import frozen

from twisted_p2p.stun.attributes import ErrorCode
from twisted_p2p.tracker.messages import Failure


@frozen
class TrackerLimits:
    """The numbers that one tracker goes by; times are in seconds."""

    registration_lifetime: float = 45
    """A node refreshes at about half of it: often enough for NATs that forget after 30 s."""

    registrations: int = 100_000
    """In all; a record takes up to some 3 kB."""

    registrations_of_ipv4_address: int = 2_000
    """From one IPv4 address, which a carrier's NAT may give to many nodes."""

    registrations_of_ipv6_64: int = 2_000
    """From one IPv6 /64, which is one network."""

    registrations_of_ipv6_56: int = 4_000
    registrations_of_ipv6_48: int = 8_000
    """From one IPv6 /48, which one site may have."""

    topics: int = 50_000
    """Different ones in all, of peers that are listed to everybody, as all that follows here."""

    peers_of_topic: int = 50_000

    peers_of_topic_and_network: int = 1_000
    """Of one topic, from one /24 (IPv6: /48)."""

    listed_peers: int = 200_000
    """Peers that others list, each counted as often as it is listed."""

    departed_peers: int = 20_000
    """Peers that are gone and whose sequence is remembered still."""

    unproven_at_once: int = 512
    """Answers to who has shown neither cookie nor token, each time that answers are sent."""

    binding_requests: int = 100
    """Plain STUN, a second and source: an IPv4 address or an IPv6 /64."""

    requests: int = 400
    """With a valid cookie or token, a second and source."""

    listings_by_source: int = 1_200
    """Asked for from one source, a minute."""

    listings_by_peer: int = 120
    """Asked for by one peer, a minute."""

    introductions: int = 100_000
    """Of the last two minutes, in all."""

    introductions_by_source: int = 1_200
    """Asked for from one source, a minute."""

    introductions_by_peer: int = 60
    """Asked for by one peer, a minute."""

    introductions_of_pair: int = 30
    """Of one peer to one other, a minute: friends too could pass data in boxes."""

    introductions_by_strangers: int = 30
    """Handed to one target, a minute; peers on its list are not counted."""

    introductions_by_stranger: int = 3
    """Handed to one target, a minute, from one key, and from one /24 (IPv6: /48)."""

    hand_overs: int = 8
    """How often one introduction's offer, or one of its answers, is handed over when repeated."""

    answers: int = 4
    """Different answers to one introduction."""


DEFAULT_LIMITS = TrackerLimits()


class Refusal(Exception):
    """A request is refused, with what the reply says."""

    def __init__(
        self,
        code: int,
        reason: str = "",
        *,
        retry_after: float = 0,
        sequence: int = 0,
        unknown: tuple[int, ...] = (),
    ) -> None:
        """Take an error number, words for people, and what `Failure` has besides.

        ``retry_after`` is in seconds.
        """
        super().__init__(reason)
        self._error = ErrorCode(code, reason)
        self._more = (ceil(1000 * retry_after), sequence, unknown)

    def failure(self, method: int) -> Failure:
        """Return the reply to a request of this method."""
        return Failure(method, self._error, *self._more)


def prefix(host: str, ipv4_bits: int, ipv6_bits: int) -> bytes:
    """Return the network of an address in canonical text, as bytes that no other network has."""
    if ":" in host:
        return IPv6Address(host).packed[: ipv6_bits // 8]
    # A tenth of the time that `IPv4Address` takes, on the way of every datagram.
    return bytes(map(int, host.split(".")))[: ipv4_bits // 8]


class Rates:
    """Counts events by source in windows of time, in memory that no number of sources grows.

    Two rows of counters stand at two places that a keyed hash gives; the lower one counts.  So a
    stranger shares a busy source's count only by meeting busy sources in both rows, and not in
    the next window again, since the hash covers the window's number.
    """

    _CELLS = 1 << 16

    def __init__(self, key: bytes, window: float) -> None:
        """Take a secret key of 16 to 64 random bytes, and a window's length in seconds."""
        self._key = key
        self._length = window
        self._window = -1
        self._rows = (array("I"), array("I"))

    def admits(self, source: bytes, limit: int, now: float) -> bool:
        """Count an event of a source; return whether it is within the source's limit."""
        window = int(now / self._length)
        if window != self._window:
            self._window = window
            self._rows = (array("I", bytes(4 * self._CELLS)), array("I", bytes(4 * self._CELLS)))
        place = int.from_bytes(
            blake2b(b"%d %b" % (window, source), key=self._key, digest_size=4).digest(), "big"
        )
        first, second = self._rows
        low, high = place & 0xFFFF, place >> 16
        if min(first[low], second[high]) >= limit:
            return False
        first[low] += 1
        second[high] += 1
        return True

    def retry_after(self, now: float) -> float:
        """Return the seconds until the next window begins."""
        return (self._window + 1) * self._length - now
