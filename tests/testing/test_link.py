"""Links lose in bursts, limit rate and size, and say of each packet what befell it."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from attrs import evolve
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing import Link, SimulatedHost, SimulatedInternet
from twisted_p2p.testing.packet import ICMPError, Packet
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment


class Arrivals(DatagramProtocol):
    """Keeps the numbers that arrive, and when they did."""

    noisy = False

    def __init__(self, host: SimulatedHost, interface: str = "") -> None:
        self.host = host
        self.times: dict[int, float] = {}
        host.reactor.listenUDP(9, self, interface)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.times[int(datagram)] = self.host.reactor.seconds()

    def send(self, number: int, host: str, size: int = 128) -> None:
        """Send a packet of a size, with its headers."""
        headers = 48 if ":" in host else 28
        self.transport.write((b"%d" % number).ljust(size - headers), (host, 9))


class PacketSizeTests(SynchronousTestCase):
    def size(self, protocol: str, host: str) -> int:
        address = HostPort(host, 9)
        segment = TCPSegment(TCPFlags.ACK, 0, 0, 0) if protocol == "tcp" else None
        return Packet(
            protocol, b"1234", address, address, "host", 0.0, address, address, segment=segment
        ).size

    def test_headers_count(self) -> None:
        self.assertEqual(self.size("udp", "11.0.0.1"), 20 + 8 + 4)
        self.assertEqual(self.size("tcp", "11.0.0.1"), 20 + 20 + 4)
        self.assertEqual(self.size("udp", "2400::1"), 40 + 8 + 4)
        self.assertEqual(self.size("tcp", "2400::1"), 40 + 20 + 4)


class LinkTestCase(SynchronousTestCase):
    """Two hosts, of which one has the link that is tested."""

    def set_up(self, near: Link, far: Link = Link(), seed: int = 1) -> None:  # noqa: B008
        self.internet = SimulatedInternet(seed)
        self.near = Arrivals(self.internet.add_host("near", "11.0.0.1", link=near))
        self.far = Arrivals(self.internet.add_host("far", "11.0.0.2", link=far))

    def fates(self) -> list[str]:
        return [entry.fate for entry in self.internet.log]


class BurstTests(LinkTestCase):
    def lost(self, link: Link, count: int = 20_000, seed: int = 1) -> list[bool]:
        """Return of each packet whether it was lost."""
        self.set_up(link, seed=seed)
        for number in range(count):
            self.near.send(number, "11.0.0.2")
        self.internet.run_for(1.0)
        return [number not in self.far.times for number in range(count)]

    def test_the_mean_share_and_the_mean_length_are_as_told(self) -> None:
        for burst in (1.5, 4.0, 12.0):
            lost = self.lost(Link(loss=0.12, burst=burst))
            lengths = [len(list(run)) for is_lost, run in groupby(lost) if is_lost]
            self.assertLess(abs(sum(lost) / len(lost) - 0.12), 0.025)
            self.assertLess(abs(sum(lengths) / len(lengths) / burst - 1), 0.15)

    def test_equal_seeds_lose_equal_packets(self) -> None:
        link = Link(loss=0.2, burst=3.0)
        self.assertEqual(self.lost(link, 500), self.lost(link, 500))
        self.assertNotEqual(self.lost(link, 500), self.lost(link, 500, seed=2))

    def test_each_direction_has_bursts_of_its_own(self) -> None:
        self.set_up(Link(loss=0.4, burst=50.0))
        for number in range(200):
            self.near.send(number, "11.0.0.2")
            self.far.send(number, "11.0.0.1")
        self.internet.run_for(1.0)
        self.assertNotEqual(self.near.times.keys(), self.far.times.keys())

    def test_a_cut_link_needs_no_bursts(self) -> None:
        self.assertEqual(set(self.lost(Link(loss=1.0, burst=3.0), 100)), {True})

    def test_a_loss_that_bursts_cannot_reach_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            Link(loss=0.9, burst=2.0)
        self.assertAlmostEqual(Link(loss=0.9, burst=9.0).burst_share, 1.0)


class RateTests(LinkTestCase):
    def test_packets_leave_one_after_another(self) -> None:
        self.set_up(Link(delay=0.5, rate=1_280.0))
        for number in range(3):
            self.near.send(number, "11.0.0.2", size=128)
        self.internet.run_for(2.0)
        self.assert_times(self.far, [0.6, 0.7, 0.8])

    def test_a_pause_lets_the_queue_run_empty(self) -> None:
        self.set_up(Link(rate=1_280.0))
        self.near.send(0, "11.0.0.2")
        self.internet.run_for(1.0)
        self.near.send(1, "11.0.0.2")
        self.internet.run_for(1.0)
        self.assert_times(self.far, [0.1, 1.1])

    def test_both_ends_limit(self) -> None:
        self.set_up(Link(rate=1_280.0), Link(delay=1.0, rate=640.0))
        for number in range(3):
            self.near.send(number, "11.0.0.2")
        self.internet.run_for(3.0)
        self.assert_times(self.far, [1.3, 1.5, 1.7])

    def test_each_direction_has_its_own_rate(self) -> None:
        self.set_up(Link(rate=1_280.0))
        for number in range(2):
            self.near.send(number, "11.0.0.2")
            self.far.send(number, "11.0.0.1")
        self.internet.run_for(2.0)
        for end in (self.near, self.far):
            self.assert_times(end, [0.1, 0.2])

    def test_a_full_queue_drops_what_comes_last(self) -> None:
        self.set_up(Link(rate=1_280.0, queue=300))
        for number in range(4):
            self.near.send(number, "11.0.0.2")
        self.assertEqual(self.fates(), ["queue full", "queue full"])
        self.internet.run_for(0.15)
        self.near.send(4, "11.0.0.2")
        self.internet.run_for(2.0)
        self.assertEqual(list(self.far.times), [0, 1, 4])

    def test_the_queue_at_the_far_end_is_shared_by_all_senders(self) -> None:
        self.set_up(Link(), Link(rate=1_280.0, queue=300))
        third = Arrivals(self.internet.add_host("third", "11.0.0.3", link=Link()))
        for number in range(2):
            self.near.send(number, "11.0.0.2")
            third.send(10 + number, "11.0.0.2")
        self.internet.run_for(2.0)
        self.assert_times(self.far, [0.1, 0.2])
        self.assertEqual(Counter(self.fates()), {"delivered": 2, "queue full": 2})

    def test_a_packet_longer_than_the_queue_passes_alone(self) -> None:
        self.set_up(Link(rate=1_280.0, queue=10))
        self.near.send(0, "11.0.0.2")
        self.internet.run_for(1.0)
        self.assertEqual(self.fates(), ["delivered"])

    def assert_times(self, end: Arrivals, times: list[float]) -> None:
        self.assertEqual([round(time, 6) for time in end.times.values()], times)


class MTUTests(LinkTestCase):
    def test_what_is_longer_is_dropped_either_way(self) -> None:
        self.set_up(Link(mtu=1_228))
        for size in (1_228, 1_229):
            self.near.send(size, "11.0.0.2", size)
            self.far.send(size, "11.0.0.1", size)
        self.internet.run_for(1.0)
        self.assertEqual(list(self.near.times), [1_228])
        self.assertEqual(list(self.far.times), [1_228])
        self.assertEqual(Counter(self.fates()), {"delivered": 2, "too big": 2})

    def test_the_sender_hears_of_it_when_the_link_tells(self) -> None:
        for tells in (False, True):
            self.set_up(Link(delay=0.1), Link(delay=0.2, mtu=100, tells_too_big=tells))
            heard: list[tuple[float, ICMPError]] = []
            address = HostPort("11.0.0.1", 9), HostPort("11.0.0.2", 9)
            self.near.host.send(
                Packet(
                    "udp",
                    bytes(100),
                    *address,
                    "near",
                    0.0,
                    *address,
                    lambda error, heard=heard: heard.append((self.internet.now, error)),
                )
            )
            self.internet.run_for(1.0)
            self.assertEqual(heard, [(0.6000000000000001, ICMPError.PACKET_TOO_BIG)] * tells)

    def test_a_connected_port_does_not_take_that_for_a_refusal(self) -> None:
        self.set_up(Link(mtu=100, tells_too_big=True))
        self.patch(self.near, "connectionRefused", self.fail)
        assert self.near.transport is not None
        self.near.transport.connect("11.0.0.2", 9)
        self.near.transport.write(bytes(100))
        self.internet.run_for(1.0)
        self.assertEqual(self.fates(), ["too big"])

    def test_a_black_hole_can_appear(self) -> None:
        self.set_up(Link())
        self.near.send(1, "11.0.0.2", 1_300)
        self.near.host.link = evolve(self.near.host.link, mtu=1_228)
        self.near.send(2, "11.0.0.2", 1_300)
        self.internet.run_for(1.0)
        self.assertEqual(self.fates(), ["too big", "delivered"])
