from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

import twisted_p2p


class PublicNameTests(SynchronousTestCase):
    def test_every_public_name_is_there(self) -> None:
        for name in twisted_p2p.__all__:
            self.assertEqual(getattr(twisted_p2p, name).__name__, name)
        self.assertEqual(dir(twisted_p2p), sorted(twisted_p2p.__all__))

    def test_another_name_is_not(self) -> None:
        with self.assertRaises(AttributeError):
            twisted_p2p.nonsense  # noqa: B018

    def test_importing_the_package_loads_no_reactor(self) -> None:
        program = "import sys, twisted_p2p; print('twisted' in sys.modules)"
        loaded = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        self.assertEqual(loaded.stdout.strip(), "False")
