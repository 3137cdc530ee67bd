"""``p2p demo``: a tracker and two peers as processes of their own, and a file between them."""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import click
from attrs import frozen

from ..errors import P2PError
from .demo_places import Place, best_place
from .options import Options
from .reporting import Reporter

_FILE_SIZE = 16 << 20
_MOST_BYTES_AT_TRACKER = 64_000
_PATIENCE = 26.0
_SERVICE = "demo"
_READ_STATUS = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"


class DemoFailed(P2PError):
    """The demonstration did not come out as it should."""

    code = "demo_failed"


@click.command("demo")
@click.pass_obj
def command(options: Options) -> None:
    """Send a file between two peers, and say what happened.

    A tracker introduces them, each is a process of its own and, where this machine permits it,
    behind a NAT of its own.
    """
    deadline = time.monotonic() + _PATIENCE
    with tempfile.TemporaryDirectory(prefix="p2p-demo-") as folder, best_place() as place:
        options.reporter.event(place.description, "demo_place", description=place.description)
        _Demonstration(options.reporter, place, Path(folder)).run(deadline)


@frozen
class _Demonstration:
    reporter: Reporter
    place: Place
    folder: Path

    def run(self, deadline: float) -> None:
        """Do it all; raises `DemoFailed` unless everything came true by the deadline."""
        sent, received = self.folder / "sent", self.folder / "received"
        _write_random_file(sent)
        self._start_tracker(deadline)
        with sent.open("rb") as source, received.open("wb") as sink:
            listener = self._start_peer(
                "listening peer", ["listen", _SERVICE], subprocess.DEVNULL, sink
            )
            listening = listener.wait_for("ready", deadline)
            self._say_registered("listening peer", listening)
            dial = ["connect", listening["peer"], _SERVICE]
            sender = self._start_peer("sending peer", dial, source, subprocess.DEVNULL)
            self._say_registered("sending peer", sender.wait_for("ready", deadline))
            connected = sender.wait_for("connected", deadline)
            self._say_connected(connected)
            started = time.monotonic()
            for peer in (sender, listener):
                peer.wait_for("closed", deadline)
            elapsed = time.monotonic() - started
            for peer in (sender, listener):
                peer.wait_for_success(deadline)
        self._check_introduction()
        self._check_file(sent, received, elapsed)
        self._check_tracker_bytes()

    def _start_tracker(self, deadline: float) -> None:
        place = self.place
        interface = "" if place.lab else ":interface=127.0.0.1"
        arguments = [
            *(sys.executable, "-m", "twisted", "p2ptracker"),
            *("--udp", f"{place.tracker_port}{interface}"),
            *("--stream", f"tcp:{place.tracker_port}{interface}"),
            *("--web", f"tcp:{place.status_port}:interface=127.0.0.1"),
        ]
        with (self.folder / "tracker.log").open("wb") as log:
            tracker = place.tracker.popen(arguments, stdout=log, stderr=log)
        while "p2ptracker serves" not in self._log():
            if tracker.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed(f"The tracker did not start:\n{self._log()}")
            time.sleep(0.02)
        where = f"{place.tracker_host}:{place.tracker_port}"
        self.reporter.event(f"The tracker serves at {where}.", "demo_tracker", address=where)

    def _log(self) -> str:
        return (self.folder / "tracker.log").read_text(errors="replace")

    def _start_peer(
        self, name: str, words: list[str], stdin: int | IO[bytes], stdout: int | IO[bytes]
    ) -> _PeerProcess:
        place = self.place
        machine = place.listener if name == "listening peer" else place.sender
        process = machine.popen(
            [
                *(sys.executable, "-m", "twisted_p2p.cli", "--json", "--no-lan"),
                *("--identity", str(self.folder / f"{name.split(maxsplit=1)[0]}.pem")),
                *("--tracker", f"{place.tracker_host}:{place.tracker_port}"),
                *words,
            ],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        return _PeerProcess(name, process)

    def _say_registered(self, name: str, ready: dict[str, Any]) -> None:
        self.reporter.event(
            f"The {name} registered with the tracker as {ready['peer']}.",
            "demo_registered",
            name=name,
            peer=ready["peer"],
            udp_port=ready["udp_port"],
        )

    def _say_connected(self, connected: dict[str, Any]) -> None:
        path = connected["path"]
        if path["kind"] not in self.place.path_kinds:
            raise DemoFailed(f"The path found is {path['kind']}, which is not expected here.")
        self.reporter.event(
            f"The path found is {path['kind']}: from {path['local']} straight to "
            f"{path['remote']}, in {connected['elapsed_ms']:.0f} ms.",
            "demo_connected",
            path=path,
            elapsed_ms=connected["elapsed_ms"],
        )

    def _check_introduction(self) -> None:
        introductions = self._tracker_status()["introductions_total"]
        if introductions < 1:
            raise DemoFailed("The tracker has introduced nobody.")
        self.reporter.event(
            "The tracker introduced the two to each other.",
            "demo_introduced",
            introductions_total=introductions,
        )

    def _check_file(self, sent: Path, received: Path, elapsed: float) -> None:
        digests = [_digest(sent), _digest(received)]
        if digests[0] != digests[1]:
            raise DemoFailed("The file received is not the file sent.")
        size = sent.stat().st_size
        rate = size / elapsed / 1e6
        self.reporter.event(
            f"{size / 2**20:.0f} MiB went over in {elapsed:.1f} s ({rate:.0f} MB/s), "
            f"and the digests agree: SHA-256 {digests[0][:16]}...",
            "demo_transferred",
            bytes=size,
            elapsed_s=round(elapsed, 3),
            bytes_per_s=round(size / elapsed),
            sha256=digests[0],
        )

    def _check_tracker_bytes(self) -> None:
        place = self.place
        if place.lab:
            carried = place.lab.tracker.bytes_carried()
        else:
            status = self._tracker_status()
            carried = status["bytes_in_total"] + status["bytes_out_total"]
        if carried >= _MOST_BYTES_AT_TRACKER:
            raise DemoFailed(f"The tracker carried {carried} bytes, more than introductions take.")
        self.reporter.result(
            f"The tracker carried {carried} bytes in all ({place.counted_traffic}): no payload.",
            "demo",
            tracker_bytes=carried,
            ok=True,
        )

    def _tracker_status(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.place.status_port}/status.json"
        read = self.place.tracker.run([sys.executable, "-c", _READ_STATUS, url])
        status: dict[str, Any] = json.loads(read)
        return status


class _PeerProcess:
    """A `p2p` process, whose events are read as they come."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self._name = name
        self._process = process
        assert process.stderr is not None
        self._lines = process.stderr
        self._unread = b""

    def wait_for(self, event: str, deadline: float) -> dict[str, Any]:
        """Return the next event of this name; raises `DemoFailed` when it does not come."""
        while line := self._read_line(deadline):
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
            if told["event"] == "error":
                raise DemoFailed(f"The {self._name} says: {told['message']}")
        if time.monotonic() > deadline:
            raise _too_slow(self._name)
        raise DemoFailed(f"The {self._name} ended before its event {event!r}.")

    def wait_for_success(self, deadline: float) -> None:
        """Wait until the process ends; raises `DemoFailed` unless it ends well, and in time."""
        try:
            status = self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise _too_slow(self._name) from None
        if status:
            raise DemoFailed(f"The {self._name} ended with status {status}.")

    def _read_line(self, deadline: float) -> bytes:
        """Return the next line, or nothing at the end or when time is up."""
        while b"\n" not in self._unread:
            wait = deadline - time.monotonic()
            ready, _, _ = select.select([self._lines], [], [], max(0.0, wait))
            read = os.read(self._lines.fileno(), 65536) if ready else b""
            if not read:
                return b""
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def _too_slow(name: str) -> DemoFailed:
    return DemoFailed(
        f"The {name} was not done in the {_PATIENCE:.0f} s that the demonstration may take; "
        "try again when this machine is less busy."
    )


def _write_random_file(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(_FILE_SIZE >> 20):
            file.write(os.urandom(1 << 20))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
