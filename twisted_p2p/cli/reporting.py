"""What the user sees: results on stdout, events on stderr, as words or as JSON lines."""

from __future__ import annotations

import json
from typing import TextIO

from attrs import frozen

from ..errors import P2PError


@frozen
class Reporter:
    """Writes results and events, each with one sentence for people and one object for programs."""

    stdout: TextIO
    stderr: TextIO
    as_json: bool

    def result(self, words: str, event: str, **facts: object) -> None:
        """Write what the user asked for."""
        self._write(self.stdout, words, event, facts)

    def event(self, words: str, event: str, **facts: object) -> None:
        """Write what happened on the way."""
        self._write(self.stderr, words, event, facts)

    def error(self, error: P2PError) -> None:
        """Write why the command failed, in one sentence."""
        facts: dict[str, object] = {"code": error.code, "message": str(error)}
        why = getattr(error, "why", None)
        if why:
            facts["why"] = why
        self._write(self.stderr, f"p2p: {error}", "error", facts)

    def _write(self, stream: TextIO, words: str, event: str, facts: dict[str, object]) -> None:
        line = json.dumps({"event": event, **facts}) if self.as_json else words
        print(line, file=stream, flush=True)
