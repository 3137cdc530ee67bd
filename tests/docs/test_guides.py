"""The tutorial, the guides and the reference: all code is tested elsewhere, no name is missing."""

from __future__ import annotations

import re
from pathlib import Path

import click
from twisted.trial.unittest import SynchronousTestCase

import twisted_p2p
from twisted_p2p.cli.main import p2p

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = DOCS.parent / "examples"
PAGES = [DOCS / "tutorial.rst", *sorted(DOCS.glob("guide-*.rst"))]


class GuideTests(SynchronousTestCase):
    def test_all_code_is_included_from_what_is_tested(self) -> None:
        tested = {*EXAMPLES.glob("*.py"), *(DOCS / "examples").glob("test_*.py")}
        for page in PAGES:
            text = page.read_text()
            self.assertNotIn("code-block", text, page.name)
            included = re.findall(r"literalinclude:: (\S+)", text)
            self.assertNotEqual(included, [])
            for name in included:
                self.assertIn((DOCS / name).resolve(), tested, page.name)

    def test_what_is_to_be_typed_exists(self) -> None:
        for page in (*PAGES, EXAMPLES / "README.rst"):
            text = page.read_text()
            for program in re.findall(r"(?m)^    \$ python (\S+)", text):
                self.assertTrue((EXAMPLES / program).exists(), program)
            for suite in re.findall(r"-m twisted\.trial (\w+)", text):
                self.assertTrue((EXAMPLES / f"{suite}.py").exists(), suite)
            for command in re.findall(r"(?m)^    p2p (?:--\w+ \S+ )*(\w+)", text):
                self.assertIn(command, p2p.list_commands(click.Context(p2p)))

    def test_the_page_on_hole_punching_says_first_that_nothing_is_encrypted(self) -> None:
        paragraph = (DOCS / "guide-hole-punching.rst").read_text().split("\n\n")[2]
        sentence = " ".join(paragraph.partition(".")[0].split())
        self.assertIn("authenticated paths", sentence)
        self.assertIn("no encryption", sentence)


class ReferenceTests(SynchronousTestCase):
    def test_every_public_name_is_there(self) -> None:
        text = (DOCS / "api.rst").read_text()
        told = set(re.findall(r"(?m)^\.\. auto(?:class|function):: twisted_p2p\.(\w+)$", text))
        self.assertEqual(told, set(twisted_p2p.__all__))
