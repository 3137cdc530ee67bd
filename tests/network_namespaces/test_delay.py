"""Packets take as long as they are told, and stay in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.network_namespaces.delay import DelayLine


class DelayLineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.line = DelayLine(0.25)

    def test_empty_line_waits_for_nothing(self) -> None:
        self.assertIsNone(self.line.next_due())
        self.assertEqual(self.line.pop_due(100.0), [])

    def test_packet_is_due_after_the_delay_and_not_before(self) -> None:
        self.line.put(b"packet", 7, 10.0)
        self.assertEqual(self.line.next_due(), 10.25)
        self.assertEqual(self.line.pop_due(10.2), [])
        self.assertEqual(self.line.pop_due(10.25), [(7, b"packet")])
        self.assertIsNone(self.line.next_due())

    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(3, 6)), max_size=30))
    def test_everything_comes_out_once_in_order_and_on_time(
        self, packets: list[tuple[float, int]]
    ) -> None:
        line, now, put, popped = DelayLine(0.25), 0.0, [], []
        for number, (pause, exit_descriptor) in enumerate(packets):
            now += pause
            popped += [(now, *item) for item in line.pop_due(now)]
            line.put(bytes([number]), exit_descriptor, now)
            put.append((now, exit_descriptor, bytes([number])))
        popped += [(now + 0.25, *item) for item in line.pop_due(now + 0.25)]
        self.assertEqual([item[1:] for item in popped], [item[1:] for item in put])
        for left, entered in zip(popped, put, strict=True):
            self.assertGreaterEqual(left[0], entered[0] + 0.25)
