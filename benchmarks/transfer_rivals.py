"""One file sent by `p2p` and by magic-wormhole in turn, over real networks of one Linux machine.

    python benchmarks/transfer_rivals.py [--size 1024] [--rounds 3] [--wormhole VENV]

In network namespaces there are two places: two machines on one switch, with a third one for the
servers, as on a LAN; and two machines that are each behind a port-restricted NAT, with the servers
between them.  The servers are `twistd p2ptracker` for `p2p`, and for magic-wormhole its mailbox and
its transit relay.  A file of ``--size`` MiB of random bytes goes from one machine to the other by
both programs, in ``--rounds`` rounds, each beginning with a plain TCP copy (`socket.sendfile` to a
reader that throws all away), which shows what the links can do; through the NATs it goes no
further than to the servers' machine.

Printed are medians over the rounds: the rate from the first to the last byte that reaches the
receiver's disk, in MB/s; the seconds from the start of the receiving command to the end of both;
and of both commands the greatest resident memory and the processor time.  A round counts only
if both commands end well and the digests agree.

magic-wormhole is found in the virtual environment ``--wormhole``, or installed in a new one from
`benchmarks/requirements.txt`.  Files lie in ``--folder``, which is /dev/shm where there is room,
so that no disk is measured.  On a machine that has other work, put `chrt -r 5` before the command.
Exit status 2: this machine cannot run it, which is said in one sentence.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen

from twisted_p2p.network_namespaces.commands import address_lines, veth_lines
from twisted_p2p.network_namespaces.lab import UPLINK, Lab, available
from twisted_p2p.network_namespaces.namespace import Namespace
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

P2P = (sys.executable, "-m", "twisted_p2p.cli", "--json", "--no-lan")
TRACKER_PORT, MAILBOX_PORT, RELAY_PORT, COPY_PORT = 3478, 4000, 4001, 5001
START_SECONDS = 20.0
"""How long a program may take until it is ready."""
SLOWEST = 4e6
"""Bytes a second below which a transfer is given up."""
LOOK_SECONDS = 0.01
"""How often the receiver's files and the two commands are looked at."""

Program = subprocess.Popen[Any]


@frozen
class Place:
    """Three machines."""

    name: str
    server: Namespace
    sender: Namespace
    receiver: Namespace
    copied_to: Namespace
    """Where the plain copy goes to: as far as the sender can connect to by itself."""


@frozen
class Outcome:
    """One transfer: seconds, bytes a second, and of sender and receiver bytes and seconds."""

    seconds: float
    rate: float
    memory: tuple[float, float]
    processor: tuple[float, float]


@contextmanager
def switched() -> Iterator[Place]:
    """Join three machines by a switch."""
    with ExitStack() as resources:
        switch = Namespace("")
        resources.callback(switch.close)
        switch.wait_until_made()
        machines = [Namespace(f"192.168.7.{number}", creator=switch) for number in (1, 2, 3)]
        for machine in machines:
            resources.callback(machine.close)
            machine.wait_until_made()
        lines = ["link add name switch type bridge", "link set dev switch up"]
        for number, machine in enumerate(machines):
            lines += veth_lines(f"port{number}", UPLINK, machine.holder)
            lines += [f"link set dev port{number} master switch up"]
        switch.run(["ip", "-batch", "-"], "\n".join(lines))
        for machine in machines:
            own = ["link set dev lo up", *address_lines(UPLINK, machine.address)]
            machine.run(["ip", "-batch", "-"], "\n".join(own))
        server, sender, receiver = machines
        yield Place("two machines on one switch", server, sender, receiver, receiver)


@contextmanager
def behind_nats() -> Iterator[Place]:
    """Put the two machines behind a NAT each."""
    flavour = NATFlavour.PORT_RESTRICTED
    with Lab(flavour, flavour) as lab:
        name = "two machines behind a port-restricted NAT each"
        yield Place(name, lab.tracker, lab.left, lab.right, lab.tracker)


# --- servers ----------------------------------------------------------------------------


def serve(machine: Namespace, log: Path, ready: str, arguments: Sequence[str]) -> None:
    """Start a server and wait until its log says that it is ready."""
    with log.open("wb") as file:
        server = machine.popen(arguments, stdout=file, stderr=file, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while ready not in log.read_text():
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"A server did not start: {log.read_text()[-500:]}")
        time.sleep(LOOK_SECONDS)


