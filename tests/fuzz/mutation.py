"""Mutants of a corpus, each from a seed: what someone would send who knows the format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from hypothesis import strategies as st

CORPORA = Path(__file__).parent / "corpora"

_EDGE_BYTES = (0x00, 0x01, 0x03, 0x04, 0x3F, 0x40, 0x7F, 0x80, 0xFE, 0xFF)
_EDGE_LENGTHS = (0, 1, 3, 4, 5, 8, 20, 0x7FFF, 0x8000, 0xFFFC, 0xFFFF)

Mutation = Callable[[bytearray, Random], None]


def load_corpus(name: str) -> dict[str, bytes]:
    """Return the entries of a corpus by their names."""
    lines = (CORPORA / f"{name}.hex").read_text("ascii").splitlines()
    entries = (line.split(":", 1) for line in lines)
    return {name: bytes.fromhex(digits) for name, digits in entries}


def mutants(corpus: str, maximum: int = 1500) -> st.SearchStrategy[bytes]:
    """Return a strategy of entries of a corpus, changed in a few places, of so many bytes."""
    entries = list(load_corpus(corpus).values())
    return st.integers(0, 2**64 - 1).map(lambda seed: mutant(entries, seed)[:maximum])


def mutant(entries: Sequence[bytes], seed: int) -> bytes:
    """Return the mutant of one of the entries that belongs to this seed."""
    random = Random(seed)
    data = bytearray(random.choice(entries))
    for _ in range(random.randint(1, 5)):
        random.choice(_MUTATIONS)(data, random)
    if random.random() < 0.2:
        other = random.choice(entries)
        data[_place(data, random) :] = other[_place(other, random) :]
    return bytes(data)


def _place(data: bytes | bytearray, random: Random) -> int:
    return random.randint(0, len(data))


def _range(data: bytearray, random: Random) -> slice:
    start = _place(data, random)
    return slice(start, start + random.choice((1, 2, 4, 4, 8, 20, 200)))


def _flip_bit(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set_edge_byte(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice(_EDGE_BYTES)


def _set_edge_length(data: bytearray, random: Random) -> None:
    start = _place(data, random) & ~1
    length = random.choice((*_EDGE_LENGTHS, len(data), len(data) - start))
    data[start : start + 2] = length.to_bytes(2, "big")


def _cut(data: bytearray, random: Random) -> None:
    del data[_range(data, random)]


def _cut_end(data: bytearray, random: Random) -> None:
    del data[_place(data, random) :]


def _repeat(data: bytearray, random: Random) -> None:
    place = _place(data, random) & ~3
    data[place:place] = data[_range(data, random)] * random.choice((1, 1, 2, 50))


def _insert_noise(data: bytearray, random: Random) -> None:
    place = _place(data, random)
    data[place:place] = random.randbytes(random.choice((1, 2, 4, 8, 64)))


def _overwrite(data: bytearray, random: Random) -> None:
    where = _range(data, random)
    data[where] = bytes((random.choice(_EDGE_BYTES),)) * len(data[where])


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit,
    _set_edge_byte,
    _set_edge_length,
    _cut,
    _cut_end,
    _repeat,
    _insert_noise,
    _overwrite,
)
