from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import NoPath
from twisted_p2p.testing import (
    PORT_RESTRICTED,
    RANDOM_SYMMETRIC,
    ConnectedPair,
    LeftOver,
    Link,
    connected_pair,
    connected_pair_on_lan,
    leftovers,
    shut_down,
)


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Asker(Protocol):
    def __init__(self) -> None:
        self.answered: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.answered.callback(data)


ECHO = Factory.forProtocol(Echo)


class PairTests(SynchronousTestCase):
    def path_kind(self, pair: ConnectedPair) -> str:
        """Let a pair exchange a word, and return what its path is called."""
        with pair:
            asker = pair.connect(Asker(), ECHO)
            self.assertEqual(pair.until(asker.answered), b"hello")
            connection = pair.a.connection_with(pair.b.peer_id)
            assert connection is not None
            assert connection.path is not None
            return connection.path.kind

    def test_peers_behind_two_nats_reach_each_other(self) -> None:
        self.assertEqual(self.path_kind(connected_pair()), "punched")

    def test_a_public_address_is_no_nat(self) -> None:
        pair = connected_pair(None, PORT_RESTRICTED)
        self.assertEqual(pair.host_a.addresses, ("11.0.1.1",))
        self.assertEqual(self.path_kind(pair), "punched")
        self.assertEqual(self.path_kind(connected_pair(None, None)), "direct")

    def test_peers_in_one_network_meet_there(self) -> None:
        pair = connected_pair_on_lan()
        self.assertEqual(self.path_kind(pair), "lan")
        self.assertIs(pair.host_a.network, pair.host_b.network)

    def test_a_pair_without_a_path_says_so(self) -> None:
        pair = connected_pair(PORT_RESTRICTED, RANDOM_SYMMETRIC)
        with self.assertRaises(NoPath):
            pair.connect(Asker(), ECHO)
        pair.stop()

    def test_services_may_be_many_and_have_names(self) -> None:
        pair = connected_pair()
        one, other = pair.connect(Asker(), ECHO), pair.connect(Asker(), ECHO)
        pair.until(one.answered)
        pair.until(other.answered)
        named = pair.connect(Asker(), ECHO, "echo")
        assert named.transport is not None
        self.assertEqual(named.transport.getPeer().service, "echo")
        pair.stop()

    def test_packets_bear_the_names_of_the_hosts(self) -> None:
        pair = connected_pair()
        pair.connect(Asker(), ECHO)
        self.assertGreater(pair.internet.traffic["a", "b"].delivered.packets, 0)
        self.assertGreater(len(pair.log.between("b", "a")), 0)

    def test_the_link_is_between_each_nat_and_the_middle(self) -> None:
        slow = connected_pair(link=Link(delay=0.5))
        quick = connected_pair(link=Link(delay=0.001))
        self.assertGreater(slow.internet.now, quick.internet.now + 1.0)

    def test_equal_seeds_give_equal_pairs_and_others_other_ones(self) -> None:
        one, same, other = (connected_pair(seed=seed) for seed in (3, 3, 4))
        self.assertEqual(one.log.digest(), same.log.digest())
        self.assertEqual(one.a.peer_id, same.a.peer_id)
        self.assertNotEqual(one.a.peer_id, other.a.peer_id)

    def test_an_error_that_leaves_a_pair_bears_its_story(self) -> None:
        with self.assertRaises(KeyError) as caught, connected_pair(seed=9):
            raise KeyError
        (note,) = caught.exception.__notes__
        self.assertRegex(note, r"(?s)^at 0\.\d+ s, seed 9; the latest packets:\n.* tracker -> a ")


class ShutDownTests(SynchronousTestCase):
    def test_everything_is_stopped(self) -> None:
        pair = connected_pair()
        self.assertNotEqual(leftovers(pair.internet), [])
        pair.stop()
        self.assertEqual(leftovers(pair.internet), [])
        self.assertFalse(pair.a.running or pair.b.running)
        shut_down(pair.internet)

    def test_what_was_stopped_before_is_no_matter(self) -> None:
        pair = connected_pair()
        pair.until(pair.a.stopService())
        pair.tracker.stop()
        pair.stop()

    def test_what_is_left_is_told(self) -> None:
        pair = connected_pair()
        pair.host_b.reactor.callLater(5.0, self.fail)
        pair.host_a.reactor.listenUDP(77, DatagramProtocol())
        pair.host_b.reactor.listenTCP(80, ECHO)
        pair.host_b.reactor.connectTCP("127.0.0.1", 80, ClientFactory.forProtocol(Protocol))
        pair.run_for(1.0)
        with self.assertRaises(LeftOver) as caught, pair:
            pass
        told = str(caught.exception).splitlines()
        self.assertRegex(told[1], r"^a: <UDP port 0\.0\.0\.0:77 of <.*DatagramProtocol")
        self.assertIn("b: <TCP listening port at 0.0.0.0:80>", told)
        self.assertRegex("\n".join(told), r"\nb: <TCP connection at 127\.0\.0\.1:\d+>\n")
        self.assertRegex("\n".join(told), r"\nb: <DelayedCall .*fail")
        self.assertRegex("\n".join(told), r"\nat 1\.\d+ s, seed 0; the latest packets:\n")
