"""Every way in which a transfer fails has a sentence for either side."""

from __future__ import annotations

import errno

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import PeerRefused
from twisted_p2p.transfer.failures import (
    Reason,
    TransferFailed,
    displayed,
    failure_to_write,
    failure_told,
)


class FailureTests(SynchronousTestCase):
    def test_each_reason_has_a_sentence_for_each_side(self) -> None:
        sentences = set()
        for reason in Reason:
            for told in (False, True):
                failure = TransferFailed(reason, "the name", told=told)
                sentences.add(str(failure))
                self.assertRegex(str(failure), r"\A[A-Zt][^\n]*\.\Z")
                self.assertEqual(failure.why["reason"], reason.name.lower())
        self.assertGreater(len(sentences), 2 * len(Reason) - 3)

    def test_a_name_is_shown_where_there_is_one(self) -> None:
        self.assertIn("the name", str(TransferFailed(Reason.EXISTS, "the name")))
        self.assertTrue(str(TransferFailed(Reason.DIGEST)).startswith("A file "))

    def test_who_is_refused_is_refused_as_by_a_peer(self) -> None:
        self.assertIsInstance(failure_told(Reason.REFUSED, ""), PeerRefused)
        self.assertIsInstance(failure_told(Reason.WRONG_TICKET, ""), PeerRefused)
        failure = failure_told(Reason.BUSY, "")
        assert isinstance(failure, TransferFailed)
        self.assertEqual((failure.reason, failure.told), (Reason.BUSY, True))

    def test_a_full_disk_is_told_from_other_troubles(self) -> None:
        for number, reason in (
            (errno.ENOSPC, Reason.NO_SPACE),
            (errno.EDQUOT, Reason.NO_SPACE),
            (errno.EFBIG, Reason.NO_SPACE),
            (errno.EACCES, Reason.UNWRITABLE),
        ):
            self.assertIs(failure_to_write(OSError(number, ""), "a").reason, reason)

    @given(st.text())
    def test_no_name_moves_a_cursor(self, name: str) -> None:
        self.assertTrue(displayed(name).isprintable())
        if name.isprintable():
            self.assertEqual(displayed(name), name)

    def test_a_name_that_is_no_text_is_shown_too(self) -> None:
        self.assertEqual(displayed("a\udcff\x1b[2J"), "a\\udcff\\x1b[2J")
