"""Make the distributions of this project, and fresh environments that one of them is installed in.

Everything is made in the working folder, which is trial's own; the project's is only read.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[2]

# What a build leaves behind, and what would be built again from it, is no source.
_NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")


def run(
    *words: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Return how a program ended, which must be well, and what it wrote."""
    result = subprocess.run(
        words,
        cwd=cwd,
        env=_clean_environment() | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        command = " ".join(str(word) for word in words)
        raise AssertionError(
            f"{command} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
        )
    return result


def _clean_environment() -> dict[str, str]:
    """Return the environment without what would lead Python to another project or tracker."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "P2P_", "COVERAGE"))
    }


@cache
def source() -> Path:
    """Return a copy of the project's files, as a fresh clone has them."""
    copy = Path("source").absolute()
    shutil.copytree(PROJECT, copy, ignore=_NOT_SOURCE)
    return copy


@cache
def wheelhouse() -> Path:
    """Return a folder with our wheel, and those of all that it and its building need."""
    folder = Path("wheelhouse").absolute()
    project = tomllib.loads((source() / "pyproject.toml").read_text())
    _pip("wheel", "--wheel-dir", folder, source(), *project["build-system"]["requires"])
    return folder


def wheel() -> Path:
    """Return our wheel."""
    (path,) = wheelhouse().glob("twisted_p2p-*.whl")
    return path


@cache
def sdist() -> Path:
    """Return our source distribution."""
    folder = Path("sdist").absolute()
    run(
        *(sys.executable, "-m", "build", "--sdist", "--outdir", folder, source()),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(wheelhouse()),
    )
    (path,) = folder.iterdir()
    return path


class Installation:
    """A fresh environment with this project in it, used from an empty folder."""

    def __init__(self, name: str, *requirement: str | Path) -> None:
        self._environment = Path(name).absolute()
        self.folder = Path(f"{name}_folder").absolute()
        self.folder.mkdir()
        venv.create(self._environment, symlinks=True)
        _pip(
            *("--python", self.program("python"), "install", "--no-compile"),
            *("--no-index", "--find-links", wheelhouse(), *requirement),
        )

    def program(self, name: str) -> Path:
        """Return the path of a program of this environment."""
        return self._environment / "bin" / name

    def run(self, name: str, *arguments: str | Path) -> str:
        """Return what a program of this environment writes; nothing of it may go to stderr.

        A plugin that cannot be imported is a traceback there, and no failure.
        """
        result = run(self.program(name), *arguments, cwd=self.folder, HOME=str(self.folder))
        if result.stderr:
            raise AssertionError(f"{name} complained:\n{result.stderr}")
        return result.stdout

    def evaluate(self, expression: str, *imports: str) -> object:
        """Return the value, as JSON has it, of an expression in this environment's Python."""
        program = f"import json, {', '.join(imports)}; print(json.dumps({expression}))"
        return json.loads(self.run("python", "-c", program))


@cache
def installed_wheel() -> Installation:
    """Return where the wheel is installed, out of reach of the project's folder."""
    return Installation("from_wheel", wheel())


@cache
def installed_sdist() -> Installation:
    """Return where the source distribution is installed."""
    return Installation("from_sdist", sdist())


@cache
def installed_editable() -> Installation:
    """Return where the copy of the project is installed to be edited."""
    return Installation("editable", "--editable", source())


def _pip(*arguments: str | Path) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
