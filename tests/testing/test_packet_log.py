from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.test_internet import Mirror, Puncher, punched
from twisted_p2p.addresses import HostPort
from twisted_p2p.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    Link,
    PacketLog,
    SimulatedInternet,
    Tally,
)
from twisted_p2p.testing.packet import Packet
from twisted_p2p.testing.tcp.segment import TCPFlags, TCPSegment

ADDRESS = HostPort("11.0.0.1", 9)


def packet(sender: str = "host", *, data: bytes = b"", flags: TCPFlags | None = None) -> Packet:
    protocol = "udp" if flags is None else "tcp"
    segment = None if flags is None else TCPSegment(flags, sequence=7)
    return Packet(protocol, data, ADDRESS, ADDRESS, sender, 0.0, ADDRESS, ADDRESS, segment=segment)


def asked() -> SimulatedInternet:
    """Return an internet in which a host behind a NAT has asked a mirror how it is seen."""
    internet = SimulatedInternet()
    internet.add_host("tracker", "11.0.0.1").reactor.listenUDP(3_478, Mirror())
    home = internet.add_network("home", "11.0.1.1")
    Puncher(internet.add_host("alice", "192.168.1.2", network=home))
    internet.run_for(1.0)
    return internet


class DumpTests(SynchronousTestCase):
    def test_a_line_says_who_sent_what_and_what_became_of_it(self) -> None:
        self.assertEqual(
            asked().log.dump().splitlines(),
            [
                "    0.040250  +0.040250  alice -> tracker  udp  192.168.1.2:5000 -> 11.0.0.1:3478"
                "  1 bytes  delivered after 40.2 ms  (as 11.0.1.1:5000 -> 11.0.0.1:3478)",
                "    0.080500  +0.040250  tracker -> alice  udp  11.0.0.1:3478 -> 11.0.1.1:5000"
                "  13 bytes  delivered after 40.2 ms  (as 11.0.0.1:3478 -> 192.168.1.2:5000)",
            ],
        )

    def test_a_single_line_does_without_the_time_since_another(self) -> None:
        entry = next(iter(asked().log))
        self.assertTrue(str(entry).startswith("    0.040250  alice -> tracker  udp  192"))

    def test_a_line_says_where_a_packet_was_lost(self) -> None:
        log = PacketLog()
        log.record(packet(), 0.5, "filtered", "home")
        self.assertEqual(
            log.dump(),
            "    0.500000  +0.500000  host -> 11.0.0.1  udp  11.0.0.1:9 -> 11.0.0.1:9  0 bytes"
            "  filtered at home after 500.0 ms",
        )

    def test_a_line_shows_the_flags_of_tcp(self) -> None:
        log = PacketLog()
        log.record(packet(flags=TCPFlags.SYN | TCPFlags.ACK), 0.5, "delivered", "host")
        self.assertIn("  tcp SYN ACK  11.0.0.1:9 -> ", log.dump())

    def test_a_dump_can_be_cut_to_the_latest(self) -> None:
        log = punched(FULL_CONE, FULL_CONE).log
        lines = log.dump(last=3).splitlines()
        self.assertEqual(lines[0], f"... {len(log) - 3} earlier packets")
        self.assertEqual(lines[1:], log.dump().splitlines()[-3:])
        self.assertEqual(log.dump(last=len(log)), log.dump())

    def test_the_log_keeps_the_latest_entries_and_counts_all(self) -> None:
        log = PacketLog(limit=2)
        for now in (1.0, 2.0, 3.0):
            log.record(packet(data=b"12"), now, "delivered", "host")
        self.assertEqual([entry.time for entry in log], [2.0, 3.0])
        self.assertEqual(log.traffic["host", "11.0.0.1"].sent, Tally(3, 6))

    def test_a_log_that_is_cleared_knows_nothing(self) -> None:
        internet = asked()
        internet.log.clear()
        self.assertEqual((len(internet.log), internet.log.dump()), (0, ""))
        self.assertEqual(internet.traffic, {})


class SelectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log = punched(PORT_RESTRICTED, PORT_RESTRICTED).log

    def ends(self, log: PacketLog) -> set[tuple[str, str]]:
        self.assertGreater(len(log), 0)
        return {(entry.sender, entry.receiver) for entry in log}

    def test_of_a_host_is_what_it_sent_and_got(self) -> None:
        alice, bob = ("alice", "tracker"), ("bob", "tracker")
        backward = {pair[::-1] for pair in (alice, bob)}
        self.assertEqual(self.ends(self.log.of("tracker")), {alice, bob} | backward)
        self.assertEqual(self.ends(self.log.of("alice", "bob")), self.ends(self.log))

    def test_between_two_hosts_is_what_they_sent_to_each_other(self) -> None:
        both = {("alice", "bob"), ("bob", "alice")}
        self.assertEqual(self.ends(self.log.between("bob", "alice")), both)

    def test_since_a_moment_is_what_was_sent_then_or_later(self) -> None:
        entries = list(self.log)
        moment = entries[-1].sent_at
        self.assertEqual(
            list(self.log.since(moment)), [each for each in entries if each.sent_at >= moment]
        )

    def test_a_selection_counts_what_it_has(self) -> None:
        udp = self.log.where(lambda entry: entry.protocol == "udp")
        self.assertEqual(udp.traffic, self.log.traffic)
        self.assertEqual(set(self.log.between("alice", "bob").traffic), self.ends(udp.since(0.05)))


