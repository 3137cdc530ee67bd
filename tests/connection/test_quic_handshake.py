from __future__ import annotations

from random import Random
from typing import Any

from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection
from qh3.tls import SignatureAlgorithm
from twisted.trial.unittest import SynchronousTestCase

from tests.connection.link import INITIATOR, RESPONDER, STRANGER, Link, Side, connection
from twisted_p2p.connection.authentication import make_proof
from twisted_p2p.connection.certificate import Certificate, make_certificate
from twisted_p2p.connection.events import (
    CloseCode,
    ConnectionClosed,
    PeerAuthenticated,
    PingAnswered,
)
from twisted_p2p.connection.quic import HANDSHAKE_TIMEOUT, UNPROVEN_LIMIT
from twisted_p2p.connection.quic_library import LibrarySettings, QH3Connection
from twisted_p2p.connection.wire import Credit, Proof, encode_control, encode_opening


class Saying(QH3Connection):
    """An initiator's library that says something else on the control stream, or nothing."""

    def __init__(self, settings: LibrarySettings, say: Any) -> None:
        super().__init__(settings)
        self._say = say
        self._send = self.send_stream_data
        self.send_stream_data = self._send_stream_data  # type: ignore[method-assign]

    def _send_stream_data(self, stream_id: int, data: Any, end_stream: bool = False) -> None:
        if stream_id == 0:
            data = self._say(bytes(data), self.peer_certificate() or b"")
        self._send(stream_id, data, end_stream)


def hostile_initiator(say: Any, *, seed: int = 0) -> Link:
    """Return a link whose initiator says on the control stream what ``say`` makes of it."""
    client = connection(
        True, INITIATOR, RESPONDER.peer_id, library=lambda settings: Saying(settings, say)
    )
    return Link(client, connection(False, RESPONDER, INITIATOR.peer_id, seed=seed))


def closed(side: Side) -> ConnectionClosed:
    (event,) = side.of(ConnectionClosed)
    assert isinstance(event, ConnectionClosed)
    return event


class AuthenticationTests(SynchronousTestCase):
    def test_both_sides_are_authenticated_after_one_round_trip_and_a_half(self) -> None:
        link = Link(delay=0.04)
        self.assertTrue(link.run(until=lambda: "PeerAuthenticated" in link.client.seen))
        self.assertAlmostEqual(link.now, 0.08)
        self.assertTrue(link.run(until=lambda: "PeerAuthenticated" in link.server.seen))
        self.assertAlmostEqual(link.now, 0.12)
        self.assertEqual(link.client.of(PeerAuthenticated)[0].peer_id, RESPONDER.peer_id)
        self.assertEqual(link.server.of(PeerAuthenticated)[0].peer_id, INITIATOR.peer_id)

    def test_proof_stream_and_data_travel_in_one_flight(self) -> None:
        link = Link(delay=0.04)
        link.run(until=lambda: "PeerAuthenticated" in link.client.seen)
        stream_id = link.client.open("echo")
        link.client.send(stream_id, b"hello")
        link.run(until=lambda: stream_id in link.server.received)
        self.assertAlmostEqual(link.now, 0.12)
        link.server.send(stream_id, b"hello yourself")
        link.run(until=lambda: stream_id in link.client.received)
        self.assertAlmostEqual(link.now, 0.16)

    def test_it_works_over_a_bad_path(self) -> None:
        for seed in range(20):
            link = Link(loss=0.2, reordering=0.3, seed=seed)
            joined = link.run(
                HANDSHAKE_TIMEOUT, until=lambda link=link: "PeerAuthenticated" in link.server.seen
            )
            self.assertTrue(joined, f"seed {seed}")

    def test_a_peer_that_never_answers_times_out(self) -> None:
        link = Link()
        link.drop = lambda from_client, data: True
        link.run(HANDSHAKE_TIMEOUT + 0.1)
        self.assertEqual(closed(link.client).code, CloseCode.TIMED_OUT)
        self.assertEqual(closed(link.server).code, CloseCode.TIMED_OUT)
        self.assertIn("ConnectionForgotten", link.server.seen)

    def test_datagrams_that_begin_nothing_leave_a_responder_waiting(self) -> None:
        server = connection(False, RESPONDER, INITIATOR.peer_id)
        for data in (b"", b"\x40" + bytes(1300), b"\xc0\0\0\0\x01\x08" + bytes(50)):
            server.receive_datagram(data, None, 0.0)
        self.assertEqual(server.datagrams_to_send(0.0), [])
        self.assertEqual(server.dropped, {"not_initial": 3})
        link = Link(server=server)
        self.assertTrue(link.run(until=lambda: "PeerAuthenticated" in link.server.seen))

    def test_ping_takes_one_round_trip(self) -> None:
        link = Link(delay=0.04)
        link.run(1.0)
        began, number = link.now, link.server.machine.ping()
        link.run(until=lambda: "PingAnswered" in link.server.seen)
        self.assertEqual(link.server.of(PingAnswered), [PingAnswered(number)])
        self.assertAlmostEqual(link.now - began, 0.08)


