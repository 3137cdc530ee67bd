"""What the user sees: results on stdout, events on stderr, as words or as JSON lines."""

from __future__ import annotations

import json
import os
from contextlib import suppress
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
        """Write what the user asked for.

        :raises OutputFailed: when that cannot be.
        """
        try:
            self._write(self.stdout, words, event, facts)
        except OSError as error:
            _abandon(self.stdout)
            raise OutputFailed(
                f"The results cannot be written to stdout any more: {error.strerror}."
            ) from None

    def event(self, words: str, event: str, **facts: object) -> None:
        """Write what happened on the way, to whoever reads it."""
        with suppress(OSError):
            self._write(self.stderr, words, event, facts)

    def error(self, error: P2PError) -> None:
        """Write why the command failed, in one sentence."""
        facts: dict[str, object] = {"code": error.code, "message": str(error)}
        why = getattr(error, "why", None)
        if why:
            facts["why"] = why
        self.event(f"p2p: {error}", "error", **facts)

    def _write(self, stream: TextIO, words: str, event: str, facts: dict[str, object]) -> None:
        line = json.dumps({"event": event, **facts}) if self.as_json else words
        print(line, file=stream, flush=True)


def _abandon(stream: TextIO) -> None:
    """Let what could not be written go nowhere, or Python would try it again when it ends."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


class OutputFailed(P2PError):
    """The results cannot be written to stdout any more."""

    code = "output_failed"
