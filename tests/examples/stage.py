"""Where examples are run: each on a simulated host behind a NAT, in a folder of its own."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ifaddr
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.identity.keys import IdentityKey, load_or_create_identity
from twisted_p2p.testing import (
    PORT_RESTRICTED,
    NATBehaviour,
    SimulatedHost,
    SimulatedInternetMixin,
    SimulatedTracker,
)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TRACKER = "11.0.0.1"


def load(name: str) -> Any:
    """Return an example as a module."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(EXAMPLES))


def shut_down_reactor(host: SimulatedHost) -> Deferred[None]:
    """Stop a host's reactor; return what fires when it has."""
    stopped: Deferred[None] = Deferred()
    host.reactor.addSystemEventTrigger("after", "shutdown", stopped.callback, None)
    host.reactor.stop()
    return stopped


class Program:
    """One example that runs."""

    def __init__(self, host: SimulatedHost, folder: Path) -> None:
        self.host = host
        self.folder = folder
        folder.mkdir(mode=0o700)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let the program's folder be the current one, and its host's addresses this machine's."""
        ips = [ifaddr.IP(address, 24, "eth0") for address in self.host.addresses]
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            with patch("ifaddr.get_adapters", lambda: [ifaddr.Adapter("eth0", "eth0", ips)]):
                yield
        finally:
            os.chdir(before)

    def start(self, main: Callable[..., Any], *arguments: str) -> Deferred[Any]:
        """Start it; what it makes is stopped at the end of the test."""
        self.host.stop_at_end.append(self.stop)
        return self.begin(main, *arguments)

    def begin(self, main: Callable[..., Any], *arguments: str) -> Deferred[Any]:
        """Start it; the test stops it."""
        with self.inside():
            self.ended = Deferred.fromCoroutine(main(self.host.reactor, *arguments))
        return self.ended

    def stop(self) -> Deferred[None]:
        """Interrupt it, as Control-C does."""
        self.ended.addErrback(lambda failure: failure.trap(CancelledError, SystemExit))
        self.ended.cancel()
        return shut_down_reactor(self.host)

    def identity(self, name: str) -> IdentityKey:
        """Return the key that the program keeps in a file of its folder."""
        return load_or_create_identity(self.folder / name)


class ExampleCase(SimulatedInternetMixin, SynchronousTestCase):
    """A simulated internet with a tracker; `out` is what all programs have printed."""

    has_tracker = True

    def setUp(self) -> None:
        self.patch(sys, "stdout", StringIO())
        self.internet = self.simulate()
        self.tracker_host = self.internet.add_host("tracker", TRACKER)
        if self.has_tracker:
            self.tracker = SimulatedTracker(self.tracker_host)
        self.top = Path(self.mktemp())
        self.top.mkdir(mode=0o700)

    @property
    def out(self) -> str:
        """What all programs have printed."""
        output: Any = sys.stdout
        text: str = output.getvalue()
        return text

    def program(self, number: int, nat: NATBehaviour = PORT_RESTRICTED) -> Program:
        """Return a place for a program, behind a NAT of its own."""
        home = self.internet.add_network(f"home {number}", f"11.0.{number}.1", nat)
        host = self.internet.add_host(f"program {number}", f"192.168.{number}.2", network=home)
        return Program(host, self.top / host.name)

    def until_said(self, pattern: str, limit: float = 60.0) -> str:
        """Let time pass until a line has been printed; return what its group is."""
        ends_at = self.internet.now + limit
        while not (said := re.search(pattern, self.out, re.MULTILINE)):
            if self.internet.now > ends_at:
                self.fail(f"nobody has said {pattern!r} but:\n{self.out}")
            self.internet.run_for(0.1)
        return said[said.lastindex or 0]