class WrongIdentityTests(SynchronousTestCase):
    """Promise 16 on this layer: nobody is told that an impostor is the peer."""

    def nobody_is_authenticated(self, link: Link, code: CloseCode) -> None:
        link.run(HANDSHAKE_TIMEOUT + 1)
        self.assertNotIn("PeerAuthenticated", link.server.seen)
        self.assertNotIn("StreamOpened", link.server.seen)
        self.assertEqual(closed(link.server).code, code)

    def test_a_responder_with_another_identity_is_refused_before_anything_is_said(self) -> None:
        link = Link(server=connection(False, STRANGER, INITIATOR.peer_id))
        self.nobody_is_authenticated(link, CloseCode.WRONG_IDENTITY)
        self.assertNotIn("PeerAuthenticated", link.client.seen)
        self.assertEqual(closed(link.client).code, CloseCode.WRONG_IDENTITY)
        self.assertFalse(closed(link.client).by_peer)

    def test_a_man_in_the_middle_with_a_certificate_of_his_own_reaches_nobody(self) -> None:
        towards_initiator = Link(server=connection(False, STRANGER, INITIATOR.peer_id))
        towards_responder = Link(client=connection(True, STRANGER, RESPONDER.peer_id))
        for link in (towards_initiator, towards_responder):
            link.run(2.0)
        self.assertNotIn("PeerAuthenticated", towards_initiator.client.seen)
        self.assertNotIn("PeerAuthenticated", towards_responder.server.seen)
        self.assertEqual(closed(towards_responder.server).code, CloseCode.WRONG_IDENTITY)

    def test_the_leaked_key_of_one_side_does_not_pose_as_others_towards_it(self) -> None:
        # Who has the responder's key speaks to the responder as the initiator it expects.
        link = hostile_initiator(
            lambda data, certificate: encode_control(
                Proof(
                    INITIATOR.peer_id.public_key
                    + make_proof(RESPONDER, RESPONDER.peer_id, certificate)[32:]
                )
            )
        )
        self.nobody_is_authenticated(link, CloseCode.WRONG_IDENTITY)
        # Who has the initiator's key answers the initiator as the responder it dialled.
        stolen = make_certificate(INITIATOR, random_bytes=Random(1).randbytes)
        link = Link(server=_with_certificate(stolen))
        link.run(2.0)
        self.assertNotIn("PeerAuthenticated", link.client.seen)
        self.assertEqual(closed(link.client).code, CloseCode.WRONG_IDENTITY)

    def test_the_certificate_of_the_right_peer_without_its_tls_key_is_of_no_use(self) -> None:
        real = make_certificate(RESPONDER, random_bytes=Random(1).randbytes)
        thief = make_certificate(STRANGER, random_bytes=Random(2).randbytes)
        stolen = Certificate(real.der, real.pem, thief.private_key_pem)
        link = Link(server=_with_certificate(stolen))
        link.run(HANDSHAKE_TIMEOUT + 1)
        self.assertNotIn("PeerAuthenticated", link.client.seen)
        self.assertNotIn("PeerAuthenticated", link.server.seen)

    def test_an_initiator_with_another_key_is_refused(self) -> None:
        link = Link(client=connection(True, STRANGER, RESPONDER.peer_id))
        self.nobody_is_authenticated(link, CloseCode.WRONG_IDENTITY)
        self.assertEqual(closed(link.client).code, CloseCode.WRONG_IDENTITY)
        self.assertTrue(closed(link.client).by_peer)

    def test_a_proof_for_another_certificate_is_refused(self) -> None:
        link = hostile_initiator(
            lambda data, _: encode_control(
                Proof(make_proof(INITIATOR, RESPONDER.peer_id, b"another"))
            )
        )
        self.nobody_is_authenticated(link, CloseCode.WRONG_IDENTITY)

    def test_a_proof_seen_on_another_connection_is_refused(self) -> None:
        seen: list[bytes] = []

        def record(data: bytes, certificate: bytes) -> bytes:
            seen.append(data)
            return data

        link = hostile_initiator(record)
        link.run(until=lambda: "PeerAuthenticated" in link.server.seen)
        self.assertIn("PeerAuthenticated", link.server.seen)
        replayed = hostile_initiator(lambda data, certificate: seen[0], seed=1)
        self.nobody_is_authenticated(replayed, CloseCode.WRONG_IDENTITY)

    def test_without_a_proof_nothing_happens_and_it_ends(self) -> None:
        link = hostile_initiator(lambda data, certificate: b"")
        link.run(1.0)
        stream_id = link.client.open()
        link.client.send(stream_id, b"let me in")
        link.run(1.0)
        self.assertNotIn(stream_id, link.client.received)
        self.assertNotIn("StreamAccepted", link.client.seen)
        self.nobody_is_authenticated(link, CloseCode.TIMED_OUT)

    def test_other_control_messages_than_the_proof_are_not_obeyed_before_it(self) -> None:
        for message in (encode_control(Credit(4, 9)), b"\x00\x01?", b"\x01\x00"):
            link = hostile_initiator(lambda data, _, message=message: message)
            link.run(2.0)
            self.assertNotIn("PeerAuthenticated", link.server.seen)
            self.assertIn(
                closed(link.server).code, (CloseCode.PROTOCOL_ERROR, CloseCode.WRONG_IDENTITY)
            )

    def test_a_second_proof_is_not_obeyed(self) -> None:
        link = hostile_initiator(lambda data, certificate: data + data)
        link.run(2.0)
        self.assertEqual(closed(link.server).code, CloseCode.PROTOCOL_ERROR)


