"""What hostile datagrams from the same link cost a node that browses and is announced.

    python benchmarks/lan_flood.py [--seconds 3]

Each kind is sent to a `MulticastDNS` machine for ``--seconds`` of one core, as if all came within
one second.  Exit status 0 only if it takes ten thousand malformed datagrams a second.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from struct import pack

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.fuzz.mutation import load_corpus, mutant
from tests.lan.dns_host import DNSHost, pointer
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.lan.records import Message, Question
from twisted_p2p.lan.wire import decode_message, encode_message

WANTED = 10_000
COUNT = 2_000


def is_malformed(data: bytes) -> bool:
    try:
        decode_message(data)
    except MalformedMessage:
        return True
    return False


def mutants() -> Iterator[bytes]:
    corpus = list(load_corpus("multicast_dns_messages").values())
    seed = 0
    while True:
        seed += 1
        yield mutant(corpus, seed)[:1_452]


def malformed() -> list[bytes]:
    found = filter(is_malformed, mutants())
    return [next(found) for _ in range(COUNT)]


def any_mutants() -> list[bytes]:
    found = mutants()
    return [next(found) for _ in range(COUNT)]


def false_peers() -> list[bytes]:
    return [
        encode_message(Message(True, answers=tuple(pointer(f"{n}-{m}") for m in range(20))))
        for n in range(COUNT)
    ]


def crowded_questions(host: DNSHost) -> list[bytes]:
    """Return queries of 1,452 bytes that ask for all types there are of a name of the node's."""
    first = encode_message(Message(questions=(Question(host.instance, 1),)))[12:]
    count = (1_452 - 12 - len(first)) // 6
    return [
        pack("!6H", 0, 0, 1 + count, 0, 0, 0)
        + first
        + b"".join(pack("!3H", 0xC00C, 256 + (n * count + m) % 60_000, 1) for m in range(count))
        for n in range(COUNT)
    ]


def rate(host: DNSHost, datagrams: list[bytes], seconds: float) -> float:
    """Return how many a second the machine takes on this core, its answers included."""
    began, taken = time.process_time(), 0
    while (used := time.process_time() - began) < seconds:
        for data in datagrams[:100]:
            host.receive(data)
        datagrams = datagrams[100:] + datagrams[:100]
        taken += 100
        host.run(0.01)
    return taken / used


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    rates = {}
    for name, make in (
        ("malformed", lambda host: malformed()),
        ("mutants", lambda host: any_mutants()),
        ("false peers, 20 each", lambda host: false_peers()),
        ("240 questions each", crowded_questions),
        ("noise", lambda host: [Random(n).randbytes(1_400) for n in range(COUNT)]),
    ):
        host = DNSHost()
        host.browse()
        host.be_announced()
        rates[name] = rate(host, make(host), options.seconds)
        print(f"{name:22}{rates[name]:9.0f} datagrams a second on one core")
    return 0 if rates["malformed"] >= WANTED else 1


if __name__ == "__main__":
    raise SystemExit(main())
