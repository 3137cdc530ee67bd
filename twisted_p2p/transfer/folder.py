"""The folder that a transfer goes into; no name and no link in it leads anywhere else.

Every step of a path is taken from the folder above it, by its descriptor, and no link is followed.
What is there already is never opened for writing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .failures import Reason, TransferFailed, failure_to_write
from .manifest import Entry
from .names import part_name

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TargetFolder:
    """A folder of this machine, as one sender may fill it."""

    def __init__(self, place: Path, sender: str = "") -> None:
        """Make the folder if it is not there.

        :param sender: whose unfinished files are looked at and continued, nobody else's.
        :raises TransferFailed: when there is no such folder and none can be made.
        """
        self.place = place
        self._sender = sender
        mask = os.umask(0)
        os.umask(mask)
        self._mode = 0o666 & ~mask
        try:
            place.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(place, _FOLDER & ~os.O_NOFOLLOW)
        except OSError as error:
            reason = failure_to_write(error, "").reason
            raise TransferFailed(reason, str(place), is_ours=True) from error

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)

    def make_folder(self, entry: Entry) -> None:
        """Make a folder and those above it, unless they are there.

        :raises TransferFailed: when something else is in its place.
        """
        with self._writing(entry), self._parent((*entry.path, "")):
            pass

    def has_begun(self, entry: Entry) -> bool:
        """Return whether something is in the place of a file, or of its unfinished one.

        :raises TransferFailed: when no file can be there.
        """
        with self._writing(entry), self._parent(entry.path) as parent:
            for name in (entry.path[-1], self._part_name(entry)):
                with suppress(FileNotFoundError):
                    os.stat(name, dir_fd=parent, follow_symlinks=False)
                    return True
        return False

    def open_finished(self, entry: Entry) -> int | None:
        """Return the descriptor of a file that is in the place of this one, or None.

        :raises TransferFailed: when it is no file, or is one of another size.
        """
        with self._writing(entry), self._parent(entry.path) as parent:
            try:
                descriptor = os.open(entry.path[-1], os.O_RDONLY | _FILE, dir_fd=parent)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise TransferFailed(Reason.EXISTS, entry.name) from error
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_size == entry.size:
            return descriptor
        os.close(descriptor)
        raise TransferFailed(Reason.EXISTS, entry.name)

    def open_part(self, entry: Entry) -> int | None:
        """Return the descriptor of the unfinished file, or None if there is none.

        :raises TransferFailed: when it cannot be opened, or is something else.
        """
        with self._writing(entry), self._parent(entry.path) as parent:
            try:
                return self._open_part(entry, parent, 0)
            except FileNotFoundError:
                return None

    def make_part(self, entry: Entry) -> int:
        """Return the descriptor of the unfinished file, made if there is none; fails alike."""
        with self._writing(entry), self._parent(entry.path) as parent:
            return self._open_part(entry, parent, os.O_CREAT)

    def _open_part(self, entry: Entry, parent: int, flags: int) -> int:
        name = self._part_name(entry)
        descriptor = os.open(name, os.O_RDWR | _FILE | flags, 0o600, dir_fd=parent)
        found = os.fstat(descriptor)
        # With a second name it might be a file that somebody wants to keep.
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return descriptor
        os.close(descriptor)
        raise TransferFailed(Reason.UNWRITABLE, entry.name)

    def finish(self, entry: Entry, descriptor: int) -> None:
        """Give the unfinished file its mode, its time and its name.

        :raises TransferFailed: when there is a file of that name by now.
        """
        mode = self._mode | ((self._mode & 0o444) >> 2 if entry.executable else 0)
        with self._writing(entry), self._parent(entry.path) as parent:
            os.fchmod(descriptor, mode)
            with suppress(OSError, OverflowError):
                os.utime(descriptor, ns=(entry.modified, entry.modified))
            self._rename(self._part_name(entry), entry, parent)

    def discard(self, entry: Entry) -> None:
        """Remove the unfinished file."""
        with self._writing(entry), self._parent(entry.path) as parent:
            os.unlink(self._part_name(entry), dir_fd=parent)

    def _rename(self, old: str, entry: Entry, parent: int) -> None:
        """Rename within a folder; a file that is there stays what it is."""
        new = entry.path[-1]
        try:
            os.link(old, new, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            raise TransferFailed(Reason.EXISTS, entry.name) from None
        except OSError:
            # A file system without second names, such as FAT.
            with suppress(FileNotFoundError):
                os.stat(new, dir_fd=parent, follow_symlinks=False)
                raise TransferFailed(Reason.EXISTS, entry.name) from None
            os.rename(old, new, src_dir_fd=parent, dst_dir_fd=parent)
        else:
            os.unlink(old, dir_fd=parent)

    def _part_name(self, entry: Entry) -> str:
        return part_name(self._sender, entry.path)

    @contextmanager
    def _parent(self, path: tuple[str, ...]) -> Iterator[int]:
        """Return the descriptor of the folder that a path lies in, made where it is not there."""
        current = os.dup(self._descriptor)
        try:
            for name in path[:-1]:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=current)
                below = os.open(name, _FOLDER, dir_fd=current)
                os.close(current)
                current = below
            yield current
        finally:
            os.close(current)

    @contextmanager
    def _writing(self, entry: Entry) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise failure_to_write(error, entry.name) from error
