"""One file between two machines of one switch with no tracker, beside what iperf3 moves there.

    python benchmarks/switch_transfer.py [--size 1024] [--rounds 3]

Two network namespaces are joined by a bridge, and nothing else is there.  In each round iperf3
(Debian package iperf3) first sends ``--size`` MiB by TCP, and then `p2p send` the same amount of
random bytes to `p2p receive`, which find each other by multicast DNS.  Printed are the medians of
the rates in MB/s, p2p's as its `received` event says it, and their ratio; and the seconds from the
start of `p2p receive` until the path was there.  A round counts only if both sides end well and the
digests agree.  Files lie in /dev/shm where there is room, so that no disk is measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen

from twisted_p2p.network_namespaces.commands import address_lines, veth_lines
from twisted_p2p.network_namespaces.lab import UPLINK, available
from twisted_p2p.network_namespaces.namespace import Namespace

P2P = (sys.executable, "-m", "twisted_p2p.cli", "--json")
TIMEOUT = 600.0
MEBIBYTE = 1 << 20


@contextmanager
def switched() -> Iterator[tuple[Namespace, Namespace]]:
    """Join two machines by a switch."""
    with ExitStack() as resources:
        switch = Namespace("")
        resources.callback(switch.close)
        switch.wait_until_made()
        switch.run(["ip", "-batch", "-"], "link add name switch type bridge\nlink set switch up\n")
        machines = []
        for number in (1, 2):
            machine = Namespace(f"192.168.7.{number}", creator=switch)
            resources.callback(machine.close)
            machine.wait_until_made()
            lines = veth_lines(f"port{number}", UPLINK, machine.holder)
            lines.append(f"link set dev port{number} master switch up")
            switch.run(["ip", "-batch", "-"], "\n".join(lines))
            own = ["link set dev lo up", *address_lines(UPLINK, machine.address)]
            machine.run(["ip", "-batch", "-"], "\n".join(own))
            machines.append(machine)
        yield machines[0], machines[1]


def iperf3(sender: Namespace, receiver: Namespace, size: int) -> float:
    """Return the MB/s at which iperf3 received so many bytes."""
    server = receiver.popen(
        ["iperf3", "-s", "-1", "-i", "0"], stdout=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(0.5)
    output = sender.run(["iperf3", "-c", receiver.address, "-n", str(size), "-J"])
    server.wait(TIMEOUT)
    rate: float = json.loads(output)["end"]["sum_received"]["bits_per_second"]
    return rate / 8e6


@frozen
class Transfer:
    rate: float
    """MB/s, as the receiver counted."""
    found_in: float
    """Seconds from the start of the receiver until it was connected."""


def p2p(sender: Namespace, receiver: Namespace, file: Path, folder: Path) -> Transfer:
    """Send a file, and return how that went."""
    into = folder / "into"
    sending = start(sender, folder / "sender.pem", "send", str(file))
    assert sending.stdout is not None
    ticket = json.loads(sending.stdout.readline())["ticket"]
    began = time.monotonic()
    receiving = start(receiver, folder / "receiver.pem", "receive", ticket, "--into", str(into))
    assert receiving.stderr is not None
    for line in receiving.stderr:
        event = json.loads(line)
        if event["event"] == "connected":
            found_in = time.monotonic() - began
            assert event["path"]["kind"] == "lan", event
            break
    received = result(receiving)
    sent = result(sending)
    assert received["digest"] == sent["digest"]
    shutil.rmtree(into)
    return Transfer(received["bytes_per_s"] / 1e6, found_in)


def start(machine: Namespace, identity: Path, *words: str) -> subprocess.Popen[Any]:
    command = [*P2P, "--identity", str(identity), *words]
    return machine.popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def result(command: subprocess.Popen[Any]) -> dict[str, Any]:
    """Return the last result of a command that ends well."""
    output, complaints = command.communicate(timeout=TIMEOUT)
    if command.returncode:
        sys.exit(f"p2p failed: {complaints[-500:]}")
    last: dict[str, Any] = json.loads(output.splitlines()[-1])
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    missing = available() or (None if shutil.which("iperf3") else "The program iperf3 is missing.")
    if missing:
        print(missing, file=sys.stderr)
        sys.exit(2)
    size = options.size * MEBIBYTE
    memory = Path("/dev/shm")
    room = memory.is_dir() and shutil.disk_usage(memory).free > 2.5 * size
    base = memory if room else None
    with tempfile.TemporaryDirectory(dir=base) as name, switched() as (left, right):
        folder = Path(name)
        file = folder / "file"
        with open("/dev/urandom", "rb") as random, file.open("wb") as made:
            for _ in range(options.size):
                made.write(random.read(MEBIBYTE))
        limits, transfers = [], []
        for number in range(1, options.rounds + 1):
            limits.append(iperf3(left, right, size))
            transfers.append(p2p(left, right, file, folder))
            print(
                f"round {number}: iperf3 {limits[-1]:.0f} MB/s, p2p {transfers[-1].rate:.1f} MB/s,"
                f" found in {transfers[-1].found_in:.2f} s",
                flush=True,
            )
    limit = median(limits)
    rate = median(transfer.rate for transfer in transfers)
    found_in = median(transfer.found_in for transfer in transfers)
    print(
        f"medians: iperf3 {limit:.0f} MB/s, p2p {rate:.1f} MB/s ({rate / limit:.1%}),"
        f" found in {found_in:.2f} s"
    )


if __name__ == "__main__":
    main()
