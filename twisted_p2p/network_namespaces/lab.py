"""A small internet on one machine: a tracker and two peers, each behind a NAT or not.

::

    left host --- left NAT --- middle --- right NAT --- right host
    192.168.1.2   11.1.0.2       |        11.2.0.2      192.168.2.2
                              tracker
                              11.3.0.2

A peer without a NAT is the machine at 11.1.0.2 or 11.2.0.2 itself.  These are ordinary public
addresses, since documentation ranges are refused as candidates; nothing leaves the lab.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from attrs import frozen

from .commands import (
    PACKAGES,
    TRIAL,
    Uplink,
    address_lines,
    move_lines,
    unshare_command,
    uplink_lines,
    veth_lines,
)
from .namespace import LabFailed, Namespace, system_environment
from .nat_rules import NATFlavour, nat_rules

UPLINK: Final = "uplink"
"""The interface towards the middle, on every machine but the middle."""

INSIDE: Final = "inside"
"""The interface of a NAT towards its host."""


@frozen
class Side:
    """The addresses on one side of the middle."""

    name: str
    outside: Uplink
    """Of the NAT, or of the host itself when there is none."""

    home: Uplink
    """Of the host behind the NAT."""


TRACKER: Final = Uplink("11.3.0.2", "11.3.0.1")
LEFT: Final = Side(
    "left", Uplink("11.1.0.2", "11.1.0.1"), Uplink("192.168.1.2", "192.168.1.1")
)  # fmt: skip
RIGHT: Final = Side(
    "right", Uplink("11.2.0.2", "11.2.0.1"), Uplink("192.168.2.2", "192.168.2.1")
)  # fmt: skip


def available() -> str | None:
    """Return in one sentence what keeps this machine from running a lab, or None."""
    environment = system_environment()
    missing = [
        f"`{program}` (Debian package {package})"
        for program, package in PACKAGES.items()
        if shutil.which(program, path=environment["PATH"]) is None
    ]
    if missing:
        return f"A program is missing: {', '.join(missing)}."
    trial = subprocess.run(  # noqa: S603 (a fixed command)
        unshare_command(["sh", "-e", "-c", TRIAL], as_user=os.geteuid() != 0),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if trial.returncode == 0:
        return None
    complaint = (trial.stderr.splitlines() or [f"status {trial.returncode}"])[0]
    return f"This system permits no network namespaces with NATs ({complaint})."


@frozen
class _Peer:
    """The machines of one side; without a NAT, gateway and host are the same."""

    side: Side
    flavour: NATFlavour | None
    gateway: Namespace
    host: Namespace


class Lab:
    """Two peers and a tracker, up when the constructor returns, gone after `close`.

    ``left`` and ``right`` are the NATs before the peers, None for a public peer; ``delay`` is the
    time in seconds that a packet takes each way between a side and the middle (this needs
    ``/dev/net/tun``).  Raises `LabFailed` when the system refuses something; see `available`.
    """

    def __init__(
        self, left: NATFlavour | None, right: NATFlavour | None, *, delay: float = 0.0
    ) -> None:
        with ExitStack() as resources:
            self._middle = Namespace(TRACKER.router)
            resources.callback(self._middle.close)
            self._middle.wait_until_made()
            self.tracker = self._machine(TRACKER.address, resources)
            peers = [self._peer(LEFT, left, resources), self._peer(RIGHT, right, resources)]
            self.left, self.right = (peer.host for peer in peers)
            self._join(peers, delay)
            self._resources = resources.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every program that was started by `Namespace.popen`, and remove the lab."""
        self._resources.close()

    def _machine(self, address: str, resources: ExitStack) -> Namespace:
        machine = Namespace(address, creator=self._middle)
        resources.callback(machine.close)
        return machine

    def _peer(self, side: Side, flavour: NATFlavour | None, resources: ExitStack) -> _Peer:
        gateway = self._machine(side.outside.address, resources)
        host = gateway if flavour is None else self._machine(side.home.address, resources)
        return _Peer(side, flavour, gateway, host)

    def _join(self, peers: list[_Peer], delay: float) -> None:
        gateways, hosts = {peer.gateway for peer in peers}, {peer.host for peer in peers}
        for machine in {self.tracker} | gateways | hosts:
            machine.wait_until_made()
        if delay:
            self._start_wires([peer.side.name for peer in peers], delay)
        lines = _cable("tracker", TRACKER, self.tracker, wired=False)
        for peer in peers:
            lines += _cable(peer.side.name, peer.side.outside, peer.gateway, wired=bool(delay))
        _configure(self._middle, lines)
        _configure(self.tracker, uplink_lines(UPLINK, TRACKER))
        for peer in peers:
            _set_up(peer)

    def _start_wires(self, names: list[str], delay: float) -> None:
        program = [sys.executable, "-m", "twisted_p2p.network_namespaces.delay", str(delay)]
        wires = self._middle.popen(
            [*program, *names], stdout=subprocess.PIPE, start_new_session=True
        )
        assert wires.stdout is not None
        if not wires.stdout.readline():
            raise LabFailed("The program that delays packets could not make its interfaces.")


def _cable(name: str, uplink: Uplink, machine: Namespace, *, wired: bool) -> list[str]:
    """Return the lines that lead from the middle to a machine, by a delaying wire or not."""
    link = (
        move_lines(f"{name}-far", UPLINK, machine.holder)
        if wired
        else veth_lines(name, UPLINK, machine.holder)
    )
    return [*link, *address_lines(name, uplink.router)]


def _set_up(peer: _Peer) -> None:
    lines = uplink_lines(UPLINK, peer.side.outside)
    if peer.flavour is None:
        _configure(peer.host, lines)
        return
    home = peer.side.home
    lines += [*veth_lines(INSIDE, UPLINK, peer.host.holder), *address_lines(INSIDE, home.router)]
    _configure(peer.gateway, lines)
    rules = nat_rules(peer.flavour, outside=UPLINK, inside=INSIDE, host=home.address)
    peer.gateway.run(["nft", "-f", "-"], rules)
    _configure(peer.host, uplink_lines(UPLINK, home))


def _configure(machine: Namespace, lines: list[str]) -> None:
    machine.run(["ip", "-batch", "-"], "\n".join(lines))
