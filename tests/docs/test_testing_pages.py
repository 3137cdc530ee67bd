"""The pages on testing say everything that `twisted_p2p.testing` exports."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p import testing

DOCS = Path(__file__).resolve().parents[2] / "docs"


class TestingPageTests(SynchronousTestCase):
    def test_every_public_name_is_there(self) -> None:
        text = "\n".join(page.read_text() for page in sorted(DOCS.glob("testing*.rst")))
        told = set(re.findall(r"\b\w+\b", text))
        self.assertEqual(set(testing.__all__) - told, set())

    def test_public_names_are_there_to_import(self) -> None:
        self.assertEqual([name for name in testing.__all__ if not hasattr(testing, name)], [])
