"""What is to be sent: files and folders of this machine, listed once and read with care."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .failures import Reason, TransferFailed
from .manifest import Entry, Manifest
from .names import checked_path


class Source:
    """Files and folders, as they were when they were listed.

    A link that the user names is followed; links and special files inside a folder are left out.
    """

    def __init__(
        self, paths: Iterable[Path], skipped: Callable[[Path], object] = lambda path: None
    ) -> None:
        """List them; ``skipped`` is told what is left out.

        :raises TransferFailed: when one cannot be read, or has a name that no receiver takes.
        """
        self.manifest = Manifest()
        self._skipped = skipped
        self._places: list[Path] = []
        for path in paths:
            resolved = Path(os.path.realpath(path))
            self._add(resolved, (resolved.name,))

    def open(self, index: int) -> int:
        """Return the descriptor of a file, open for reading.

        :raises TransferFailed: when it cannot be read, or is not what was listed.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self._places[index], flags)
        except OSError as error:
            raise TransferFailed(Reason.UNREADABLE, self.manifest[index].name) from error
        try:
            self.check_unchanged(index, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def check_unchanged(self, index: int, descriptor: int) -> None:
        """Return if an open file is still what was listed; raise `TransferFailed` otherwise."""
        entry, found = self.manifest[index], os.fstat(descriptor)
        same = (found.st_size, _modified(found)) == (entry.size, entry.modified)
        if not stat.S_ISREG(found.st_mode) or not same:
            raise TransferFailed(Reason.CHANGED, entry.name)

    def _add(self, place: Path, path: tuple[str, ...]) -> None:
        try:
            found = place.lstat()
            if stat.S_ISDIR(found.st_mode):
                self._append(place, Entry(_checked(path), is_folder=True))
                for child in sorted(os.listdir(place)):
                    self._add(place / child, (*path, child))
            elif stat.S_ISREG(found.st_mode):
                self._append(
                    place,
                    Entry(
                        _checked(path),
                        size=found.st_size,
                        modified=_modified(found),
                        executable=bool(found.st_mode & stat.S_IXUSR),
                    ),
                )
            else:
                self._skipped(place)
        except OSError as error:
            raise TransferFailed(Reason.UNREADABLE, "/".join(path)) from error

    def _append(self, place: Path, entry: Entry) -> None:
        self.manifest.add(entry)
        self._places.append(place)


def _modified(found: os.stat_result) -> int:
    return max(0, found.st_mtime_ns)


def _checked(path: tuple[str, ...]) -> tuple[str, ...]:
    return checked_path("/".join(path))


def segments(descriptor: int, start: int, size: int) -> Iterator[tuple[bool, int, int]]:
    """Return the parts of a file from an offset on: whether it is data, where, how many bytes.

    What the file system knows to be a hole is not data.
    """
    position = start
    while position < size:
        data = _seek(descriptor, position, os.SEEK_DATA, size)
        if data > position:
            yield False, position, data - position
        end = _seek(descriptor, data, os.SEEK_HOLE, size) if data < size else size
        if end > data:
            yield True, data, end - data
        position = max(end, position + 1)


def _seek(descriptor: int, position: int, whence: int, size: int) -> int:
    try:
        return min(size, os.lseek(descriptor, position, whence))
    except OSError:
        # No data beyond here; a file system without such knowledge says that all is data.
        return size
