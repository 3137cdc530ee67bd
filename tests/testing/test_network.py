"""Links and gateways do to packets what they say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from attrs import evolve
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    Link,
    SimulatedHost,
    SimulatedInternet,
)


class Numbers(DatagramProtocol):
    """Keeps the numbers that arrive, and when and whence they did."""

    noisy = False

    def __init__(self, host: SimulatedHost, port: int = 9, interface: str = "") -> None:
        self.host = host
        self.arrived: list[int] = []
        self.times: list[float] = []
        self.senders: list[tuple[str, int]] = []
        host.reactor.listenUDP(port, self, interface)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.arrived.append(int(datagram))
        self.times.append(self.host.reactor.seconds())
        self.senders.append(addr)

    def send(self, number: int, host: str, port: int = 9) -> None:
        self.transport.write(b"%d" % number, (host, port))


class LinkTests(SynchronousTestCase):
    """A thousand packets, a millisecond apart, over one bad link."""

    def cross(self, near: Link, far: Link = Link(delay=0.02), seed: int = 1) -> Numbers:  # noqa: B008
        internet = SimulatedInternet(seed)
        sender = Numbers(internet.add_host("near", "11.0.0.1", link=near))
        receiver = Numbers(internet.add_host("far", "11.0.0.2", link=far))
        for number in range(1_000):
            sender.host.reactor.callLater(number / 1_000, sender.send, number, "11.0.0.2")
        internet.run_for(10.0)
        self.internet = internet
        return receiver

    def test_delays_add_up(self) -> None:
        receiver = self.cross(Link(delay=0.03))
        self.assertEqual(receiver.arrived, list(range(1_000)))
        self.assertAlmostEqual(receiver.times[0], 0.05)
        self.assertAlmostEqual(receiver.times[-1], 1.049)

    def test_jitter_delays_by_chance_and_keeps_the_order(self) -> None:
        receiver = self.cross(Link(delay=0.03, jitter=0.1))
        self.assertEqual(receiver.arrived, list(range(1_000)))
        delays = [time - n / 1_000 for n, time in enumerate(receiver.times)]
        self.assertGreaterEqual(min(delays), 0.0499)
        self.assertLessEqual(max(delays), 0.1501)
        self.assertGreater(max(delays) - min(delays), 0.02)

    def test_loss_takes_its_share(self) -> None:
        receiver = self.cross(Link(loss=0.2))
        self.assertTrue(740 <= len(receiver.arrived) <= 860, len(receiver.arrived))
        fates = Counter(entry.fate for entry in self.internet.log)
        self.assertEqual(fates["lost"] + fates["delivered"], 1_000)

    def test_both_links_lose(self) -> None:
        receiver = self.cross(Link(loss=0.2), Link(loss=0.5))
        self.assertTrue(330 <= len(receiver.arrived) <= 470, len(receiver.arrived))

    def test_a_cut_link_lets_nothing_through(self) -> None:
        self.assertEqual(self.cross(Link(loss=1.0)).arrived, [])

    def test_duplication_doubles_its_share(self) -> None:
        receiver = self.cross(Link(duplication=0.1))
        counts = Counter(receiver.arrived)
        self.assertEqual(counts.keys(), set(range(1_000)))
        self.assertTrue(60 <= len(receiver.arrived) - 1_000 <= 140, len(receiver.arrived))
        self.assertEqual(set(counts.values()), {1, 2})

    def test_reordering_lets_later_packets_overtake(self) -> None:
        receiver = self.cross(Link(delay=0.03, reordering=0.1))
        self.assertEqual(sorted(receiver.arrived), list(range(1_000)))
        overtaken = sum(later < earlier for earlier, later in pairwise(receiver.arrived))
        self.assertTrue(50 <= overtaken <= 150, overtaken)

    def test_a_link_can_change_while_time_goes_on(self) -> None:
        internet = SimulatedInternet()
        near = Numbers(internet.add_host("near", "11.0.0.1"))
        far = Numbers(internet.add_host("far", "11.0.0.2"))
        near.send(1, "11.0.0.2")
        near.host.link = evolve(near.host.link, delay=1.0)
        near.send(2, "11.0.0.2")
        internet.run_for(5.0)
        self.assertEqual(near.host.link.delay, 1.0)
        self.assertEqual([round(time, 6) for time in far.times], [0.04, 1.02])


class GatewayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.public = Numbers(self.internet.add_host("public", "11.0.0.1", "2400::1"))

    def fates(self) -> list[tuple[str, str]]:
        return [(entry.fate, entry.place) for entry in self.internet.log]

    def test_an_address_is_given_once(self) -> None:
        with self.assertRaises(ValueError):
            self.internet.add_host("twin", "11.0.0.1")
        with self.assertRaises(ValueError):
            self.internet.add_network("home", "11.0.0.1")

    def test_nobody_has_the_address(self) -> None:
        self.public.send(1, "11.9.9.9")
        self.assertEqual(self.fates(), [("unreachable", "public")])

    def test_hosts_of_one_network_reach_each_other_without_the_gateway(self) -> None:
        home = self.internet.add_network("home", "11.0.1.1")
        one = Numbers(self.internet.add_host("one", "192.168.1.2", network=home))
        two = Numbers(self.internet.add_host("two", "192.168.1.3", network=home))
        one.send(1, "192.168.1.3")
        self.internet.run_for(1.0)
        self.assertEqual(two.senders, [("192.168.1.2", 9)])
        self.assertAlmostEqual(two.times[0], 0.0005)
        self.assertIs(one.host.network, home)

    def test_the_gateway_translates_both_ways(self) -> None:
        home = self.internet.add_network("home", "11.0.1.1")
        inside = Numbers(self.internet.add_host("inside", "192.168.1.2", network=home))
        self.public.send(1, "11.0.1.1")
        self.internet.run_for(1.0)
        inside.send(2, "11.0.0.1")
        self.internet.run_for(1.0)
        self.public.send(3, *self.public.senders[0])
        self.internet.run_for(1.0)
        self.assertEqual(self.public.senders, [("11.0.1.1", 9)])
        self.assertEqual(inside.senders, [("11.0.0.1", 9)])
        self.assertEqual(inside.arrived, [3])
        self.assertIn(("filtered", "home"), self.fates())

    def test_a_host_that_is_gone_is_unreachable_behind_its_nat(self) -> None:
        home = self.internet.add_network("home", "11.0.1.1", FULL_CONE)
        assert home.gateway is not None
        gone, remote = HostPort("192.168.1.2", 9), HostPort("11.0.0.1", 9)
        home.gateway.table.outbound(gone, remote, self.internet.now)
        self.public.send(2, "11.0.1.1")
        self.internet.run_for(1.0)
        self.assertEqual(self.fates()[-1], ("unreachable", "home"))

    def test_hairpinning(self) -> None:
        for hairpinning, fate in [(True, "delivered"), (False, "not hairpinned")]:
            internet = SimulatedInternet()
            home = internet.add_network(
                "home", "11.0.1.1", evolve(FULL_CONE, hairpinning=hairpinning)
            )
            internet.add_host("public", "11.0.0.1")
            one = Numbers(internet.add_host("one", "192.168.1.2", network=home), port=8)
            two = Numbers(internet.add_host("two", "192.168.1.3", network=home))
            two.send(1, "11.0.0.1")
            one.send(2, "11.0.1.1")
            internet.run_for(1.0)
            self.assertIn(fate, [entry.fate for entry in internet.log])
            self.assertEqual(two.senders, [("11.0.1.1", 8)] if hairpinning else [])

    def test_a_nat_without_free_ports_drops(self) -> None:
        home = self.internet.add_network("home", "11.0.1.1")
        assert home.gateway is not None
        inside = Numbers(self.internet.add_host("inside", "192.168.1.2", network=home))
        self.patch(home.gateway.table, "outbound", lambda *_: None)
        inside.send(1, "11.0.0.1")
        self.internet.run_for(1.0)
        self.assertEqual(self.fates(), [("out of ports", "home")])

    def test_the_other_family_is_routed_untranslated(self) -> None:
        public = Numbers(self.public.host, interface="::")
        home = self.internet.add_network("home", "11.0.1.1")
        flat = self.internet.add_network("flat", "192.168.1.9", behind=home)
        inside = Numbers(
            self.internet.add_host("inside", "10.0.0.2", "2400:1::2", network=flat), interface="::"
        )
        public.send(1, "2400:1::2")
        inside.send(2, "2400::1")
        self.internet.run_for(1.0)
        self.assertEqual(inside.senders, [("2400::1", 9)])
        self.assertEqual(public.senders, [("2400:1::2", 9)])

    def test_a_nat_behind_a_nat_translates_twice(self) -> None:
        carrier = self.internet.add_network("carrier", "11.0.1.1")
        home = self.internet.add_network("home", "100.64.0.2", behind=carrier)
        inside = Numbers(self.internet.add_host("inside", "192.168.1.2", network=home), port=8)
        inside.send(1, "11.0.0.1")
        self.internet.run_for(1.0)
        self.public.send(2, *self.public.senders[0])
        self.internet.run_for(1.0)
        self.assertEqual(self.public.senders, [("11.0.1.1", 8)])
        self.assertEqual(inside.arrived, [2])
        self.assertEqual(self.fates(), [("delivered", "public"), ("delivered", "inside")])

    def test_equal_private_addresses_are_different_hosts(self) -> None:
        homes = [
            self.internet.add_network(name, address, PORT_RESTRICTED)
            for name, address in [("one", "11.0.1.1"), ("two", "11.0.2.1")]
        ]
        for home in homes:
            name = f"inside {home.name}"
            host = self.internet.add_host(name, "192.168.1.2", network=home)
            Numbers(host).send(1, "11.0.0.1")
        self.internet.run_for(1.0)
        self.assertEqual(self.public.senders, [("11.0.1.1", 9), ("11.0.2.1", 9)])
