from __future__ import annotations

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from tests.interop.judging import JUDGED
from tests.interop.page import ABSENT, PAGE, text


class PageTests(SynchronousTestCase):
    def test_the_page_is_what_the_tests_say(self) -> None:
        self.assertEqual(PAGE.read_text(), text(), "run python -m tests.interop.page")

    def test_what_is_absent_exists_and_does_not_run(self) -> None:
        judged = {case.source for case in JUDGED}
        for name in ABSENT:
            self.assertTrue(isinstance(namedAny(name), type))
            self.assertNotIn(name, judged)
