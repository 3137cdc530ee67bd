"""Run again, under each reactor that is named, the tests that touch the real reactor.

These are the test modules that import ``twisted.internet.reactor``, themselves or through another
module of the tests.  Those of ``tests.cli`` and ``tests.kernel`` are about programs of their own,
whatever the reactor of the tests.  It runs in the folder that holds ``tests``.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REACTOR = "twisted.internet.reactor"


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names of what a file imports, wherever in it that is."""
    package = path.parent.parts
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            source = ".".join([*start, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def test_modules() -> list[str]:
    """Return the names of the test modules that touch the real reactor."""
    imports = {
        ".".join(path.with_suffix("").parts): set(imported(path))
        for path in sorted(Path("tests").rglob("*.py"))
        if not {"cli", "kernel"} & set(path.parts)
    }
    touching = {REACTOR}
    while more := {name for name in imports if imports[name] & touching} - touching:
        touching |= more
    return [name for name in imports if name in touching and ".test_" in name]


if __name__ == "__main__":
    for reactor in sys.argv[1:]:
        command = [sys.executable, "-m", "twisted.trial", f"--reactor={reactor}", *test_modules()]
        if status := subprocess.run(command, check=False).returncode:  # noqa: S603 (our own)
            sys.exit(status)
