"""Run the test suite: one test more at a time than there are processors.

Some wait for other programs, and leave a processor to the others.  Those of ``tests.kernel`` come
after them and one by one, since a machine has one kernel and its network namespaces are slow when
they are many.  It runs in the folder that holds ``tests``.

Coverage is measured of the tests that are nearest to the pure modules.  Each of their branches
needs one there, and what runs under coverage takes twice as long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

KERNEL = "tests.kernel"

FAR = {f"tests.{name}" for name in ("cli", "docs", "examples", "interop", "scenarios")}
"""Tests of whole programs and of nodes in their worlds."""


def trial(*arguments: str, under: tuple[str, ...] = ()) -> None:
    """Run trial; end if a test fails, or is left out where every test is required."""
    command = [sys.executable, *under, "-m", "twisted.trial", *arguments]
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603 (our own)
        for last in running.stdout or ():
            print(last, end="", flush=True)  # noqa: T201
    if running.returncode:
        sys.exit(running.returncode)
    if "skips=" in last and os.environ.get("P2P_REQUIRE_ALL") == "1":
        sys.exit("P2P_REQUIRE_ALL is set, so no test may be skipped.")


def everything() -> set[str]:
    """Return the names of the test packages and modules."""
    folder = Path("tests")
    modules = [path.stem for path in folder.glob("test_*.py")]
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    return {f"tests.{name}" for name in modules + packages}


def without_kernel() -> None:
    """Run all but ``tests.kernel``."""
    jobs = f"-j{(os.cpu_count() or 1) + 1}"
    trial(jobs, *sorted(everything() - FAR - {KERNEL}), under=("-m", "coverage", "run"))
    trial(jobs, *sorted(FAR))


if __name__ == "__main__":
    without_kernel()
    trial(KERNEL)