def serve_all(place: Place, wormhole: Path, folder: Path) -> None:
    machine, host = place.server, place.server.address
    twist = (str(wormhole / "bin/twist"), "--log-format=text")
    tracker = (sys.executable, "-m", "twisted", "--log-format=text", "p2ptracker")
    serve(
        machine,
        folder / "tracker.log",
        "serves udp",
        [
            *(*tracker, "--udp", f"{TRACKER_PORT}:interface={host}"),
            *("--stream", f"tcp:{TRACKER_PORT}:interface={host}"),
        ],
    )
    mailbox = ["wormhole-mailbox", "--port", f"tcp:{MAILBOX_PORT}:interface={host}"]
    mailbox += ["--channel-db", str(folder / "mailbox.sqlite")]
    serve(machine, folder / "mailbox.log", f"starting on {MAILBOX_PORT}", [*twist, *mailbox])
    relay = ["transitrelay", "--port", f"tcp:{RELAY_PORT}:interface={host}"]
    serve(machine, folder / "relay.log", f"starting on {RELAY_PORT}", [*twist, *relay])


# --- the rivals -------------------------------------------------------------------------

Rival = Callable[[Place, Path, Path], tuple[Program, Callable[[], Program]]]
"""Starts the sender of a file, waits until it is ready, and returns it with what starts the
receiver into a folder."""


def by_p2p(place: Place, file: Path, into: Path) -> tuple[Program, Callable[[], Program]]:
    tracker = f"{place.server.address}:{TRACKER_PORT}"

    def start(machine: Namespace, role: str, *words: str) -> Program:
        identity = str(file.parent / "keys" / f"{role}.pem")
        with (file.parent / f"{role}.events").open("wb") as events:
            return machine.popen(
                [*P2P, "--identity", identity, "--tracker", tracker, role, *words],
                stdout=subprocess.PIPE,
                stderr=events,
            )

    sender = start(place.sender, "send", str(file))
    assert sender.stdout is not None
    said = sender.stdout.readline()
    if not said:
        sys.exit("p2p did not begin to send")
    ticket = json.loads(said)["ticket"]
    return sender, lambda: start(place.receiver, "receive", ticket, "--into", str(into))


