"""A question that goes out with the request for its stream, and its test."""

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.wire import Echo
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twisted_p2p import PeerClientEndpoint
from twisted_p2p.interfaces import IEarlyFactory
from twisted_p2p.testing import Link, SimulatedInternetMixin


class Asker(Protocol):
    answer = b""

    def connectionMade(self):
        self.transport.write(b"What time is it?")

    def dataReceived(self, data):
        self.answer += data


@implementer(IEarlyFactory)
class Asking(Factory):
    protocol = Asker


class EarlyTests(SimulatedInternetMixin, SynchronousTestCase):
    def test_the_answer_is_there_with_the_acceptance(self):
        pair = self.connected_pair(link=Link(delay=0.02))
        pair.until(pair.b.listen("time", Factory.forProtocol(Echo)))
        endpoint = PeerClientEndpoint(pair.a, pair.b.peer_id, "time")
        for factory, answer in (
            (Asking(), b"What time is it?"),
            (Factory.forProtocol(Asker), b""),
        ):
            asker = pair.until(endpoint.connect(factory))
            pair.run_for(0.001)
            self.assertEqual(asker.answer, answer)
