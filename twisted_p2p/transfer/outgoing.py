"""What a sender has to say once it knows what is missing: files read, digested, cut to messages.

A batch is made at a time, in any thread; so many bytes are held and no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING

from .failures import Reason, TransferFailed
from .manifest import Entry, overall_digest
from .prefix import BLOCK, STEP, Prefix
from .source import Source, segments
from .wire import Data, FileEnd, Finished, Hole, Message

if TYPE_CHECKING:
    from hashlib import _Hash

BATCH = 1 << 20
"""Bytes of data after which a batch ends."""

_MOST_MESSAGES = 500
_ZEROS = bytes(BLOCK)

Messages = Generator[Message, None, None]


class Outgoing:
    """The messages after `Begin`, from the first file to `Finished`."""

    def __init__(
        self,
        source: Source,
        wanted: Sequence[tuple[int, Prefix]],
        digests: Mapping[int, bytes],
        on_file: Callable[[Entry, bytes], object] = lambda entry, digest: None,
    ) -> None:
        """Prepare.

        :param wanted: the places of the files to send, each with what the receiver has of it.
        :param digests: those of the files that it has whole, by their places.
        :param on_file: is told of each file that has been read, and its SHA-256.
        """
        self._source = source
        self._wanted = wanted
        self._digests = dict(digests)
        self._on_file = on_file
        self._messages = self._all()

    def next_batch(self) -> list[Message]:
        """Return the next messages, none at the end.

        :raises TransferFailed: when a file cannot be read or was changed.
        """
        batch: list[Message] = []
        size = zeros = 0
        for message in self._messages:
            batch.append(message)
            if isinstance(message, Data):
                size += len(message.data)
            elif isinstance(message, Hole):
                zeros += message.size
            if size >= BATCH or zeros >= STEP or len(batch) >= _MOST_MESSAGES:
                break
        return batch

    def close(self) -> None:
        """Close the file that is open; there are no more batches then."""
        self._messages.close()

    def _all(self) -> Messages:
        manifest = self._source.manifest
        for index, prefix in self._wanted:
            state = prefix.state.copy()
            descriptor = self._source.open(index)
            try:
                yield from _content(descriptor, manifest[index], prefix.size, state)
                self._source.check_unchanged(index, descriptor)
            finally:
                os.close(descriptor)
            self._digests[index] = state.digest()
            self._on_file(manifest[index], state.digest())
            yield FileEnd(state.digest())
        yield Finished(overall_digest(manifest, self._digests))


def _content(descriptor: int, entry: Entry, start: int, state: _Hash) -> Messages:
    """Return the content of a file from an offset on, and digest it."""
    for is_data, position, size in segments(descriptor, start, entry.size):
        for offset in range(0, size, BLOCK):
            length = min(BLOCK, size - offset)
            zeros = _ZEROS[:length]
            block = os.pread(descriptor, length, position + offset) if is_data else zeros
            if len(block) < length:
                raise TransferFailed(Reason.CHANGED, entry.name)
            state.update(block)
            # A block of zeros makes a hole where the file system has none to tell of.
            yield Hole(length) if block == zeros else Data(block)
