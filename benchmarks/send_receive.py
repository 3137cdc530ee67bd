"""`p2p send` and `p2p receive`, measured: rate, processor time and memory of both.

    python benchmarks/send_receive.py [--size 256] [--files 1] [--folder DIR]

A tracker, a sender and a receiver run as processes of their own on loopback, as a user would start
them.  ``--size`` is in MiB and is spread over ``--files`` files.  Printed are the rate from the
first agreement to the last confirmation as both sides tell it, and of both processes the greatest
resident memory and the processor time, start included.  Exit status 0 only if the digests agree
and each process stayed within ``--most-memory`` MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tracker_flood import start_tracker


def start(folder: Path, tracker: str, name: str, *words: str) -> subprocess.Popen[str]:
    """Start a command; its events go into a file."""
    complaints = (folder / f"{name}.events").open("w")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "twisted_p2p.cli", "--json", "--no-lan"),
            *(
                "--identity",
                str(folder / "keys" / f"{name}.pem"),
                "--no-lan",
                "--tracker",
                tracker,
                *words,
            ),
        ],
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[dict[str, Any], float, float]:
    """Return the result, the greatest resident memory in MB and the processor time in seconds."""
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{process.args} ended with {status}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result, usage.ru_maxrss / 1e3, usage.ru_utime + usage.ru_stime


def write_files(folder: Path, size: int, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        with (folder / f"file {number}").open("wb") as file:
            left = size // count
            while left:
                left -= file.write(os.urandom(min(left, 1 << 20)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--folder")
    parser.add_argument("--most-memory", type=float, default=150.0)
    options = parser.parse_args()
    tracker, address, _ = start_tracker()
    try:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            write_files(folder / "sent", options.size << 20, options.files)
            where = f"{address.host}:{address.port}"
            sender = start(folder, where, "sender", "send", str(folder / "sent"))
            assert sender.stdout is not None
            ticket = json.loads(sender.stdout.readline())["ticket"]
            into = str(folder / "received")
            receiver = start(folder, where, "receiver", "receive", ticket, "--into", into)
            outcomes = [end(receiver), end(sender)]
    finally:
        tracker.terminate()
        tracker.wait()
    for side, (result, memory, processor) in zip(("receiver", "sender"), outcomes, strict=True):
        print(
            f"{side:8}: {result['bytes'] / 2**20:.0f} MiB in {result['files']} files, "
            f"{result['elapsed_s']:.2f} s, {result['bytes_per_s'] / 1e6:.1f} MB/s, "
            f"{memory:.0f} MB resident at most, {processor:.2f} s of processor time"
        )
    digests = {result["digest"] for result, _, _ in outcomes}
    if len(digests) > 1 or any(memory > options.most_memory for _, memory, _ in outcomes):
        sys.exit("not as promised")


if __name__ == "__main__":
    main()
