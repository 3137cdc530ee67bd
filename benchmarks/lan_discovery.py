"""How soon one node finds another on a switch, beside avahi and python-zeroconf.

    python benchmarks/lan_discovery.py [--rounds 20]

Two machines (network namespaces) on one switch, the same for all three.  One browses; on the other
one begins to announce, and the time goes from the start of the announcing program's work until the
browser has its port, address and text.  The three take turns.  avahi's daemon runs throughout, on
both machines; its clients are ``avahi-publish`` and ``avahi-browse``, and the time that these take
to start is in its figures, as Python's is not in the others'.  Needs root, and Debian's packages
avahi-daemon, avahi-utils and dbus.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.kernel import avahi
from tests.kernel.switch import SwitchLab
from twisted_p2p.network_namespaces.namespace import Namespace

KERNEL = Path(__file__).resolve().parent.parent / "tests" / "kernel"
NODE = (sys.executable, str(KERNEL / "lan_node.py"))
ZEROCONF = (sys.executable, str(KERNEL / "zeroconf_node.py"))
PIPED: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.DEVNULL,
    "text": True,
}


class Switch:
    """A browser here, an announcing program there, and the daemons of avahi on both."""

    def __init__(self, lab: SwitchLab) -> None:
        self.here, self.there = lab.machines
        self.daemons = [self._start_daemon(machine) for machine in lab.machines]
        self.rounds = 0

    def _start_daemon(self, machine: Namespace) -> int:
        daemon = machine.popen(avahi.START, **PIPED)
        wait_for(daemon.stdout, lambda line: avahi.STARTED in line)
        return int(daemon.pid)

    def ours(self) -> float:
        number = str(1 + self.rounds % 255)
        return self.between_programs(NODE, ("announce", number))

    def zeroconf(self) -> float:
        name, address = f"peer-{self.rounds}", self.there.address
        return self.between_programs(ZEROCONF, ("announce", name, address, "txtvers=1"))

    def between_programs(self, program: tuple[str, ...], announce: tuple[str, ...]) -> float:
        browser = self.here.popen([*program, "browse"], **PIPED)
        wait_for(browser.stdout, lambda line: '"started"' in line)
        time.sleep(1.5)  # the first questions are over: what is measured is who comes
        node = self.there.popen([*program, *announce], **PIPED)
        started = json.loads(wait_for(node.stdout, lambda line: '"started"' in line))
        found = json.loads(wait_for(browser.stdout, lambda line: '"found"' in line))
        end(node, browser)
        return float(found["time"] - started["time"])

    def avahi(self) -> float:
        here, there = self.daemons
        browser = self.here.popen(
            avahi.beside(here, "stdbuf", "-oL", "avahi-browse", "-rp", "_p2p._udp"), **PIPED
        )
        time.sleep(1.5)
        name = f"peer-{self.rounds}"
        started = time.monotonic()
        node = self.there.popen(
            avahi.beside(there, "avahi-publish", "-s", name, "_p2p._udp", "4711", "txtvers=1"),
            **PIPED,
        )
        wait_for(browser.stdout, lambda line: line.startswith("=") and name in line)
        taken = time.monotonic() - started
        end(node, browser)
        return taken


def wait_for(lines: IO[str] | None, is_it: Callable[[str], bool]) -> str:
    assert lines is not None
    return next(line for line in lines if is_it(line))


def end(*programs: subprocess.Popen[Any]) -> None:
    for program in programs:
        program.terminate()
        program.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with SwitchLab(2) as lab:
        switch = Switch(lab)
        ways = {"ours": switch.ours, "avahi": switch.avahi, "zeroconf": switch.zeroconf}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for switch.rounds in range(options.rounds):
            for name, way in ways.items():
                times[name].append(way())
    for name, taken in times.items():
        p95 = quantiles(taken, n=20)[-1]
        ratio = median(taken) / median(times["ours"])
        print(
            f"{name:10} median {1000 * median(taken):5.0f} ms   p95 {1000 * p95:5.0f} ms   "
            f"{ratio:.2f} of ours   ({len(taken)} rounds)"
        )


if __name__ == "__main__":
    main()
