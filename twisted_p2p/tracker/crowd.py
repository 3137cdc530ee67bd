"""Peers to draw from at random so that no network crowds out the others (promise 18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import TypeVar

from attrs import define, field

T = TypeVar("T")


@define(eq=False)
class _Network:
    """The peers of one network, and its own place among the networks."""

    name: bytes
    place: int
    peer_keys: list[bytes] = field(factory=list)


class Crowd:
    """A set of peers, each of one network: an IPv4 /24 or an IPv6 /48.

    To add, to remove and to draw takes the same time whatever the number of peers is.
    """

    __slots__ = ("_by_name", "_networks", "_places")

    def __init__(self) -> None:
        self._networks: list[_Network] = []
        self._by_name: dict[bytes, _Network] = {}
        self._places: dict[bytes, int] = {}
        """Each peer's place among those of its network."""

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, peer_key: bytes) -> bool:
        return peer_key in self._places

    def count_of(self, network: bytes) -> int:
        """Return how many peers are of this network."""
        found = self._by_name.get(network)
        return len(found.peer_keys) if found else 0

    def add(self, peer_key: bytes, network: bytes) -> None:
        """Add a peer that is not there yet."""
        found = self._by_name.get(network)
        if found is None:
            found = self._by_name[network] = _Network(network, len(self._networks))
            self._networks.append(found)
        self._places[peer_key] = len(found.peer_keys)
        found.peer_keys.append(peer_key)

    def remove(self, peer_key: bytes, network: bytes) -> None:
        """Remove a peer of this network; the last one takes its place."""
        found = self._by_name[network]
        place, last = self._places.pop(peer_key), found.peer_keys.pop()
        if last != peer_key:
            found.peer_keys[place] = last
            self._places[last] = place
        if not found.peer_keys:
            self._remove_network(found)

    def _remove_network(self, network: _Network) -> None:
        del self._by_name[network.name]
        last = self._networks.pop()
        if last is not network:
            self._networks[network.place] = last
            last.place = network.place

    def draw(self, most: int, share: int, random_bytes: Callable[[int], bytes]) -> list[bytes]:
        """Return peers at random, ``most`` at most: one of each network, then another of each.

        No network has more than its ``share`` unless it is the only one, and hides nobody.
        """
        if len(self._networks) == 1:
            share = most
        peers_of = [
            islice(_shuffled(network.peer_keys, random_bytes), share)
            for network in islice(_shuffled(self._networks, random_bytes), most)
        ]
        rounds = chain.from_iterable(zip_longest(*peers_of))
        return list(islice((peer_key for peer_key in rounds if peer_key is not None), most))


def _shuffled(values: Sequence[T], random_bytes: Callable[[int], bytes]) -> Iterator[T]:
    """Yield the values in random order, at the cost of those alone that are taken.

    It is the shuffle of Fisher and Yates, of which only what has moved is kept.
    """
    moved: dict[int, int] = {}
    for step in range(len(values)):
        place = step + int.from_bytes(random_bytes(4), "big") % (len(values) - step)
        yield values[moved.get(place, place)]
        moved[place] = moved.get(step, step)
