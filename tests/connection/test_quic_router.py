from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.connection.link import INITIATOR, RESPONDER, Link, connection
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.connection.events import ConnectionIDIssued, ConnectionIDRetired
from twisted_p2p.connection.quic_router import (
    QUICRouter,
    destination_connection_id,
    initial_destination,
)

PATH = DatagramPath("socket", HostPort("11.0.0.1", 1000))
OTHER_PATH = DatagramPath("socket", HostPort("11.0.0.2", 1000))
INITIAL = b"\xc0\x00\x00\x00\x01\x08" + b"iiiiiiii" + b"\x00" * 100
SHORT = b"\x40" + b"ssssssss" + b"\x00" * 20


class HeaderTests(SynchronousTestCase):
    def test_a_short_header_has_its_connection_id_after_the_first_byte(self) -> None:
        self.assertEqual(destination_connection_id(SHORT), b"ssssssss")
        self.assertIsNone(destination_connection_id(SHORT[:8]))

    def test_a_long_header_says_how_long_its_connection_id_is(self) -> None:
        self.assertEqual(destination_connection_id(INITIAL), b"iiiiiiii")
        self.assertIsNone(destination_connection_id(INITIAL[:13]))
        self.assertIsNone(destination_connection_id(INITIAL[:5]))
        self.assertIsNone(destination_connection_id(b"\xc0\0\0\0\x01\x15" + bytes(30)))

    def test_only_an_initial_of_version_1_begins_a_connection(self) -> None:
        self.assertEqual(initial_destination(INITIAL), b"iiiiiiii")
        for other in (b"", SHORT, b"\xe0" + INITIAL[1:], b"\xc0\0\0\0\x02" + INITIAL[5:]):
            self.assertIsNone(initial_destination(other))

    def test_a_clients_first_packet_is_an_initial(self) -> None:
        client = connection(True, INITIATOR, RESPONDER.peer_id)
        first, _ = client.datagrams_to_send(0.0)[0]
        self.assertEqual(len(initial_destination(first) or b""), 8)

    @given(st.binary(max_size=60))
    def test_any_bytes_are_looked_at_without_error(self, data: bytes) -> None:
        found = destination_connection_id(data)
        self.assertTrue(found is None or found in data)


class QUICRouterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.router: QUICRouter[str] = QUICRouter()

    def route(self, data: bytes, path: DatagramPath) -> str | None:
        """Return the connection that one datagram is for, if any."""
        for found, datagrams in self.router.route([data], path):
            self.assertEqual(datagrams, [data])
            return found
        return None

    def test_datagrams_of_one_path_are_led_in_runs_to_their_connections(self) -> None:
        for name in ("oursours", "yourssss"):
            self.router.add_connection_id(name.encode(), name)
            self.router.allow_path(PATH, name)
        ours, yours = b"\x40oursours" + bytes(9), b"\x40yourssss" + bytes(9)
        routed = self.router.route([ours, ours + b"2", yours, b"", SHORT, SHORT, ours], PATH)
        self.assertEqual(
            routed,
            [("oursours", [ours, ours + b"2"]), ("yourssss", [yours]), ("oursours", [ours])],
        )
        self.assertEqual(self.router.dropped, {"malformed": 1, "unknown_connection": 2})

    def test_a_first_packet_takes_along_those_with_the_same_connection_id(self) -> None:
        self.router.expect_initial(PATH, "responder")
        early = b"\xd0" + INITIAL[1:]
        self.assertEqual(self.router.route([early], PATH), [])
        self.assertEqual(
            self.router.route([early, INITIAL], PATH), [("responder", [early, INITIAL])]
        )

    def test_a_connection_is_found_by_its_connection_ids_on_its_paths(self) -> None:
        self.router.allow_path(PATH, "ours")
        self.router.add_connection_id(b"ssssssss", "ours")
        self.assertEqual(self.route(SHORT, PATH), "ours")
        self.router.remove_connection_id(b"ssssssss", "ours")
        self.assertIsNone(self.route(SHORT, PATH))
        self.assertEqual(self.router.dropped, {"unknown_connection": 1})

    def test_a_path_that_was_not_authenticated_leads_nowhere(self) -> None:
        self.router.add_connection_id(b"ssssssss", "ours")
        self.assertIsNone(self.route(SHORT, PATH))
        self.router.allow_path(PATH, "ours")
        self.assertIsNone(self.route(SHORT, OTHER_PATH))
        self.assertEqual(self.router.dropped, {"unauthenticated_path": 2})

    def test_a_first_packet_reaches_the_responder_that_expects_it_on_that_path(self) -> None:
        self.router.expect_initial(PATH, "responder")
        self.assertEqual(self.route(INITIAL, PATH), "responder")
        self.assertIsNone(self.route(INITIAL, OTHER_PATH))
        self.assertIsNone(self.route(SHORT, PATH))
        self.assertEqual(self.router.dropped, {"unknown_connection": 2})

    def test_an_initiator_gets_no_first_packet_of_others(self) -> None:
        self.router.allow_path(PATH, "initiator")
        self.assertIsNone(self.route(INITIAL, PATH))

    def test_a_forbidden_path_leads_nowhere_any_more(self) -> None:
        self.router.expect_initial(PATH, "responder")
        self.router.add_connection_id(b"ssssssss", "responder")
        self.router.forbid_path(PATH, "another")
        self.assertEqual(self.route(SHORT, PATH), "responder")
        self.router.forbid_path(PATH, "responder")
        self.assertIsNone(self.route(SHORT, PATH))
        self.assertIsNone(self.route(INITIAL, PATH))

    def test_two_connections_of_one_path_are_kept_apart(self) -> None:
        self.router.allow_path(PATH, "dialled")
        self.router.expect_initial(PATH, "accepted")
        self.router.add_connection_id(b"ssssssss", "dialled")
        self.assertEqual(self.route(SHORT, PATH), "dialled")
        self.assertEqual(self.route(INITIAL, PATH), "accepted")

    def test_a_connection_id_cannot_be_taken_over(self) -> None:
        self.router.allow_path(PATH, "first")
        self.router.allow_path(PATH, "second")
        self.router.add_connection_id(b"ssssssss", "first")
        self.router.add_connection_id(b"ssssssss", "second")
        self.router.remove_connection_id(b"ssssssss", "second")
        self.assertEqual(self.route(SHORT, PATH), "first")

    def test_a_forgotten_connection_leaves_nothing(self) -> None:
        for name in ("ours", "kept"):
            self.router.expect_initial(PATH if name == "ours" else OTHER_PATH, name)
            self.router.add_connection_id(name.encode() * 2, name)
        self.router.forget("ours")
        self.assertIsNone(self.route(INITIAL, PATH))
        self.assertIsNone(self.route(b"\x40oursours" + bytes(20), PATH))
        self.assertEqual(self.route(b"\x40keptkept" + bytes(20), OTHER_PATH), "kept")

    def test_what_has_no_connection_id_is_malformed(self) -> None:
        self.assertIsNone(self.route(b"", PATH))
        self.assertEqual(self.router.dropped, {"malformed": 1})

    def test_every_datagram_of_a_lossy_conversation_finds_its_connection(self) -> None:
        link = Link(loss=0.1, seed=5)
        self.router.allow_path(PATH, "client")
        self.router.expect_initial(OTHER_PATH, "server")
        routed: list[str | None] = []

        def carry(from_client: bool, data: bytes) -> bool:
            for name, side in (("client", link.client), ("server", link.server)):
                for event in side.events:
                    if isinstance(event, ConnectionIDIssued):
                        self.router.add_connection_id(event.connection_id, name)
                    elif isinstance(event, ConnectionIDRetired):
                        self.router.remove_connection_id(event.connection_id, name)
                side.events.clear()
            path = OTHER_PATH if from_client else PATH
            expected = "server" if from_client else "client"
            routed.append(self.route(data, path))
            return routed[-1] != expected

        link.drop = carry
        self.assertTrue(link.run(10, until=lambda: "PeerAuthenticated" in link.server.seen))
        stream_id = link.client.open()
        link.client.send(stream_id, bytes(100_000))
        link.run(20, until=lambda: len(link.server.received.get(stream_id, b"")) == 100_000)
        self.assertEqual(len(link.server.received[stream_id]), 100_000)
        self.assertNotIn(None, routed)
