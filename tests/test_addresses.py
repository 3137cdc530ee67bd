"""Addresses show themselves as programs and people read them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort, Path, PeerAddress


class PathTests(SynchronousTestCase):
    path = Path("punched", "udp", HostPort("192.168.1.2", 4000), HostPort("2001:db8::7", 5000))

    def test_a_path_is_told_in_plain_values(self) -> None:
        self.assertEqual(
            self.path.as_dict(),
            {
                "kind": "punched",
                "protocol": "udp",
                "local": "192.168.1.2:4000",
                "remote": "[2001:db8::7]:5000",
            },
        )

    def test_the_address_of_a_peer_follows_its_path_and_stays_equal(self) -> None:
        paths: list[Path | None] = [None]
        address = PeerAddress("peer", "echo", lambda: paths[-1])
        self.assertIsNone(address.path)
        paths.append(self.path)
        self.assertEqual(address.path, self.path)
        self.assertEqual(address, PeerAddress("peer", "echo", lambda: None))
