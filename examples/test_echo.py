"""The tutorial's two programs, each behind a NAT of its own, on a simulated internet.

It needs no network::

    python -m twisted.trial test_echo
"""

from echo_client import Caller
from echo_server import Echo
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import NoPath
from twisted_p2p.testing import PORT_RESTRICTED, RANDOM_SYMMETRIC, SimulatedInternetMixin


class EchoTests(SimulatedInternetMixin, SynchronousTestCase):
    def test_the_line_comes_back_through_two_nats(self):
        pair = self.connected_pair(PORT_RESTRICTED, PORT_RESTRICTED)
        caller = pair.connect(Caller(), Factory.forProtocol(Echo))
        self.assertEqual(caller.transport.getPeer().path.kind, "punched")
        self.assertEqual(pair.until(caller.echoed), "Is anybody there?")

    def test_the_tracker_carries_nothing_of_it(self):
        pair = self.connected_pair()
        caller = pair.connect(Caller(), Factory.forProtocol(Echo))
        connected_at = pair.internet.now
        pair.until(caller.echoed)
        refreshes = pair.log.since(connected_at).of("tracker")
        self.assertLessEqual(len(refreshes), 4, refreshes.dump())  # one of each, and its answer

    def test_some_nats_let_nobody_through(self):
        pair = self.connected_pair(RANDOM_SYMMETRIC, RANDOM_SYMMETRIC)
        with self.assertRaises(NoPath):
            pair.connect(Caller(), Factory.forProtocol(Echo))
