"""The table of who holds which port."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.testing.port_table import PortTable


class PortTableTests(SynchronousTestCase):
    def test_holders_of_a_number_come_in_their_order(self) -> None:
        table: PortTable[str] = PortTable()
        table.add(7, "first")
        table.add(9, "other")
        table.add(7, "second")
        self.assertEqual(list(table[7]), ["first", "second"])
        self.assertEqual(sorted(table), ["first", "other", "second"])
        table.remove(7, "first")
        self.assertEqual(list(table[7]), ["second"])

    def test_a_number_that_nobody_holds_any_more_is_forgotten(self) -> None:
        table: PortTable[str] = PortTable()
        table.add(7, "one")
        table.remove(7, "one")
        self.assertEqual(list(table[7]), [])
        self.assertEqual((list(table), len(table)), ([], 0))
