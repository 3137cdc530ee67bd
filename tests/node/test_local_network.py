"""What a node asks of whatever finds its peers on the local network."""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.scenarios.world import World
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import PeerOffline
from twisted_p2p.interfaces import IDiscoveredPeer, IDiscoveryObserver, IPeerDiscovery
from twisted_p2p.lan.peer import LANPeer
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import simulated_node


@implementer(IPeerDiscovery)
class FakeDiscovery:
    """Notes what it is asked, and finds whom it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.announced: tuple[str, int, tuple[str, ...], bool, bool] | None = None
        self.known: dict[str, IDiscoveredPeer] = {}
        self.looking: dict[str, Deferred[IDiscoveredPeer]] = {}

    def start(self) -> None:
        self.asked.append("start")

    def stop(self) -> Deferred[None]:
        self.asked.append("stop")
        return succeed(None)

    def announce(
        self,
        peer_id: str,
        port: int,
        services: Collection[str],
        accepting: bool,
        *,
        unlinkable_name: bool = False,
    ) -> None:
        self.announced = (peer_id, port, tuple(services), accepting, unlinkable_name)

    def when_announced(self) -> Deferred[None]:
        return succeed(None)

    def withdraw(self) -> None:
        self.asked.append("withdraw")
        self.announced = None

    def browse(self) -> None: ...

    def stop_browsing(self) -> None: ...

    def look_for(self, peer_id: str) -> Deferred[IDiscoveredPeer]:
        if peer_id in self.known:
            return succeed(self.known[peer_id])
        return self.looking.setdefault(
            peer_id, Deferred(lambda looking: self.asked.append("look no more"))
        )

    def find(self, peer_id: str) -> IDiscoveredPeer | None:
        return self.known.get(peer_id)

    def peers(self) -> list[IDiscoveredPeer]:
        return list(self.known.values())

    def add_observer(self, observer: IDiscoveryObserver) -> None: ...

    def remove_observer(self, observer: IDiscoveryObserver) -> None: ...

    def interfaces_changed(self) -> None:
        self.asked.append("interfaces changed")


class LocalNetworkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(trackers=0)
        self.discovery = FakeDiscovery()
        verifyObject(IPeerDiscovery, self.discovery)
        self.node = self.add("11.10.1.2", self.discovery)
        self.other = self.add("11.10.1.3", FakeDiscovery())

    def add(self, address: str, discovery: IPeerDiscovery) -> P2PNode:
        host = self.world.net.add_host(address, address)
        return self.world.keep(simulated_node(host, [], lan=discovery), host)

    def announces(self, *addresses: HostPort, accepting: bool = True) -> None:
        """Let the other node be known at these addresses."""
        peer_id = str(self.other.peer_id)
        self.discovery.known[peer_id] = LANPeer(
            peer_id, addresses, ("echo",), accepting, "instance", ("eth0",)
        )

    def at(self, node: P2PNode) -> HostPort:
        return HostPort(self.world.seen_at[node], node.udp_port)

    def test_it_is_announced_for_as_long_as_it_listens(self) -> None:
        with self.world as world:
            early = self.node.listen("early", world.recorders())
            self.assertEqual((self.discovery.asked, self.discovery.announced), ([], None))
            world.start()
            listening = [world.until(early), world.until(self.node.listen("l", world.recorders()))]
            expected = (self.node.peer_id, self.node.udp_port, ("early", "l"), True, False)
            self.assertEqual(self.discovery.announced, expected)
            for each in listening:
                each.stopListening()
            self.assertEqual(self.discovery.asked, ["start", "withdraw"])
            world.stop(self.node)
            self.assertEqual(self.discovery.asked, ["start", "withdraw", "stop"])

    def test_services_that_are_for_some_are_not_named(self) -> None:
        with self.world as world:
            world.start()
            for service, allow in (("open", None), ("secret", [self.other.peer_id])):
                world.until(self.node.listen(service, world.recorders(), allow))
            assert self.discovery.announced is not None
            self.assertEqual(self.discovery.announced[2:4], (("open",), True))

    def test_it_is_unlinkable_if_it_is_to_be(self) -> None:
        with self.world as world:
            host = world.hosts[self.node]
            discovery = FakeDiscovery()
            node = P2PNode(
                host.reactor,
                self.node._identity,
                lan=discovery,
                unlinkable=True,
            )
            host.stop_at_end.append(node.stopService)
            world.start(node)
            world.until(node.listen("echo", world.recorders()))
            assert discovery.announced is not None
            self.assertTrue(discovery.announced[-1])

    def test_a_peer_that_is_known_is_dialled_at_once(self) -> None:
        with self.world as world:
            world.start()
            world.listen(self.other)
            self.announces(self.at(self.other), accepting=False)
            world.dial(self.node, self.other)
            self.assertEqual(self.discovery.looking, {})
            self.assertFalse(world.until(self.node.ping(self.other.peer_id)).accepting)

    def test_a_peer_that_is_found_late_is_dialled_then(self) -> None:
        with self.world as world:
            world.start()
            world.listen(self.other)
            dial = self.node.connect(self.other.peer_id, "echo", world.recorders())
            world.run(1.0)
            self.announces(self.at(self.other))
            known = self.discovery.known[self.other.peer_id]
            self.discovery.looking[self.other.peer_id].callback(known)
            world.until(dial)

    def test_only_addresses_on_a_link_are_tried(self) -> None:
        with self.world as world:
            world.start()
            self.announces(HostPort("11.66.0.2", 4000), HostPort("fe80::1%eth0", 4000))
            error = world.error_of(self.node.connect(self.other.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, PeerOffline)
            self.assertEqual(list(world.sent_by(self.node)), [])

    def test_who_was_not_found_is_looked_for_no_more(self) -> None:
        with self.world as world:
            world.start()
            world.error_of(self.node.connect(self.other.peer_id, "echo", world.recorders()))
            self.assertEqual(self.discovery.asked, ["start", "look no more"])

    def test_it_is_told_of_other_interfaces(self) -> None:
        with self.world as world:
            world.start()
            host = world.hosts[self.node]
            host.move_to(host.network, "11.10.1.9")
            world.run(1.0)
            self.assertEqual(self.discovery.asked, ["start", "interfaces changed"])

    def test_the_network_can_be_used_later(self) -> None:
        with self.world as world:
            node = world.add_node()
            world.add_tracker()
            self.assertIsNone(node.lan)
            node.startService()
            world.run(1.0)
            for _ in range(2):
                node.use_lan(self.discovery)
            self.assertIs(node.lan, self.discovery)
            self.assertEqual(self.discovery.asked, ["start"])
