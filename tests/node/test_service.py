"""A node as a service among others, and the interfaces that it claims."""

from __future__ import annotations

from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IService, MultiService
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IListeningPort,
    IPushProducer,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITCPTransport,
)
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.scenarios.world import World
from twisted_p2p.addresses import HostPort
from twisted_p2p.endpoints import PeerClientEndpoint, PeerServerEndpoint
from twisted_p2p.errors import InvalidPeerID, P2PError, PortInUse, TrackerUnreachable
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.interfaces import IPeerConnection, IPeerLink, IPeerNode
from twisted_p2p.testing import FULL_CONE, PORT_RESTRICTED
from twisted_p2p.testing.peers import simulated_node


class InterfaceTests(SynchronousTestCase):
    def test_everything_provides_what_it_claims(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            for node in (left, right):
                verifyObject(IPeerNode, node)
                verifyObject(IService, node)
            world.start()
            server = PeerServerEndpoint(right, "echo")
            verifyObject(IStreamServerEndpoint, server)
            port: Any = world.until(server.listen(world.recorders(echoes=True)))
            verifyObject(IListeningPort, port)
            client = PeerClientEndpoint(left, right.peer_id, "echo")
            verifyObject(IStreamClientEndpoint, client)
            recorder: Any = world.until(client.connect(world.recorders(b"hello")))
            for interface in (ITCPTransport, IConsumer, IPushProducer):
                verifyObject(interface, recorder.transport)
            for address in (recorder.transport.getPeer(), port.getHost()):
                verifyObject(IAddress, address)
            for node, other in ((left, right), (right, left)):
                link = node.connection_with(other.peer_id)
                verifyObject(IPeerConnection, link)
                verifyObject(IPeerLink, link)


class ConnectionTests(SynchronousTestCase):
    def test_a_connection_tells_with_whom_it_is_and_how_it_came_about(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(FULL_CONE)
            world.start()
            world.listen(right)
            self.assertIsNone(left.connection_with(right.peer_id))
            began = world.now
            world.dial(left, right)
            for node, other in ((left, right), (right, left)):
                link = node.connection_with(other.peer_id)
                assert link is not None
                self.assertEqual((link.peer_id, link.strategy), (other.peer_id, "introduction"))
                self.assertTrue(0.1 < link.elapsed <= world.now - began, link.elapsed)
                self.assertEqual(link.path.remote.host, world.seen_at[other])

    def test_a_connection_opens_streams_itself(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            world.listen(left)
            world.listen(right)
            world.dial(left, right)
            link = right.connection_with(left.peer_id)
            assert link is not None
            recorder: Any = world.until(link.open_stream("echo", world.recorders(b"back")))
            world.run(1.0)
            self.assertEqual(recorder.received, b"back")
            self.assertEqual(recorder.transport.getPeer().peer_id, left.peer_id)

    def test_who_is_no_peer_has_no_connection(self) -> None:
        with World() as world:
            node = world.add_node()
            self.assertRaises(InvalidPeerID, node.connection_with, "nobody")
            for asked in (node.connect("nobody", "echo", world.recorders()), node.ping("nobody")):
                self.failureResultOf(asked, InvalidPeerID)

    def test_a_ping_measures_a_round_trip_over_the_path_it_tells(self) -> None:
        with World() as world:
            left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
            world.start()
            world.listen(right)
            pong = world.until(left.ping(right.peer_id))
            self.assertTrue(0.08 <= pong.round_trip < 0.1, pong)
            self.assertEqual((pong.path.kind, pong.accepting), ("punched", True))
            back = world.until(right.ping(left.peer_id))
            self.assertTrue(0.08 <= back.round_trip < 0.1, back)
            self.assertFalse(back.accepting)


class LifeTests(SynchronousTestCase):
    def test_what_is_asked_before_the_start_waits_for_it(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            listening = right.listen("echo", world.recorders(echoes=True))
            dialled = left.connect(right.peer_id, "echo", world.recorders(b"hello"))
            ready = left.when_ready()
            given_up = left.when_ready()
            world.run(5.0)
            for asked in (listening, dialled, ready):
                self.assertNoResult(asked)
            given_up.addErrback(lambda _: None)
            given_up.cancel()
            right.startService()
            world.until(listening)
            left.startService()
            world.until(ready)
            recorder: Any = world.until(dialled)
            world.run(1.0)
            self.assertEqual(recorder.received, b"hello")

    def test_an_application_of_a_node_and_a_service_on_it(self) -> None:
        """The service's port is opened before the node is started, as Twisted has it."""
        with World() as world:
            node, dialler = world.add_node(), world.add_node()
            application = MultiService()
            factory = world.recorders(echoes=True)
            endpoint = PeerServerEndpoint(node, "echo")
            for service in (StreamServerEndpointService(endpoint, factory), node):
                service.setServiceParent(application)
            application.privilegedStartService()
            application.startService()
            world.start(dialler)
            world.run(1.0)
            world.dial(dialler, node)
            self.assertEqual(factory.made, 1)
            world.until(application.stopService())
            self.assertEqual(node.running, 0)

    def test_a_node_whose_port_is_taken_does_not_run(self) -> None:
        with World() as world:
            node = world.add_node(port=4000)
            world.start()
            other = simulated_node(world.hosts[node], [], port=4000)
            self.assertRaises(PortInUse, other.startService)
            self.assertFalse(other.running)
            world.until(other.stopService())

    def test_dials_under_way_end_when_the_node_stops(self) -> None:
        for when in (0.0, 0.1, 0.2):
            with World() as world:
                left, right = world.add_node(PORT_RESTRICTED), world.add_node(PORT_RESTRICTED)
                world.start()
                world.listen(right)
                dialled = left.connect(right.peer_id, "echo", world.recorders())
                world.run(when)
                world.stop(left)
                error = self.failureResultOf(dialled, P2PError).value
                self.assertEqual(str(error), "This node is stopping.")

    def test_a_node_that_was_stopped_dials_nobody_and_accepts_nobody(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            world.listen(right)
            stopped = right.stopService()
            dialled = left.connect(right.peer_id, "echo", world.recorders())
            error = world.error_of(dialled)
            self.assertEqual(type(error).__name__, "PeerOffline")
            world.until(stopped)
            error = world.error_of(right.connect(left.peer_id, "echo", world.recorders()))
            self.assertIsInstance(error, TrackerUnreachable)

    def test_an_offer_that_comes_while_it_stops_is_refused(self) -> None:
        with World() as world:
            left, right = world.add_node(), world.add_node()
            world.start()
            service = world.listen(right)
            dialled = left.connect(right.peer_id, "echo", world.recorders())
            world.run(0.07)  # the offer is on its way from the tracker
            right.stopService()
            world.run(3.0)
            self.assertEqual(service.made, 0)
            self.failureResultOf(dialled, P2PError)

    def test_a_tracker_may_be_added_while_the_node_runs(self) -> None:
        with World() as world:
            identity = IdentityKey.from_seed(bytes(32))
            node = world.add_node(trackers=[], identity=identity)
            node.startService()
            self.assertIsInstance(world.error_of(node.when_ready()), TrackerUnreachable)
            for _ in range(2):
                node.add_tracker(HostPort(*world.trackers[0].address))
            world.until(node.when_ready())
            self.assertEqual(world.trackers[0].status()["registrations"], 1)
            self.assertEqual(node.peer_id, identity.peer_id)
