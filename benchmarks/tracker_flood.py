"""Promise 2, measured: a tracker under a flood from forged sources, with an honest node beside it.

    python benchmarks/tracker_flood.py [--rate 20000] [--seconds 60] [--sources 100000]

A tracker runs as a process of its own (``python -m twisted p2ptracker``) on loopback.  A second
process sends it datagrams whose sources are spread over 127.0.0.0/8: one socket names another
source address for each datagram (IP_PKTINFO), so no privilege and few descriptors are needed.
Meanwhile an honest node looks up a peer, again and again, and says how long it waited.

Promised: no row in any table, memory within 5 MB, the honest node's p99 within 250 ms.  Exit
status 0 only if all of it held.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.tracker.world import Node, World
from twisted_p2p.addresses import HostPort
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage
from twisted_p2p.tracker.attributes import LOOK_UP, REGISTER
from twisted_p2p.tracker.messages import Challenge, CookieRequest, LookUp, read_response
from twisted_p2p.tracker.wire import read_message

MEMORY_LIMIT = 5_000_000
P99_LIMIT = 0.250
LOST = 1.0
IP_PKTINFO = 8  # <linux/in.h>; Python's socket module does not name it before 3.14


def start_tracker() -> tuple[subprocess.Popen[str], HostPort, str]:
    """Return the process, its UDP address and the URL of its status."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "twisted", "--log-format=text", "p2ptracker"),
            *("--udp", "0:interface=127.0.0.1", "--stream", "tcp:0:interface=127.0.0.1"),
            *("--web", "tcp:0:interface=127.0.0.1"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"serves udp ([\d.]+):(\d+), .*web (\S+)", line)
        if found:
            url = f"http://{found.group(3)}/status.json"
            return process, HostPort(found.group(1), int(found.group(2))), url
    raise SystemExit("the tracker did not start")


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def flood(
    server: HostPort, rate: int, seconds: float, sources: int, sent: Any, started: Any
) -> None:
    """Send a mix of unproven datagrams, each from another source."""
    chosen = random.Random(1)
    datagrams = [
        STUNMessage.build(BINDING, MessageClass.REQUEST, bytes(12)).encode(),
        CookieRequest(REGISTER).encode(bytes(12)),
        Node(World(), 1).registration(cookie=bytes(16)).encode(bytes(12)),
        chosen.randbytes(200),
    ]
    places = [
        [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, address, bytes(4)))]
        for address in (bytes((127, *chosen.randbytes(3))) for _ in range(sources))
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("", 0))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        started.set()
        start = time.monotonic()
        count = 0
        while (elapsed := time.monotonic() - start) < seconds:
            while count < rate * elapsed:
                ours.sendmsg([datagrams[count % 4]], places[count % sources], 0, server)
                count += 1
            time.sleep(0.0005)
    sent.value = count


class HonestNode:
    """Looks up a peer with a cookie and measures how long each answer takes."""

    def __init__(self, server: HostPort) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(server)
        self._socket.settimeout(LOST)
        self._number = 0
        self._cookie = b""

    def ask(self) -> float:
        """Return the seconds that one look-up took; `LOST` for one that got no answer."""
        self._number += 1
        transaction_id = self._number.to_bytes(12, "big")
        request = LookUp(self._cookie, bytes(32)) if self._cookie else CookieRequest(LOOK_UP)
        start = time.monotonic()
        self._socket.send(request.encode(transaction_id))
        try:
            while (message := read_message(self._socket.recv(2048))) is not None:
                if message.transaction_id == transaction_id:
                    break
        except TimeoutError:
            return LOST
        answer = read_response(message)
        self._cookie = answer.cookie if isinstance(answer, Challenge) else self._cookie
        return time.monotonic() - start

    def ask_for(self, seconds: float) -> list[float]:
        """Ask 20 times a second and return what each took."""
        waits = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            waits.append(self.ask())
            time.sleep(max(0.0, 0.05 - waits[-1]))
        return waits


def p99(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=100)[98]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=20_000, help="datagrams a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sources", type=int, default=100_000)
    options = parser.parse_args()
    process, server, url = start_tracker()
    try:
        honest = HonestNode(server)
        quiet = honest.ask_for(2)
        memory = resident_bytes(process.pid)
        used_before = processor_seconds(process.pid)
        sent = multiprocessing.Value("q")
        started = multiprocessing.Event()
        flooder = multiprocessing.Process(
            target=flood,
            args=(server, options.rate, options.seconds, options.sources, sent, started),
        )
        flooder.start()
        started.wait()
        waits = honest.ask_for(options.seconds)
        flooder.join()
        grown = resident_bytes(process.pid) - memory
        used = processor_seconds(process.pid) - used_before
        with urlopen(url) as page:
            status = json.load(page)
    finally:
        process.terminate()
        process.wait()
    lost = sum(wait >= LOST for wait in waits)
    answered = [wait for wait in waits if wait < LOST]
    print(
        f"sent {sent.value} datagrams ({sent.value / options.seconds:.0f}/s), sources"
        f" {options.sources}; nodes {status['nodes']}, registrations {status['registrations']}"
    )
    print(
        f"tracker read {status['bytes_in_total']} bytes, wrote {status['bytes_out_total']},"
        f" dropped {status['datagrams_dropped_total']}, refused"
        f" {status['requests_refused_total']}, signature checks"
        f" {status['signature_checks_total']}"
    )
    print(f"the tracker used {used:.1f} s of processor time in {options.seconds:.0f} s")
    print(f"memory grew by {grown / 1e6:.1f} MB (limit {MEMORY_LIMIT / 1e6:.0f})")
    print(
        f"honest p99 {1000 * p99(quiet):.1f} ms without the flood, {1000 * p99(waits):.1f} ms"
        f" with it (limit {1000 * P99_LIMIT:.0f}); median {1000 * statistics.median(answered):.1f}"
        f" ms, {lost} of {len(waits)} not answered within {LOST:.0f} s"
    )
    if sent.value < 0.95 * options.rate * options.seconds:
        print("this machine is too slow to send so many; nothing is proven")
        return 1
    kept = not status["registrations"] and grown <= MEMORY_LIMIT and p99(waits) <= P99_LIMIT
    print("promise 2 holds" if kept else "PROMISE 2 IS BROKEN")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
