"""The examples of the pages on testing: each is a test module of its own, which must pass."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from unittest import TestSuite

from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


class ExampleTests(SynchronousTestCase):
    def check(self, path: Path) -> None:
        names = run_path(str(path))
        cases = [
            names[name](method)
            for name in names
            if name.endswith("Tests")
            for method in dir(names[name])
            if method.startswith("test_")
        ]
        result = TestResult()
        TestSuite(cases).run(result)
        problems = [failure.getTraceback() for _, failure in result.failures + result.errors]
        self.assertEqual(problems, [])
        self.assertEqual(result.successes, len(cases))
        self.assertGreater(result.successes, 0)


def _add_tests() -> None:
    """Give each file a test."""
    for path in EXAMPLES.glob("test_*.py"):
        setattr(ExampleTests, path.stem, lambda self, path=path: self.check(path))


_add_tests()