def _with_certificate(certificate: Certificate) -> Any:
    """Return a responder that presents a certificate of somebody else."""

    def library(settings: LibrarySettings) -> QH3Connection:
        return QH3Connection(
            LibrarySettings(certificate, settings.original_destination_connection_id)
        )

    return connection(False, STRANGER, INITIATOR.peer_id, library=library)


class UnprovenTests(SynchronousTestCase):
    """What a responder does for an initiator that has not proven its key."""

    def test_streams_that_overtake_the_proof_wait_for_it(self) -> None:
        proofs: list[bytes] = []

        def keep(data: bytes, certificate: bytes) -> bytes:
            proofs.append(data)
            return b""

        link = hostile_initiator(keep)
        link.run(1.0)
        stream_id = link.client.open()
        link.client.send(stream_id, b"early", end=True)
        link.client.machine.streams.abandon(link.client.open())
        link.run(1.0)
        self.assertNotIn("StreamOpened", link.server.seen)
        library = link.client.machine._library
        assert isinstance(library, Saying)
        library._send(0, proofs[0])
        link.run(1.0)
        self.assertEqual(link.server.received[stream_id], b"early")
        names = link.server.names()
        self.assertLess(names.index("PeerAuthenticated"), names.index("StreamOpened"))

    def test_an_initiator_says_little_before_it_is_answered(self) -> None:
        link = Link()
        link.run(until=lambda: "PeerAuthenticated" in link.client.seen)
        streams = [link.client.open() for _ in range(3)]
        for stream_id in streams:
            link.client.send(stream_id, bytes(100_000))
        taken = 300_000 - sum(len(data) for data, _ in link.client.unsent.values())
        self.assertLessEqual(taken, UNPROVEN_LIMIT // 2)
        self.assertGreater(taken, UNPROVEN_LIMIT // 2 - 300)
        for _ in range(200):
            link.client.machine.streams.open("x" * 255)
        link.run(5.0)
        self.assertEqual(
            [len(link.server.received[stream_id]) for stream_id in streams], [100_000] * 3
        )
        self.assertIn("StreamAvailable", link.client.seen)

    def test_more_than_64_kilobytes_before_the_proof_end_the_connection(self) -> None:
        link = hostile_initiator(lambda data, certificate: b"")
        link.run(1.0)
        library = link.client.machine._library
        assert library is not None
        library.send_stream_data(4, encode_opening("service") + bytes(200_000))
        link.run(2.0)
        self.assertEqual(closed(link.server).code, CloseCode.PROTOCOL_ERROR)
        self.assertNotIn("StreamOpened", link.server.seen)

    def test_a_foreign_protocol_is_refused(self) -> None:
        self.assertEqual(_alpn_of_a_plain_client("p2p/2"), [])
        self.assertEqual(len(_alpn_of_a_plain_client("p2p/1")), 1)


def _alpn_of_a_plain_client(alpn: str) -> list[object]:
    """Return the HandshakeCompleted events of a plain QUIC client that asks our responder."""
    configuration = QuicConfiguration(alpn_protocols=[alpn], verify_mode=0)
    configuration.signature_algorithms = [SignatureAlgorithm.ED25519]
    client = QuicConnection(configuration=configuration)
    client.connect(("192.0.2.1", 1), 0.0)
    server = connection(False, RESPONDER, INITIATOR.peer_id)
    for _ in range(4):
        for data, _ in client.datagrams_to_send(0.0):
            server.receive_datagram(data, None, 0.0)
        for data, _ in server.datagrams_to_send(0.0):
            client.receive_datagram(data, ("192.0.2.1", 1), 0.0)
    events = []
    while (event := client.next_event()) is not None:
        events.append(event)
    return [event for event in events if type(event).__name__ == "HandshakeCompleted"]
