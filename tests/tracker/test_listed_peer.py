from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import encode_attribute
from twisted_p2p.tracker.attributes import LISTED_PEER
from twisted_p2p.tracker.listed_peer import ListedPeer

KEY = bytes(range(32))
NAMES = st.lists(st.text("aé\N{OWL}", max_size=60), max_size=8).map(tuple)
PEERS = st.builds(
    ListedPeer, st.binary(min_size=32, max_size=32), st.booleans(), NAMES, st.booleans()
)


class ListedPeerTests(SynchronousTestCase):
    @given(PEERS)
    def test_what_was_written_is_what_is_read(self, peer: ListedPeer) -> None:
        self.assertEqual(LISTED_PEER.decode(LISTED_PEER.encode(peer, b""), b""), peer)

    def test_wire_format_stays(self) -> None:
        peer = ListedPeer(KEY, True, ("web", "é"), True)
        expected = KEY.hex() + "03" + "03776562" + "02c3a9"
        self.assertEqual(LISTED_PEER.encode(peer, b"").hex(), expected)
        self.assertEqual(LISTED_PEER.encode(ListedPeer(KEY), b""), KEY + b"\0")

    def test_flags_that_are_not_known_are_ignored(self) -> None:
        self.assertEqual(LISTED_PEER.decode(KEY + b"\xfd", b""), ListedPeer(KEY, True))

    def test_what_does_not_fit_is_not_written(self) -> None:
        for peer in (ListedPeer(bytes(31)), ListedPeer(KEY, services=("s" * 256,))):
            self.assertRaises(ValueError, LISTED_PEER.encode, peer, b"")

    @given(st.binary(max_size=80))
    def test_other_bytes_give_the_declared_error_alone(self, data: bytes) -> None:
        try:
            peer = LISTED_PEER.decode(data, b"")
        except MalformedMessage:
            return
        self.assertEqual(LISTED_PEER.decode(LISTED_PEER.encode(peer, b""), b""), peer)

    def test_what_is_cut_off_or_no_text_is_refused(self) -> None:
        for data in (b"", KEY, KEY + b"\0\3we", KEY + b"\0\1\xff"):
            self.assertRaises(MalformedMessage, LISTED_PEER.decode, data, b"")

    @given(st.integers(40, 1156), NAMES)
    def test_as_many_services_are_told_as_fit(self, room: int, names: tuple[str, ...]) -> None:
        peer = ListedPeer.within(room, KEY, True, names)
        size = len(encode_attribute(0, LISTED_PEER.encode(peer, b"")))
        self.assertLessEqual(size, room)
        count = len(peer.services)
        self.assertEqual(peer.services, names[:count])
        self.assertEqual(peer.has_more_services, count < len(names))
        if peer.has_more_services:
            longer = ListedPeer(KEY, True, names[: count + 1])
            size = len(encode_attribute(0, LISTED_PEER.encode(longer, b"")))
            self.assertGreater(size, room // 4 * 4)
