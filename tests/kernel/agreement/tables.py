"""The tables of docs/kernel-agreement.rst, as files of comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Final

from tests.kernel.agreement.nat_facts import FoundNAT
from tests.kernel.agreement.pairs import Pair, flavour_name
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"
NATS_FILE: Final = DOCS / "kernel-agreement-nats.csv"
PAIRS_FILE: Final = DOCS / "kernel-agreement-pairs.csv"

NATS_HEADING: Final = ("NAT", "what it does", "kernel", "simulation", "agree")
PAIRS_HEADING: Final = ("dials", "accepts", "kernel", "simulation", "agree")

Row = tuple[str, ...]


def nat_rows(
    kernel: Mapping[NATFlavour, FoundNAT], simulation: Mapping[NATFlavour, FoundNAT]
) -> list[Row]:
    """Return a row for each fact about each NAT."""
    return [
        _row(flavour_name(flavour), fact, there, here)
        for flavour, found in kernel.items()
        for (fact, there), (_, here) in zip(found.facts(), simulation[flavour].facts(), strict=True)
    ]


def pair_rows(kernel: Mapping[Pair, str], simulation: Mapping[Pair, str]) -> list[Row]:
    """Return a row for each pair."""
    return [
        _row(flavour_name(pair.left), flavour_name(pair.right), outcome, simulation[pair])
        for pair, outcome in kernel.items()
    ]


def _row(first: str, second: str, kernel: str, simulation: str) -> Row:
    return first, second, kernel, simulation, "yes" if kernel == simulation else "NO"


def write(path: Path, heading: Row, rows: Iterable[Row]) -> None:
    """Write a table, which has nothing in it that changes from run to run."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([heading, *rows])
    path.write_text(text.getvalue())


def read(path: Path) -> list[Row]:
    """Return the rows of a table without its heading."""
    with path.open(newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]
