"""Five hundred nodes on one simulated LAN: what they send, and when all know all.

    python benchmarks/simulated_lan.py [--nodes 500] [--seed 1] [--minutes 5]

First all start within a second; then, once all know all, ``--minutes`` of steady state are
counted.  A packet to the group counts once, however many hear it.  Exit status 0 only if all knew
all within a minute.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from twisted_p2p.addresses import NetworkInterface
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.lan.discovery import LANDiscovery
from twisted_p2p.testing import SimulatedInternet
from twisted_p2p.testing.multicast import INTERFACE_INDEX, SimulatedMulticastPort

LIMIT = 60.0


class Counter:
    """Counts the packets that are sent to the group, and their bytes."""

    def __init__(self) -> None:
        self.packets = self.bytes = 0

    def count(self, data: bytes) -> None:
        self.packets += 1
        self.bytes += len(data)


def count_packets(counter: Counter) -> None:
    write = SimulatedMulticastPort.write

    def counted(port: SimulatedMulticastPort, packet: bytes, addr: tuple[str, int]) -> None:
        counter.count(packet)
        write(port, packet, addr)

    SimulatedMulticastPort.write = counted  # type: ignore[method-assign,assignment]


def add_nodes(internet: SimulatedInternet, count: int) -> list[LANDiscovery]:
    lan = internet.add_network("lan", "11.0.1.1")
    nodes = []
    for number in range(count):
        address = f"192.168.{number % 200}.{number // 200 + 1}"
        host = internet.add_host(f"host-{number}", address, network=lan)
        interface = NetworkInterface(host.interface, INTERFACE_INDEX, (f"{address}/16",))
        discovery = LANDiscovery(
            host.reactor,
            interfaces=lambda interface=interface: [interface],
            random_bytes=host.random.randbytes,
        )
        key = IdentityKey.from_seed(host.random.randbytes(32))

        def start(discovery: LANDiscovery = discovery, key: IdentityKey = key) -> None:
            discovery.start()
            discovery.browse()
            discovery.announce(str(key.peer_id), 4711, ("chat",), accepting=True)

        host.reactor.callLater(host.random.random(), start)
        nodes.append(discovery)
    return nodes


def until_all_know_all(internet: SimulatedInternet, nodes: list[LANDiscovery]) -> bool:
    while not all(len(node.peers()) == len(nodes) - 1 for node in nodes):
        if internet.now >= LIMIT:
            return False
        internet.run_for(0.1)
    return True


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    counter = Counter()
    count_packets(counter)
    began = time.process_time()
    internet = SimulatedInternet(options.seed)
    nodes = add_nodes(internet, options.nodes)
    held = until_all_know_all(internet, nodes)
    known = sum(len(node.peers()) for node in nodes)
    print(
        f"{options.nodes} nodes started within 1 s, seed {options.seed}: "
        f"{'all know all' if held else f'{known} known in all'} after {internet.now:.1f} s, "
        f"{counter.packets} packets, {counter.bytes} bytes"
    )
    # The questions that follow the start further and further apart are its aftermath.
    internet.run_for(60.0)
    print(f"in the first {internet.now:.1f} s: {counter.packets} packets, {counter.bytes} bytes")
    before, bytes_before = counter.packets, counter.bytes
    internet.run_for(60.0 * options.minutes)
    packets, size = counter.packets - before, counter.bytes - bytes_before
    print(
        f"steady state, {options.minutes:g} minutes: {packets / options.minutes:.0f} packets and "
        f"{size / options.minutes:.0f} bytes a minute, "
        f"{packets / options.minutes / options.nodes:.2f} packets a minute and node"
    )
    lost = options.nodes * (options.nodes - 1) - sum(len(node.peers()) for node in nodes)
    print(f"{lost} not known at the end; {time.process_time() - began:.0f} s of one core")
    return 0 if held and not lost else 1


if __name__ == "__main__":
    raise SystemExit(main())