class TrafficTests(SynchronousTestCase):
    def test_it_is_counted_by_pair_and_fate(self) -> None:
        traffic = asked().traffic
        self.assertEqual(traffic["alice", "tracker"].delivered, Tally(1, 1))
        self.assertEqual(traffic["tracker", "alice"].sent, Tally(1, 13))
        self.assertEqual(traffic["tracker", "alice"].lost, Tally())
        self.assertEqual(traffic.between("tracker", "alice"), Tally(2, 14))
        self.assertEqual(
            str(traffic).splitlines(),
            [
                "alice -> tracker: 1 packets (1 bytes) delivered",
                "tracker -> alice: 1 packets (13 bytes) delivered",
            ],
        )

    def test_who_never_spoke_has_none(self) -> None:
        traffic = asked().traffic
        self.assertEqual(traffic["alice", "bob"].sent, Tally())
        self.assertEqual(str(traffic["alice", "bob"]), "nothing")
        self.assertNotIn(("alice", "bob"), traffic)

    def test_what_is_lost_counts_for_the_only_host_behind_a_nat(self) -> None:
        internet = punched(PORT_RESTRICTED, PORT_RESTRICTED, head_start=0.1)
        fates = set(internet.traffic["alice", "bob"].by_fate)
        self.assertEqual(fates, {"filtered", "delivered"})
        traffic = internet.traffic["alice", "bob"]
        self.assertEqual(traffic.lost, traffic.by_fate["filtered"])
        self.assertEqual(traffic.sent.packets, traffic.lost.packets + traffic.delivered.packets)

    def send(self, internet: SimulatedInternet, sender: str, target: str) -> set[str]:
        """Let a host write to an address, and return the names of those it was for."""
        before = dict(internet.traffic)
        port = internet.hosts[sender].reactor.listenUDP(
            0, Mirror(), interface="::" if ":" in target else ""
        )
        port.write(b"?", (target, 9))
        internet.run_for(1.0)
        after = internet.traffic
        return {pair[1] for pair in after if after[pair] != before.get(pair)}

    def test_an_address_is_looked_up_where_the_sender_is(self) -> None:
        internet = SimulatedInternet()
        internet.add_host("lonely", "11.0.0.9")
        carrier = internet.add_network("carrier", "11.0.1.1")
        home = internet.add_network("home", "10.0.0.2", behind=carrier)
        internet.add_network("empty home", "11.0.3.1")
        for number in (2, 3):
            internet.add_host(f"inner {number}", f"192.168.1.{number}", network=home)
        six = internet.add_network("six", "11.0.6.1")
        internet.add_host("sixth", "192.168.1.2", "2a00:6::2", network=six)
        internet.add_host("seventh", "2a00:7::2")
        for sender, target, receiver in (
            ("inner 2", "192.168.1.3", "inner 3"),
            ("inner 2", "11.0.0.9", "lonely"),
            ("lonely", "11.0.1.1", "home"),
            ("lonely", "11.0.3.1", "empty home"),
            ("lonely", "192.168.1.3", "192.168.1.3"),
            ("lonely", "127.0.0.1", "lonely"),
            ("seventh", "2a00:6::2", "sixth"),
        ):
            self.assertEqual(self.send(internet, sender, target), {receiver})
        internet.hosts["sixth"].link = Link(loss=1.0)
        self.assertEqual(self.send(internet, "seventh", "2a00:6::2"), {"sixth"})


class ComparisonTests(SynchronousTestCase):
    def test_equal_runs_have_equal_digests_and_no_difference(self) -> None:
        one, other = (punched(FULL_CONE, FULL_CONE, seed=4).log for _ in range(2))
        self.assertEqual(one.digest(), other.digest())
        self.assertIsNone(one.difference(other))

    def test_the_first_packet_that_differs_is_told(self) -> None:
        one, other = (punched(FULL_CONE, FULL_CONE, seed=seed).log for seed in (4, 5))
        self.assertNotEqual(one.digest(), other.digest())
        told = one.difference(other)
        assert told is not None
        self.assertRegex(told, r"^packet \d+:\n.* (alice|bob|tracker) .*\n.* (alice|bob|tracker) ")

    def test_a_log_that_ends_earlier_differs(self) -> None:
        log, shorter = PacketLog(), PacketLog()
        log.record(packet(), 1.0, "delivered", "host")
        self.assertEqual(log.difference(shorter), f"packet 0:\n{next(iter(log))}\nnone")
        self.assertEqual(shorter.difference(log), f"packet 0:\nnone\n{next(iter(log))}")

    def test_what_is_inside_a_packet_makes_no_difference_but_its_length(self) -> None:
        def digest(data: bytes, number: int = 7) -> str:
            log = PacketLog()
            sent = packet(data=data, flags=TCPFlags.ACK)
            assert sent.segment is not None
            sent.segment = evolve(sent.segment, sequence=number)
            log.record(sent, 1.0, "delivered", "host")
            return log.digest()

        self.assertEqual(digest(b"1"), digest(b"2", number=8))
        self.assertNotEqual(digest(b"1"), digest(b"12"))
