"""What a receiver does with the files that arrive: written, digested, checked, put in their place.

It may be done in any thread, one batch of messages after the other.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from .failures import Reason, TransferFailed, failure_to_write
from .folder import TargetFolder
from .manifest import Entry, Manifest, overall_digest
from .prefix import BLOCK, Prefix
from .progress import Progress
from .wire import Data, FileEnd, Finished, Hole, Message

_ZEROS = bytes(BLOCK)


class Incoming:
    """The files that were asked for, in that order, as their content comes."""

    def __init__(
        self,
        folder: TargetFolder,
        manifest: Manifest,
        wanted: Sequence[tuple[int, Prefix]],
        digests: Mapping[int, bytes],
        progress: Progress,
    ) -> None:
        """Prepare.

        :param wanted: the places of the files to come, each with what is there of it.
        :param digests: those of the files that are there whole, by their places.
        :param progress: is told of every byte.
        """
        self.digest: bytes | None = None
        """Over all, once everything is in its place."""
        self.digests = dict(digests)
        self._folder = folder
        self._manifest = manifest
        self._wanted = deque(wanted)
        self._progress = progress
        self._file: _File | None = None

    def take(self, messages: Iterable[Message]) -> None:
        """Take the next messages.

        :raises TransferFailed: when a file cannot be written or arrives changed, or the sender
            breaks the rules.
        """
        pieces: list[bytes] = []
        for message in messages:
            if isinstance(message, Data):
                pieces.append(message.data)
                continue
            self._write(pieces)
            pieces.clear()
            self._take(message)
        self._write(pieces)

    def close(self) -> None:
        """Close the file that is open; what there is of it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take(self, message: Message) -> None:
        if self.digest is not None:
            raise TransferFailed(Reason.PROTOCOL)
        if isinstance(message, Hole):
            self._open_file().skip(message.size)
            self._progress.advance(message.size)
        elif isinstance(message, FileEnd):
            self._end_file(message.digest)
        elif isinstance(message, Finished):
            self._finish(message.digest)
        else:
            raise TransferFailed(Reason.PROTOCOL)

    def _write(self, pieces: list[bytes]) -> None:
        if pieces:
            data = b"".join(pieces)
            self._open_file().write(data)
            self._progress.advance(len(data))

    def _open_file(self) -> _File:
        if self._file is None:
            if not self._wanted or self.digest is not None:
                raise TransferFailed(Reason.PROTOCOL)
            index, prefix = self._wanted.popleft()
            self._file = _File(self._folder, index, self._manifest[index], prefix)
        return self._file

    def _end_file(self, digest: bytes) -> None:
        file = self._open_file()
        file.finish(digest)
        self.digests[file.index] = digest
        self._progress.file_done(file.entry, digest)
        self.close()

    def _finish(self, digest: bytes) -> None:
        if self._file is not None or self._wanted:
            raise TransferFailed(Reason.PROTOCOL)
        ours = overall_digest(self._manifest, self.digests)
        if ours != digest:
            raise TransferFailed(Reason.DIGEST)
        self.digest = ours


class _File:
    """One unfinished file."""

    def __init__(self, folder: TargetFolder, index: int, entry: Entry, prefix: Prefix) -> None:
        self.index = index
        self.entry = entry
        self._folder = folder
        self._position = prefix.size
        self._state = prefix.state.copy()
        self._descriptor = folder.make_part(entry)
        self._truncate(prefix.size)

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        self._check_room_for(len(data))
        try:
            written = os.pwrite(self._descriptor, data, self._position)
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._position + written)
        except OSError as error:
            raise failure_to_write(error, self.entry.name) from error
        self._state.update(data)
        self._position += len(data)

    def skip(self, size: int) -> None:
        """Leave a hole of so many bytes."""
        self._check_room_for(size)
        self._truncate(self._position + size)
        self._position += size
        for start in range(0, size, BLOCK):
            self._state.update(_ZEROS[: size - start])

    def finish(self, digest: bytes) -> None:
        """Check the file and give it its name."""
        if self._position != self.entry.size:
            raise TransferFailed(Reason.PROTOCOL)
        if self._state.digest() != digest:
            self._folder.discard(self.entry)
            raise TransferFailed(Reason.DIGEST, self.entry.name)
        self._folder.finish(self.entry, self._descriptor)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def _check_room_for(self, size: int) -> None:
        if self._position + size > self.entry.size:
            raise TransferFailed(Reason.PROTOCOL)

    def _truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise failure_to_write(error, self.entry.name) from error
