"""The examples of the page on testing, collected as test cases of this suite."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"

AskerTests = run_path(str(EXAMPLES / "test_asker.py"))["AskerTests"]
GreeterTests = run_path(str(EXAMPLES / "test_greeting.py"))["GreeterTests"]
