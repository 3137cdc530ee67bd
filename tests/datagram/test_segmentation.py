"""Runs of datagrams: what is one, and what becomes of it where the system takes none."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any
from unittest import skipUnless

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.datagram.segmentation import SegmentSender, runs

HERE = HostPort("127.0.0.1", 9)
THERE = HostPort("127.0.0.2", 9)


class RunsTests(SynchronousTestCase):
    def test_equally_long_datagrams_that_follow_each_other_are_a_run(self) -> None:
        datagrams = [b"11", b"22", b"3", b"44", b"55", b"", b""]
        self.assertEqual(
            list(runs(datagrams)), [[b"11", b"22"], [b"3"], [b"44", b"55"], [b""], [b""]]
        )

    @given(st.lists(st.sampled_from([0, 1, 28, 1_200, 9_000, 70_000]), max_size=200))
    def test_runs_are_all_datagrams_in_order_within_what_one_call_takes(
        self, sizes: list[int]
    ) -> None:
        datagrams = [bytes(size) for size in sizes]
        together = list(runs(datagrams))
        self.assertEqual([data for run in together for data in run], datagrams)
        for run in together:
            self.assertEqual(len(set(map(len, run))), 1)
            self.assertLessEqual(len(run), 64)
            self.assertTrue(len(run) == 1 or sum(map(len, run)) <= 65_507)


class FakeHandle:
    """A socket that takes every run, or none."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.asked: list[HostPort] = []

    def sendmsg(self, run: list[bytes], ancillary: Any, flags: int, remote: HostPort) -> None:
        self.asked.append(remote)
        if self.number:
            raise OSError(self.number, os.strerror(self.number))


@skipUnless(sys.platform == "linux", "runs are sent by Linux alone")
class SegmentSenderTests(SynchronousTestCase):
    def sender(self, number: int) -> tuple[FakeHandle, SegmentSender]:
        handle: Any = FakeHandle(number)
        return handle, SegmentSender(handle)

    def test_a_run_is_one_call(self) -> None:
        handle, sender = self.sender(0)
        self.assertTrue(sender.send([b"1", b"2"], HERE))
        self.assertEqual(handle.asked, [HERE])

    def test_where_runs_are_refused_none_is_tried_again(self) -> None:
        for number in (errno.EIO, errno.EINVAL, errno.ENOPROTOOPT):
            handle, sender = self.sender(number)
            for remote in (HERE, HERE, THERE, HERE):
                self.assertFalse(sender.send([b"1", b"2"], remote))
            self.assertEqual(handle.asked, [HERE, THERE])

    def test_another_error_is_the_callers_and_not_remembered(self) -> None:
        handle, sender = self.sender(errno.EAGAIN)
        for _ in range(2):
            self.assertRaises(OSError, sender.send, [b"1", b"2"], HERE)
        self.assertEqual(len(handle.asked), 2)

    def test_the_memory_of_refusals_is_bounded(self) -> None:
        handle, sender = self.sender(errno.EIO)
        for port in range(1, 1_500):
            sender.send([b"1", b"2"], HostPort("127.0.0.1", port))
        self.assertEqual(len(handle.asked), 1_499)
        self.assertLessEqual(len(sender._refused), 1_000)
