"""The examples of test suites pass, and every example is as the list of them promises."""

from __future__ import annotations

import re
import sys
from io import StringIO
from typing import Any
from unittest import TestSuite

from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

from tests.examples.stage import EXAMPLES, load

MOST_LINES = 99


class SuiteTests(SynchronousTestCase):
    def check(self, name: str) -> None:
        self.patch(sys, "stdout", StringIO())
        module = load(name)
        cases = [
            kind(method)
            for kind in vars(module).values()
            if isinstance(kind, type) and kind.__name__.endswith("Tests")
            for method in dir(kind)
            if method.startswith("test_")
        ]
        result: Any = TestResult()
        TestSuite(cases).run(result)
        problems = [failure.getTraceback() for _, failure in result.failures + result.errors]
        self.assertEqual(problems, [])
        self.assertEqual(result.successes, len(cases))
        self.assertGreater(result.successes, 0)

    def test_chat(self) -> None:
        self.check("test_chat")

    def test_echo(self) -> None:
        self.check("test_echo")


class ListTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.examples = {path.name: path.read_text() for path in EXAMPLES.glob("*.py")}

    def test_each_is_short_and_says_how_to_run_it(self) -> None:
        for name, text in self.examples.items():
            self.assertLessEqual(len(text.splitlines()), MOST_LINES, name)
            docstring = text.split('"""')[1]
            self.assertRegex(docstring, r"^[A-Z`]", name)
            self.assertRegex(docstring, rf"python (-m twisted\.trial {name[:-3]}|{name})", name)

    def test_each_is_listed_and_no_other(self) -> None:
        listed = re.findall(r"``(\w+\.py)``", (EXAMPLES / "README.rst").read_text())
        self.assertEqual(set(listed), set(self.examples))
