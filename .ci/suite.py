"""Run the test suite under coverage: one test more at a time than there are processors.

Some wait for other programs, and leave a processor to the others.  Those of ``tests.kernel`` come
after them and one by one, since a machine has one kernel and its network namespaces are slow when
they are many.  It runs in the folder that holds ``tests``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

KERNEL = "tests.kernel"


def trial(*arguments: str) -> None:
    """Run trial; end if a test fails, or is left out where every test is required."""
    command = [sys.executable, "-m", "coverage", "run", "-m", "twisted.trial", *arguments]
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603 (our own)
        for last in running.stdout or ():
            print(last, end="", flush=True)  # noqa: T201
    if running.returncode:
        sys.exit(running.returncode)
    if "skips=" in last and os.environ.get("P2P_REQUIRE_ALL") == "1":
        sys.exit("P2P_REQUIRE_ALL is set, so no test may be skipped.")


def everything_else() -> list[str]:
    """Return the names of the test packages and modules but ``tests.kernel``."""
    folder = Path("tests")
    modules = [path.stem for path in folder.glob("test_*.py")]
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    return [name for one in sorted(modules + packages) if (name := f"tests.{one}") != KERNEL]


if __name__ == "__main__":
    trial(f"-j{(os.cpu_count() or 1) + 1}", *everything_else())
    trial(KERNEL)
