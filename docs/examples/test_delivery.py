"""A service that acknowledges, its test on bad links, and what the packet log tells of it."""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import NoPath
from twisted_p2p.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    RANDOM_SYMMETRIC,
    Link,
    SimulatedInternetMixin,
    for_seeds,
)

BAD = Link(delay=0.15, jitter=0.05, loss=0.05, reordering=0.05)


class Receiver(LineReceiver):
    """Acknowledges each line."""

    def lineReceived(self, line):
        self.sendLine(b"got " + line)


class Sender(LineReceiver):
    """Sends one line."""

    def __init__(self, line):
        self.acknowledged = Deferred()
        self._line = line

    def connectionMade(self):
        self.sendLine(self._line)

    def lineReceived(self, line):
        self.acknowledged.callback(line)


RECEIVERS = Factory.forProtocol(Receiver)


class DeliveryTests(SimulatedInternetMixin, SynchronousTestCase):
    @for_seeds(range(10))
    def test_a_line_is_acknowledged_in_spite_of_loss(self):
        pair = self.connected_pair(PORT_RESTRICTED, FULL_CONE, link=BAD)
        sender = pair.connect(Sender(b"news"), RECEIVERS)
        self.assertEqual(pair.until(sender.acknowledged), b"got news")
        self.assertLess(pair.internet.now, 15.0)

    def test_nothing_goes_through_the_tracker(self):
        pair = self.connected_pair()
        before = pair.internet.now
        sender = pair.connect(Sender(bytes(16_000)), RECEIVERS)
        pair.until(sender.acknowledged)
        self.assertGreater(pair.internet.traffic["a", "b"].delivered.bytes, 16_000)
        by_tracker = pair.log.since(before).of("tracker")
        self.assertLess(sum(packet.length for packet in by_tracker), 8_000, by_tracker.dump())

    def test_two_nats_that_no_way_leads_through_are_told(self):
        pair = self.connected_pair(PORT_RESTRICTED, RANDOM_SYMMETRIC)
        with self.assertRaises(NoPath):
            pair.connect(Sender(b"news"), RECEIVERS)

    def test_a_peer_that_vanishes_is_missed(self):
        pair = self.connected_pair(nat_b=None)
        sender = pair.connect(Sender(b"news"), RECEIVERS)
        pair.until(sender.acknowledged)
        pair.host_b.link = Link(loss=1.0)
        vanished_at = pair.internet.now
        pair.run_for(60.0)
        late = pair.log.between("a", "b").since(vanished_at + 31.0)
        self.assertEqual(late.dump(), "")
