"""The simulated internet as its users see it."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    PORT_TAKING,
    RANDOM_SYMMETRIC,
    Link,
    NATBehaviour,
    SimulatedHost,
    SimulatedInternet,
)


class Mirror(DatagramProtocol):
    """Tells everyone how it sees them."""

    noisy = False

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        host, port = addr
        self.transport.write(f"{host} {port}".encode(), addr)


class Puncher(DatagramProtocol):
    """Learns how it is seen, then writes to a peer until it hears from it.

    It answers whence it hears, as ICE does.
    """

    noisy = False

    def __init__(self, host: SimulatedHost) -> None:
        self.reactor = host.reactor
        self.seen: Deferred[tuple[str, int]] = Deferred()
        self.heard: Deferred[tuple[str, int]] = Deferred()
        self.reactor.listenUDP(5_000, self)
        self.ask()

    def ask(self) -> None:
        if not self.seen.called:
            self.transport.write(b"?", ("11.0.0.1", 3_478))
            self.reactor.callLater(0.2, self.ask)

    def punch(self, target: tuple[str, int], tries: int = 10) -> None:
        self.transport.write(b"punch", target)
        if tries > 1:
            self.reactor.callLater(0.05, self.punch, target, tries - 1)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if addr == ("11.0.0.1", 3_478):
            host, port = datagram.decode().split()
            if not self.seen.called:
                self.seen.callback((host, int(port)))
        elif not self.heard.called:
            self.transport.write(b"heard", addr)
            self.heard.callback(addr)


def punched(
    nat_a: NATBehaviour, nat_b: NATBehaviour, seed: int = 0, head_start: float = 0.01
) -> SimulatedInternet:
    """Have two hosts behind NATs punch, Alice first by ``head_start`` seconds.

    :raises TimeoutError: when they do not hear each other.
    """
    internet = SimulatedInternet(seed)
    internet.add_host("tracker", "11.0.0.1").reactor.listenUDP(3_478, Mirror())
    peers = []
    for name, public, nat in [("alice", "11.0.1.1", nat_a), ("bob", "11.0.2.1", nat_b)]:
        home = internet.add_network(f"{name}'s home", public, nat)
        link = Link(delay=0.001, jitter=0.002, loss=0.05, duplication=0.02, reordering=0.02)
        peers.append(Puncher(internet.add_host(name, "192.168.1.2", network=home, link=link)))
    addresses = [internet.run_until(peer.seen) for peer in peers]
    peers[0].punch(addresses[1])
    peers[1].reactor.callLater(head_start, peers[1].punch, addresses[0])
    for peer in peers:
        internet.run_until(peer.heard, limit=2.0)
    return internet


class PunchingTests(SynchronousTestCase):
    def test_nats_that_map_independently_are_punched(self) -> None:
        for nat in (PORT_RESTRICTED, FULL_CONE):
            punched(nat, PORT_RESTRICTED)

    def test_a_full_cone_is_reached_from_a_symmetric_nat(self) -> None:
        punched(FULL_CONE, RANDOM_SYMMETRIC)

    def test_a_port_restricted_nat_is_not(self) -> None:
        with self.assertRaises(TimeoutError):
            punched(PORT_RESTRICTED, RANDOM_SYMMETRIC)

    def test_no_port_is_taken_when_both_have_sent_before_either_receives(self) -> None:
        punched(PORT_TAKING, PORT_TAKING)

    def test_a_late_start_spoils_the_mapping_of_a_nat_whose_ports_are_taken(self) -> None:
        punched(PORT_RESTRICTED, PORT_RESTRICTED, head_start=0.1)
        with self.assertRaises(TimeoutError):
            punched(PORT_RESTRICTED, PORT_TAKING, head_start=0.1)

    def test_a_spoilt_mapping_still_reaches_a_full_cone(self) -> None:
        punched(FULL_CONE, PORT_TAKING, head_start=0.1)


class DeterminismTests(SynchronousTestCase):
    def test_equal_seeds_give_equal_logs(self) -> None:
        self.assertEqual(
            list(punched(FULL_CONE, RANDOM_SYMMETRIC, seed=4).log),
            list(punched(FULL_CONE, RANDOM_SYMMETRIC, seed=4).log),
        )

    def test_other_seeds_give_other_logs(self) -> None:
        self.assertNotEqual(
            list(punched(FULL_CONE, RANDOM_SYMMETRIC, seed=4).log),
            list(punched(FULL_CONE, RANDOM_SYMMETRIC, seed=5).log),
        )

    def test_logs_do_not_depend_on_the_hash_seed(self) -> None:
        program = (
            "from tests.testing.test_internet import *\n"
            "print(punched(FULL_CONE, RANDOM_SYMMETRIC, seed=4).log.dump())"
        )
        elsewhere = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONHASHSEED": "1",  # of this process it is another one
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            check=True,
            capture_output=True,
            text=True,
        ).stdout.rstrip("\n")
        self.assertEqual(elsewhere, punched(FULL_CONE, RANDOM_SYMMETRIC, seed=4).log.dump())

    def test_one_more_host_does_not_disturb_the_chance_of_others(self) -> None:
        def first_numbers(*names: str) -> float:
            internet = SimulatedInternet(seed=1)
            hosts = [internet.add_host(name, f"11.0.0.{n}") for n, name in enumerate(names)]
            return hosts[-1].random.random()

        self.assertEqual(first_numbers("host"), first_numbers("another", "host"))
        self.assertNotEqual(first_numbers("host"), first_numbers("host", "another"))


class TimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet(seed=17)
        self.host = self.internet.add_host("host", "11.0.0.1")

    def test_time_passes_only_when_told(self) -> None:
        self.internet.run_for(2.5)
        self.internet.run_for(0.5)
        self.assertEqual(self.internet.now, 3.0)
        self.assertEqual(self.host.reactor.seconds(), 3.0)

    def test_run_until_returns_the_result_at_its_moment(self) -> None:
        result = deferLater(self.host.reactor, 2.5, lambda: "result")
        self.host.reactor.callLater(3.0, self.fail)
        self.assertEqual(self.internet.run_until(result), "result")
        self.assertEqual(self.internet.now, 2.5)

    def test_run_until_raises_a_failure(self) -> None:
        with self.assertRaises(KeyError):
            self.internet.run_until(deferLater(self.host.reactor, 1.0, lambda: {}["nothing"]))
        with self.assertRaises(ValueError):
            self.internet.run_until(fail(ValueError()))

    def test_run_until_needs_no_time_for_a_result_that_is_there(self) -> None:
        self.assertIsNone(self.internet.run_until(succeed(None)))
        self.assertEqual(self.internet.now, 0.0)

    def test_run_until_gives_up_at_the_limit_and_says_how_to_repeat_it(self) -> None:
        self.host.reactor.listenUDP(9, Mirror()).write(b"lost", ("11.0.0.2", 9))
        self.host.reactor.callLater(1.5, self.fail)
        with self.assertRaises(TimeoutError) as caught:
            self.internet.run_until(Deferred(), limit=1.0)
        self.assertEqual(self.internet.now, 1.0)
        self.assertIn("seed 17", str(caught.exception))
        self.assertIn("11.0.0.1:9 -> 11.0.0.2:9  4 bytes  unreachable", str(caught.exception))
