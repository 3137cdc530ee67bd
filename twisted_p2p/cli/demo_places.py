"""Where the demonstration takes place: behind real NATs, or else on loopback."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from attrs import field, frozen

from ..network_namespaces.lab import Lab, available
from ..network_namespaces.nat_rules import NATFlavour

TRACKER_PORT = 3478
STATUS_PORT = 8478


class Machine(Protocol):
    """What can run a program."""

    def popen(self, arguments: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program."""

    def run(self, arguments: Sequence[str]) -> str:
        """Run a program to its end and return its output."""


@frozen
class Place:
    """Three machines, and how the tracker is reached from them."""

    description: str
    tracker: Machine
    listener: Machine
    sender: Machine
    tracker_host: str
    tracker_port: int
    status_port: int
    path_kinds: frozenset[str]
    """The kinds of path that are expected here."""
    counted_traffic: str
    """What `bytes_at_tracker` counts, for the user."""
    lab: Lab | None = None


@contextmanager
def best_place() -> Iterator[Place]:
    """Make and finally remove the most telling place that this machine permits."""
    missing = available()
    if missing is not None:
        with _loopback(missing) as place:
            yield place
        return
    with Lab(NATFlavour.PORT_RESTRICTED, NATFlavour.PORT_RESTRICTED) as lab:
        yield Place(
            description="Each peer is behind a NAT of its own that refuses everything from outside "
            "(Linux network namespaces and nftables).",
            tracker=lab.tracker,
            listener=lab.left,
            sender=lab.right,
            tracker_host=lab.tracker.address,
            tracker_port=TRACKER_PORT,
            status_port=STATUS_PORT,
            path_kinds=frozenset({"punched"}),
            counted_traffic="by its network interface",
            lab=lab,
        )


@contextmanager
def _loopback(missing: str) -> Iterator[Place]:
    machine = _ThisMachine()
    try:
        yield Place(
            description=f"Everything is on loopback, without NATs. {missing}",
            tracker=machine,
            listener=machine,
            sender=machine,
            tracker_host="127.0.0.1",
            tracker_port=_free_port(socket.SOCK_DGRAM),
            status_port=_free_port(socket.SOCK_STREAM),
            path_kinds=frozenset({"lan", "direct"}),
            counted_traffic="by its own count",
        )
    finally:
        machine.close()


@frozen
class _ThisMachine:
    _programs: list[subprocess.Popen[Any]] = field(factory=list, init=False)

    def popen(self, arguments: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        program = subprocess.Popen(arguments, **options)  # noqa: S603 (its job)
        self._programs.append(program)
        return program

    def run(self, arguments: Sequence[str]) -> str:
        return subprocess.run(  # noqa: S603 (its job)
            arguments, check=True, capture_output=True, text=True
        ).stdout

    def close(self) -> None:
        for program in self._programs:
            program.kill()
            program.wait()


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
