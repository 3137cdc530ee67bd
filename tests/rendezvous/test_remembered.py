from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.rendezvous.remembered import MOST_ADDRESSES, RememberedAddresses

ALICE, BOB = bytes(32), bytes([1] * 32)


def address(number: int) -> HostPort:
    return HostPort("11.1.0.2", 4000 + number)


class RememberedAddressesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.remembered = RememberedAddresses(most_peers=2)

    def test_a_stranger_has_none(self) -> None:
        self.assertEqual(self.remembered.of(ALICE), ())

    def test_the_last_one_comes_first_and_each_once(self) -> None:
        for number in (1, 2, 1):
            self.remembered.remember(ALICE, address(number))
        self.assertEqual(self.remembered.of(ALICE), (address(1), address(2)))

    def test_only_so_many_are_kept_of_one_peer(self) -> None:
        for number in range(9):
            self.remembered.remember(ALICE, address(number))
        kept = tuple(address(8 - number) for number in range(MOST_ADDRESSES))
        self.assertEqual(self.remembered.of(ALICE), kept)

    def test_the_peers_met_last_are_kept(self) -> None:
        for peer in (ALICE, BOB, ALICE, bytes([2] * 32)):
            self.remembered.remember(peer, address(1))
        self.assertEqual(self.remembered.of(BOB), ())
        self.assertEqual(self.remembered.of(ALICE), (address(1),))
