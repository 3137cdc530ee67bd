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
    """Run trial, or end with its status if that is not 0."""
    command = [sys.executable, "-m", "coverage", "run", "-m", "twisted.trial", *arguments]
    if status := subprocess.run(command, check=False).returncode:  # noqa: S603 (our own)
        sys.exit(status)


def everything_else() -> list[str]:
    """Return the names of the test packages and modules but ``tests.kernel``."""
    folder = Path("tests")
    modules = [path.stem for path in folder.glob("test_*.py")]
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    return [name for one in sorted(modules + packages) if (name := f"tests.{one}") != KERNEL]


if __name__ == "__main__":
    trial(f"-j{(os.cpu_count() or 1) + 1}", *everything_else())
    trial(KERNEL)
