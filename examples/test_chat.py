"""The test suite of a program: three people chat, each behind a NAT, on a simulated internet.

It takes a second and needs no network::

    python -m twisted.trial test_chat
"""

from chat import ChatRoom
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p import PeerServerEndpoint
from twisted_p2p.testing import FULL_CONE, SimulatedInternetMixin, SimulatedTracker, simulated_node


class Person:
    """Somebody who chats, on a computer at home."""

    def __init__(self, internet, number, nat):
        home = internet.add_network(f"home {number}", f"11.0.{number}.1", nat)
        self.host = internet.add_host(f"person {number}", f"192.168.{number}.2", network=home)
        self.node = simulated_node(self.host, [("11.0.0.1", 3478)])
        self.node.startService()
        self.screen = []
        self.room = ChatRoom(self.node, f"person {number}", self.screen.append)
        internet.run_until(PeerServerEndpoint(self.node, "chat").listen(self.room))


class ChatTests(SimulatedInternetMixin, SynchronousTestCase):
    def setUp(self):
        self.internet = self.simulate()
        self.tracker = SimulatedTracker(self.internet.add_host("tracker", "11.0.0.1"))
        self.people = [Person(self.internet, number, FULL_CONE) for number in (1, 2, 3)]

    def meet(self, one, other):
        self.internet.run_until(Deferred.fromCoroutine(one.room.meet(other.node.peer_id)))
        self.internet.run_for(2.0)

    def test_who_meets_one_meets_all(self):
        first, second, third = self.people
        self.meet(second, first)
        self.meet(third, second)
        self.assertEqual(set(first.room.people()), {second.node.peer_id, third.node.peer_id})
        third.room.say("Hello, you two")
        self.internet.run_for(1.0)
        for person in (first, second):
            self.assertEqual(person.screen[-1], "person 3: Hello, you two")

    def test_two_who_dial_each_other_at_once_hear_everything_once(self):
        first, second, _ = self.people
        Deferred.fromCoroutine(first.room.meet(second.node.peer_id))
        self.meet(second, first)
        first.room.say("once")
        self.internet.run_for(1.0)
        self.assertEqual(second.screen.count("person 1: once"), 1)

    def test_nobody_else_steers_the_terminal(self):
        first, second, _ = self.people
        self.meet(second, first)
        second.room.say("\x1b[2Jhello")
        self.internet.run_for(1.0)
        self.assertEqual(first.screen[-1], "person 2: [2Jhello")

    def test_who_leaves_is_missed(self):
        first, second, _ = self.people
        self.meet(second, first)
        self.internet.run_until(second.node.stopService())
        self.internet.run_for(1.0)
        self.assertEqual(first.screen[-1], "* person 2 is gone")

    def test_the_tracker_may_stop_while_they_chat(self):
        first, second, _ = self.people
        self.meet(second, first)
        self.tracker.stop()
        self.internet.run_for(3600.0)
        second.room.say("still here")
        self.internet.run_for(1.0)
        self.assertEqual(first.screen[-1], "person 2: still here")
