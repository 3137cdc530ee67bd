"""Time from `connect` to the first echoed byte between two NATs, beside aioice 0.13.

    pip install aioice==0.13.0
    python benchmarks/punch_latency.py [--rounds 15] [--milliseconds 20]

Each peer is a process behind a port-restricted NAT, a given delay away from the middle, where the
tracker is (so a round trip to the tracker takes twice the delay, one between the peers four
times).  The tracker is `twistd p2ptracker`, for aioice as well, which uses it as its STUN server.
Each round has two new processes, and the rounds of all ways are interleaved.  On a machine that has
other work, put `chrt -r 5` before the command.

twisted_p2p: both nodes are registered with the tracker before the clock starts.  It runs from
`PeerClientEndpoint.connect` to the first byte echoed over a stream, which is encrypted, between
two peers that each have shown their keys.  The caller writes before the stream is accepted
(`IEarlyFactory`); otherwise it takes a round trip more.

aioice: the peers have a TCP connection to a signalling server on the tracker's machine and have
gathered their candidates before the clock starts.  It runs from sending the first description to
the first byte echoed over the ICE connection, which neither encrypts nor says who is there.  The
peer that is called can start its checks

- at once when it has sent its answer, as in aioice's examples.  Then its first check towards the
  other NAT arrives in the very millisecond in which that NAT is opened from inside; lost, it is
  repeated after 500 ms;
- or `HEAD_START` later, which is the best way for aioice that was found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import aioice
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react
from twisted.internet.threads import deferToThread
from zope.interface import alsoProvides

from twisted_p2p.addresses import HostPort
from twisted_p2p.endpoints import PeerClientEndpoint, PeerServerEndpoint
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.interfaces import IEarlyFactory
from twisted_p2p.network_namespaces.lab import Lab
from twisted_p2p.network_namespaces.namespace import Namespace
from twisted_p2p.network_namespaces.nat_rules import NATFlavour
from twisted_p2p.node.service import P2PNode

SIGNALLING_PORT = 7000
TRACKER_PORT = 3478
HEAD_START = 0.01
"""Seconds."""
TWISTD = "from twisted.scripts.twistd import run; run()"


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


# --- the peers of twisted_p2p -----------------------------------------------------------


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Caller(Protocol):
    def __init__(self) -> None:
        self.echoed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"x")

    def dataReceived(self, data: bytes) -> None:
        self.echoed.callback(None)


async def start_node(reactor: Any, tracker: str) -> P2PNode:
    node = P2PNode(
        reactor, IdentityKey.generate(), trackers=[HostPort(tracker, TRACKER_PORT)], lan=False
    )
    node.startService()
    await node.when_ready()
    return node


async def call(reactor: Any, tracker: str) -> None:
    node = await start_node(reactor, tracker)
    say("ready")
    peer_id = (await deferToThread(sys.stdin.readline)).strip()
    caller = Caller()
    began = perf_counter()
    factory = Factory.forProtocol(lambda: caller)
    alsoProvides(factory, IEarlyFactory)
    await PeerClientEndpoint(node, peer_id, "echo").connect(factory)
    await caller.echoed
    say(perf_counter() - began)


async def be_called(reactor: Any, tracker: str) -> None:
    node = await start_node(reactor, tracker)
    await PeerServerEndpoint(node, "echo").listen(Factory.forProtocol(Echo))
    say(node.peer_id)
    await Deferred()


# --- the peers of aioice ----------------------------------------------------------------


class Signalling:
    """Hands the lines of each of two peers to the other one."""

    def __init__(self) -> None:
        self._writers: dict[str, asyncio.StreamWriter] = {}

    async def serve(self) -> None:
        server = await asyncio.start_server(self._joined, port=SIGNALLING_PORT)
        say("ready")
        await server.serve_forever()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = json.loads(await reader.readline())
        self._writers[name] = writer
        writer.write(b'"joined"\n')
        while line := await reader.readline():
            self._writers["right" if name == "left" else "left"].write(line)


class AioicePeer:
    def __init__(self, name: str, tracker: str, head_start: float) -> None:
        self._name = name
        self._tracker = tracker
        self._head_start = head_start
        self._ice = aioice.Connection(
            ice_controlling=name == "left", stun_server=(tracker, TRACKER_PORT)
        )

    async def run(self) -> None:
        await self._prepare()
        say("ready")
        await (self._call() if self._name == "left" else self._serve())

    async def _prepare(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._tracker, SIGNALLING_PORT)
        self._signal(self._name)
        await self._reader.readline()
        await self._ice.gather_candidates()

    async def _call(self) -> None:
        await asyncio.to_thread(sys.stdin.readline)
        began = perf_counter()
        self._signal(self._description())
        await self._take_description()
        await self._ice.connect()
        await self._ice.send(b"x")
        await self._ice.recv()
        say(perf_counter() - began)

    async def _serve(self) -> None:
        await self._take_description()
        self._signal(self._description())
        await asyncio.sleep(self._head_start)
        await self._ice.connect()
        while True:
            await self._ice.send(await self._ice.recv())

    def _description(self) -> dict[str, Any]:
        return {
            "user_name": self._ice.local_username,
            "password": self._ice.local_password,
            "candidates": [candidate.to_sdp() for candidate in self._ice.local_candidates],
        }

    async def _take_description(self) -> None:
        description = json.loads(await self._reader.readline())
        self._ice.remote_username = description["user_name"]
        self._ice.remote_password = description["password"]
        for candidate in description["candidates"]:
            await self._ice.add_remote_candidate(aioice.Candidate.from_sdp(candidate))
        await self._ice.add_remote_candidate(None)

    def _signal(self, message: object) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")


# --- the measurement ---------------------------------------------------------------------


class Program:
    """One of the parts of this file, as a program on a machine of the lab."""

    def __init__(self, machine: Namespace, *arguments: str) -> None:
        self._process = machine.popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.greeting = self.answer()

    def answer(self) -> Any:
        return json.loads(self._process.stdout.readline())

    def go(self, word: str = "go") -> None:
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def start_tracker(lab: Lab) -> None:
    tracker = lab.tracker.popen(
        [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "p2ptracker"],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in tracker.stdout:
        if "p2ptracker serves" in line:
            return
    raise SystemExit("the tracker did not start")


def measure_round(lab: Lab, kind: str, *options: str) -> float:
    """Return the milliseconds of one round with a new pair of processes."""
    common = ["--tracker", lab.tracker.address, *options]
    right = Program(lab.right, f"{kind}-right", *common)
    left = Program(lab.left, f"{kind}-left", *common)
    left.go(right.greeting)
    elapsed: float = left.answer()
    for peer in (left, right):
        peer.end()
    return elapsed * 1000


def report(name: str, times: Sequence[float]) -> None:
    tenths = quantiles(times, n=10)
    print(
        f"{name:50} median {median(times):5.0f} ms   p10 {tenths[0]:5.0f}   p90 {tenths[-1]:5.0f}"
    )


def measure(options: argparse.Namespace) -> None:
    flavour = NATFlavour.PORT_RESTRICTED
    version = aioice.__version__
    ways = {
        "twisted_p2p": ("node",),
        f"aioice {version}, the called peer starts at once": ("aioice",),
        f"aioice {version}, the called peer starts {HEAD_START * 1000:.0f} ms later": (
            "aioice",
            f"--head-start={HEAD_START}",
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with Lab(flavour, flavour, delay=options.milliseconds / 1000) as lab:
        start_tracker(lab)
        Program(lab.tracker, "signalling")
        for _ in range(options.rounds):
            for name, way in ways.items():
                times[name].append(measure_round(lab, *way))
    for name in ways:
        report(name, times[name])
    ours, *theirs = (median(some) for some in times.values())
    print(f"twisted_p2p takes {ours / min(theirs):.2f} of the time of the faster aioice")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--tracker", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--milliseconds", type=float, default=20.0, help="delay each way")
    parser.add_argument("--head-start", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options.part:
        case None:
            measure(options)
        case "signalling":
            asyncio.run(Signalling().serve())
        case "node-left" | "node-right":
            play = call if options.part == "node-left" else be_called
            react(lambda reactor: Deferred.fromCoroutine(play(reactor, options.tracker)))
        case "aioice-left" | "aioice-right":
            name = options.part.removeprefix("aioice-")
            asyncio.run(AioicePeer(name, options.tracker, options.head_start).run())


if __name__ == "__main__":
    main()
