"""One machine of a lab: a network namespace, and the running of programs in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..errors import P2PError
from .commands import SEARCH_PATH, counted_bytes, enter_command, hold_command

ENDING_SECONDS: Final = 5.0
"""How long a program may take to end when asked, before it is killed."""


class LabFailed(P2PError):
    """The network namespaces could not be set up."""

    code = "lab_failed"


def system_environment() -> dict[str, str]:
    """Return this process's environment with the folders of system programs in its path."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{SEARCH_PATH}"}


class Namespace:
    """A network namespace; it goes with `close`, or with this process however that ends."""

    def __init__(self, address: str, *, creator: Namespace | None = None) -> None:
        """Begin to make a namespace for the machine with this IP address.

        Without a ``creator`` an ordinary user's first comes with a user namespace, in which
        that user may make and command the others; they name it as their creator.
        """
        self.address = address
        as_user = os.geteuid() != 0
        command = hold_command(as_user=as_user and creator is None)
        self._holder = subprocess.Popen(  # noqa: S603 (a fixed command)
            creator.command(command) if creator else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=system_environment(),
            start_new_session=True,  # an interrupt from the keyboard is not for it
        )
        self._owner: int | None = None
        if as_user:
            self._owner = creator._owner if creator else self._holder.pid
        self._programs: list[subprocess.Popen[Any]] = []

    @property
    def holder(self) -> int:
        """The process that holds the namespace: ``nsenter -t <holder> -n`` enters it."""
        return self._holder.pid

    def wait_until_made(self) -> None:
        """Wait until the namespace is there; raise `LabFailed` when the system refuses it."""
        assert self._holder.stdout is not None
        if not self._holder.stdout.readline():
            raise LabFailed("This system refuses network namespaces.")

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command that runs a program here; whoever starts it has to end it.

        Its process is the program's own, so signals reach the program.
        """
        return enter_command(self.holder, arguments, owner=self._owner)

    def popen(self, arguments: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program here, with the options of `subprocess.Popen`; `close` ends it."""
        program = subprocess.Popen(self.command(arguments), **options)  # noqa: S603 (its job)
        self._programs.append(program)
        return program

    def run(self, arguments: Sequence[str], script: str = "") -> str:
        """Run a program here with a script as its input and return its output.

        Raises `LabFailed` when it fails.
        """
        result = subprocess.run(  # noqa: S603 (its job)
            self.command(arguments),
            input=script,
            text=True,
            capture_output=True,
            check=False,
            env=system_environment(),
        )
        if result.returncode:
            complaint = result.stderr.strip() or f"status {result.returncode}"
            raise LabFailed(f"`{' '.join(arguments)}` failed: {complaint}")
        return result.stdout

    def bytes_carried(self) -> int:
        """Return how many bytes the machine's interfaces have received and sent so far."""
        return counted_bytes(Path(f"/proc/{self.holder}/net/dev").read_text())

    def close(self) -> None:
        """End the programs started by `popen`, and let go of the namespace."""
        for program in self._programs:
            program.terminate()
        for program in self._programs:
            _wait_or_kill(program)
            _close_pipes(program)
        _close_pipes(self._holder)
        self._holder.wait()


def _wait_or_kill(program: subprocess.Popen[Any]) -> None:
    try:
        program.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def _close_pipes(program: subprocess.Popen[Any]) -> None:
    for pipe in (program.stdin, program.stdout, program.stderr):
        if pipe is not None:
            pipe.close()
