"""The whole way: a peer is dialled by its key through a tracker and two NATs."""

from __future__ import annotations

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.world import Echo, Recorder, World
from twisted_p2p.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    PORT_TAKING,
    RANDOM_SYMMETRIC,
    NATBehaviour,
)


class EchoTests(SynchronousTestCase):
    """Connects the right node to the left one's echo service."""

    def echo(self, left: NATBehaviour | None, right: NATBehaviour | None, kind: str) -> None:
        world = World(left, right)
        try:
            world.start()
            world.net.run_until(world.left.listen("echo", Factory.forProtocol(Echo)))
            world.net.run_for(1.0)
            began = world.net.now
            recorder = Recorder(b"hello")
            recorder.now = lambda: world.net.now
            world.net.run_until(
                world.right.connect(
                    world.left.peer_id, "echo", Factory.forProtocol(lambda: recorder)
                )
            )
            world.net.run_for(1.0)
            self.assertEqual(recorder.received, b"hello")
            address = recorder.transport.getPeer()
            self.assertEqual(address.peer_id, world.left.peer_id)
            self.assertEqual(address.path.kind, kind)
            print("elapsed", recorder.first_byte_at - began)
        except BaseException:
            print(world.net.log.dump(last=60))
            raise
        finally:
            world.stop()

    def test_port_restricted_both(self) -> None:
        self.echo(PORT_RESTRICTED, PORT_RESTRICTED, "punched")

    def test_public_both(self) -> None:
        self.echo(None, None, "direct")

    def test_full_cone_and_symmetric(self) -> None:
        self.echo(FULL_CONE, RANDOM_SYMMETRIC, "punched")

    def test_public_and_symmetric(self) -> None:
        self.echo(None, RANDOM_SYMMETRIC, "punched")
        self.echo(RANDOM_SYMMETRIC, None, "punched")

    def test_port_taking(self) -> None:
        self.echo(PORT_TAKING, PORT_TAKING, "punched")
