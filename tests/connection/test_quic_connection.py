from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionLost, NoProtocol
from twisted.trial.unittest import SynchronousTestCase

from tests.connection.link import STRANGER
from tests.connection.peers import (
    PATH,
    Aborting,
    EarlyMade,
    HalfCloseable,
    Made,
    Owner,
    Peers,
    Recorder,
)
from twisted_p2p.connection.quic import HANDSHAKE_TIMEOUT
from twisted_p2p.connection.quic_connection import LINGER
from twisted_p2p.connection.quic_router import destination_connection_id
from twisted_p2p.errors import DialTimedOut, NoPath, PeerRefused, UnknownService, WrongIdentity


def joined(**settings: Any) -> Peers:
    peers = Peers(**settings)
    assert peers.run(10.0, until=lambda: peers.server.log == ["authenticated"])
    return peers


class JoiningTests(SynchronousTestCase):
    def test_an_echo_of_who_begins_early_takes_two_round_trips_from_nothing(self) -> None:
        class Asking(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.stream.write(b"hello")

        class Answering(Recorder):
            def dataReceived(self, data: bytes) -> None:
                self.stream.write(data)

        peers = Peers(delay=0.04)
        peers.server.services["echo"] = Made(Answering)
        factory = EarlyMade(Asking)
        peers.client.connection.open_stream("echo", factory)
        peers.run(5.0, until=lambda: factory.made)
        self.assertAlmostEqual(peers.clock.seconds(), 0.08)
        peers.run(5.0, until=lambda: factory.one.received)
        self.assertAlmostEqual(peers.clock.seconds(), 0.16)
        self.assertEqual(factory.one.received, b"hello")

    def test_the_deferred_fires_with_the_protocol_once_the_peer_accepted(self) -> None:
        for kind, log_before in ((Made, []), (EarlyMade, [["made"]])):
            with self.subTest(kind=kind):
                peers = Peers(delay=0.04)
                peers.server.services["service"] = Made()
                factory = kind()
                opened = peers.client.connection.open_stream("service", factory)
                peers.run(0.15)
                self.assertNoResult(opened)
                self.assertEqual([protocol.log for protocol in factory.made], log_before)
                peers.run(0.02)
                self.assertIs(self.successResultOf(opened), factory.one)
                self.assertEqual(factory.one.log, ["made"])

    def test_a_factory_runs_as_long_as_its_protocol(self) -> None:
        peers = Peers()
        peers.server.services["service"] = Made()
        factory = Made()
        peers.client.connection.open_stream("service", factory)
        self.assertEqual(factory.running, 1)
        peers.run(1.0)
        self.assertEqual(factory.running, 1)
        factory.one.stream.loseConnection()
        peers.run(1.0)
        self.assertEqual(factory.running, 0)

    def test_both_sides_open_streams_at_once(self) -> None:
        peers = joined()
        results = []
        for owner, other in ((peers.client, peers.server), (peers.server, peers.client)):
            other.services["service"] = Made()
            results.append(owner.connection.open_stream("service", Made()))
        peers.run(1.0)
        for result in results:
            self.assertEqual(self.successResultOf(result).log, ["made"])

    def test_all_packets_carry_ids_that_the_owner_was_told(self) -> None:
        peers = Peers()
        unknown: list[bytes | None] = []

        def look(owner: Owner, data: bytes) -> bool:
            connection_id = destination_connection_id(data)
            # The very first packets of a client carry an ID of its own choice.
            if connection_id not in owner.other.connection_ids and owner is peers.server:
                unknown.append(connection_id)
            return False

        peers.drop = look
        peers.join()
        self.assertEqual(unknown, [])
        self.assertGreaterEqual(len(peers.server.connection_ids), 2)

    def test_ping_tells_the_round_trip(self) -> None:
        peers = joined(delay=0.03)
        for owner in (peers.client, peers.server):
            result = owner.connection.ping()
            peers.run(1.0)
            self.assertAlmostEqual(self.successResultOf(result), 0.06)

    def test_a_ping_that_nobody_can_answer_fails(self) -> None:
        self.failureResultOf(Peers().client.connection.ping(), ConnectionLost)
        peers = joined()
        result = peers.client.connection.ping()
        peers.client.connection.abandon(NoPath())
        self.failureResultOf(result, NoPath)

    def test_a_hundred_and_fifty_streams_share_a_connection(self) -> None:
        class Answering(Recorder):
            def dataReceived(self, data: bytes) -> None:
                self.stream.write(data)
                self.stream.loseConnection()

        peers = joined()
        peers.server.services["service"] = Made(Answering)
        factory = EarlyMade()
        opened = [peers.client.connection.open_stream("service", factory) for _ in range(150)]
        self.assertEqual(len(factory.made), 99)
        for protocol in factory.made:
            protocol.stream.write(b"x")
        peers.run(1.0, until=lambda: len(factory.made) == 150)
        for protocol in factory.made[99:]:
            protocol.stream.write(b"x")
        peers.run(1.0)
        for result in opened:
            self.assertEqual(self.successResultOf(result).received, b"x")
        self.assertEqual((len(peers.client.connection.streams), factory.running), (0, 0))

    def test_it_works_over_a_bad_path(self) -> None:
        for number in range(4):
            peers = Peers(delay=0.01)
            count = iter(range(10**6))
            peers.drop = lambda owner, data, count=count, number=number: (  # type: ignore[misc]
                next(count) % 7 == number
            )
            ours, theirs = peers.join()
            ours.stream.write(bytes(200_000))
            ours.stream.loseConnection()
            peers.run(60.0, until=lambda theirs=theirs: theirs.reason)
            self.assertEqual(theirs.size, 200_000)


class RefusingTests(SynchronousTestCase):
    def refused(self, peers: Peers, kind: type[Made] = Made) -> tuple[Deferred[Any], Made]:
        factory = kind()
        result = peers.client.connection.open_stream("service", factory)
        peers.run(1.0)
        return result, factory

    def test_no_protocol_is_built_for_a_stream_that_is_not_accepted(self) -> None:
        peers = joined()
        result, factory = self.refused(peers)
        self.failureResultOf(result, UnknownService)
        self.assertEqual((factory.made, factory.running), ([], 0))
        self.assertEqual(len(peers.client.connection.streams), 0)

    def test_an_unknown_service_is_a_typed_error_for_one_that_began_early(self) -> None:
        peers = joined()
        result, factory = self.refused(peers, EarlyMade)
        self.failureResultOf(result, UnknownService)
        self.assertEqual(factory.one.log, ["made", "lost UnknownService"])
        self.assertEqual(factory.running, 0)
        self.assertEqual(len(peers.client.connection.streams), 0)
        self.assertTrue(peers.client.connection.is_open)

    def test_a_peer_that_may_not_have_it_is_told_why(self) -> None:
        peers = joined()
        peers.server.services["service"] = PeerRefused("Not you.")
        result, _ = self.refused(peers)
        self.assertEqual(str(self.failureResultOf(result, PeerRefused).value), "Not you.")

    def test_a_factory_that_builds_nothing_refuses(self) -> None:
        peers = joined()
        peers.server.services["service"] = Made(lambda: None)
        result, _ = self.refused(peers)
        self.failureResultOf(result, PeerRefused)

    def test_a_factory_that_fails_refuses_and_is_logged(self) -> None:
        peers = joined()
        peers.server.services["service"] = Made(lambda: 1 // 0)
        result, _ = self.refused(peers)
        self.failureResultOf(result, PeerRefused)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_factory_of_our_own_that_fails_gives_the_stream_up(self) -> None:
        peers = joined()
        for made in (Made, EarlyMade):
            for kind, error in ((lambda: None, NoProtocol), (lambda: 1 // 0, ZeroDivisionError)):
                peers.server.services["service"] = theirs = Made()
                factory = made(kind)
                result = peers.client.connection.open_stream("service", factory)
                peers.run(1.0)
                self.failureResultOf(result, error)
                self.assertEqual(factory.running, 0)
                for protocol in theirs.made:
                    self.assertEqual(protocol.log, ["made", "lost ConnectionLost"])
        self.assertEqual(len(peers.client.connection.streams), 0)

    def test_a_service_needs_a_name_that_fits(self) -> None:
        factory = Made()
        for name in ("", "x" * 256):
            with self.assertRaises(ValueError):
                Peers().client.connection.open_stream(name, factory)
        self.assertEqual(factory.running, 0)

    def test_the_peer_may_give_up_before_it_answered(self) -> None:
        peers = joined()
        peers.server.services["service"] = Made(Aborting)
        result, factory = self.refused(peers)
        self.failureResultOf(result, ConnectionLost)
        self.assertEqual(factory.made, [])

    def test_what_was_sent_and_never_answered_does_not_keep_others_from_opening(self) -> None:
        class Writing(Recorder):
            def connectionMade(self) -> None:
                self.stream.write(bytes(100_000))

        class WritingAndLeaving(Writing):
            def connectionMade(self) -> None:
                super().connectionMade()
                peers.clock.callLater(0.0, self.stream.abortConnection)

        for kind in (Writing, WritingAndLeaving):
            peers = Peers()
            peers.server.services["service"] = Made(Aborting)
            peers.server.services["other"] = Made()
            given_up = peers.client.connection.open_stream("service", EarlyMade(kind))
            peers.run(1.0)
            self.failureResultOf(given_up, ConnectionLost, ConnectionAborted)
            opened = peers.client.connection.open_stream("other", Made())
            peers.run(1.0)
            self.assertEqual(self.successResultOf(opened).log, ["made"])


class CancellingTests(SynchronousTestCase):
    def test_an_opening_is_cancelled_before_the_peer_is_authenticated(self) -> None:
        peers = Peers()
        factory = Made()
        result = peers.client.connection.open_stream("service", factory)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        peers.run(1.0)
        self.assertEqual((factory.made, factory.running), ([], 0))

    def test_an_opening_is_cancelled_before_the_peer_answered(self) -> None:
        peers = joined()
        peers.server.services["service"] = theirs = Made()
        factory = Made()
        result = peers.client.connection.open_stream("service", factory)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        peers.run(1.0)
        self.assertEqual((factory.made, factory.running), ([], 0))
        self.assertLessEqual(len(theirs.made), 1)


class WrongIdentityTests(SynchronousTestCase):
    """Promise 16: no connectionMade, on either side, for anybody but the key asked for."""

    def nobody_meets(self, **settings: Any) -> tuple[Peers, Deferred[Any]]:
        peers = Peers(**settings)
        peers.server.services["service"] = theirs = Made()
        ours = Made()
        result = peers.client.connection.open_stream("service", ours)
        peers.run(HANDSHAKE_TIMEOUT + 1)
        self.assertEqual(theirs.made, [])
        self.assertNotIn("authenticated", peers.server.log)
        self.assertEqual(len(peers.server.connection.streams), 0)
        self.made = ours.made
        return peers, result

    def test_a_responder_with_another_key(self) -> None:
        peers, result = self.nobody_meets(server_key=STRANGER)
        self.failureResultOf(result, WrongIdentity)
        self.assertEqual(self.made, [])
        self.assertEqual(peers.client.log, ["lost", "forgotten"])
        self.assertEqual(peers.clock.getDelayedCalls(), [])

    def test_an_initiator_with_another_key(self) -> None:
        # Here the initiator is the impostor: what it tells its own protocol is its affair.
        peers, result = self.nobody_meets(client_key=STRANGER)
        self.failureResultOf(result, WrongIdentity)
        self.assertIs(type(peers.server.reason), WrongIdentity)
        self.assertIs(type(peers.client.reason), WrongIdentity)

    def test_both_are_somebody_else(self) -> None:
        _, result = self.nobody_meets(client_key=STRANGER, server_key=STRANGER)
        self.failureResultOf(result, WrongIdentity)
        self.assertEqual(self.made, [])

    def test_nobody_at_all(self) -> None:
        peers = Peers()
        peers.drop = lambda owner, data: True
        result = peers.client.connection.open_stream("service", Made())
        peers.run(HANDSHAKE_TIMEOUT + 5)
        self.failureResultOf(result, DialTimedOut)
        self.assertIs(type(peers.server.reason), DialTimedOut)
        self.assertEqual(peers.clock.getDelayedCalls(), [])


class ClosingTests(SynchronousTestCase):
    def test_close_ends_all_streams_on_both_sides_and_leaves_nothing(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        connection = peers.client.connection
        connection.close()
        connection.close()
        self.assertFalse(connection.is_open)
        peers.run(LINGER + 2)
        self.assertEqual(ours.log, ["made", "lost ConnectionAborted"])
        self.assertEqual(theirs.log, ["made", "lost ConnectionLost"])
        for owner in (peers.client, peers.server):
            self.assertEqual(owner.log, ["authenticated", "lost", "forgotten"])
        self.assertIs(type(peers.client.reason), ConnectionAborted)
        self.assertIs(type(peers.server.reason), ConnectionLost)
        self.assertEqual(peers.clock.getDelayedCalls(), [])
        connection.close()
        connection.abandon(NoPath())
        self.assertEqual(peers.client.log.count("forgotten"), 1)

    def test_streams_that_are_being_lost_get_their_time(self) -> None:
        peers = Peers(delay=0.01)
        ours, theirs = peers.join()
        ours.stream.write(bytes(1_000_000))
        ours.stream.loseConnection()
        peers.client.connection.close()
        peers.run(5.0)
        self.assertEqual(theirs.size, 1_000_000)
        self.assertEqual(ours.log, ["made", "lost ConnectionDone"])
        self.assertEqual(theirs.log, ["made", "lost ConnectionDone"])

    def test_the_ends_of_streams_are_confirmed_before_the_close(self) -> None:
        peers = Peers(delay=0.05)
        ours, theirs = peers.join()
        theirs_done = []
        ours.stream.loseConnection()
        peers.run(1.0, until=lambda: theirs.reason and not theirs_done.append(1))  # type: ignore[func-returns-value]
        peers.server.connection.close()
        peers.run(2.0)
        self.assertEqual(ours.log, ["made", "lost ConnectionDone"])

    def test_streams_that_are_never_confirmed_do_not_hold_it_up(self) -> None:
        peers = Peers()
        ours, _ = peers.join()
        peers.drop = lambda owner, data: True
        ours.stream.loseConnection()
        peers.client.connection.close()
        peers.run(LINGER / 2)
        self.assertEqual(peers.client.log, ["authenticated"])
        peers.run(LINGER)
        self.assertEqual(peers.client.log[1], "lost")
        self.assertEqual(ours.log, ["made", "lost ConnectionAborted"])

    def test_while_closing_nothing_new_begins(self) -> None:
        peers = Peers()
        ours, _ = peers.join()
        peers.client.services["service"] = Made()
        ours.stream.write(bytes(100_000))
        ours.stream.loseConnection()
        late = peers.server.connection.open_stream("service", Made())
        peers.client.connection.close()
        refused = peers.client.connection.open_stream("service", Made())
        self.failureResultOf(refused, ConnectionLost)
        self.failureResultOf(peers.client.connection.ping(), ConnectionLost)
        peers.run(2.0)
        self.assertIn(type(self.failureResultOf(late).value), (PeerRefused, ConnectionLost))

    def test_what_waits_to_be_opened_fails_with_the_connection(self) -> None:
        peers = Peers()
        factory = Made()
        result = peers.client.connection.open_stream("service", factory)
        peers.client.connection.close()
        peers.run(5.0)
        self.failureResultOf(result, ConnectionAborted)
        self.assertEqual((factory.made, factory.running), ([], 0))

    def test_an_abandoned_connection_says_nothing_more(self) -> None:
        peers = Peers()
        ours, _ = peers.join()
        before = len(peers.sent)
        peers.client.connection.abandon(NoPath("It is gone."))
        ours_reason = ours.reason
        self.assertEqual((type(ours_reason), str(ours_reason)), (NoPath, "It is gone."))
        self.assertEqual(peers.client.log, ["authenticated", "lost", "forgotten"])
        peers.server.connection.ping().addErrback(lambda failure: None)
        peers.run(5.0)
        self.assertEqual([owner for owner, _ in peers.sent[before:] if owner is peers.client], [])

    def test_what_had_arrived_whole_is_still_read_after_the_connection_is_lost(self) -> None:
        for kind, log in (
            (Recorder, ["made", "lost ConnectionDone"]),
            (HalfCloseable, ["made", "write lost", "read lost", "lost ConnectionDone"]),
        ):
            peers = Peers()
            ours, theirs = peers.join(Recorder, kind)
            theirs.stream.pauseProducing()
            ours.stream.write(b"the whole message")
            ours.stream.loseConnection()
            peers.run(1.0)
            peers.client.connection.close()
            peers.run(3.0)
            self.assertEqual(peers.server.log[-1], "forgotten")
            self.assertEqual((theirs.received, theirs.stream.connected), (b"", True))
            theirs.stream.resumeProducing()
            peers.run(0.0)
            self.assertEqual((theirs.received, theirs.log), (b"the whole message", log))

    def test_what_had_not_arrived_whole_never_looks_complete(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        ours.stream.write(b"half a mess")
        peers.run(1.0)
        peers.client.connection.close()
        peers.run(3.0)
        self.assertEqual(theirs.log, ["made", "lost ConnectionLost"])

    def test_an_owner_that_fails_harms_nobody(self) -> None:
        peers = Peers()
        peers.client.connection_authenticated = lambda connection: 1 // 0  # type: ignore[method-assign]
        ours, _ = peers.join()
        self.assertEqual(ours.log, ["made"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class PathTests(SynchronousTestCase):
    def test_streams_survive_an_outage_and_go_on_at_once_on_the_next_path(self) -> None:
        peers = Peers()
        ours, theirs = peers.join()
        peers.drop = lambda owner, data: True
        ours.stream.write(b"patience")
        peers.run(120.0)
        peers.drop = lambda owner, data: False
        peers.client.connection.path_changed(PATH)
        peers.run(0.3)
        self.assertEqual(theirs.received, b"patience")

    def test_a_lost_path_is_told_without_sending(self) -> None:
        peers = Peers()
        ours, _ = peers.join()
        peers.run(1.0)
        before = len(peers.sent)
        peers.client.connection.path_changed(None)
        peers.run(1.0)
        self.assertEqual(len(peers.sent), before)
        self.assertIsNone(ours.stream.getPeer().path)
