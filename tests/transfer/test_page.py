"""What docs/transfer.rst lists is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.transfer import manifest, names, wire
from twisted_p2p.transfer.failures import Reason

PAGE = Path(__file__).resolve().parents[2] / "docs" / "transfer.rst"


class TransferPageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = PAGE.read_text()

    def test_every_message_is_there_and_no_other(self) -> None:
        told = re.findall(r"(?m)^(\d+) +([A-Z][A-Za-z]+) ", self.text)
        kinds = {**wire._KINDS, wire.Data.code: wire.Data}
        known = [(str(code), kind.__name__) for code, kind in sorted(kinds.items())]
        self.assertEqual(told, known)

    def test_every_reason_is_there_and_no_other(self) -> None:
        told = re.findall(r"(?m)^(\d+) +``([a-z_]+)`` ", self.text)
        self.assertEqual(told, [(str(reason.value), reason.name.lower()) for reason in Reason])

    def test_every_limit_is_there(self) -> None:
        for limit in (
            *(wire.LONGEST_BODY, wire.LONGEST_DATA, wire.LONGEST_HOLE, wire.MOST_OFFSETS),
            *(manifest.MOST_ENTRIES, names._LONGEST_PATH, names._MOST_COMPONENTS),
        ):
            self.assertRegex(self.text, rf"(?<![\d,]){limit:,}(?![\d,]\d)")
        self.assertEqual(manifest.MOST_NAME_BYTES, 16 << 20)
        self.assertIn("16 MiB of paths", self.text)
