"""Wires that take time: ``python -m twisted_p2p.network_namespaces.delay SECONDS NAME...``.

Each NAME becomes a TUN interface of that name and one of the name with ``-far`` behind it; what
is routed into the one comes out of the other after SECONDS, both ways, in order and without loss
of its own.  The line "ready" on standard output says that the interfaces are there; either end
may then be moved to another network namespace.  The interfaces go when the program ends, and it
ends when one of them goes with the namespace that it was moved to.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import select
import struct
import sys
from collections import deque
from time import monotonic
from typing import Final

TUNSETIFF: Final = 0x400454CA
TUN_WITHOUT_HEADER: Final = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI
PACKET_LIMIT: Final = 65536  # bytes
BATCH: Final = 64
"""Packets taken from one interface before what is due is sent: about half a millisecond's work."""


class DelayLine:
    """Packets on their way, each with the file descriptor that it leaves by.

    All take equally long, so they leave in the order in which they came.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._packets: deque[tuple[float, int, bytes]] = deque()

    def put(self, packet: bytes, exit_descriptor: int, now: float) -> None:
        """Take a packet that arrived at ``now``, in seconds."""
        self._packets.append((now + self._delay, exit_descriptor, packet))

    def pop_due(self, now: float) -> list[tuple[int, bytes]]:
        """Forget and return the packets that have travelled long enough, oldest first."""
        due = []
        while self._packets and self._packets[0][0] <= now:
            _, exit_descriptor, packet = self._packets.popleft()
            due.append((exit_descriptor, packet))
        return due

    def next_due(self) -> float | None:
        """Return when the next packet arrives, or None when none is on its way."""
        return self._packets[0][0] if self._packets else None


def open_tun(name: str) -> int:
    """Create a TUN interface in this network namespace and return its file descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", name.encode(), TUN_WITHOUT_HEADER))
    return descriptor


def carry(exits: dict[int, int], line: DelayLine) -> None:
    """Carry packets from each key of ``exits`` to its value, until an interface is gone."""
    while True:
        due = line.next_due()
        wait = None if due is None else max(0.0, due - monotonic())
        readable, _, _ = select.select(exits, [], [], wait)
        for entrance in readable:
            _take_in(entrance, exits[entrance], line)
        for exit_descriptor, packet in line.pop_due(monotonic()):
            _send_out(exit_descriptor, packet)


def _take_in(entrance: int, exit_descriptor: int, line: DelayLine) -> None:
    now = monotonic()
    for _ in range(BATCH):
        try:
            packet = os.read(entrance, PACKET_LIMIT)
        except BlockingIOError:
            return
        line.put(packet, exit_descriptor, now)


def _send_out(exit_descriptor: int, packet: bytes) -> None:
    try:
        os.write(exit_descriptor, packet)
    except OSError:  # the interface at that end is down: the packet is lost, as on a cut cable
        return


def main() -> None:
    """Read the command line, make the interfaces and carry packets until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, help="the delay each way")
    parser.add_argument("names", nargs="+", help="an interface; NAME-far is its other end")
    arguments = parser.parse_args()
    exits: dict[int, int] = {}
    for name in arguments.names:
        near, far = open_tun(name), open_tun(f"{name}-far")
        exits |= {near: far, far: near}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        carry(exits, DelayLine(arguments.seconds))
    except OSError as error:
        if error.errno != errno.EBADFD:
            raise


if __name__ == "__main__":
    main()