class Wormhole:
    """magic-wormhole, with another code for each transfer."""

    def __init__(self, environment: Path) -> None:
        self._program = str(environment / "bin/wormhole")
        self._codes = 0

    def __call__(
        self, place: Place, file: Path, into: Path
    ) -> tuple[Program, Callable[[], Program]]:
        self._codes += 1
        code = f"{self._codes}-loud-comparison"
        host = place.server.address
        command = [self._program, "--relay-url", f"ws://{host}:{MAILBOX_PORT}/v1"]
        command += ["--transit-helper", f"tcp:{host}:{RELAY_PORT}"]
        sender = place.sender.popen(
            [*command, "send", "--hide-progress", "--no-qr", "--code", code, str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert sender.stderr is not None
        while f"wormhole receive {code}".encode() not in (line := sender.stderr.readline()):
            if not line:
                sys.exit("magic-wormhole did not begin to send")
        receive = [
            "receive",
            "--hide-progress",
            "--accept-file",
            "-o",
            str(into / "received"),
            code,
        ]
        return sender, lambda: place.receiver.popen(
            [*command, *receive], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def transfer(rival: Rival, place: Place, file: Path) -> Outcome:
    """Send the file, and return how that went."""
    size = file.stat().st_size
    with tempfile.TemporaryDirectory(dir=file.parent) as name:
        into = Path(name)
        sender, start_receiver = rival(place, file, into)
        started = now = time.monotonic()
        deadline = started + START_SECONDS + size / SLOWEST
        running = {sender: 0, start_receiver(): 1}
        usage: dict[int, Any] = {}
        marks: list[tuple[float, int]] = []
        while running:
            if now > deadline:
                sys.exit("a transfer took too long")
            time.sleep(LOOK_SECONDS)
            now, there = time.monotonic(), bytes_in(into)
            if there > (marks[-1][1] if marks else 0):
                marks.append((now, there))
            for program in list(running):
                pid, status, used = os.wait4(program.pid, os.WNOHANG)
                if pid:
                    program.returncode = os.waitstatus_to_exitcode(status)
                    if program.returncode:
                        sys.exit(f"{program.args} ended with {program.returncode}")
                    usage[running.pop(program)] = used
        [received] = into.iterdir()
        if digest(received) != digest(file):
            sys.exit("another file arrived than was sent")
    (first, before), (last, after) = marks[0], marks[-1]
    return Outcome(
        seconds=now - started,
        rate=(after - before) / (last - first),
        memory=tuple(usage[side].ru_maxrss * 1024 for side in (0, 1)),  # type: ignore[arg-type]
        processor=tuple(usage[side].ru_utime + usage[side].ru_stime for side in (0, 1)),  # type: ignore[arg-type]
    )


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


# --- what the links can do --------------------------------------------------------------


def plain_copy(place: Place, file: Path) -> float:
    """Return the bytes a second of a TCP connection."""
    own = (sys.executable, __file__)
    host = place.copied_to.address
    reader = place.copied_to.popen([*own, "--read-at", host], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    reader.stdout.readline()
    place.sender.run([*own, "--copy", str(file), "--to", host])
    return float(reader.stdout.readline() or sys.exit("the plain copy broke off"))


def read_at(host: str) -> None:
    socket.setdefaulttimeout(START_SECONDS)
    with socket.create_server((host, COPY_PORT)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    buffer, count, started = bytearray(1 << 20), 0, time.monotonic()
    with connection:
        while size := connection.recv_into(buffer):
            count += size
    print(count / (time.monotonic() - started), flush=True)


def copy_to(host: str, name: str) -> None:
    with (
        socket.create_connection((host, COPY_PORT), START_SECONDS) as connection,
        open(name, "rb") as file,
    ):
        connection.sendfile(file)


# --- all of it --------------------------------------------------------------------------


def race(place: Place, rivals: dict[str, Rival], file: Path, rounds: int) -> None:
    """Let the rivals run in turn, and print the medians."""
    copies: list[float] = []
    outcomes: dict[str, list[Outcome]] = {name: [] for name in rivals}
    for _ in range(rounds):
        copies.append(plain_copy(place, file))
        for name, rival in rivals.items():
            outcomes[name].append(transfer(rival, place, file))
    print(f"{place.name}: {file.stat().st_size >> 20} MiB, {rounds} rounds")
    print(f"  {'plain TCP':15}{median(copies) / 1e6:7.1f} MB/s")
    for name, results in outcomes.items():
        print(f"  {name:15}{describe(results)}")
    ours, theirs = (median(one.rate for one in results) for results in outcomes.values())
    print(f"  p2p made {ours / theirs:.2f} times the rate of magic-wormhole", flush=True)


def describe(results: list[Outcome]) -> str:
    rate, seconds = (
        f"{median(one.rate for one in results) / 1e6:7.1f} MB/s",
        f"{median(one.seconds for one in results):6.2f} s",
    )
    sides = [
        f"{side} {max(one.memory[place] for one in results) / 1e6:4.0f} MB,"
        f" {median(one.processor[place] for one in results):5.2f} s"
        for place, side in enumerate(("sender", "receiver"))
    ]
    return f"{rate}, {seconds} in all; at most and of processor time: {'; '.join(sides)}"


def wormhole_environment(given: str | None, folder: Path) -> Path:
    """Return the virtual environment of magic-wormhole, made if none is given."""
    environment = Path(given) if given else folder / "wormhole"
    if not given:
        requirements = Path(__file__).with_name("requirements.txt")
        pip = [str(environment / "bin/pip"), "install", "--quiet", "-r", str(requirements)]
        for command in ([sys.executable, "-m", "venv", str(environment)], pip):
            if subprocess.run(command, check=False).returncode:
                cannot("magic-wormhole could not be installed; name an environment by --wormhole.")
    if not (environment / "bin/wormhole").exists():
        cannot(f"There is no magic-wormhole in {environment}.")
    return environment


def cannot(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(2)


def best_folder(size: int) -> str | None:
    """Return where three files of this size have room, in memory if possible."""
    memory = "/dev/shm"
    return memory if os.path.isdir(memory) and shutil.disk_usage(memory).free > 3 * size else None


def write_random(file: Path, size: int) -> None:
    with file.open("wb") as content:
        for _ in range(size >> 20):
            content.write(os.urandom(1 << 20))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wormhole", help="a virtual environment with magic-wormhole")
    parser.add_argument("--folder", help="where the files lie")
    for name in ("--read-at", "--copy", "--to"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.read_at:
        read_at(options.read_at)
        return
    if options.copy:
        copy_to(options.to, options.copy)
        return
    missing = available()
    if missing is not None:
        cannot(missing)
    size = options.size << 20
    with tempfile.TemporaryDirectory(dir=options.folder or best_folder(size)) as name:
        folder = Path(name)
        environment = wormhole_environment(options.wormhole, folder)
        file = folder / "file"
        write_random(file, size)
        for make_place in (switched, behind_nats):
            with make_place() as place:
                serve_all(place, environment, folder)
                rivals: dict[str, Rival] = {"p2p": by_p2p, "magic-wormhole": Wormhole(environment)}
                race(place, rivals, file, options.rounds)


if __name__ == "__main__":
    main()
